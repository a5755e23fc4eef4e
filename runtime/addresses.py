"""Which addresses the host's requests may go to, and the sockets that go to them alone.

A name is resolved once for each connection, every address that it resolves to is checked, and the socket is opened to
one of those very addresses: a resolver that changes its answer changes nothing. That is done under httpcore's
connection pool (`PinnedBackend`), so redirects cannot get round it, while Host, SNI and the certificate's name stay
those of the URL.
"""

from __future__ import annotations

import asyncio
import re
import socket
from collections.abc import Awaitable, Callable, Iterable, Sequence
from contextvars import ContextVar
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network, IPv6Address, IPv6Network, ip_address, ip_network
from urllib.parse import urlsplit

import httpcore

from runtime.errors import AddressRefused, ConfigError, OutboundError

Address = IPv4Address | IPv6Address
Resolver = Callable[[str, int], Awaitable[Sequence[str]]]
"""A host's name and a port to its addresses, as text; raises OSError for a name that has none."""
CALLER: ContextVar[str] = ContextVar("caller", default="")
"""On whose behalf requests are made: a function's name, or nobody's."""
_ATTEMPTS = 4
"""Addresses of one name that are tried before giving up."""
_LOOKUPS_OF_ONE = 4
"""Name lookups of one caller at once: servers that never answer must leave some to the others."""

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


class Parts:
    """What each caller has of something."""

    def __init__(self, size: int) -> None:
        self._size = size
        self._parts: dict[str, asyncio.Semaphore] = {}

    def of_caller(self) -> asyncio.Semaphore:
        return self._parts.setdefault(CALLER.get(), asyncio.Semaphore(self._size))


class PinnedBackend(httpcore.AsyncNetworkBackend):
    """Opens sockets, and only to addresses that were checked; httpcore calls it once for each new connection."""

    def __init__(self, allow: Sequence[str], resolve: Resolver) -> None:
        self._allow = tuple(_Allowed.parse(entry) for entry in allow)
        self._resolve = resolve
        self._lookups = Parts(_LOOKUPS_OF_ONE)
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
                raise OutboundError(f"{short(host)}: the name cannot be resolved") from e
        for address in addresses:
            # one refused address among public ones is refused whole: no honest name answers so
            if not is_public(address) and not any(rule.matches(host, port, address) for rule in self._allow):
                raise AddressRefused(
                    f"{short(host)}:{port}: its address is not a public one;"
                    " only public hosts, and those that the allow list names, are reached"
                )
        return addresses


def short(text: object) -> str:
    """For a message: one line, of a length that can be read."""
    line = str(text)
    line = line if len(line) <= 200 else f"{line[:200]}…"
    return line if line.isprintable() else ascii(line)
