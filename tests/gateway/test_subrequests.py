"""A function's own requests: made by the host, under its rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import web
from tests.node import Node, project, running

FUNCTIONS = {
    "get": """
async def fetch(request, env, ctx):
    answer = await ctx.fetch(request.url.query["url"])
    return {"status": answer.status, "text": await answer.text(), "kind": answer.headers.get("content-type")}
""",
    "post": """
async def fetch(request, env, ctx):
    answer = await ctx.fetch(env.PEER + "/echo", method="POST", body=request.body, headers={"x-own": "yes"})
    return Response(answer.body, status=answer.status)
""",
    "greedy": """
async def fetch(request, env, ctx):
    done = 0
    try:
        for _ in range(10):
            await (await ctx.fetch(env.PEER + "/hello")).text()
            done += 1
    except Exception as e:
        return {"done": done, "error": str(e)}
""",
    "loop": """
async def fetch(request, env, ctx):
    answer = await ctx.fetch(str(request.url))
    return Response(await answer.text(), status=answer.status)
""",
}


class Peer(web.Handler):
    def do_GET(self) -> None:
        self.answer(b"hello from the peer", content_type="text/plain")

    def do_POST(self) -> None:
        size = int(self.headers.get("content-length") or 0)
        body = self.rfile.read(size) if size else self._chunks()
        self.answer(body + self.headers["x-own"].encode(), content_type="text/plain")

    def _chunks(self) -> bytes:
        parts = []
        while size := int(self.rfile.readline(), 16):
            parts.append(self.rfile.read(size))
            self.rfile.readline()
        self.rfile.readline()
        return b"".join(parts)


@pytest.fixture(scope="module")
def peer() -> Iterator[str]:
    with web.serving(Peer) as url:
        yield url


@pytest.fixture(scope="module")
def node(peer: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    toml = f'[env]\nPEER = "{peer}"\n[outbound]\nallow = ["127.0.0.1"]\n[functions.greedy.limits]\nsubrequests = 4'
    with running(project(tmp_path_factory.mktemp("subrequests"), toml=toml, **FUNCTIONS)) as node:
        yield node


def test_an_allowed_address_is_fetched(node: Node, peer: str) -> None:
    got = node.get("/get", params={"url": f"{peer}/hello"}).json()
    assert got == {"status": 200, "text": "hello from the peer", "kind": "text/plain"}


def test_bodies_stream_both_ways(node: Node) -> None:
    data = bytes(range(256)) * 4096
    assert node.post("/post", content=data).content == data + b"yes"


def test_the_limit_of_subrequests_is_raised_in_the_handler(node: Node) -> None:
    got = node.get("/greedy").json()
    assert got["done"] == 4
    assert "4 subrequests" in got["error"]


def test_functions_that_call_each_other_end_at_16_deep(node: Node) -> None:
    answer = node.get("/loop")
    assert answer.status_code == 508
    assert answer.json()["error"]["code"] == "loop_detected"


def test_an_address_that_is_not_public_is_refused(tmp_path: Path, peer: str) -> None:
    refused = (peer, "http://169.254.169.254/latest/meta-data", "http://[::1]/", "http://localhost/", "file:///etc")
    with running(project(tmp_path, get=FUNCTIONS["get"])) as node:
        for url in refused:
            answer = node.get("/get", params={"url": url})
            assert answer.status_code == 500, url
            assert answer.json()["error"]["code"] == "exception"
