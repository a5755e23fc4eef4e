"""The functions that a node serves: their pools started, swapped when a module changes, and closed."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Collection, Iterable

from runtime.config import FunctionSettings
from runtime.gateway import report
from runtime.gateway.admission import Admission
from runtime.gateway.routes import Function, Routes
from runtime.isolate.pool import Pool
from runtime.isolate.privileges import Privileges
from runtime.isolate.reaper import Reaper
from runtime.isolate.turns import Turns

log = logging.getLogger("beira")
WAITING = 4
"""Invocations that may wait for each that may run."""


class Functions:
    """Owns every pool; `routes` is the table in force."""

    def __init__(
        self, settings: Iterable[FunctionSettings], *, warm: int, concurrency: int, powers: Privileges | None = None
    ) -> None:
        """`warm` isolates are kept ready for each; of all of them `concurrency` invocations run at once."""
        self._warm = warm
        self._admission = Admission(concurrency, WAITING * concurrency)
        self._powers = powers
        self._turns = Turns()
        self._reaper = Reaper()
        self._retiring: set[asyncio.Task[None]] = set()
        self.routes = Routes(self._make(s) for s in settings)

    async def start(self) -> None:
        """Start every zygote; a module that does not load fails alone."""
        await asyncio.gather(*(f.pool.start() for f in self.routes.functions.values()))

    async def update(self, settings: Iterable[FunctionSettings], touched: Collection[str]) -> list[str]:
        """Serve `settings` from now on, functions in `touched` from their changed modules.

        Returns the names of the functions that were loaded. No request is lost: the old isolates answer until the new
        ones are warm, and finish what they run.
        """
        old = self.routes.functions
        made: dict[str, Function] = {}
        loaded: list[Function] = []
        for each in settings:
            known = old.get(each.name)
            if known is None or known.settings != each:
                made[each.name] = self._make(each)
                loaded.append(made[each.name])
            else:
                made[each.name] = known
                if each.name in touched:
                    loaded.append(known)
        work = [f.pool.replace() if old.get(f.name) is f else f.pool.start() for f in loaded]
        await asyncio.gather(*work)
        self.routes = Routes(made.values())
        for function in old.values():
            if made.get(function.name) is not function:
                task = asyncio.create_task(_retire(function))
                self._retiring.add(task)
                task.add_done_callback(self._retiring.discard)
        return [f.name for f in loaded]

    async def aclose(self) -> None:
        """End every zygote and isolate, and wait until they are gone."""
        for task in self._retiring:
            task.cancel()
        await asyncio.gather(*self._retiring, return_exceptions=True)
        await asyncio.gather(*(f.pool.aclose() for f in self.routes.functions.values()))
        await asyncio.to_thread(self._reaper.close)

    @property
    def are_sound(self) -> bool:
        """Every module has loaded, and has the handlers that its settings speak of."""
        return not any(f.pool.failure or _lacks_handler(f) for f in self.routes.functions.values())

    def lines(self, names: Collection[str] | None = None) -> list[str]:
        """One line a function: its routes and its cron, or why it did not load."""
        functions = [f for f in self.routes.functions.values() if names is None or f.name in names]
        width = max((len(f.name) for f in functions), default=0)
        return [f"function {f.name:<{width}}  {_state(f)}" for f in functions]

    def _make(self, settings: FunctionSettings) -> Function:
        pool = Pool(
            settings,
            warm=self._warm,
            on_output=_output,
            powers=self._powers,
            turns=self._turns,
            reaper=self._reaper,
        )
        concurrency = settings.limits.concurrency
        return Function(settings, pool, Admission(concurrency, WAITING * concurrency, self._admission))


def _state(function: Function) -> str:
    if function.pool.failure is not None:
        return f"DID NOT LOAD  {function.pool.failure.message}"
    routes = " ".join(function.settings.routes)
    if not function.settings.cron:
        return routes
    crons = ", ".join(repr(cron) for cron in function.settings.cron)
    if _lacks_handler(function):
        return f"{routes}  NO SCHEDULED HANDLER for its cron {crons}: define scheduled(event, env, ctx)"
    return f"{routes}  cron {crons}"


def _lacks_handler(function: Function) -> bool:
    """It has a cron, and nothing that it could run."""
    is_loaded = function.pool.failure is None and function.pool.nursery is not None
    return is_loaded and bool(function.settings.cron) and "scheduled" not in function.pool.handlers


def _output(name: str, level: str, text: str) -> None:
    """What a function wrote outside of any invocation: at import, or past Python's own streams."""
    report.function_line(name, "-", level, text)


async def _retire(function: Function) -> None:
    """Close a pool that is no longer served, once nothing of it runs."""
    try:
        await function.admission.idle()
    finally:
        await function.pool.aclose()
