"""A request's body as a JSON object: read with bounds that keep parsing it from stopping the event loop."""

from __future__ import annotations

from typing import Any

import orjson

from runtime.errors import InvalidRequest
from runtime.gateway.exchange import Exchange

MAX_MB = 64
MAX_MARKS = 200_000
"""Commas and opening brackets, those within texts included: what parsing costs. A text that fits a context has far
fewer; without the bound, 64 MB of `[],[],…` stop the event loop for ten seconds and take gigabytes."""
_MARKS = (b",", b"[", b"{")


class ClientLeft(Exception):
    """Nobody is there any more to take the answer."""


class TooLarge(InvalidRequest):
    """The body is over its limit."""

    status = 413
    default_code = "request_too_large"


async def read_object(exchange: Exchange) -> dict[str, Any]:
    """The JSON object that the body holds; of a key that comes twice, the last value, as everywhere.

    Raises InvalidRequest, ClientLeft.
    """
    kind = (exchange.header("content-type") or "application/json").split(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise InvalidRequest(f"content-type: must be application/json, got {kind[:80]!r}")
    try:
        # no option to let NaN, Infinity or lone surrogates through: they are no JSON
        value = orjson.loads(await _read(exchange))
    except orjson.JSONDecodeError as e:
        raise InvalidRequest(f"the body is no JSON: {e}") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body must be a JSON object, got {type(value).__name__}")
    return value


async def _read(exchange: Exchange) -> bytearray:
    if (exchange.content_length or 0) > MAX_MB * 2**20:
        raise _too_large()
    data = bytearray()
    n_marks, more = 0, True
    while more:
        part = await exchange.read()
        if part is None:
            raise ClientLeft
        piece, more = part
        data += piece
        if len(data) > MAX_MB * 2**20:
            raise _too_large()
        n_marks += sum(map(piece.count, _MARKS))
        if n_marks > MAX_MARKS:
            raise TooLarge(f"the body may hold {MAX_MARKS} commas and opening brackets, got more")
    return data


def _too_large() -> TooLarge:
    return TooLarge(f"the body may hold {MAX_MB} MB, got more")
