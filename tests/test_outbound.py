"""Outbound requests: address rules, pinned connections, redirects, limits; against real servers on loopback."""

from __future__ import annotations

import asyncio
import gzip
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import AsyncExitStack
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from runtime.addresses import CALLER, is_public
from runtime.errors import AddressRefused, ConfigError, OutboundError
from runtime.outbound import Outbound, OutboundResponse

LOOPBACK = ("127.0.0.0/8",)
OK = b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\n\r\nok"

# for the name public.test, valid for a hundred years; a key for tests and nothing else
KEY = """-----BEGIN PRIVATE KEY-----
MIGHAgEAMBMGByqGSM49AgEGCCqGSM49AwEHBG0wawIBAQQgEvwhbz38CWC5JVum
5b78BdY75X5bR271ls4/ZwFNGvKhRANCAAQD9+untf+WbL1eMItlDuR3yWwox5t6
dIse77Wb7w2T1zGojjxwdN6NjCQeLHipncKDzKb7Gv6EoCeMSUjgfkg7
-----END PRIVATE KEY-----
"""
CERTIFICATE = """-----BEGIN CERTIFICATE-----
MIIBmjCCAUGgAwIBAgIUMnQUILAqfJ7zunK8o8Wv4WU0q2UwCgYIKoZIzj0EAwIw
FjEUMBIGA1UEAwwLcHVibGljLnRlc3QwIBcNMjYxMTIyMTcyMjM0WhgPMjEyNjEw
MjkxNzIyMzRaMBYxFDASBgNVBAMMC3B1YmxpYy50ZXN0MFkwEwYHKoZIzj0CAQYI
KoZIzj0DAQcDQgAEA/frp7X/lmy9XjCLZQ7kd8lsKMebenSLHu+1m+8Nk9cxqI48
cHTejYwkHix4qZ3Cg8ym+xr+hKAnjElI4H5IO6NrMGkwHQYDVR0OBBYEFJYdg5fW
0k4k246dEmqvHMB1BtCxMB8GA1UdIwQYMBaAFJYdg5fW0k4k246dEmqvHMB1BtCx
MA8GA1UdEwEB/wQFMAMBAf8wFgYDVR0RBA8wDYILcHVibGljLnRlc3QwCgYIKoZI
zj0EAwIDRwAwRAIgAmcIoua7X28Ih0V5dLgxYR3RBEeVNDWwpePXcULwaAkCIHuR
tD23dXbL1ol5+RYC/6+RCKStOOM/WIoUtNMqhJRu
-----END CERTIFICATE-----
"""

Reply = bytes | Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


class Site:
    """A server that answers each path with bytes, or by a coroutine; it records the heads that it got."""

    def __init__(self, pages: dict[str, Reply]) -> None:
        self.pages = pages
        self.heads: list[str] = []
        self.connections = 0
        self.closed = asyncio.Event()
        """A client's connection has ended."""

    async def start(self, stack: AsyncExitStack, host: str = "127.0.0.1", port: int = 0, **more: Any) -> Site:
        server = await asyncio.start_server(self._serve, host, port, **more)
        stack.push_async_callback(server.wait_closed)
        stack.callback(server.close)
        self.port: int = server.sockets[0].getsockname()[1]
        return self

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        try:
            while True:
                head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
                self.heads.append(head)
                reply = self.pages[head.split(" ")[1]]
                if isinstance(reply, bytes):
                    writer.write(reply)
                    await writer.drain()
                else:
                    await reply(reader, writer)
        except (asyncio.IncompleteReadError, OSError):
            pass
        finally:
            self.closed.set()
            writer.close()

    def header(self, name: str, at: int = -1) -> str | None:
        for line in self.heads[at].split("\r\n")[1:]:
            key, _, value = line.partition(": ")
            if key.lower() == name:
                return value
        return None


