"""Limits that the gateway's own tests do not reach: each with the outcome that the contract gives it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import httpx
import pytest

from tests.node import Node, project, running, until

CUT = "the log is cut here: its limit is reached"
FUNCTIONS = {
    "slow_import": "while True: pass\n\ndef fetch(request): return 'never'",
    "talkative": """
def fetch(request):
    for number in range(5000):
        print("line", number, "x" * 50)
    return "said"
""",
    "forger": """
import json, time
from _attack import LOG, frame, say

def fetch(request):
    for number in range(100):
        say(frame(LOG, json.dumps({"level": "info", "text": "x" * 5000}).encode()))
    return "said"
""",
    "greedy": """
import asyncio
from runtime import AIError

async def ask():
    try:
        return await AI.run("beira-tiny", stream=True, ignore_eos=True, max_tokens=200, messages=[
            {"role": "user", "content": "Hello"}])
    except AIError as e:
        return {"status": e.status, "code": e.code, "message": e.message}

async def fetch(request):
    return [a for a in await asyncio.gather(*(ask() for _ in range(5))) if isinstance(a, dict)]
""",
    "sticky": """
import asyncio
async def fetch(request, env, ctx):
    ctx.wait_until(asyncio.sleep(3600))
    return "answered"
""",
    "heads": """
from runtime.errors import OutboundError

async def fetch(request, env, ctx):
    match request.url.query["of"]:
        case "many": return Response("x", headers=[(f"x-{n}", "v") for n in range(300)])
        case "large": return Response("x", headers={"x-long": "v" * 70_000})
    headers = [(f"x-{n}", "v") for n in range(200)] if request.url.query["of"] == "fetch" else {"x": "v" * 70_000}
    try:
        await ctx.fetch("http://127.0.0.1:1/", headers=headers)
    except OutboundError as e:
        return str(e)
""",
    "uploader": """
import json, time
from _attack import FETCH_CALL, frame, say

def fetch(request):
    call = {"method": "POST", "url": request.url.query["to"], "headers": [], "has_body": True}
    say(frame(FETCH_CALL, json.dumps(call).encode(), call=1))
    for _ in range(400):  # more than the kernel takes for who does not read
        say(frame(43, bytes(64 * 1024), call=1))
    time.sleep(20)
""",
    "exhaust": """
KEPT = []

def long(megabytes): return "x" * (megabytes << 20)
def shared(): return {"a": [long(1)] * 300}
def fill():
    size = 1 << 20
    while size >= 64:
        try:
            while True: KEPT.append(bytes(size))
        except MemoryError:
            size //= 2

async def ask(text, **more):
    content = [{"type": "text", "text": text}] * 300
    await AI.run("beira-tiny", messages=[{"role": "user", "content": content}], **more)

async def fetch(request, env, ctx):
    send = ctx.fetch
    match request.url.query["by"]:
        case "an AI call": await ask(long(1))
        case "an AI call's one text": await AI.run("beira-tiny", prompt=long(60))
        case "an AI call, filled before": fill(); await ask("hello", max_tokens=1)
        case "a dict": return shared()
        case "a list": return list(range(2_200_000))
        case "a dict, filled before": fill(); return {"a": "x" * 10000}
        case "Response.json": return Response.json(shared())
        case "a text": return long(60)
        case "a header": return Response("x", headers={"x-long": long(60)})
        case "headers, filled before": fill(); return Response("x", headers={f"x-{n}": "v" * 200 for n in range(200)})
        case "a line": console.log(shared())
        case "lines, filled before": fill(); [console.log({"a": "x" * 5000}) for _ in range(1000)]
        case "a subrequest's JSON": await send("http://127.0.0.1:1/", json=shared())
        case "a subrequest's URL": await send("http://127.0.0.1:1/" + long(60))
        case "an exception": raise ValueError(long(60))
        case "the body": return str(len(await request.bytes()))
        case "the body's text": return await request.text()
        case "the body's JSON": return await request.json()
        case "the body's form": return str(len(await request.form()))
""",
    "unfinished": """
import asyncio
async def fetch(request):
    async def parts():
        yield b"begun"
        await asyncio.sleep(3600)
    return Response(parts())
