"""Bad requests over HTTP: what each is told, that none of them stops the node, and that none leaves anything behind."""

from __future__ import annotations

import re
import socket
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from tests.gateway.bad_requests import BAD, BODIES, CHAT, HEAD, SIZES, TAIL, Bad
from tests.node import Node, project, running

FRANCE = {"messages": [{"role": "user", "content": "What is the capital of France?"}], "seed": 1}
GROWTH_MB = 48
"""What the allocator may move by after it has settled: less than any one of the large bodies."""


@pytest.fixture(scope="module")
def target(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node of its own: its memory is watched."""
    with running(project(tmp_path_factory.mktemp("errors"), hello="def fetch(request): return 'hello'")) as node:
        yield node


def send(node: Node, bad: Bad, body: bytes | None = None) -> httpx.Response:
    given = {"content-type": bad.content_type, "content-encoding": bad.content_encoding}
    headers = {name: value for name, value in given.items() if value is not None}
    return node.client.request(bad.method, bad.path, content=bad.body() if body is None else body, headers=headers)


def check(answer: httpx.Response, bad: Bad) -> None:
    error = answer.json()["error"]
    assert answer.status_code == bad.status, error
    assert list(error) == ["message", "type", "param", "code"]
    assert error["message"].startswith(bad.message)
    assert len(error["message"]) < 400
    assert "\n" not in error["message"]
    assert (error["type"], error["code"]) == (bad.type, bad.code)
    assert error["param"] == bad.param or (bad.param is None and error["message"].startswith(f"{error['param']}: "))
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-beira-request-id"]
    assert ("allow" in answer.headers) == (bad.status == 405)


def capital(node: Node) -> str:
    content: str = node.post(CHAT, json=FRANCE).json()["choices"][0]["message"]["content"]
    return content


def resident_mb(node: Node) -> float:
    found = re.search(r"^VmRSS:\s+(\d+) kB", Path(f"/proc/{node.pid}/status").read_text(), re.M)
    assert found is not None
    return int(found.group(1)) / 1024


def test_there_are_many() -> None:
    assert len(BAD) >= 60
    assert len({bad.name for bad in BAD}) == len(BAD)


@pytest.mark.parametrize("bad", BAD, ids=lambda bad: bad.name)
def test_a_bad_request_is_told_what_is_wrong(target: Node, bad: Bad) -> None:
    check(send(target, bad), bad)


def test_after_all_of_them_the_node_answers_as_before_and_holds_no_more_memory(target: Node) -> None:
    before = capital(target)
    bodies = [(bad, bad.body()) for bad in BAD]

    def once() -> float:
        for bad, body in bodies:
            check(send(target, bad, body), bad)
        return resident_mb(target)

    # the allocator keeps some of what its threads have used, and settles within a few rounds
    settled = max(once() for _ in range(3))
    assert min(once() for _ in range(3)) < settled + GROWTH_MB
    assert capital(target) == before == "The capital of France is Paris."
    assert target.get("/hello").text == "hello"
    assert "Traceback" not in target.log
    assert " failed in the host" not in target.log


def test_many_at_once_are_told_apart(target: Node) -> None:
    quick = [bad for bad in BAD if bad not in (*SIZES, *BODIES)] * 3
    with ThreadPoolExecutor(8) as threads:
        for answer, bad in threads.map(lambda bad: (send(target, bad), bad), quick):
            check(answer, bad)
    assert capital(target) == "The capital of France is Paris."


@pytest.mark.parametrize(
    "body",
    [
        HEAD + b"[" + b"[]," * (20 * 2**20) + b"0]" + TAIL,  # 10 s and gigabytes, were it parsed
        HEAD + b'"' + b"A" * (63 * 2**20) + b'"' + TAIL,
        HEAD + b"[" * 10**7 + b"]" * 10**7 + TAIL,
    ],
    ids=["lists", "text", "depth"],
)
def test_a_large_body_holds_up_nobody_else(target: Node, body: bytes) -> None:
    with ThreadPoolExecutor(1) as threads, httpx.Client(base_url=target.url, timeout=5, trust_env=False) as other:
        headers = {"content-type": "application/json"}
        sent = threads.submit(target.post, CHAT, content=body, headers=headers)
        n_answered = 0
        while not sent.done() or not n_answered:
            assert other.get("/_beira/health").status_code == 200
            n_answered += 1
        assert sent.result().status_code in (200, 400, 413)


@pytest.mark.parametrize(
    "body",
    [
        HEAD + b"1" + b', "temperature": 2, "temperature": 0' + TAIL,
        b" " * 10**6 + HEAD + b"1}",
        b"\xef\xbb\xbf" + HEAD + b"1" + TAIL,
        b"\xef\xbb\xbf" + HEAD + b"1" + TAIL + b" " * 10**5,
    ],
    ids=["a key twice", "a megabyte of spaces", "a byte order mark", "a mark before a large body"],
)
def test_what_is_odd_but_right_is_answered(target: Node, body: bytes) -> None:
    answer = target.post(
        CHAT, content=body, headers={"content-type": "application/json; charset=utf-8", "content-encoding": "identity"}
    )
    assert answer.status_code == 200


def test_a_body_without_a_type_is_taken_for_json(target: Node) -> None:
    assert target.client.post(CHAT, content=HEAD + b"1" + TAIL).status_code == 200


def test_a_declared_length_over_the_limit_is_refused_before_it_is_sent(target: Node) -> None:
    host, _, port = target.url.removeprefix("http://").partition(":")
    with socket.create_connection((host, int(port)), timeout=30) as client:
        head = ("host: x", "content-type: application/json", f"content-length: {10**10}", "", "")
        client.sendall("\r\n".join([f"POST {CHAT} HTTP/1.1", *head]).encode())
        assert client.recv(100).startswith(b"HTTP/1.1 413 ")
    assert capital(target)
