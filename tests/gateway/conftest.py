"""One node for the tests of this room: functions that answer, fail and misbehave in every way it must withstand."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node import Node, project, running

FUNCTIONS = {
    "hello": 'def fetch(request): return f\'hello {request.url.query.get("name", "world")}\'',
    "echo": """
async def fetch(request, env, ctx):
    print("echo was here")
    return {"method": request.method, "path": request.url.path, "headers": list(request.headers.items()),
            "body": (await request.bytes()).decode("latin-1"), "env": env.GREETING,
            "function": request.metadata["function"],
            "args": dict(ctx.args)}
""",
    "number": "def fetch(request): return 42",
    "boom": "def fetch(request): raise ValueError('kaboom')",
    "late": """
async def fetch(request):
    async def parts():
        yield b"a part"
        raise RuntimeError("too late to say so")
    return Response(parts())
""",
    "never": "import asyncio\nasync def fetch(request): await asyncio.sleep(3600)",
    "stubborn": """
import asyncio
async def fetch(request):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            print("I do not care")
""",
    "leave": "import os\ndef fetch(request): os._exit(3)",
    "spin": "def fetch(request):\n    while True: pass",
    "hog": "def fetch(request): return str(len(bytearray(10**9)))",
    "broken": "import asyncio\n\nfrom nowhere import nothing\n",
    "mirror": "async def fetch(request): return Response(request.body)",
    "count": """
async def fetch(request):
    total = 0
    async for part in request.body:
        total += len(part)
    return str(total)
""",
    "flood": """
async def fetch(request):
    async def parts():
        for _ in range(int(request.url.query["kb"])):
            yield bytes(1024)
    return Response(parts())
""",
    "ticks": """
import asyncio
async def fetch(request):
    async def parts():
        while True:
            yield b"tick"
            await asyncio.sleep(0.01)
    return Response(parts())
""",
    "slow": "import asyncio\nasync def fetch(request):\n    await asyncio.sleep(0.3)\n    return 'done'",
    "badhead": """
async def fetch(request):
    async def parts():
        yield b"x"
    return Response(parts(), headers={"content-length": "5"})
""",
    "empty": "async def fetch(request): return Response(None, status=204)",
    "after": """
import asyncio
async def fetch(request, env, ctx):
    async def later():
        await asyncio.sleep(0.2)
        print("work behind the answer")
    ctx.wait_until(later())
    return "answered"
""",
    "ask": """
async def fetch(request):
    result = await AI.run(request.url.query.get("model", "beira-tiny"), messages=[
        {"role": "user", "content": request.url.query["q"]}])
    return result
""",
    "askstream": """
async def fetch(request):
    return await AI.run("qwen-qwen25-vl-3b-instruct-awq", stream=True, messages=[
        {"role": "user", "content": request.url.query["q"]}])
""",
    "endless": """
async def fetch(request):
    return await AI.run("beira-tiny", stream=True, ignore_eos=True, max_tokens=30000, messages=[
        {"role": "user", "content": "Hello"}])
""",
    "badcall": """
from runtime import AIError

async def fetch(request):
    try:
        await AI.run("nobody", messages=[{"role": "user", "content": "Hello"}])
    except AIError as e:
        return {"kind": type(e).__name__, "status": e.status, "code": e.code, "message": e.message}
""",
}

TOML = """
[env]
GREETING = "olá"
[limits]
wall_s = 20
[functions.echo]
args = {size = 3}
[functions.never.limits]
wall_s = 0.5
[functions.spin.limits]
cpu_ms = 200
[functions.hog.limits]
memory_mb = 64
[functions.count.limits]
body_mb = 3
[functions.flood.limits]
response_mb = 1
[functions.slow.limits]
concurrency = 1
"""


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    root = project(tmp_path_factory.mktemp("gateway"), toml=TOML, **FUNCTIONS)
    with running(root) as node:
        yield node
