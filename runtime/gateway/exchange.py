"""The client's side of one request: its body in, the response out, and whether it is still there."""

from __future__ import annotations

import asyncio
import re
from collections.abc import Iterable
from typing import Any

import orjson
from starlette.types import Message, Receive, Scope, Send

_TOKEN = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+")
_VALUE = re.compile(r"[\t\x20-\x7e\x80-\xff]*")
_HOP_BY_HOP = frozenset(
    ("connection", "keep-alive", "proxy-connection", "te", "trailer", "transfer-encoding", "upgrade")
)
_NO_BODY = (204, 304)
HEADERS = 256
"""The most header fields of a response."""


class BadHead(ValueError):
    """A response head that HTTP does not allow."""


class Exchange:
    """One ASGI request.

    `start`, `write`, `finish` in this order; leaving out `finish` cuts the connection, so that no client takes a part
    for the whole.
    """

    def __init__(self, scope: Scope, receive: Receive, send: Send, request_id: str) -> None:
        self.scope = scope
        self.request_id = request_id
        self.status = 0
        self.sent_bytes = 0
        self.is_started = False
        self.is_finished = False
        self._receive = receive
        self._send = send
        self._ahead: list[Message] = []
        """What has been received and not yet read."""

    @property
    def method(self) -> str:
        return str(self.scope["method"])

    @property
    def path(self) -> str:
        return str(self.scope["path"])

    @property
    def headers(self) -> list[tuple[str, str]]:
        return [(k.decode("latin-1"), v.decode("latin-1")) for k, v in self.scope["headers"]]

    def header(self, name: str) -> str | None:
        """The first value of the request header `name` (lower case)."""
        wanted = name.encode()
        return next((v.decode("latin-1") for k, v in self.scope["headers"] if k == wanted), None)

    @property
    def url(self) -> str:
        """The URL that the client asked for, as far as it told."""
        host = self.header("host") or "{}:{}".format(*(self.scope.get("server") or ("localhost", 80)))
        raw = self.scope.get("raw_path") or self.scope["path"].encode()
        query = self.scope["query_string"]
        return f"{self.scope['scheme']}://{host}{raw.decode('latin-1')}{'?' + query.decode('latin-1') if query else ''}"

    @property
    def content_length(self) -> int | None:
        value = self.header("content-length")
        return int(value) if value is not None and value.isdecimal() else None

    @property
    def has_body(self) -> bool:
        """The request says so; without one, what `read` gives first is nothing."""
        return self.header("transfer-encoding") is not None or self.header("content-length") not in (None, "0")

    async def read(self) -> tuple[bytes, bool] | None:
        """The next bytes of the request's body and whether more follow; None: the client has left."""
        event = self._ahead.pop(0) if self._ahead else await self._receive()
        if event["type"] != "http.request":
            return None
        return event.get("body", b""), bool(event.get("more_body", False))

    async def left(self) -> None:
        """Return once the client has left, as far as that shows without reading more than a first part of its body."""
        while not self._ahead or not self._ahead[-1].get("more_body", False):
            self._ahead.append(await self._receive())
            if self._ahead[-1]["type"] != "http.request":
                return
        await asyncio.get_running_loop().create_future()

    async def start(self, status: int, headers: Iterable[tuple[str, str]], extra: dict[str, str]) -> None:
        """Send the head; `extra` replaces headers of the same name. Raises BadHead before anything is sent."""
        if not 200 <= status <= 599:
            raise BadHead(f"a response's status must be from 200 to 599, got {status}")
        raw: list[tuple[bytes, bytes]] = []
        for number, (name, value) in enumerate(headers):
            if number == HEADERS:
                raise BadHead(f"a response may have {HEADERS} headers, got more")
            if not _TOKEN.fullmatch(name):
                raise BadHead(f"not a header name: {name[:80]!r}")
            if not _VALUE.fullmatch(value):
                raise BadHead(f"header {name!r}: a value may hold no line break or control character")
            lower = name.lower()
            if lower in _HOP_BY_HOP or lower in extra or (status in _NO_BODY and lower == "content-length"):
                continue
            raw.append((lower.encode("ascii"), value.encode("latin-1")))
        raw += [(k.encode("ascii"), v.encode("latin-1")) for k, v in extra.items()]
        self.is_started, self.status = True, status
        await self._send({"type": "http.response.start", "status": status, "headers": raw})

    async def write(self, data: bytes) -> None:
        """Send a part of the body; returns when the client's connection can take more."""
        if data and self.status not in _NO_BODY:
            self.sent_bytes += len(data)
            await self._send({"type": "http.response.body", "body": data, "more_body": True})

    async def finish(self, data: bytes = b"") -> None:
        """Send the last part of the body: the response is complete."""
        data = b"" if self.status in _NO_BODY else data
        self.sent_bytes += len(data)
        await self._send({"type": "http.response.body", "body": data, "more_body": False})
        self.is_finished = True

    async def answer(self, status: int, body: dict[str, Any], extra: dict[str, str] | None = None) -> None:
        """A whole JSON response."""
        data = orjson.dumps(body)
        head = {"content-type": "application/json", "content-length": str(len(data))}
        await self.start(status, (), head | {"x-beira-request-id": self.request_id} | (extra or {}))
        await self.finish(data)

    async def page(self, status: int, html: str) -> None:
        """A whole HTML response."""
        data = html.encode("utf-8")
        head = {"content-type": "text/html; charset=utf-8", "content-length": str(len(data))}
        await self.start(status, (), head | {"x-beira-request-id": self.request_id})
        await self.finish(data)
