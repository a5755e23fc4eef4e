"""What HTTP is to a handler: Request and Response, and the bodies that both have."""

from __future__ import annotations

import json
from collections.abc import AsyncIterable, AsyncIterator, Awaitable, Callable, Mapping
from typing import Any, overload

from runtime.isolate import json_text
from runtime.isolate.form import FormData, parse_form
from runtime.isolate.headers import Headers, HeadersLike
from runtime.isolate.url import URL

BodyLike = str | bytes | bytearray | memoryview | AsyncIterable[Any] | None


class _Body:
    """Bytes that can be read once: whole, or as they come."""

    __slots__ = ("_is_used", "_source", "headers")

    headers: Headers

    def __init__(self, source: BodyLike) -> None:
        self._source = source
        self._is_used = False

    @property
    def body_used(self) -> bool:
        return self._is_used

    async def __aiter__(self) -> AsyncIterator[bytes]:
        if self._is_used:
            raise RuntimeError("body already used")
        self._is_used = True
        async for piece in pieces(self._source):
            yield piece

    def take(self) -> BodyLike:
        """What it is made of, to be sent on; nothing else can read it any more."""
        if self._source is None:
            return None
        if self._is_used:
            raise RuntimeError("body already used")
        self._is_used = True
        return self._source

    async def read(self) -> bytes:
        return b"".join([piece async for piece in self])

    async def read_text(self) -> str:
        charset = _parameter(self.headers.get("content-type", "") or "", "charset") or "utf-8"
        data = await self.read()
        try:
            return data.decode(charset, "replace")
        except LookupError:
            return data.decode("utf-8", "replace")

    async def read_json(self) -> Any:
        """The body as JSON. Raises json.JSONDecodeError (a ValueError) where it is none."""
        data = await self.read()
        try:
            return json_text.loads(data)
        except json.JSONDecodeError as e:
            reason = "it is empty" if not data else e.msg
            raise json.JSONDecodeError(f"the body is no JSON: {reason}", e.doc, e.pos) from None


async def pieces(source: BodyLike) -> AsyncIterator[bytes]:
    """`source` as bytes, piece by piece; an iterator among it is closed with this one."""
    if source is None:
        return
    if isinstance(source, str):
        yield source.encode()
    elif isinstance(source, bytes | bytearray | memoryview):
        yield bytes(source)
    else:
        iterator = aiter(source)
        try:
            async for piece in iterator:
                if isinstance(piece, str):
                    piece = piece.encode()
                elif not isinstance(piece, bytes | bytearray | memoryview):
                    raise TypeError(f"a body's pieces must be str or bytes, got {type(piece).__name__}")
                yield bytes(piece)
        finally:
            close = getattr(iterator, "aclose", None)
            if close is not None:
                await close()


def _parameter(content_type: str, name: str) -> str | None:
    for part in content_type.split(";")[1:]:
        key, _, value = part.partition("=")
        if key.strip().lower() == name:
            return value.strip().strip('"')
    return None


class Request:
    """An HTTP request: the one that a handler is given, or one to send with `fetch`."""

    __slots__ = ("_body", "headers", "metadata", "method", "url")

    def __init__(
        self,
        url: str,
        *,
        method: str = "GET",
        headers: HeadersLike | None = None,
        body: BodyLike = None,
        metadata: Mapping[str, Any] | None = None,
    ) -> None:
        self.url = URL(url)
        self.method = method.upper()
        self.headers = Headers(headers)
        self.metadata: dict[str, Any] = dict(metadata or {})
        self._body = _Body(body)
        self._body.headers = self.headers

    @property
    def body(self) -> AsyncIterable[bytes]:
        """The body as it arrives; like every way to read it, once."""
        return self._body

    @property
    def body_used(self) -> bool:
        return self._body.body_used

    def take_body(self) -> BodyLike:
        """The body, to be sent on with another request."""
        return self._body.take()

    async def bytes(self) -> bytes:
        return await self._body.read()

    async def text(self) -> str:
        return await self._body.read_text()

    async def json(self) -> Any:
        """Raises json.JSONDecodeError, a ValueError, where the body is no JSON."""
        return await self._body.read_json()

    async def form(self) -> FormData:
        """Fields and files of a form, multipart or urlencoded. Raises ValueError where the body is neither."""
        return parse_form(self.headers.get("content-type"), await self._body.read())

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.url}>"


class _MakerOrReader:
    """`Response.json(data)` makes a response, `response.json()` reads one, as in JavaScript."""

    def __init__(self, make: Callable[..., Response], read: Callable[[Response], Awaitable[Any]]) -> None:
        self._make = make
        self._read = read

    @overload
    def __get__(self, instance: None, owner: type[Response]) -> Callable[..., Response]: ...

    @overload
    def __get__(self, instance: Response, owner: type[Response]) -> Callable[[], Awaitable[Any]]: ...

    def __get__(self, instance: Response | None, owner: type[Response]) -> Callable[..., Any]:
        if instance is None:
            return self._make
        return lambda: self._read(instance)


def _make_json(data: Any, status: int = 200, headers: HeadersLike | None = None) -> Response:
    return Response(json_text.dumps(data), status, headers, default_type="application/json")


def _make_text(text: str, status: int = 200, headers: HeadersLike | None = None) -> Response:
    return Response(text, status, headers)


class Response:
    """What a handler answers, or what `fetch` got.

    `body`: str, bytes, an async iterator of either, or the stream of an AI call, sent as server-sent events.
    """

    __slots__ = ("_body", "headers", "status", "url")

    def __init__(
        self,
        body: BodyLike = None,
        status: int = 200,
        headers: HeadersLike | None = None,
        *,
        default_type: str | None = None,
        url: str = "",
    ) -> None:
        if isinstance(status, bool) or not isinstance(status, int) or not 200 <= status <= 599:
            raise ValueError(f"status: must be a number from 200 to 599, got {status!r}")
        if not (body is None or isinstance(body, str | bytes | bytearray | memoryview) or hasattr(body, "__aiter__")):
            raise TypeError(f"body: must be str, bytes or an async iterator, got {type(body).__name__}")
        self.status = int(status)
        self.headers = Headers(headers)
        self.url = url
        if default_type is None and isinstance(body, str):
            default_type = "text/plain; charset=utf-8"
        if default_type is not None:
            self.headers.setdefault("content-type", default_type)
        self._body = _Body(body)
        self._body.headers = self.headers

    json = _MakerOrReader(_make_json, lambda self: self._body.read_json())
    text = _MakerOrReader(_make_text, lambda self: self._body.read_text())

    @staticmethod
    def html(text: str, status: int = 200, headers: HeadersLike | None = None) -> Response:
        return Response(text, status, headers, default_type="text/html; charset=utf-8")

    @staticmethod
    def redirect(url: str, status: int = 302) -> Response:
        if status not in (301, 302, 303, 307, 308):
            raise ValueError(f"status: a redirect is 301, 302, 303, 307 or 308, got {status!r}")
        return Response(None, status, {"location": url})

    def take_body(self) -> BodyLike:
        """The body, to be sent on."""
        return self._body.take()

    @property
    def ok(self) -> bool:
        return self.status < 300

    @property
    def body(self) -> AsyncIterable[bytes]:
        return self._body

    @property
    def body_used(self) -> bool:
        return self._body.body_used

    async def bytes(self) -> bytes:
        return await self._body.read()

    def __repr__(self) -> str:
        return f"<Response {self.status}>"
