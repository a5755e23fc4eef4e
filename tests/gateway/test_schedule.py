"""Cron: when runs begin and when they do not, by a clock of the test's own; then whole runs on a node."""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import Callable, Coroutine
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from runtime import config
from runtime.config import FunctionSettings
from runtime.errors import ConfigError
from runtime.gateway.schedule import Schedule
from tests.node import project, running, until
from tests.test_cli import beira

MINUTE = 60.0
START = datetime(2026, 3, 1, 12, 0, 30, tzinfo=UTC).timestamp()


class Clock:
    """Stands still until the test moves it."""

    def __init__(self) -> None:
        self._now = START
        self._sleepers: list[tuple[float, asyncio.Future[None]]] = []

    def now(self) -> float:
        return self._now

    async def sleep(self, seconds: float) -> None:
        future: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._sleepers.append((self._now + seconds, future))
        await future

    async def pass_by(self, seconds: float) -> None:
        """Time goes by as it does: whoever sleeps wakes when its time has come."""
        end = self._now + seconds
        while True:
            for _ in range(10):
                await asyncio.sleep(0)
            self._sleepers = [(t, f) for t, f in self._sleepers if not f.done()]
            due = min((t for t, _ in self._sleepers), default=end)
            if due > end:
                break
            self._now = max(self._now, due)
            self._wake()
        self._now = end

    async def jump(self, seconds: float) -> None:
        """The machine slept, or its clock was set: all of it goes by at once."""
        self._now += seconds
        for _, future in self._sleepers:
            if not future.done():
                future.set_result(None)
        for _ in range(10):
            await asyncio.sleep(0)

    def _wake(self) -> None:
        for t, future in self._sleepers:
            if t <= self._now and not future.done():
                future.set_result(None)


class Runs:
    """What the schedule has begun; each run goes on until it is let go."""

    def __init__(self, *, is_quick: bool = True) -> None:
        self.begun: list[tuple[str, str, str]] = []
        self.may_end = asyncio.Event()
        if is_quick:
            self.may_end.set()

    async def run(self, name: str, cron: str, at: float) -> None:
        self.begun.append((name, cron, datetime.fromtimestamp(at, UTC).strftime("%H:%M")))
        await self.may_end.wait()


def function(name: str, *cron: str, overlap: bool = False) -> FunctionSettings:
    return FunctionSettings(name, Path("x.py"), (), cron=cron, cron_overlap=overlap)


def scheduled(
    test: Callable[[Clock, Runs, list[FunctionSettings]], Coroutine[Any, Any, None]],
    *functions: FunctionSettings,
    is_quick: bool = True,
) -> None:
    async def go() -> None:
        clock, runs, table = Clock(), Runs(is_quick=is_quick), list(functions)
        schedule = Schedule(lambda: table, runs.run, clock)
        task = asyncio.create_task(schedule.run())
        try:
            await clock.pass_by(0)
            await test(clock, runs, table)
        finally:
            task.cancel()
            runs.may_end.set()
            await asyncio.gather(task, return_exceptions=True)
            await schedule.aclose()

    asyncio.run(go())


def test_runs_begin_at_their_times() -> None:
    async def test(clock: Clock, runs: Runs, _: list[FunctionSettings]) -> None:
        await clock.pass_by(6 * MINUTE)
        assert runs.begun == [
            ("a", "*/2 * * * *", "12:02"),
            ("a", "*/2 * * * *", "12:04"),
            ("b", "5 12 * * *", "12:05"),
            ("a", "*/2 * * * *", "12:06"),
        ]

    scheduled(test, function("a", "*/2 * * * *"), function("b", "5 12 * * *"))


def test_runs_of_one_expression_do_not_overlap_unless_asked() -> None:
    async def test(clock: Clock, runs: Runs, _: list[FunctionSettings]) -> None:
        await clock.pass_by(3 * MINUTE)
        assert [(n, t) for n, _, t in runs.begun] == [("a", "12:01"), ("b", "12:01"), ("b", "12:02"), ("b", "12:03")]
        runs.may_end.set()
        await clock.pass_by(MINUTE)
        assert [(n, t) for n, _, t in runs.begun[4:]] == [("a", "12:04"), ("b", "12:04")]

    scheduled(test, function("a", "* * * * *"), function("b", "* * * * *", overlap=True), is_quick=False)


def test_missed_runs_are_not_repeated() -> None:
    async def test(clock: Clock, runs: Runs, _: list[FunctionSettings]) -> None:
        await clock.jump(2 * 3600)  # 14:00:30, with two hours of runs behind
        assert runs.begun == []
        await clock.pass_by(MINUTE)
        assert [t for *_, t in runs.begun] == ["14:01"]

    scheduled(test, function("a", "* * * * *"))


def test_a_run_that_is_a_little_late_begins() -> None:
    async def test(clock: Clock, runs: Runs, _: list[FunctionSettings]) -> None:
        await clock.jump(45)  # 12:01:15
        assert [t for *_, t in runs.begun] == ["12:01"]

    scheduled(test, function("a", "* * * * *"))


def test_a_clock_that_is_set_back_is_followed() -> None:
    async def test(clock: Clock, runs: Runs, _: list[FunctionSettings]) -> None:
        await clock.jump(-24 * 3600)
        await clock.pass_by(MINUTE)
        assert [t for *_, t in runs.begun] == ["12:01"]

    scheduled(test, function("a", "* * * * *"))


