"""The one mutable global of an isolate: the connection to the host that AI, fetch, console and print speak through."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from runtime.isolate.http import Request, Response


class AIStream(Protocol):
    """A streaming generation: chunks, each a dict with attribute access; `aclose` cancels what is left of it."""

    def __aiter__(self) -> AsyncIterator[dict[str, Any]]: ...

    async def __anext__(self) -> dict[str, Any]: ...

    async def aclose(self) -> None: ...


class Connection(Protocol):
    """What the host does for a handler."""

    async def run_model(self, model: str | None, inputs: dict[str, Any]) -> dict[str, Any] | AIStream:
        """Raises AIError."""

    async def subrequest(self, request: Request, redirect: str, timeout_s: float | None) -> Response:
        """Raises OutboundError."""

    def log(self, level: str, text: str) -> None:
        """Never raises: a log line is not worth a request."""


_bound: Connection | None = None


def bind(connection: Connection | None) -> None:
    """Make `connection` this process's own; once, in an isolate, before its invocation."""
    global _bound
    _bound = connection


def bound() -> Connection | None:
    return _bound


def required(what: str) -> Connection:
    """The connection, for `what` that cannot work without one."""
    if _bound is None:
        raise RuntimeError(
            f"{what} works only within a handler that Beira runs: "
            "serve the function with `beira dev`, or run it once with `beira invoke`"
        )
    return _bound