class Names:
    """A resolver with fixed answers; where there are several for a name, each question takes the next."""

    def __init__(self, **answers: str | list[str]) -> None:
        self.answers = {k.replace("_", "."): v if isinstance(v, list) else [v] for k, v in answers.items()}
        self.asked: list[str] = []

    async def __call__(self, host: str, port: int) -> Sequence[str]:
        self.asked.append(host)
        if host not in self.answers:
            raise OSError("no such name")
        answers = self.answers[host]
        return (answers.pop(0) if len(answers) > 1 else answers[0]).split(",")


def run(body: Callable[[AsyncExitStack], Awaitable[None]]) -> None:
    async def scope() -> None:
        async with asyncio.timeout(30), AsyncExitStack() as stack:
            await body(stack)

    asyncio.run(scope())


def made(stack: AsyncExitStack, **more: Any) -> Outbound:
    outbound = Outbound(**{"allow": LOOPBACK, **more})
    stack.push_async_callback(outbound.aclose)
    return outbound


def redirect(to: str, status: int = 302) -> bytes:
    return f"HTTP/1.1 {status} Moved\r\nlocation: {to}\r\ncontent-length: 0\r\n\r\n".encode()


def page(body: bytes, *headers: str) -> bytes:
    lines = "".join(f"{h}\r\n" for h in (f"content-length: {len(body)}", *headers))
    return f"HTTP/1.1 200 OK\r\n{lines}\r\n".encode() + body


async def whole(response: OutboundResponse) -> bytes:
    return b"".join([piece async for piece in response.aiter_bytes()])


async def said(outbound: Outbound, url: str, kind: type[OutboundError] = OutboundError, **more: Any) -> str:
    """What the refusal of `url` says, in its one line."""
    with pytest.raises(kind) as caught:
        await outbound.fetch_bytes(url, **{"max_bytes": 1000, **more})
    text = str(caught.value)
    assert text
    assert "\n" not in text
    return text


@pytest.mark.parametrize(
    "address",
    [
        "0.0.0.0", "0.1.2.3", "10.1.2.3", "100.64.0.1", "100.100.100.200", "127.0.0.1", "127.8.8.8", "168.63.129.16",
        "169.254.169.254", "172.16.0.1", "172.31.255.255", "192.0.0.192", "192.0.2.1", "192.88.99.1", "192.168.1.1",
        "198.18.0.1", "198.51.100.7", "203.0.113.9", "224.0.0.1", "239.255.255.255", "240.0.0.1", "255.255.255.255",
        "::", "::1", "::7f00:1", "100::1", "2001::1", "2001:db8::1", "3fff::1", "4000::1", "5f00::1", "64:ff9b:1::1",
        "fc00::1", "fd00:ec2::254", "fe80::1", "fe80::1%eth0", "2606:4700::1%eth0", "fec0::1", "ff02::1", "ff0e::1",
        "::ffff:127.0.0.1", "::ffff:10.0.0.1", "::ffff:169.254.169.254", "::ffff:0:127.0.0.1",
        "64:ff9b::127.0.0.1", "64:ff9b::a9fe:a9fe", "2002:7f00:1::", "2002:a9fe:a9fe::1", "2002:c0a8:101::",
    ],
)  # fmt: skip
def test_addresses_that_are_not_public(address: str) -> None:
    assert not is_public(ip_address(address))


@pytest.mark.parametrize(
    "address",
    ["1.1.1.1", "8.8.8.8", "100.63.0.1", "100.128.0.1", "172.32.0.1", "223.255.255.255", "2606:4700::1111",
     "2a00:1450:4001::1", "::ffff:8.8.8.8", "64:ff9b::8.8.8.8", "2002:808:808::1"],
)  # fmt: skip
def test_addresses_that_are_public(address: str) -> None:
    assert is_public(ip_address(address))


@pytest.mark.parametrize(
    "host",
    ["127.0.0.1", "127.1", "2130706433", "0x7f.0.0.1", "0", "localhost", "LOCALHOST", "[::1]", "[::]",
     "[::ffff:127.0.0.1]", "[64:ff9b::7f00:1]", "[2002:7f00:1::]", "169.254.169.254"],
)  # fmt: skip
def test_loopback_in_no_spelling(host: str) -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack)
        text = await said(made(stack, allow=()), f"http://{host}:{site.port}/", AddressRefused)
        assert "not a public one" in text
        assert site.connections == 0

    run(body)


