"""The host's event loop under large requests: it is never held for long, on whatever thread their work is done."""

from __future__ import annotations

import asyncio
import gc
import sys
import time
from pathlib import Path

import pytest

from runtime import config, host
from tests.gateway.large import AI_RUN, FUNCTION, V1
from tests.node import ROOT, project

ROUNDS = 2
REFUSED = {
    *(
        "16,000 messages",
        "45,000 messages of nothing",
        "16,000 parts",
        "7 MB of text",
        "7 MB of escapes",
        "1 MB of arguments",
        "1,000 tools",
    ),  # too long
    *("1,000 tools, one required", "199,000 lists", "49,000 biases", "two times 20 MB of none"),
    *("40 MB of picture", "10 MB of lists", "60 MB of text"),
}
TOO_LARGE = {"63 MB of text", "30 MB of arguments"}


async def watch(pauses: list[float]) -> None:
    """How long between two turns of the loop, by the clock: waiting for the interpreter's lock counts."""
    while True:
        begin = time.monotonic()
        await asyncio.sleep(0.001)
        pauses.append(time.monotonic() - begin)


class Clients:
    """The process that sends."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process

    async def do(self, order: str) -> str:
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(order.encode() + b"\n")
        return (await asyncio.wait_for(self._process.stdout.readline(), 60)).decode()


async def longest_pauses(url: str) -> dict[str, tuple[float, str]]:
    """Of each request the least of ROUNDS longest pauses, as the machine's noise only adds; and what it got."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "tests.gateway.large", url),
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
        cwd=ROOT,
    )
    clients = Clients(process)
    found: dict[str, tuple[float, str]] = {}
    for where, name in [*(("send", n) for n in V1), *(("call", n) for n in AI_RUN)]:
        if where == "send":
            await clients.do(f"make {name}")
        longest, got = [], ""
        for _ in range(ROUNDS):
            pauses: list[float] = []
            watcher = asyncio.create_task(watch(pauses))
            got = await clients.do(f"{where} {name}")
            watcher.cancel()
            longest.append(max(pauses))
        found[f"{where} {name}"] = min(longest), got
    assert process.stdin is not None
    process.stdin.close()
    await process.wait()
    return found


@pytest.mark.timeout(300)
def test_large_requests_do_not_hold_the_loop(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    root = project(tmp_path, large=FUNCTION, toml="[limits]\ncpu_ms = 20000\nmemory_mb = 2000\n")
    found: dict[str, tuple[float, str]] = {}

    async def work(url: str) -> int:
        found.update(await longest_pauses(url))
        return 0

    try:
        host.run(config.load(root, environ={}), host.Options("127.0.0.1", 0, is_dev=True), work)
    finally:
        gc.unfreeze()  # the host has frozen what it found, which is this test run's here
    with capsys.disabled():
        print()
        for name, (pause, got) in found.items():
            print(f"{pause * 1e3:6.0f} ms  {name}: {got[:90].rstrip()}")
    for order, (pause, got) in found.items():
        name = order.partition(" ")[2]
        status = 413 if name in TOO_LARGE else 400 if name in REFUSED else 200
        assert got.startswith(f"{status} "), (order, got)
        assert pause < 0.25, order  # 50 ms is the aim; this machine is shared
