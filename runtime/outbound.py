"""Requests that leave the host: images by URL, a function's `fetch`, pulls of weights.

Only public addresses are reached (`addresses.py`), on every redirect. Nothing is taken from the environment: no proxy,
no netrc; and nothing is kept from one request to the next but idle connections: no cookies.
"""

from __future__ import annotations

import asyncio
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import Literal

import httpcore
import httpx

from runtime.addresses import Parts, PinnedBackend, Resolver, short, system_resolver
from runtime.errors import OutboundError

Headers = list[tuple[str, str]]

CONNECT_S = 10.0
_CONNECTIONS = 512
_OF_ONE_CALLER = _CONNECTIONS // 4
"""Requests of one caller at once: servers that never answer must leave some to the others."""
_PIECE = 64 * 1024

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_DEFAULTS = (("accept", "*/*"), ("accept-encoding", "gzip"), ("user-agent", "beira"))
_REDIRECTS = (301, 302, 303, 307, 308)


class OutboundResponse:
    """A response whose body has yet to be read: hop-by-hop headers are dropped, gzip is undone."""

    def __init__(self, url: str, response: httpcore.Response, deadline: _Deadline) -> None:
        self._response = response
        self._deadline = deadline
        raw = [(k.decode("latin-1"), v.decode("latin-1")) for k, v in response.headers]
        named = {token.strip().lower() for k, v in raw if k.lower() == "connection" for token in v.split(",")}
        headers = [(k, v) for k, v in raw if k.lower() not in _HOP_BY_HOP | named]
        coding = ", ".join(v for k, v in headers if k.lower() == "content-encoding")
        # a list of codings is handed on as it came: each one undone may be a thousand times larger
        self._is_packed = coding.strip().lower() in ("gzip", "x-gzip")
        stale = ("content-encoding", "content-length") if self._is_packed else ()
        self.url = url
        self.status = response.status
        self.headers: Headers = [(k, v) for k, v in headers if k.lower() not in stale]

    async def aiter_bytes(self) -> AsyncGenerator[bytes]:
        """The body, in pieces of at most 64 KiB. Raises OutboundError."""
        inflate = zlib.decompressobj(31)
        stream = aiter(self._response.aiter_stream())
        is_empty = True
        while (data := await self._next(stream)) is not None:
            is_empty = False
            if not self._is_packed:
                yield data
            while self._is_packed and data:
                try:
                    piece = inflate.decompress(data, _PIECE)
                except zlib.error as e:
                    raise OutboundError(f"{short(self.url)}: the body is no gzip, though its header says so") from e
                # what follows the end of the packed data is ignored, as browsers do
                data = b"" if inflate.eof else inflate.unconsumed_tail
                if piece:
                    yield piece
        if self._is_packed and not (is_empty or inflate.eof):
            raise OutboundError(f"{short(self.url)}: the gzip body ends too early")

    async def _next(self, stream: AsyncIterator[bytes]) -> bytes | None:
        async with self._deadline.guard(self.url):
            return await anext(stream, None)


class Outbound:
    """Makes requests under the address rules; one for the host, shared by all, used from one event loop."""

    def __init__(
        self,
        *,
        allow: Sequence[str] = (),
        resolve: Resolver = system_resolver,
        ssl_context: ssl.SSLContext | None = None,
    ) -> None:
        self._places = Parts(_OF_ONE_CALLER)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=_CONNECTIONS,
            max_keepalive_connections=32,
            keepalive_expiry=5.0,
            network_backend=PinnedBackend(allow, resolve),
        )

    async def fetch_bytes(self, url: str, *, max_bytes: int, timeout_s: float = 10.0, max_redirects: int = 3) -> bytes:
        """The body of `url`, whole. Raises OutboundError, in one line, where a limit or a rule is broken."""
        too_large = OutboundError(f"{short(url)}: must be at most {max_bytes} bytes, got more")
        body = bytearray()
        async with self.stream("GET", url, timeout_s=timeout_s, max_redirects=max_redirects) as response:
            if not 200 <= response.status < 300:
                raise OutboundError(f"{short(url)}: expected the status 200, got {response.status}")
            declared = next((v for k, v in response.headers if k.lower() == "content-length"), "")
            if declared.isdecimal() and int(declared) > max_bytes:
                raise too_large
            async with aclosing(response.aiter_bytes()) as pieces:
                async for piece in pieces:
                    body += piece
                    if len(body) > max_bytes:
                        raise too_large
        return bytes(body)

    @asynccontextmanager
    async def stream(
        self,
        method: str,
        url: str,
        *,
        headers: Iterable[tuple[str, str]] = (),
        content: AsyncIterator[bytes] | None = None,
        redirect: Literal["follow", "manual", "error"] = "follow",
        timeout_s: float | None,
        max_redirects: int = 20,
    ) -> AsyncGenerator[OutboundResponse]:
        """The response's head at once, its body as it arrives; `timeout_s` is for all of it. Raises OutboundError."""
        at = None if timeout_s is None else asyncio.get_running_loop().time() + timeout_s
        deadline = _Deadline(at, timeout_s)
        request = _Request(method.upper(), _parse(url), tuple(headers), content)
        places = self._places.of_caller()
        async with deadline.guard(str(request.url)):
            await places.acquire()
        try:
            request, response = await self._send(request, redirect, deadline, max_redirects)
            try:
                if response.status < 200:
                    raise OutboundError(f"{short(request.url)}: answered {response.status}, which nobody asked for")
                yield OutboundResponse(str(request.url), response, deadline)
            finally:
                await response.aclose()
        finally:
            places.release()

    async def aclose(self) -> None:
        """Close every connection, those in use included."""
        await self._pool.aclose()

    async def _send(
        self, request: _Request, redirect: str, deadline: _Deadline, max_redirects: int
    ) -> tuple[_Request, httpcore.Response]:
        first = request.url
        for _ in range(max_redirects + 1):
            async with deadline.guard(str(request.url)):
                response = await self._pool.handle_async_request(request.encoded())
            location = httpx.Headers(response.headers).get("location")
            if redirect == "manual" or response.status not in _REDIRECTS or location is None:
                return request, response
            await response.aclose()
            if redirect == "error":
                raise OutboundError(f"{short(request.url)}: a redirect ({response.status}), which the caller refuses")
            request = request.redirected(response.status, location)
        raise OutboundError(f"{short(first)}: must lead to a page within {max_redirects} redirects, got more")