@pytest.mark.parametrize(
    "answer", ["127.0.0.1", "10.0.0.1", "::1", "::ffff:127.0.0.1", "fe80::1%lo", "1.1.1.1,127.0.0.1", "169.254.169.254"]
)
def test_a_name_is_judged_by_every_address_that_it_resolves_to(answer: str) -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack)
        text = await said(
            made(stack, allow=(), resolve=Names(innocent_test=answer)),
            f"http://innocent.test:{site.port}/",
            AddressRefused,
        )
        assert text.startswith(f"innocent.test:{site.port}: its address is not a public one")
        assert site.connections == 0

    run(body)


def test_the_socket_goes_to_the_very_address_that_was_checked() -> None:
    # 127.0.0.2 stands for a public address, 127.0.0.1 for what must not be reached: the resolver turns from one to
    # the other between the check and a second look that nobody may take
    async def body(stack: AsyncExitStack) -> None:
        close = b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\nconnection: close\r\n\r\n"
        public = await Site({"/": close + b"public"}).start(stack, "127.0.0.2")
        private = await Site({"/": close + b"secret"}).start(stack, "127.0.0.1", public.port)
        names = Names(turning_test=["127.0.0.2", "127.0.0.1"])
        outbound = made(stack, allow=("127.0.0.2",), resolve=names)
        url = f"http://turning.test:{public.port}/"
        assert await outbound.fetch_bytes(url, max_bytes=10) == b"public"
        assert names.asked == ["turning.test"]
        assert public.header("host") == f"turning.test:{public.port}"
        # a new connection is a new question, and a new check
        await said(outbound, url, AddressRefused)
        assert names.asked == ["turning.test"] * 2
        assert private.connections == 0

    run(body)


def test_an_idle_connection_stays_pinned() -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack, "127.0.0.2")
        names = Names(turning_test=["127.0.0.2", "127.0.0.1"])
        outbound = made(stack, allow=("127.0.0.2",), resolve=names)
        for _ in range(3):
            assert await outbound.fetch_bytes(f"http://turning.test:{site.port}/", max_bytes=10) == b"ok"
        assert (site.connections, len(names.asked)) == (1, 1)

    run(body)


def test_a_later_address_is_tried_where_the_first_does_not_answer() -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack, "127.0.0.2")
        outbound = made(stack, resolve=Names(two_test="127.0.0.3,127.0.0.2"))
        assert await outbound.fetch_bytes(f"http://two.test:{site.port}/", max_bytes=10) == b"ok"
        assert "cannot connect" in await said(outbound, f"http://127.0.0.3:{site.port}/")

    run(body)


@pytest.mark.parametrize(
    ("entry", "reached"),
    [
        ("127.0.0.0/8", True), ("127.0.0.1", True), ("127.0.0.1:{port}", True), ("here.test", True),
        ("HERE.test:{port}", True), ("::/0", False), ("127.0.0.2", False), ("127.0.0.1:1", False),
        ("here.test:1", False), ("test", False), ("there.test", False),
    ],
)  # fmt: skip
def test_the_allow_list(entry: str, reached: bool) -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack)
        outbound = made(stack, allow=(entry.format(port=site.port),), resolve=Names(here_test="127.0.0.1"))
        url = f"http://here.test:{site.port}/"
        if reached:
            assert await outbound.fetch_bytes(url, max_bytes=2) == b"ok"
        else:
            await said(outbound, url, AddressRefused)

    run(body)