def test_the_table_may_change() -> None:
    async def test(clock: Clock, runs: Runs, table: list[FunctionSettings]) -> None:
        await clock.pass_by(MINUTE)
        table[:] = [function("b", "* * * * *")]
        await clock.pass_by(MINUTE)
        assert [(n, t) for n, _, t in runs.begun] == [("a", "12:01"), ("b", "12:02")]

    scheduled(test, function("a", "* * * * *"))


def test_a_run_that_fails_in_the_host_is_not_the_last() -> None:
    async def go() -> None:
        clock, times = Clock(), []

        async def run(name: str, cron: str, at: float) -> None:
            times.append(at)
            raise OSError("no more")

        schedule = Schedule(lambda: [function("a", "* * * * *")], run, clock)
        task = asyncio.create_task(schedule.run())
        await clock.pass_by(2 * MINUTE)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        await schedule.aclose()
        assert len(times) == 2

    asyncio.run(go())


@pytest.mark.parametrize(
    ("toml", "says"),
    [
        ("cron = ['every day']", "'every day'"),
        ("cron = ['0 0 31 2 *']", "'0 0 31 2 *'"),
        ("cron = ['61 * * * *']", "Bad minute"),
        ("cron = '* * * * *'", "must be a list of texts"),
        ("cron_overlap = 1", "must be true or false, got 1"),
    ],
)
def test_a_bad_expression_is_an_error_that_names_it(tmp_path: Path, toml: str, says: str) -> None:
    root = project(tmp_path, toml=f"[functions.tick]\n{toml}", tick="def scheduled(event): pass")
    with pytest.raises(ConfigError) as e:
        config.load(root, environ={})
    assert says in str(e.value)
    assert "functions.tick.cron" in str(e.value)


TICK = """
import time
async def scheduled(event, env, ctx):
    print(f"tick {event.cron} {event.scheduled_time} {env.NAME} {time.time() * 1000 - event.scheduled_time:.0f}")
    async def later():
        print("work behind the run")
    ctx.wait_until(later())
"""
TOML = """
[functions.tick]
cron = ["* * * * * *"]
env = {NAME = "Ana"}
[functions.boom]
cron = ["0 0 1 1 *"]
"""
BOOM = "def scheduled(event): raise ValueError('kaboom')"


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_node_runs_what_is_due_and_logs_how_it_ended(tmp_path: Path, command: str) -> None:
    with running(project(tmp_path, toml=TOML, tick=TICK, boom=BOOM), command=command) as node:
        assert "cron '* * * * * *'" in node.log
        until(lambda: len(re.findall(r"\] tick CRON \* \* \* \* \* \* outcome=ok", node.log)) >= 2)
        line = re.search(r"tick \| tick (.*) (\d+) Ana (-?\d+)", node.log)
        assert line is not None
        assert line[1] == "* * * * * *"
        assert int(line[2]) % 1000 == 0
        assert "work behind the run" in node.log
        if command == "serve":
            assert node.get("/_beira/scheduled?function=tick").status_code == 404


def test_a_run_by_hand(tmp_path: Path) -> None:
    root = project(tmp_path, toml=TOML, boom=BOOM, hello="def fetch(request): return 'x'", broken="import nowhere")
    (root / "functions" / "tick.py").write_text("def scheduled(event): print('ran', event.cron, event.scheduled_time)")
    with running(root) as node:
        before = time.time() * 1000
        answer = node.post("/_beira/scheduled?function=boom&cron=*/5+*+*+*+*")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "exception")
        assert "kaboom" in node.log
        answer = node.get("/_beira/scheduled?function=tick&cron=*/5+*+*+*+*").json()
        assert (answer["function"], answer["cron"], answer["outcome"]) == ("tick", "*/5 * * * *", "ok")
        assert node.outcomes(answer["request_id"]) == ["ok"]
        ran = until(lambda: re.search(r"ran \*/5 \* \* \* \* (\d+)", node.log))
        assert before - 1 <= int(ran[1]) <= time.time() * 1000 + 1
        for query, status, says in (
            ("function=nobody", 404, "no function 'nobody'; with a scheduled handler: boom, tick"),
            ("", 404, "no function ''"),
            ("function=hello", 400, "'hello' has no scheduled handler"),
            ("function=tick&cron=often", 400, "got 'often'"),
        ):
            answer = node.get(f"/_beira/scheduled?{query}")
            assert (answer.status_code, says in answer.json()["error"]["message"]) == (status, True), answer.text
        answer = node.get("/_beira/scheduled?function=broken")
        assert (answer.status_code, answer.json()["error"]["code"]) == (500, "startup_failed")


def test_a_cron_without_a_handler_fails_check_and_is_said_at_start(tmp_path: Path) -> None:
    root = project(tmp_path, toml="[functions.hello]\ncron = ['0 0 * * *']", hello="def fetch(request): return 'x'")
    done = beira("check", str(root))
    assert done.returncode == 1
    assert "NO SCHEDULED HANDLER for its cron '0 0 * * *'" in done.stdout.decode()
    with running(root) as node:
        assert "NO SCHEDULED HANDLER" in node.log
        assert node.get("/hello").text == "x"