@dataclass(frozen=True, slots=True)
class _Request:
    """One request, and what becomes of it at a redirect (the rules of the fetch standard)."""

    method: str
    url: httpx.URL
    headers: tuple[tuple[str, str], ...]
    content: AsyncIterator[bytes] | None

    def encoded(self) -> httpcore.Request:
        """For the pool: with Host, the body's framing and our defaults."""
        if self.method in ("CONNECT", "TRACE"):
            raise OutboundError(f"{short(self.url)}: the method {self.method} is not one to fetch with")
        # Connection is dropped, and what it names is kept: a caller must not strip the headers that the host adds
        drop = _HOP_BY_HOP | {"host", "expect"} | (set() if self.content else {"content-length"})
        kept = [(k, v) for k, v in self.headers if k.lower() not in drop]
        named = {k.lower() for k, _ in kept}
        ours = [(k, v) for k, v in _DEFAULTS if k not in named]
        try:
            raw = [(k.encode("ascii"), v.encode("latin-1")) for k, v in [*ours, *kept]]
        except UnicodeEncodeError as e:
            raise OutboundError(f"{short(self.url)}: a header must be Latin-1 text, got {e.object!r}") from e
        made = httpx.Request(self.method, self.url, headers=raw, content=self.content)
        target = httpcore.URL(
            scheme=made.url.raw_scheme, host=made.url.raw_host, port=made.url.port, target=made.url.raw_path
        )
        return httpcore.Request(
            made.method,
            target,
            headers=made.headers.raw,
            content=made.stream,
            extensions={"timeout": {"connect": CONNECT_S}},
        )

    def redirected(self, status: int, location: str) -> _Request:
        url = _parse(location, self.url)
        becomes_get = (status == 303 and self.method not in ("GET", "HEAD")) or (
            status in (301, 302) and self.method == "POST"
        )
        if self.content is not None and not becomes_get:
            raise OutboundError(
                f"{short(self.url)}: a redirect ({status}) would need the body a second time;"
                f" send it to {short(url)}, or follow redirects yourself"
            )
        drop: set[str] = set()
        if becomes_get:
            drop |= {"content-encoding", "content-language", "content-length", "content-location", "content-type"}
        if (url.scheme, url.host, url.port) != (self.url.scheme, self.url.host, self.url.port):
            drop |= {"authorization", "cookie"}
        headers = tuple((k, v) for k, v in self.headers if k.lower() not in drop)
        return _Request("GET" if becomes_get else self.method, url, headers, None)


@dataclass(frozen=True, slots=True)
class _Deadline:
    """When an exchange must be over, on the loop's clock, and after how many seconds that is."""

    at: float | None
    after_s: float | None

    @asynccontextmanager
    async def guard(self, url: str) -> AsyncGenerator[None]:
        """One step of the exchange: late or failed, it raises OutboundError."""
        try:
            async with asyncio.timeout_at(self.at):
                yield
        except TimeoutError as e:
            raise OutboundError(f"{short(url)}: must be complete within {self.after_s:g} s, and was not") from e
        except tuple(_FAULTS) as e:
            fault = next(text for kind, text in _FAULTS.items() if isinstance(e, kind))
            detail = " ".join(str(e).split())
            raise OutboundError(f"{short(url)}: {fault}" + (f" ({detail})" if detail else "")) from e


_FAULTS: dict[type[Exception], str] = {
    httpcore.ConnectTimeout: f"no connection within {CONNECT_S:g} s",
    httpcore.ConnectError: "cannot connect",
    httpcore.LocalProtocolError: "the request is not valid HTTP",
    httpcore.RemoteProtocolError: "the answer is not valid HTTP",
    httpcore.TimeoutException: "too slow",
    httpcore.NetworkError: "the connection broke",
}


def _parse(text: str, base: httpx.URL | None = None) -> httpx.URL:
    try:
        url = httpx.URL(text) if base is None else base.join(text)
        port, host = url.port, url.host  # whose name is decoded only now, and may be none
    except (httpx.InvalidURL, ValueError) as e:
        raise OutboundError(f"{short(text)}: is no URL ({e})") from e
    if url.scheme not in ("http", "https") or not host:
        raise OutboundError(f"{short(text)}: must be an http: or https: URL with a host")
    if url.userinfo:
        raise OutboundError(f"{short(url.copy_with(userinfo=b''))}: a URL must not carry a user or password")
    if port is not None and not 0 < port < 65536:
        raise OutboundError(f"{short(text)}: a port is a number from 1 to 65535, got {port}")
    return url