@pytest.mark.parametrize("entry", ["", "http://x", "x/y", "u@x", "x:port", "x:99999", "a b", "*", "10.0.0.0/33", "x?"])
def test_an_entry_that_says_nothing_is_an_error(entry: str) -> None:
    with pytest.raises(ConfigError, match="allow list: must be 'host', 'host:port' or a network"):
        Outbound(allow=(entry,))


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("ftp://a.test/", "must be an http: or https: URL"),
        ("file:///etc/passwd", "must be an http: or https: URL"),
        ("/relative", "must be an http: or https: URL"),
        ("http:///x", "must be an http: or https: URL"),
        ("data:text/plain,x", "must be an http: or https: URL"),
        ("http://user:hunter2@a.test/", "must not carry a user or password"),
        ("http://user@a.test/", "must not carry a user or password"),
        ("http://a.test:0/", "from 1 to 65535"),
        ("http://a.test:99999/", "65535"),
        ("http://a.test:x/", "is no URL"),
        ("http://a.test/\n", "is no URL"),
        ("http://[::1/", "is no URL"),
        ("http://①②⑦.0.0.1/", "is no URL"),
        ("http://xn--/", "is no URL"),
        ("http://xn--a.test/", "is no URL"),
        ("http://" + "a" * 70_000, "is no URL"),
        ("http://" + "a" * 300 + ".test/", "cannot be resolved"),
        ("http://nowhere.test/", "nowhere.test: the name cannot be resolved"),
    ],
)
def test_a_url_that_cannot_be(url: str, says: str) -> None:
    async def body(stack: AsyncExitStack) -> None:
        text = await said(made(stack, resolve=Names()), url)
        assert says in text
        assert len(text) < 400
        assert "hunter2" not in text

    run(body)


def test_redirects_are_followed_three_times_and_every_hop_is_checked() -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site(
            {
                "/3": redirect("/2"),
                "/2": redirect("1", 307),
                "/1": redirect("//there.test:{port}/0", 308),
                "/0": OK,
                "/4": redirect("/3"),
                "/file": redirect("file:///etc/passwd"),
                "/user": redirect("http://u:word@here.test/"),
                "/in": redirect("http://127.0.0.1:{port}/0"),
                "/meta": redirect("http://inside.test:{port}/0"),
                "/odd": redirect("http://a:b/"),
                "/none": b"HTTP/1.1 302 Moved\r\ncontent-length: 0\r\n\r\n",
            }
        ).start(stack, "127.0.0.2")
        for path, reply in site.pages.items():
            assert isinstance(reply, bytes)
            site.pages[path] = reply.replace(b"{port}", str(site.port).encode())
        inside = await Site({"/0": OK}).start(stack, "127.0.0.1", site.port)
        names = Names(here_test="127.0.0.2", there_test="127.0.0.2", inside_test="127.0.0.1")
        outbound = made(stack, allow=("127.0.0.2",), resolve=names)
        here = f"http://here.test:{site.port}"
        assert await outbound.fetch_bytes(f"{here}/3", max_bytes=2) == b"ok"
        assert [h.split(" ")[1] for h in site.heads] == ["/3", "/2", "/1", "/0"]
        assert site.header("host") == f"there.test:{site.port}"
        assert "within 3 redirects" in await said(outbound, f"{here}/4")
        assert "must be an http: or https: URL" in await said(outbound, f"{here}/file")
        assert "must not carry a user" in await said(outbound, f"{here}/user")
        assert "is no URL" in await said(outbound, f"{here}/odd")
        assert "expected the status 200, got 302" in await said(outbound, f"{here}/none")
        await said(outbound, f"{here}/in", AddressRefused)
        await said(outbound, f"{here}/meta", AddressRefused)
        assert inside.connections == 0

    run(body)


