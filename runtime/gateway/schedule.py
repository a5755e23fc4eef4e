"""Cron: `scheduled` handlers run at the times that `beira.toml` names (UTC), each run an invocation like any other."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Protocol

from cronsim import CronSim
from starlette.types import Message

from runtime.config import FunctionSettings
from runtime.gateway.exchange import Exchange

log = logging.getLogger("beira")
LOOK_S = 15.0
"""How often the wall clock is looked at: it may be set, or the machine may have slept."""
LATE_S = 30.0
"""A run that is later than this was missed, and is not repeated."""

Run = Callable[[str, str, float], Awaitable[object]]
"""Runs a function's handler: its name, the expression, and the time that was meant, in seconds since the epoch."""


class Clock(Protocol):
    """Time, as the schedule needs it."""

    def now(self) -> float:
        """Seconds since the epoch."""

    async def sleep(self, seconds: float) -> None: ...


class WallClock:
    """The machine's."""

    def now(self) -> float:
        return time.time()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


@dataclass(slots=True)
class _Job:
    """One expression of one function."""

    due: float
    running: set[asyncio.Task[object]] = field(default_factory=set)


class Schedule:
    """Runs what is due. One expression's runs do not overlap unless its function asks for that."""

    def __init__(
        self, functions: Callable[[], Iterable[FunctionSettings]], run: Run, clock: Clock | None = None
    ) -> None:
        self._functions = functions
        self._run = run
        self._clock = clock or WallClock()
        self._jobs: dict[tuple[str, str], _Job] = {}
        self._tasks: set[asyncio.Task[object]] = set()
        self._last = self._clock.now()

    async def run(self) -> None:
        """Until it is cancelled. What it has begun then goes on: see `aclose`."""
        while True:
            now = self._clock.now()
            self._take(now)
            due = min((job.due for job in self._jobs.values()), default=now + LOOK_S)
            await self._clock.sleep(min(max(due - now, 0.001), LOOK_S))

    async def aclose(self) -> None:
        """Wait for the runs that have begun; whoever stops the node ends their invocations."""
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def _take(self, now: float) -> None:
        """Begin what is due at `now`; the table of functions may have changed since the last time."""
        was_set_back = now < self._last - LATE_S
        self._last = now
        jobs: dict[tuple[str, str], _Job] = {}
        for function in self._functions():
            for cron in function.cron:
                key = function.name, cron
                job = jobs[key] = self._jobs.get(key) or _Job(following(cron, now))
                if was_set_back:
                    job.due = following(cron, now)
                if job.due <= now:
                    due, job.due = job.due, following(cron, now)
                    self._begin(function, cron, job, due, now - due)
        self._jobs = jobs

    def _begin(self, function: FunctionSettings, cron: str, job: _Job, due: float, late_s: float) -> None:
        if late_s > LATE_S:
            log.warning("%s: the run of %r at %s was missed by %.0f s", function.name, cron, _time(due), late_s)
        elif job.running and not function.cron_overlap:
            log.warning("%s: no run of %r at %s: the last one goes on", function.name, cron, _time(due))
        else:
            task: asyncio.Task[object] = asyncio.ensure_future(self._run(function.name, cron, due))
            for owner in (job.running, self._tasks):
                owner.add(task)
                task.add_done_callback(owner.discard)
            task.add_done_callback(_report)


class Unattended(Exchange):
    """A run without a client: nobody sends a body, nobody leaves, and what is answered is kept."""

    def __init__(self, cron: str, request_id: str) -> None:
        scope = {"type": "http", "method": "CRON", "path": cron, "raw_path": b"/", "query_string": b"", "headers": []}
        super().__init__({**scope, "scheme": "http"}, self._receive_nothing, self._keep, request_id)
        self.body = b""
        self._has_ended = False

    async def _receive_nothing(self) -> Message:
        if self._has_ended:
            await asyncio.get_running_loop().create_future()
        self._has_ended = True
        return {"type": "http.request", "body": b"", "more_body": False}

    async def _keep(self, message: Message) -> None:
        self.body += message.get("body", b"")


def following(cron: str, now: float) -> float:
    """The first time after `now` that an expression names; both in seconds since the epoch."""
    return next(CronSim(cron, datetime.fromtimestamp(now, UTC))).timestamp()


def _time(seconds: float) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M:%S UTC")


def _report(task: asyncio.Task[object]) -> None:
    if not task.cancelled() and (error := task.exception()) is not None:
        log.error("a scheduled run failed in the host", exc_info=error)