""",
}
TOML = """
[outbound]
allow = ["127.0.0.1"]
[functions.slow_import.limits]
startup_cpu_ms = 200
[functions.talkative.limits]
log_kb = 16
[functions.forger.limits]
log_kb = 16
[functions.greedy.limits]
ai_calls = 3
[functions.sticky.limits]
wait_until_s = 0.5
[functions.exhaust.limits]
memory_mb = 96
cpu_ms = 10000
[functions.unfinished.limits]
wall_s = 0.5
"""


@pytest.fixture(scope="module")
def limited(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    root = project(tmp_path_factory.mktemp("limits"), "_attack", toml=TOML, _targets="", **FUNCTIONS)
    with running(root) as node:
        yield node


def test_an_import_that_takes_too_long_is_a_failed_start(limited: Node) -> None:
    answer = limited.get("/slow_import")
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "startup_failed")
    assert "200 ms of CPU time" in limited.log


@pytest.mark.parametrize("name", ["talkative", "forger"])
def test_the_log_of_an_invocation_is_cut_with_one_line(limited: Node, name: str) -> None:
    answer = limited.get(f"/{name}")
    assert answer.text == "said"
    request_id = answer.headers["x-beira-request-id"]
    assert limited.outcomes(request_id) == ["ok"]
    lines = [line for line in limited.log.splitlines() if f"[{request_id}] {name} | " in line]
    assert lines[-1].endswith(CUT)
    assert sum(CUT in line for line in lines) == 1
    assert 8 * 1024 < sum(len(line) for line in lines) < 48 * 1024


def test_more_ai_calls_at_once_than_allowed_raise_in_the_handler(limited: Node) -> None:
    refused = limited.get("/greedy").json()
    assert [(r["status"], r["code"]) for r in refused] == [(429, "overloaded")] * 2
    assert "at most 3 AI calls" in refused[0]["message"]


BY = (
    "an AI call", "an AI call's one text", "an AI call, filled before", "a dict", "a list", "a dict, filled before",
    "Response.json", "a text", "a header", "headers, filled before", "a line", "lines, filled before",
    "a subrequest's JSON", "a subrequest's URL", "an exception",
)  # fmt: skip


@pytest.mark.parametrize("by", BY)
def test_memory_that_ends_in_what_the_function_says_is_told_as_that(limited: Node, by: str) -> None:
    answer = limited.get("/exhaust", params={"by": by}, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "exceeded_memory")


@pytest.mark.parametrize(
    ("by", "body", "kind"),
    [
        ("the body", bytes(60 * 2**20), "application/octet-stream"),
        ("the body's text", bytes(60 * 2**20), "text/plain"),
        ("the body's JSON", b"[" + b'{"a":{}},' * 700_000 + b"1]", "application/json"),
        ("the body's form", b"a=" + b"x" * 60 * 2**20, "application/x-www-form-urlencoded"),
    ],
)
def test_memory_that_ends_in_what_it_is_told_is_told_as_that(limited: Node, by: str, body: bytes, kind: str) -> None:
    headers = {"content-type": kind}
    answer = limited.post("/exhaust", params={"by": by}, content=body, headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "exceeded_memory")


def test_work_behind_the_answer_ends_with_its_time(limited: Node) -> None:
    answer = limited.get("/sticky")
    assert answer.text == "answered"
    assert limited.outcomes(answer.headers["x-beira-request-id"]) == ["ok"]


def test_a_response_that_is_not_finished_in_time_is_cut(limited: Node) -> None:
    with limited.client.stream("GET", "/unfinished") as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()
    assert limited.outcomes(answer.headers["x-beira-request-id"]) == ["exceeded_wall"]


@pytest.mark.parametrize(("of", "says"), [("many", "may have 256 headers"), ("large", "may hold 64 KB")])
def test_a_response_with_too_large_a_head_is_none(limited: Node, of: str, says: str) -> None:
    answer = limited.get("/heads", params={"of": of})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "invalid_response")
    assert says in answer.json()["error"]["message"]


@pytest.mark.parametrize(("of", "says"), [("fetch", "may have 128 headers"), ("fetch, large", "may hold 64 KB")])
def test_a_subrequest_with_too_large_a_head_raises(limited: Node, of: str, says: str) -> None:
    assert says in limited.get("/heads", params={"of": of}).text


def test_who_uploads_past_its_window_is_ended(limited: Node) -> None:
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        answer = limited.get("/uploader", params={"to": f"http://127.0.0.1:{deaf.getsockname()[1]}/"})
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "crashed")
    assert "more body than allowed" in answer.json()["error"]["message"]


def test_the_next_request_is_answered(limited: Node) -> None:
    assert until(lambda: limited.get("/_beira/ready").status_code == 200)