def test_bytes_are_counted_as_they_arrive() -> None:
    async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ntransfer-encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"4\r\nabcd\r\n")
            await writer.drain()

    async def body(stack: AsyncExitStack) -> None:
        bomb = gzip.compress(b"\0" * 50_000_000)
        site = await Site(
            {
                "/fits": page(b"x" * 1000),
                "/large": page(b"x" * 1001),
                "/claims": b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n",
                "/endless": endless,
                "/bomb": page(bomb, "content-encoding: gzip"),
                "/cut": page(gzip.compress(b"x" * 900)[:-9], "content-encoding: gzip"),
                "/false": page(b"no gzip at all", "content-encoding: gzip"),
                "/packed": page(gzip.compress(b"x" * 900), "content-encoding: gzip"),
                "/short": b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\nconnection: close\r\n\r\nx",
                "/404": b"HTTP/1.1 404 Not Found\r\ncontent-length: 0\r\n\r\n",
            }
        ).start(stack)

        async def hang_up(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(site.pages["/short"])  # type: ignore[arg-type]
            raise OSError

        site.pages["/gone"] = hang_up
        outbound, here = made(stack), f"http://127.0.0.1:{site.port}"
        assert len(await outbound.fetch_bytes(f"{here}/fits", max_bytes=1000)) == 1000
        assert await outbound.fetch_bytes(f"{here}/packed", max_bytes=1000) == b"x" * 900
        for path in ("large", "claims", "endless", "bomb"):
            assert f"/{path}: must be at most 1000 bytes, got more" in await said(outbound, f"{here}/{path}")
        assert "ends too early" in await said(outbound, f"{here}/cut")
        assert "is no gzip" in await said(outbound, f"{here}/false")
        assert "the answer is not valid HTTP" in await said(outbound, f"{here}/gone")
        assert "expected the status 200, got 404" in await said(outbound, f"{here}/404")

    run(body)


def test_time_is_counted_over_the_whole_exchange() -> None:
    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async def trickle(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 1000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.02)

    async def never(host: str, port: int) -> Sequence[str]:
        return await asyncio.get_running_loop().create_future()  # type: ignore[no-any-return]

    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/silent": silent, "/trickle": trickle}).start(stack)
        outbound = made(stack)
        for path in ("silent", "trickle"):
            site.closed.clear()
            text = await said(outbound, f"http://127.0.0.1:{site.port}/{path}", timeout_s=0.2)
            assert "must be complete within 0.2 s" in text
            await site.closed.wait()
        assert "within 0.2 s" in await said(made(stack, resolve=never), "http://slow.test/", timeout_s=0.2)

    run(body)


def test_the_environment_changes_nothing(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack)
        proxy = await Site({}).start(stack)
        for name in ("HTTP_PROXY", "http_proxy", "HTTPS_PROXY", "ALL_PROXY", "all_proxy"):
            monkeypatch.setenv(name, f"http://127.0.0.1:{proxy.port}")
        monkeypatch.delenv("NO_PROXY", raising=False)
        (tmp_path / ".netrc").write_text("default login someone password secret")
        monkeypatch.setenv("NETRC", str(tmp_path / ".netrc"))
        monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "absent.pem"))
        outbound = made(stack)
        assert await outbound.fetch_bytes(f"http://127.0.0.1:{site.port}/", max_bytes=2) == b"ok"
        assert proxy.connections == 0
        assert site.header("authorization") is None

    run(body)


def test_no_cookie_is_kept_from_one_request_to_the_next() -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": page(b"ok", "set-cookie: who=somebody", "set-cookie: b=2")}).start(stack)
        outbound = made(stack)
        for _ in range(2):
            async with outbound.stream("GET", f"http://127.0.0.1:{site.port}/", timeout_s=5) as response:
                assert [v for k, v in response.headers if k == "set-cookie"] == ["who=somebody", "b=2"]
                await whole(response)
            assert site.header("cookie") is None

    run(body)


def test_tls_keeps_the_name_while_the_address_is_pinned(tmp_path: Path) -> None:
    (tmp_path / "both.pem").write_text(KEY + CERTIFICATE)
    offered: list[str | None] = []

    async def body(stack: AsyncExitStack) -> None:
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(tmp_path / "both.pem")
        context.sni_callback = lambda _socket, name, _context: offered.append(name)
        site = await Site({"/": OK}).start(stack, ssl=context)
        outbound = made(
            stack,
            resolve=Names(public_test="127.0.0.1", other_test="127.0.0.1"),
            ssl_context=ssl.create_default_context(cadata=CERTIFICATE),
        )
        assert await outbound.fetch_bytes(f"https://public.test:{site.port}/", max_bytes=2) == b"ok"
        assert site.header("host") == f"public.test:{site.port}"
        assert "certificate" in await said(outbound, f"https://other.test:{site.port}/")
        assert offered == ["public.test", "other.test"]
        text = await said(made(stack), f"https://127.0.0.1:{site.port}/")
        assert "cannot connect" in text
        assert len(site.heads) == 1

    run(body)


