"""Requests that leave the host: images by URL, a function's `fetch`, pulls of weights.

Only public addresses are reached. A name is resolved once for each connection, every address that it resolves to is
checked, and the socket is opened to one of those very addresses: a resolver that changes its answer changes nothing.
That is done under httpcore's connection pool (`_PinnedBackend`), so redirects cannot get round it, while Host, SNI
and the certificate's name stay those of the URL. Nothing is taken from the environment: no proxy, no netrc; and
nothing is kept from one request to the next but idle connections: no cookies.
"""

from __future__ import annotations

import asyncio
import re
import socket
import ssl
import zlib
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterable, Sequence
from contextlib import aclosing, asynccontextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from typing import Literal
from urllib.parse import urlsplit

import httpcore
import httpx

from runtime.errors import AddressRefused, ConfigError, OutboundError

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host's name and a port to its addresses, as text; raises OSError for a name that has none."""
Headers = list[tuple[str, str]]

CONNECT_S = 10.0
_ATTEMPTS = 4
"""Addresses of one name that are tried before giving up."""
_CONNECTIONS = 512
_OF_ONE_CALLER, _LOOKUPS_OF_ONE = _CONNECTIONS // 4, 4
"""Requests and name lookups of one caller at once: servers that never answer must leave some to the others."""
CALLER: ContextVar[str] = ContextVar("caller", default="")
"""On whose behalf requests are made: a function's name, or nobody's."""
_PIECE = 64 * 1024

# IANA's registries of special-purpose addresses, spelled out: `is_global` differs between versions of Python
_NOT_PUBLIC = tuple(
    ip_network(network)
    for network in (
        "0.0.0.0/8", "10.0.0.0/8", "100.64.0.0/10", "127.0.0.0/8", "169.254.0.0/16", "172.16.0.0/12", "192.0.0.0/24",
        "192.0.2.0/24", "192.88.99.0/24", "192.168.0.0/16", "198.18.0.0/15", "198.51.100.0/24", "203.0.113.0/24",
        "224.0.0.0/4", "240.0.0.0/4",
        "168.63.129.16/32",  # a public address that is Azure's metadata service inside its machines
        "2001::/23", "2001:db8::/32", "3fff::/20",
    )
)  # fmt: skip
_UNICAST_6 = IPv6Network("2000::/3")
_NAT64 = IPv6Network("64:ff9b::/96")

_HOP_BY_HOP = frozenset({
    "connection", "keep-alive", "proxy-authenticate", "proxy-authorization", "proxy-connection", "te", "trailer",
    "transfer-encoding", "upgrade",
})  # fmt: skip
_DEFAULTS = (("accept", "*/*"), ("accept-encoding", "gzip"), ("user-agent", "beira"))
_REDIRECTS = (301, 302, 303, 307, 308)


async def system_resolver(host: str, port: int) -> Sequence[str]:
    """The operating system's answer, in its order of preference."""
    found = await asyncio.get_running_loop().getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return [str(sockaddr[0]) for *_, sockaddr in found]


def is_public(address: Address) -> bool:
    """Whether `address` is unicast and reachable by all the world; forms that carry an IPv4 address count as that."""
    address = _plain(address)
    if isinstance(address, IPv6Address) and (address.scope_id is not None or address not in _UNICAST_6):
        return False
    return not any(address in network for network in _NOT_PUBLIC)


def _plain(address: Address) -> Address:
    """The IPv4 address inside an IPv4-mapped, 6to4 or NAT64 address; any other as it is."""
    if isinstance(address, IPv4Address):
        return address
    inner = address.ipv4_mapped or address.sixtofour
    return inner or (IPv4Address(int(address) & 0xFFFFFFFF) if address in _NAT64 else address)


