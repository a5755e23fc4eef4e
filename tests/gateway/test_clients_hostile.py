"""Slow and hostile clients on raw sockets: what they are told, that they are let go, and that nobody else is hurt."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from runtime import config
from tests.loop import BOUND_S, run_watched
from tests.node import ROOT, Node, project, running, until

FUNCTIONS = {
    "hello": "def fetch(request): return f'hello {request.method} {request.url.path}'",
    "count": """
async def fetch(request):
    total = 0
    async for part in request.body:
        total += len(part)
    return f"{total} {request.headers.get('x-late')}"
""",
    "flood": """
async def fetch(request):
    async def parts():
        for _ in range(64):
            yield bytes(1 << 20)
    return Response(parts())
""",
    "wait": "import asyncio\nasync def fetch(request):\n    await asyncio.sleep(3)\n    return await request.text()",
}
TOML = "[node]\nhead_s = 1\nwindow_s = 2\n[limits]\nwall_s = 60\n"
GET = b"GET /hello HTTP/1.1\r\nHost: x\r\n"
POST = b"POST /count HTTP/1.1\r\nHost: x\r\n"


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    with running(project(tmp_path_factory.mktemp("hostile"), toml=TOML, **FUNCTIONS)) as node:
        yield node


def connect(node: Node) -> socket.socket:
    return socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2])), timeout=30)


def everything(connection: socket.socket) -> bytes:
    """All that comes until the node closes."""
    parts = []
    try:
        while part := connection.recv(65536):
            parts.append(part)
    except ConnectionResetError:  # closed with something of ours unread
        pass
    return b"".join(parts)


def say(node: Node, *data: bytes) -> bytes:
    with connect(node) as connection:
        try:
            for each in data:
                connection.sendall(each)
        except (BrokenPipeError, ConnectionResetError):
            pass
        return everything(connection)


def statuses(answer: bytes) -> list[int]:
    return [int(part[:3]) for part in answer.split(b"HTTP/1.1 ")[1:]]


def is_well(node: Node) -> bool:
    return node.get("/hello").text == "hello GET /hello"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (POST + b"Content-Length: 4\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Content-Length: 4\r\nContent-Length: 5\r\n\r\naaaaa", 400),
        (POST + b"Content-Length: 4\r\nContent-Length: 4\r\n\r\naaaa", 400),
        (POST + b"Content-Length: 4, 4\r\n\r\naaaa", 400),
        (POST + b"Content-Length: +4\r\n\r\naaaa", 400),
        (POST + b"Content-Length: -1\r\n\r\n", 400),
        (POST + b"Transfer-Encoding: xchunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n", 501),
        (POST + b"Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Transfer-Encoding : chunked\r\n\r\n0\r\n\r\n", 400),
        (POST.replace(b"1.1", b"1.0") + b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400),
        (POST + b"Connection: Upgrade\r\nUpgrade: h2c\r\nContent-Length: 3\r\n\r\nabc", 501),
        (b"CONNECT x:80 HTTP/1.1\r\nHost: x\r\n\r\n", 501),
        (b"GET /hello HTTP/1.1\r\n\r\n", 400),
        (GET + b"Host: y\r\n\r\n", 400),
        (GET + b"a: b\r\n c\r\n\r\n", 400),
        (GET + b"a: b\x00c\r\n\r\n", 400),
        (GET.replace(b"\r\n", b"\n") + b"\n", 400),
        (b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400),
        (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03", 400),
        (b"GET /" + b"x" * 20_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n", 414),
        (GET + b"a: " + b"x" * 70_000 + b"\r\n\r\n", 431),
        (GET + b"a: " + b"x" * 5_000_000, 431),
        (GET + b"a: b\r\n" * 200 + b"\r\n", 431),
        (GET + b"a: b\r\n" * 100_000, 431),
    ],
)
def test_what_is_no_request_is_refused_and_nothing_behind_it_is_read(node: Node, request_: bytes, status: int) -> None:
    smuggled = b"GET /hello?smuggled HTTP/1.1\r\nHost: x\r\n\r\n"
    answer = say(node, request_ + smuggled)
    if answer or len(request_) < 100_000:  # with megabytes of ours unread, a reset may overtake the answer
        assert statuses(answer) == [status], answer[:300]
        assert b"connection: close" in answer
    assert is_well(node)


def test_heads_within_the_limits_pass(node: Node) -> None:
    fields = b"".join(b"a%d: %s\r\n" % (i, b"x" * 500) for i in range(120))
    with connect(node) as connection:
        for at in range(0, len(GET + fields), 1000):
            connection.sendall((GET + fields)[at : at + 1000])
        connection.sendall(b"Connection: close\r\n\r\n")
        assert statuses(everything(connection)) == [200]
    path = b"/hello/" + b"x" * 16_000
    assert statuses(say(node, GET.replace(b"/hello", path) + b"Connection: close\r\n\r\n")) == [200]


def test_pipelined_requests_are_answered_in_order_and_only_so_many(node: Node) -> None:
    requests = [GET.replace(b"/hello", b"/hello/%d" % i) + b"\r\n" for i in range(20)]
    answer = say(node, b"".join(requests[:-1]) + GET.replace(b"/hello", b"/hello/19") + b"Connection: close\r\n\r\n")
    assert statuses(answer) == [200] * 20
    places = [answer.index(b"GET /hello/%d" % i) for i in range(20)]
    assert places == sorted(places)
    answer = say(node, (GET + b"\r\n") * 1000)
    assert set(statuses(answer)) == {200}
    assert len(statuses(answer)) < 50
    # what comes behind a good request and is none does not hurt its answer
    answer = say(node, GET + b"\r\n" + POST + b"Content-Length: x\r\n\r\n")
    assert statuses(answer) == [200]


def test_what_follows_an_upgrade_is_not_read(node: Node) -> None:
    answer = say(node, GET + b"Connection: Upgrade\r\nUpgrade: h2c\r\n\r\n" + GET + b"\r\n")
    assert statuses(answer) == [200]


def test_trailers_are_not_taken_for_headers(node: Node) -> None:
    head = POST + b"Connection: close\r\nTransfer-Encoding: chunked\r\n\r\n"
    answer = say(node, head + b"3\r\nabc\r\n0\r\nX-Late: yes\r\n\r\n")
    assert answer.endswith(b"3 None")


def test_bodies_that_break_the_framing_cut_the_request(node: Node) -> None:
    for broken in (b"3\r\nabcX\r\n0\r\n\r\n", b"zz\r\n", b"3;" + b"x" * 200_000):
        answer = say(node, POST + b"Transfer-Encoding: chunked\r\n\r\n" + broken)
        assert statuses(answer) in ([400], [431]), answer
    assert is_well(node)


def test_a_body_in_crumbs_is_refused(node: Node) -> None:
    answer = say(node, POST + b"Transfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000)
    assert statuses(answer) in ([400], [])
    assert is_well(node)


@pytest.mark.parametrize("first", [b"", b"G", GET, GET + b"a: "])
def test_a_head_must_arrive_in_time(node: Node, first: bytes) -> None:
    with connect(node) as connection:
        connection.sendall(first)
        answer = everything(connection)
    assert statuses(answer) == ([408] if first else [])


def test_a_head_by_the_byte_is_not_in_time(node: Node) -> None:
    with connect(node) as connection:
        end = time.monotonic() + 30
        connection.settimeout(0.05)
        answer = None
        while answer is None and time.monotonic() < end:
            try:
                connection.sendall(b"a")
                answer = connection.recv(1000)
            except TimeoutError:
                continue
    assert answer is not None
    assert statuses(answer) in ([408], [400])


def test_line_ends_between_requests_keep_no_connection(node: Node) -> None:
    with connect(node) as connection:
        connection.sendall(GET + b"\r\n")
        answer = b""
        while not answer.endswith(b"hello GET /hello"):
            answer += connection.recv(65536)
        connection.sendall(b"\r\n\r\n")
        assert everything(connection) == b""


def test_a_body_must_keep_coming(node: Node) -> None:
    with connect(node) as connection:
        connection.settimeout(0.05)
        connection.sendall(POST + b"Content-Length: 100000\r\n\r\n")
        answer = None
        end = time.monotonic() + 30
        while answer is None and time.monotonic() < end:
            try:
                connection.sendall(b"x")
                answer = connection.recv(1000)
            except TimeoutError:
                continue
    assert answer is not None
    assert statuses(answer) == [408]
    until(lambda: "count POST /count outcome=canceled" in node.log)
    assert is_well(node)


def test_a_client_is_not_blamed_for_a_function_that_does_not_read(node: Node) -> None:
    """It waits 3 s, more than a window, with a body that is longer than what is taken ahead."""
    data = b"x" * 3_000_000
    answer = httpx.post(f"{node.url}/wait", content=data, timeout=30, trust_env=False)
    assert (answer.status_code, len(answer.content)) == (200, len(data))


def test_a_reader_of_a_byte_a_second_is_let_go(node: Node) -> None:
    with connect(node) as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(GET.replace(b"hello", b"flood") + b"\r\n")
        for _ in range(3):
            connection.recv(1)
            time.sleep(0.3)
        until(lambda: "flood GET /flood outcome=canceled" in node.log)
    assert is_well(node)


def test_a_client_that_half_closes_has_left(node: Node) -> None:
    with connect(node) as connection:
        connection.sendall(GET.replace(b"/hello", b"/wait") + b"\r\n")
        connection.shutdown(socket.SHUT_WR)
        assert everything(connection) == b""
    until(lambda: "wait GET /wait outcome=canceled" in node.log)
    assert is_well(node)


def test_a_thousand_idle_connections_hurt_nobody_and_are_let_go(node: Node) -> None:
    idle = [connect(node) for _ in range(1000)]
    try:
        assert is_well(node)
        assert [c.recv(1) for c in idle] == [b""] * 1000
    finally:
        for connection in idle:
            connection.close()


def test_connections_are_bounded_by_the_descriptors_that_there_are(tmp_path: Path) -> None:
    root = project(tmp_path, hello=FUNCTIONS["hello"])
    line = f'ulimit -n 700; exec "{sys.executable}" -m runtime.cli dev "{root}" --port 0'
    with (tmp_path / "node.log").open("wb") as log:
        process = subprocess.Popen(["bash", "-c", line], stdin=subprocess.DEVNULL, stdout=log, stderr=log, cwd=ROOT)
    try:
        node = Node(process, tmp_path / "node.log")
        with contextlib.ExitStack() as stack:
            for _ in range(300):
                stack.enter_context(connect(node))
            answer = until(lambda: say(node, GET + b"\r\n"))
            assert statuses(answer) == [503]
        until(lambda: node.get("/hello").status_code == 200)
        assert node.stop() == 0
        assert "Too many open files" not in node.log
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def test_the_event_loop_is_not_blocked_by_them(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """The host runs here, its loop watched; the clients run in a process of their own."""
    root = project(tmp_path, toml=TOML, **FUNCTIONS)
    answers: list[int] = []

    async def healthy(url: str) -> None:
        # verify=False: reading the certificates would hold the loop that is measured here
        async with httpx.AsyncClient(base_url=url, timeout=60, trust_env=False, verify=False) as client:
            while True:
                answers.append((await client.get("/hello")).status_code)
                await asyncio.sleep(0.1)

    async def work(url: str) -> int:
        clients = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "tests.gateway.hostile", "127.0.0.1", url.rpartition(":")[2], "8", cwd=ROOT
        )
        beside = asyncio.create_task(healthy(url))
        status = await clients.wait()
        beside.cancel()
        await asyncio.gather(beside, return_exceptions=True)
        return status

    status, turns = run_watched(config.load(root, environ={}), work)
    with capsys.disabled():
        print(f"\nevent loop under hostile clients: {turns}; {len(answers)} healthy answers")
    assert status == 0
    assert set(answers) == {200}
    assert turns.longest_s < BOUND_S
