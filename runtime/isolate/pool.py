"""A function's isolates: the zygote of the moment, and a few isolates forked ahead of the requests."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Literal

from runtime.config import FunctionSettings
from runtime.errors import BeiraError, FunctionError
from runtime.isolate.isolate import Exit, Isolate
from runtime.isolate.nursery import Nursery
from runtime.isolate.privileges import Privileges
from runtime.isolate.reaper import Reaper
from runtime.isolate.tempdir import TempRoot, sweep
from runtime.isolate.turns import Turns

__all__ = ["Exit", "Isolate", "IsolateUnavailable", "Pool"]

FORKS_AT_ONCE = 16
FIRST_BACK_OFF_S = 0.1
LAST_BACK_OFF_S = 10.0
STABLE_S = 10.0
"""A zygote that has lived so long restarts without delay when it dies."""
REFILL_S = 0.002
"""How long a pool that is half full leaves the processor to the isolate that was taken, before the next is forked."""
STILLBORN = 8
"""Isolates in a row that end before they are ready: the zygote is no good any more."""


class IsolateUnavailable(BeiraError):
    """The function's zygote is restarting, or the node is stopping: try again."""


class Pool:
    """One function, ready to run."""

    def __init__(
        self,
        function: FunctionSettings,
        *,
        warm: int = 4,
        on_output: Callable[[str, str, str], None],
        powers: Privileges | None = None,
        turns: Turns | None = None,
        reaper: Reaper | None = None,
    ) -> None:
        self.name = function.name
        self.failure: FunctionError | None = None
        """Why the module does not load; `state` is "failed" then."""
        self.state: Literal["starting", "ready", "failed", "restarting", "closed"] = "starting"
        self._function = function
        self._target = warm
        self._on_output = on_output
        self._powers = powers or Privileges()
        self._turns = turns or Turns()
        self._reaper = reaper
        self._numbers = itertools.count(1)
        self._temp: TempRoot | None = None
        self.nursery: Nursery | None = None
        """The zygote of the moment; the last one that was started."""
        self._warm: deque[Isolate] = deque()
        self._forking: set[int] = set()
        self._waiting: deque[asyncio.Future[Isolate]] = deque()
        self._refilling: asyncio.TimerHandle | None = None
        self._stillborn = 0
        self._started_at = 0.0
        self._back_off = FIRST_BACK_OFF_S
        self._lock = asyncio.Lock()
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def handlers(self) -> list[str]:
        """`fetch`, `scheduled`: those that the module has."""
        return list(self.nursery.handlers) if self.nursery is not None else []

    @property
    def is_full(self) -> bool:
        """As many isolates are warm as are wanted."""
        return len(self._warm) >= self._target

    async def start(self) -> None:
        """Load the module. One that does not load makes the pool "failed", a node that cannot start it "restarting";
        nothing is raised.
        """
        try:
            await self.replace()
        except OSError as e:
            self._cannot_start(e)
            self.state = "restarting"
            self._spawn(self._restart(None))

    async def replace(self) -> None:
        """Load the module as it is now; what is loaded serves until then, and its invocations end by themselves."""
        async with self._lock:
            if self.state != "closed":
                self._put(await self._bear())

    async def acquire(self) -> Isolate:
        """An isolate, warm if there is one. Raises FunctionError, IsolateUnavailable."""
        self._check()
        while self._warm:
            isolate = self._warm.popleft()
            if isolate.is_alive:
                isolate.is_taken = True
                self._refill_soon()
                return isolate
        future: asyncio.Future[Isolate] = asyncio.get_running_loop().create_future()
        self._waiting.append(future)
        self._refill()
        try:
            isolate = await future
            isolate.is_taken = True
            return isolate
        except asyncio.CancelledError:
            if future.done() and not future.cancelled() and future.exception() is None:
                self._ready(future.result())  # it came just now: the next one in line has it
            raise

    async def aclose(self) -> None:
        """End everything, running invocations too, and wait until nothing is left."""
        self.state = "closed"
        self._refuse_waiting()
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        async with self._lock:
            nursery, self.nursery = self.nursery, None
            if nursery is not None:
                await nursery.aclose()
            if self._temp is not None:
                await asyncio.to_thread(self._temp.close)
                self._temp = None

    def _check(self) -> None:
        if self.failure is not None:
            raise FunctionError(self.failure.message, self.failure.trace)
        if self.state in ("restarting", "closed"):
            raise IsolateUnavailable(f"the function {self.name!r} is {self.state}")

    async def _bear(self) -> Nursery:
        """A nursery that has loaded the module, or knows why it does not."""
        if self._temp is None:
            await asyncio.to_thread(sweep)
            self._temp = TempRoot(self.name, self._powers, quota_mb=self._function.limits.memory_mb)
        groups = self._powers.groups
        nursery = Nursery(self._function, self._temp, self._on_output, groups, self._turns, self._reaper)
        await nursery.load()
        for warning in nursery.warnings:
            self._on_output(self.name, "warning", warning)
        return nursery

    def _put(self, nursery: Nursery) -> None:
        """Have it in the place of the present one."""
        old, self.nursery = self.nursery, nursery
        self.failure = nursery.failure
        self._started_at = asyncio.get_running_loop().time()
        spare, self._warm = self._warm, deque()
        self._forking.clear()
        self._stillborn = 0
        if nursery.failure is None:
            self.state = "ready"
            nursery.on_death = self._on_death
            self._refill()
        else:
            self.state = "failed"
            self._on_output(self.name, "error", nursery.failure.trace or nursery.failure.message)
            self._refuse_waiting()
        if old is not None:
            for isolate in spare:
                isolate.kill()
            self._spawn(self._retire(old))

    async def _retire(self, nursery: Nursery) -> None:
        try:
            await nursery.aclose(is_patient=True)
        except asyncio.CancelledError:
            await nursery.aclose()
            raise

    def _on_death(self, nursery: Nursery) -> None:
        if nursery is self.nursery and self.state == "ready":
            self.state = "restarting"
            self._on_output(self.name, "error", "the zygote died; it is started again")
            self._warm.clear()
            self._forking.clear()
            self._refuse_waiting()
            self._spawn(self._restart(nursery))

    def _cannot_start(self, error: OSError) -> None:
        self._on_output(self.name, "error", f"the zygote cannot be started: {error}; it is tried again")

    async def _restart(self, dead: Nursery | None) -> None:
        """Have another in the place of `dead`, or a first one."""
        now = asyncio.get_running_loop().time()
        if now - self._started_at > STABLE_S:
            self._back_off = FIRST_BACK_OFF_S
        is_over = False
        while not is_over:
            await asyncio.sleep(self._back_off)
            async with self._lock:
                is_over = self.nursery is not dead or self.state != "restarting" or await self._revive()
            self._back_off = min(self._back_off * 2, LAST_BACK_OFF_S)

    async def _revive(self) -> bool:
        """Whether the module has loaded once more. It did before: what hinders it now, a node without memory or
        descriptors, will pass.
        """
        try:
            nursery = await self._bear()
        except OSError as e:
            self._cannot_start(e)
            return False
        if nursery.failure is not None:
            what = nursery.failure.trace or nursery.failure.message
            self._on_output(self.name, "error", f"{what}\nthe module did load before: it is tried again")
            return False
        self._put(nursery)
        return True

    def _refill_soon(self) -> None:
        if 2 * len(self._warm) < self._target:
            self._refill()
        elif self._refilling is None:
            self._refilling = asyncio.get_running_loop().call_later(REFILL_S, self._refill)

    def _refill(self) -> None:
        """Have as many isolates forked as are wanted and not yet under way."""
        if self._refilling is not None:
            self._refilling.cancel()
            self._refilling = None
        nursery = self.nursery
        if nursery is None or not nursery.is_alive or self.state != "ready":
            return
        wanted = self._target + len(self._waiting) - len(self._warm) - len(self._forking)
        for _ in range(min(wanted, FORKS_AT_ONCE - len(self._forking))):
            number = next(self._numbers)
            self._forking.add(number)
            nursery.fork(number, self._ready).add_end_callback(self._ended)

    def _ready(self, isolate: Isolate) -> None:
        """An isolate waits for its invocation: give it to who has waited longest."""
        nursery = self.nursery
        if nursery is None or nursery.isolates.get(isolate.number) is not isolate:
            isolate.kill()  # of a zygote that has been replaced
            return
        self._forking.discard(isolate.number)
        self._stillborn = 0
        while self._waiting:
            future = self._waiting.popleft()
            if not future.done():
                future.set_result(isolate)
                break
        else:
            self._warm.append(isolate)
        self._refill()

    def _ended(self, isolate: Isolate) -> None:
        if isolate.number in self._forking:
            self._forking.discard(isolate.number)
            self._stillborn += 1
            if self._stillborn > STILLBORN and self.nursery is not None:
                self.nursery.end()
                return
        with contextlib.suppress(ValueError):
            self._warm.remove(isolate)
        self._refill()

    def _refuse_waiting(self) -> None:
        waiting, self._waiting = self._waiting, deque()
        for future in waiting:
            if future.done():
                continue
            if self.failure is not None:
                future.set_exception(FunctionError(self.failure.message, self.failure.trace))
            else:
                future.set_exception(IsolateUnavailable(f"the function {self.name!r} is {self.state}"))

    def _spawn(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