@dataclass(frozen=True, slots=True)
class _Allowed:
    """One entry of the allow list: a name, or the addresses of a network; on one port, or on all."""

    host: str | None
    network: IPv4Network | IPv6Network | None
    port: int | None

    @classmethod
    def parse(cls, entry: str) -> _Allowed:
        try:
            return cls(None, ip_network(entry, strict=False), None)
        except ValueError:
            pass
        try:
            parts = urlsplit(f"//{entry}")
            host, port = parts.hostname or "", parts.port
        except ValueError:
            host, port = "", None
        if parts.netloc != entry or not re.fullmatch(r"[\w.:-]+", host, re.ASCII) or "@" in entry:
            raise ConfigError(f"allow list: must be 'host', 'host:port' or a network like '10.0.0.0/8', got {entry!r}")
        try:
            return cls(None, ip_network(host), port)
        except ValueError:
            return cls(host.rstrip("."), None, port)

    def matches(self, host: str, port: int, address: Address) -> bool:
        if self.port not in (None, port):
            return False
        if self.network is not None:
            return address in self.network or _plain(address) in self.network
        return host.lower().rstrip(".") == self.host


class _Parts:
    """What each caller has of something."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: dict[str, asyncio.Semaphore] = {}

    def of_caller(self) -> asyncio.Semaphore:
        return self._parts.setdefault(CALLER.get(), asyncio.Semaphore(self._size))


class _PinnedBackend(httpcore.AsyncNetworkBackend):
    """Opens sockets, and only to addresses that were checked; httpcore calls it once for each new connection."""

    def __init__(self, allow: Sequence[str], resolve: Resolver) -> None:
        self._allow = tuple(_Allowed.parse(entry) for entry in allow)
        self._resolve = resolve
        self._lookups = _Parts(_LOOKUPS_OF_ONE)
        self._looking: set[asyncio.Future[Sequence[str]]] = set()
        self._inner = httpcore.AnyIOBackend()

    async def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None,
    ) -> httpcore.AsyncNetworkStream:
        fault: Exception = httpcore.ConnectError("the name has no address")
        addresses = (await self._checked(host, port))[:_ATTEMPTS]
        for address in addresses:
            # one address that swallows packets must not use up the time of the others
            share = None if timeout is None else timeout / len(addresses)
            try:
                return await self._inner.connect_tcp(str(address), port, share, local_address, socket_options)
            except (httpcore.ConnectError, httpcore.ConnectTimeout) as e:
                fault = e
        raise fault

    async def connect_unix_socket(
        self, path: str, timeout: float | None = None, socket_options: Iterable[httpcore.SOCKET_OPTION] | None = None
    ) -> httpcore.AsyncNetworkStream:
        raise AddressRefused(f"{path}: a Unix socket is no place for an outbound request")

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    async def _look_up(self, host: str, port: int) -> Sequence[str]:
        """Its thread goes on for as long as the resolver wants, whoever has given up: so long its place is taken."""
        place = self._lookups.of_caller()
        await place.acquire()
        looking = asyncio.ensure_future(self._resolve(host, port))
        self._looking.add(looking)

        def is_over(looking: asyncio.Future[Sequence[str]]) -> None:
            self._looking.discard(looking)
            place.release()
            if not looking.cancelled():
                looking.exception()  # perhaps nobody is left to ask for it

        looking.add_done_callback(is_over)
        return await asyncio.shield(looking)

    async def _checked(self, host: str, port: int) -> list[Address]:
        try:
            addresses = [ip_address(host)]
        except ValueError:
            try:
                addresses = [ip_address(text) for text in dict.fromkeys(await self._look_up(host, port))]
            except (OSError, ValueError) as e:  # UnicodeError, a label that is too long, is a ValueError
                raise OutboundError(f"{_short(host)}: the name cannot be resolved") from e
        for address in addresses:
            # one refused address among public ones is refused whole: no honest name answers so
            if not is_public(address) and not any(rule.matches(host, port, address) for rule in self._allow):
                raise AddressRefused(
                    f"{_short(host)}:{port}: its address is not a public one;"
                    " only public hosts, and those that the allow list names, are reached"
                )
        return addresses


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
                    raise OutboundError(f"{_short(self.url)}: the body is no gzip, though its header says so") from e
                # what follows the end of the packed data is ignored, as browsers do
                data = b"" if inflate.eof else inflate.unconsumed_tail
                if piece:
                    yield piece
        if self._is_packed and not (is_empty or inflate.eof):
            raise OutboundError(f"{_short(self.url)}: the gzip body ends too early")

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
        self._places = _Parts(_OF_ONE_CALLER)
        self._pool = httpcore.AsyncConnectionPool(
            ssl_context=ssl_context or httpx.create_ssl_context(trust_env=False),
            max_connections=_CONNECTIONS,
            max_keepalive_connections=32,
            keepalive_expiry=5.0,
            network_backend=_PinnedBackend(allow, resolve),
        )

    async def fetch_bytes(self, url: str, *, max_bytes: int, timeout_s: float = 10.0, max_redirects: int = 3) -> bytes:
        """The body of `url`, whole. Raises OutboundError, in one line, where a limit or a rule is broken."""
        too_large = OutboundError(f"{_short(url)}: must be at most {max_bytes} bytes, got more")
        body = bytearray()
        async with self.stream("GET", url, timeout_s=timeout_s, max_redirects=max_redirects) as response:
            if not 200 <= response.status < 300:
                raise OutboundError(f"{_short(url)}: expected the status 200, got {response.status}")
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
                    raise OutboundError(f"{_short(request.url)}: answered {response.status}, which nobody asked for")
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
                raise OutboundError(f"{_short(request.url)}: a redirect ({response.status}), which the caller refuses")
            request = request.redirected(response.status, location)
        raise OutboundError(f"{_short(first)}: must lead to a page within {max_redirects} redirects, got more")


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
            raise OutboundError(f"{_short(self.url)}: the method {self.method} is not one to fetch with")
        # Connection is dropped, and what it names is kept: a caller must not strip the headers that the host adds
        drop = _HOP_BY_HOP | {"host", "expect"} | (set() if self.content else {"content-length"})
        kept = [(k, v) for k, v in self.headers if k.lower() not in drop]
        named = {k.lower() for k, _ in kept}
        ours = [(k, v) for k, v in _DEFAULTS if k not in named]
        try:
            raw = [(k.encode("ascii"), v.encode("latin-1")) for k, v in [*ours, *kept]]
        except UnicodeEncodeError as e:
            raise OutboundError(f"{_short(self.url)}: a header must be Latin-1 text, got {e.object!r}") from e
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
                f"{_short(self.url)}: a redirect ({status}) would need the body a second time;"
                f" send it to {_short(url)}, or follow redirects yourself"
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
            raise OutboundError(f"{_short(url)}: must be complete within {self.after_s:g} s, and was not") from e
        except tuple(_FAULTS) as e:
            fault = next(text for kind, text in _FAULTS.items() if isinstance(e, kind))
            detail = " ".join(str(e).split())
            raise OutboundError(f"{_short(url)}: {fault}" + (f" ({detail})" if detail else "")) from e


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
        raise OutboundError(f"{_short(text)}: is no URL ({e})") from e
    if url.scheme not in ("http", "https") or not host:
        raise OutboundError(f"{_short(text)}: must be an http: or https: URL with a host")
    if url.userinfo:
        raise OutboundError(f"{_short(url.copy_with(userinfo=b''))}: a URL must not carry a user or password")
    if port is not None and not 0 < port < 65536:
        raise OutboundError(f"{_short(text)}: a port is a number from 1 to 65535, got {port}")
    return url


def _short(text: object) -> str:
    """For a message: one line, of a length that can be read."""
    line = str(text)
    line = line if len(line) <= 200 else f"{line[:200]}…"
    return line if line.isprintable() else ascii(line)
