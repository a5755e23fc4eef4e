"""A watchdog for the host's event loop: how long its turns are."""

from __future__ import annotations

import asyncio
import gc
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

from runtime import host
from runtime.config import Settings

BOUND_S = 0.05


@dataclass(slots=True)
class Turns:
    """Of one loop, each: by the clock, and what its thread computed in it.

    The second is what the loop's own work takes: on a shared machine the first holds the turns of others too.
    """

    clock_s: list[float] = field(default_factory=list)
    work_s: list[float] = field(default_factory=list)

    async def watch(self) -> None:
        while True:
            begin, cpu = time.monotonic(), time.thread_time()
            await asyncio.sleep(0.001)
            self.clock_s.append(time.monotonic() - begin)
            self.work_s.append(time.thread_time() - cpu)

    def __str__(self) -> str:
        within = sorted(self.work_s)[int(len(self.work_s) * 0.999)]
        return (
            f"longest pause {max(self.clock_s) * 1e3:.0f} ms, of work {max(self.work_s) * 1e3:.0f} ms, "
            f"99.9 % within {within * 1e3:.0f} ms"
        )


def run_watched(settings: Settings, work: Callable[[str], Awaitable[int]]) -> tuple[int, Turns]:
    """A node in this process, its loop watched while `work` goes on; the status of that."""
    turns = Turns()

    async def watched(url: str) -> int:
        watching = asyncio.create_task(turns.watch())
        try:
            return await work(url)
        finally:
            watching.cancel()

    try:
        status = host.run(settings, host.Options("127.0.0.1", 0, is_dev=True), watched)
    finally:
        gc.unfreeze()  # the host has frozen what it found, which is a test run's here
    return status, turns