def test_a_stream_goes_both_ways_and_drops_what_belongs_to_one_connection() -> None:
    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(
            b"HTTP/1.1 201 Made\r\nX-A: 1\r\nx-a: 2\r\nkeep-alive: 5\r\nconnection: x-own, keep-alive\r\nx-own: 1\r\n"
            b"transfer-encoding: chunked\r\n\r\n"
        )
        while (size := int(await reader.readline(), 16)) > 0:
            writer.write(b"%x\r\n" % size + (await reader.readexactly(size + 2)))
            await writer.drain()
        await reader.readline()
        writer.write(b"0\r\n\r\n")

    async def pieces() -> AsyncIterator[bytes]:
        for _ in range(5):
            yield b"piece"
            await asyncio.sleep(0)

    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/echo?a=b%20c": echo}).start(stack)
        url = f"http://127.0.0.1:{site.port}/echo?a=b c"
        sent = [
            ("Host", "elsewhere"), ("Connection", "x-beira-hops"), ("x-beira-hops", "3"), ("TE", "trailers"),
            ("Proxy-Authorization", "no"), ("Upgrade", "h2c"), ("Expect", "100-continue"), ("x-Name", "caf\xe9"),
            ("x-b", "1"), ("X-B", "2"), ("User-Agent", "mine"), ("Transfer-Encoding", "gzip"),
        ]  # fmt: skip
        async with made(stack).stream("post", url, headers=sent, content=pieces(), timeout_s=10) as response:
            assert response.status == 201
            assert response.url == f"http://127.0.0.1:{site.port}/echo?a=b%20c"
            assert response.headers == [("X-A", "1"), ("x-a", "2")]
            assert await whole(response) == b"piece" * 5
        lines = site.heads[0].split("\r\n")
        assert lines[0] == "POST /echo?a=b%20c HTTP/1.1"
        assert [line for line in lines if line.lower().startswith("x-b:")] == ["x-b: 1", "X-B: 2"]
        for name in ("te", "proxy-authorization", "upgrade", "expect"):
            assert site.header(name) is None
        assert site.header("host") == f"127.0.0.1:{site.port}"
        assert site.header("x-beira-hops") == "3"
        assert site.header("x-name") == "caf\xe9"
        assert site.header("user-agent") == "mine"
        assert site.header("transfer-encoding") == "chunked"

    run(body)


def test_a_body_is_handed_on_while_more_is_to_come() -> None:
    async def body(stack: AsyncExitStack) -> None:
        more = asyncio.Event()

        async def slow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: 6\r\n\r\none")
            await more.wait()
            writer.write(b"two")

        site = await Site({"/": slow}).start(stack)
        async with made(stack).stream("GET", f"http://127.0.0.1:{site.port}/", timeout_s=None) as response:
            arriving = response.aiter_bytes()
            assert await anext(arriving) == b"one"
            more.set()
            assert await anext(arriving) == b"two"
            with pytest.raises(StopAsyncIteration):
                await anext(arriving)

    run(body)


def test_a_packed_body_comes_in_small_pieces() -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": page(gzip.compress(b"\0" * 20_000_000), "content-encoding: gzip")}).start(stack)
        async with made(stack).stream("GET", f"http://127.0.0.1:{site.port}/", timeout_s=20) as response:
            assert [k for k, _ in response.headers if k.startswith("content")] == []
            sizes = [len(piece) async for piece in response.aiter_bytes()]
        assert sum(sizes) == 20_000_000
        assert max(sizes) <= 64 * 1024

    run(body)


def test_the_body_of_a_redirect_is_not_waited_for() -> None:
    async def body(stack: AsyncExitStack) -> None:
        async def endless_redirect(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            writer.write(b"HTTP/1.1 302 Moved\r\nlocation: /\r\n\r\n")
            await endless(reader, writer)

        site = await Site({"/on": endless_redirect, "/": OK}).start(stack)
        assert await made(stack).fetch_bytes(f"http://127.0.0.1:{site.port}/on", max_bytes=2) == b"ok"
        await site.closed.wait()

    run(body)


async def endless(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while True:
        writer.write(b"x" * 1000)
        await writer.drain()


def test_a_consumer_that_leaves_closes_the_connection() -> None:
    async def page_without_end(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        await endless(reader, writer)

    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": page_without_end}).start(stack)
        outbound, begun = made(stack), asyncio.Event()

        async def consume() -> None:
            async with outbound.stream("GET", f"http://127.0.0.1:{site.port}/", timeout_s=None) as response:
                async for _ in response.aiter_bytes():
                    begun.set()

        task = asyncio.create_task(consume())
        await begun.wait()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        await site.closed.wait()

    run(body)


@pytest.mark.parametrize(
    ("method", "status", "becomes"),
    [("GET", 301, "GET"), ("HEAD", 303, "HEAD"), ("POST", 301, "GET"), ("POST", 302, "GET"), ("POST", 303, "GET"),
     ("PUT", 303, "GET"), ("PUT", 302, "PUT"), ("POST", 307, "POST"), ("DELETE", 308, "DELETE")],
)  # fmt: skip
def test_what_a_redirect_makes_of_the_method(method: str, status: int, becomes: str) -> None:
    async def body(stack: AsyncExitStack) -> None:
        empty = b"HTTP/1.1 204 No Content\r\n\r\n"
        site = await Site({"/a": redirect("/b#part", status), "/b": empty}).start(stack)
        headers = [("content-type", "text/plain"), ("authorization", "word"), ("cookie", "c=1")]
        url = f"http://127.0.0.1:{site.port}/a"
        async with made(stack).stream(method, url, headers=headers, timeout_s=5) as response:
            assert response.status == 204
            assert response.url.startswith(f"http://127.0.0.1:{site.port}/b")
        assert site.heads[1].startswith(f"{becomes} /b HTTP/1.1")
        assert (site.header("content-type") is None) == (becomes == "GET" and method != "GET")
        # the same origin: it keeps them
        assert (site.header("authorization"), site.header("cookie")) == ("word", "c=1")

    run(body)


def test_another_origin_gets_no_credentials_and_a_body_is_not_sent_twice() -> None:
    async def body(stack: AsyncExitStack) -> None:
        other = await Site({"/": OK}).start(stack)
        site = await Site({"/away": redirect(f"http://127.0.0.1:{other.port}/")}).start(stack)
        outbound, here = made(stack), f"http://127.0.0.1:{site.port}"
        headers = [("authorization", "word"), ("cookie", "c=1"), ("x-mine", "1")]
        async with outbound.stream("GET", f"{here}/away", headers=headers, timeout_s=5) as response:
            assert await whole(response) == b"ok"
        assert (other.header("authorization"), other.header("cookie")) == (None, None)
        assert other.header("x-mine") == "1"

        async def drained(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"0\r\n\r\n")
            writer.write(redirect(f"http://127.0.0.1:{other.port}/", 307))

        async def pieces() -> AsyncIterator[bytes]:
            yield b"piece"

        site.pages["/again"] = drained
        with pytest.raises(OutboundError, match=r"redirect \(307\) would need the body a second time"):
            async with outbound.stream("POST", f"{here}/again", content=pieces(), timeout_s=5):
                pass

    run(body)


def test_redirects_by_hand_and_refused() -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": redirect("http://a:b/"), "/on": redirect("/on")}).start(stack)
        outbound, here = made(stack), f"http://127.0.0.1:{site.port}"
        async with outbound.stream("GET", f"{here}/", redirect="manual", timeout_s=5) as response:
            assert response.status == 302
            assert ("location", "http://a:b/") in response.headers
        with pytest.raises(OutboundError, match=r"a redirect \(302\), which the caller refuses"):
            async with outbound.stream("GET", f"{here}/", redirect="error", timeout_s=5):
                pass
        with pytest.raises(OutboundError, match="within 20 redirects"):
            async with outbound.stream("GET", f"{here}/on", timeout_s=5):
                pass
        assert len([head for head in site.heads if head.startswith("GET /on ")]) == 21

    run(body)


@pytest.mark.parametrize(
    ("method", "headers"),
    [
        ("CONNECT", []),
        ("TRACE", []),
        ("GET /x HTTP/1.1\r\nx:", []),
        ("GET", [("x-a", "1\r\nx-b: 2")]),
        ("GET", [("x-a\r\nx-b", "1")]),
        ("GET", [("x-a", "\0")]),
        ("GET", [("x-ä", "1")]),
        ("GET", [("x-a", "✓")]),
        ("GET", [("", "1")]),
    ],
)
def test_what_is_not_http_is_not_sent(method: str, headers: list[tuple[str, str]]) -> None:
    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack)
        with pytest.raises(OutboundError) as caught:
            async with made(stack).stream(method, f"http://127.0.0.1:{site.port}/", headers=headers, timeout_s=5):
                pass
        assert "\n" not in str(caught.value)
        assert site.heads == []

    run(body)


def test_a_failing_body_is_the_callers_error() -> None:
    class Failing(Exception):
        pass

    async def pieces() -> AsyncIterator[bytes]:
        yield b"piece"
        raise Failing

    async def body(stack: AsyncExitStack) -> None:
        async def swallow(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.read()

        site = await Site({"/": swallow}).start(stack)
        with pytest.raises(Failing):
            async with made(stack).stream("PUT", f"http://127.0.0.1:{site.port}/", content=pieces(), timeout_s=5):
                pass
        await site.closed.wait()

    run(body)


def test_a_caller_whose_names_are_never_found_leaves_lookups_to_the_others() -> None:
    class Resolver:
        at_once = 0

        async def __call__(self, host: str, port: int) -> Sequence[str]:
            if host == "quick.test":
                return ["127.0.0.1"]
            self.at_once += 1
            await asyncio.sleep(60)
            return []

    async def body(stack: AsyncExitStack) -> None:
        site = await Site({"/": OK}).start(stack)
        resolver = Resolver()
        outbound = made(stack, resolve=resolver)

        async def slow(number: int) -> None:
            CALLER.set("slow")
            await said(outbound, f"http://slow{number}.test/", timeout_s=0.2)

        await asyncio.gather(*(slow(number) for number in range(20)))  # each has given up; its lookup goes on
        assert resolver.at_once == 4
        assert await outbound.fetch_bytes(f"http://quick.test:{site.port}/", max_bytes=10) == b"ok"

    run(body)


def test_a_caller_whose_servers_never_answer_leaves_connections_to_the_others() -> None:
    async def body(stack: AsyncExitStack) -> None:
        async def never(_: asyncio.StreamReader, __: asyncio.StreamWriter) -> None:
            await asyncio.sleep(60)

        site = await Site({"/never": never, "/": OK}).start(stack)
        outbound = made(stack)

        async def slow() -> None:
            CALLER.set("slow")
            await said(outbound, f"http://127.0.0.1:{site.port}/never", timeout_s=5)

        many = [asyncio.create_task(slow()) for _ in range(600)]
        for _ in range(500):
            if site.connections < 128:
                await asyncio.sleep(0.01)
        assert await outbound.fetch_bytes(f"http://127.0.0.1:{site.port}/", max_bytes=10, timeout_s=5) == b"ok"
        assert site.connections == 129
        for task in many:
            task.cancel()
        await asyncio.gather(*many, return_exceptions=True)

    run(body)
