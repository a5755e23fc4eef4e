"""One request's way through an isolate: a state machine from its head to its outcome.

A relay reads what the isolate says until its socket closes; beside it run a pump (the request's body, and whether the
client is still there), a writer (the response), and a task for each AI call and subrequest. The relay owns them all:
when it ends, nothing of the invocation is left, and its line is logged.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

from runtime.addresses import CALLER
from runtime.ai.service import Service
from runtime.errors import FunctionError, Outcome, WireError
from runtime.gateway import report
from runtime.gateway.admission import Full
from runtime.gateway.ai_calls import AICalls
from runtime.gateway.exchange import BadHead, Exchange
from runtime.gateway.routes import Function
from runtime.gateway.subrequests import Subrequests
from runtime.isolate.pool import Isolate, IsolateUnavailable
from runtime.isolate.streams import Window, cut
from runtime.wire import frames, from_isolate, to_isolate

log = logging.getLogger("beira")
LINE_COST = 32
"""Bytes that a line of the log counts beside its own: it has a head."""
LINE_SLICE = 8 * 1024
"""Characters of a line that are looked at in one turn of the loop: looking at all of a long one takes 0.1 s."""
TRACE_ROOM = 16 * 1024
"""Bytes of the log that a failure's trace has, whatever the function has written before."""
ABORT_GRACE_S = 2.0
"""How long a handler whose client has left may take to end by itself."""


class Invocation:
    """Runs once. `serve` returns when the client has its answer; `tail` goes on until the isolate is gone."""

    def __init__(
        self, exchange: Exchange, function: Function, service: Service, subrequests: Subrequests, *, is_dev: bool
    ) -> None:
        self.exchange = exchange
        self.function = function
        self.outcome: Outcome | None = None
        self.tail: asyncio.Task[None] | None = None
        self._limits = function.settings.limits
        self._is_dev = is_dev
        self._detail = ""
        self._begin = asyncio.get_running_loop().time()
        self._answered = asyncio.Event()
        self._body = Window()
        self._out: asyncio.Queue[bytes | None] = asyncio.Queue()
        self._out_bytes = 0
        self._log_room = self._limits.log_kb * 1024
        self._has_failed = False
        self._ended: from_isolate.End | None = None
        self._writer: asyncio.Task[None] | None = None
        self._tasks: set[asyncio.Task[None]] = set()
        self._ai_calls = AICalls(service, function.settings, exchange.request_id, self._say)
        self._subrequests = subrequests
        self._timer: asyncio.TimerHandle | None = None
        self._isolate: Isolate

    async def serve(self, invoke: to_isolate.Invoke) -> None:
        """Answer the client. What fails on the way becomes an outcome; only a cancellation is raised."""
        limit = self._limits.body_mb * 2**20
        if (self.exchange.content_length or 0) > limit:
            return await self._refuse(Outcome.BODY_TOO_LARGE, f"the body may hold {self._limits.body_mb} MB")
        try:
            has_place = await self.function.admission.enter_unless(self.exchange.left)
        except Full:
            return await self._refuse(Outcome.LOAD_SHED, "too many invocations are running and waiting")
        if not has_place:
            self.outcome = Outcome.CANCELED
            return self._log("")
        try:
            self._isolate = await self.function.pool.acquire()
        except BaseException as e:
            self.function.admission.leave()
            if isinstance(e, FunctionError):
                return await self._refuse(Outcome.STARTUP_FAILED, e.message, e.trace)
            if isinstance(e, IsolateUnavailable):
                return await self._refuse(Outcome.UNAVAILABLE, str(e))
            raise
        self._timer = asyncio.get_running_loop().call_later(self._limits.wall_s, self._expire)
        self.tail = asyncio.create_task(self._run(invoke))
        try:
            await self._answered.wait()
        except asyncio.CancelledError:
            self.abort()
            raise

    def abort(self) -> None:
        """The client has left, or the node stops: tell the handler, and end it if it does not end by itself."""
        if self.outcome is not None or self.exchange.is_finished:
            return
        self.outcome = Outcome.CANCELED
        self._answered.set()
        self._arm(ABORT_GRACE_S)
        if self._writer is not None:
            self._writer.cancel()
        self._ai_calls.cancel()
        self._spawn(self._say(to_isolate.Abort()))

    def end(self) -> None:
        """The node stops: end it now, whatever it is doing."""
        if self.outcome is None and not self.exchange.is_finished:
            self.outcome, self._detail = Outcome.UNAVAILABLE, "the node is stopping"
        if self.tail is not None and not self.tail.done():
            self._isolate.kill()

    async def _run(self, invoke: to_isolate.Invoke) -> None:
        CALLER.set(self.function.name)  # of all that is done for it: the tasks of this one inherit it
        exit_text = ""
        try:
            try:
                has_body = self.exchange.has_body
                await self._isolate.send(invoke, *(() if has_body else (to_isolate.BodyEnd(),)))
                self._spawn(self._pump(has_body))
                self._writer = self._spawn(self._write())
                await self._relay()
                if self._ended is not None:
                    await asyncio.wait([self._writer])  # the isolate may be done before a slow client is
            except (WireError, OSError) as e:
                self._detail = self._detail or str(e)
                self._isolate.kill()
            exit_text = await self._settle()
        finally:
            if self._timer is not None:
                self._timer.cancel()
            self._subrequests.close()
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, self._ai_calls.aclose(), return_exceptions=True)
            await self._isolate.aclose()
            self.function.admission.leave()
            self._answered.set()
            self._log(exit_text)

    async def _settle(self) -> str:
        """The isolate is gone: decide how it ended, and tell the client if that is still to be done."""
        ended = await self._isolate.exited()
        if self.outcome is None:
            if self.exchange.is_finished:
                self.outcome = Outcome.OK
            else:
                self.outcome = report.outcome_of(ended, self._limits)
                detail = self._detail or self._ai_calls.fault or self._isolate.reason
                self._detail = detail or report.describe(ended)
        if self.outcome not in (Outcome.OK, Outcome.CANCELED) and not self.exchange.is_started:
            await self._tell_failure(self.outcome, self._detail)
        return f" cpu_ms={ended.cpu_ms} rss_mb={ended.max_rss_kb // 1024}"

    async def _relay(self) -> None:
        while await self._take(await self._isolate.receive()):
            pass

    async def _take(self, message: frames.Message | None) -> bool:
        """Do as the isolate says; whether it may say more. Raises WireError."""
        match message:
            case from_isolate.Head():
                await self._head(message)
            case from_isolate.Chunk():
                self._queue_body(message.data)
            case from_isolate.End():
                if self._ended is None:
                    self._out.put_nowait(None)
                self._ended = message
            case from_isolate.BodyCredit():
                self._body.grant(message.size)
            case from_isolate.AICall():
                await self._ai_calls.start(message, self._isolate)
            case from_isolate.AICancel():
                self._ai_calls.cancel(message.call)
            case from_isolate.Log():
                await self._write_log(message.level, message.text)
            case from_isolate.Failure():
                await self._fail(message)
            case from_isolate.Done() | None:
                return False
            case from_isolate.Ready():
                pass
            case _:
                self._subrequests.take(message, self._isolate)
        return True

    async def _head(self, message: from_isolate.Head) -> None:
        if self.exchange.is_started or self.outcome is not None:
            return
        extra = {"x-beira-request-id": self.exchange.request_id}
        if self._ai_calls.stand_in is not None:
            extra["x-beira-stand-in"] = self._ai_calls.stand_in
        try:
            await self.exchange.start(message.status, message.headers, extra)
        except BadHead as e:
            await self._conclude(Outcome.INVALID_RESPONSE, str(e))

    def _queue_body(self, data: bytes) -> None:
        self._out_bytes += len(data)
        if self._out.qsize() * 1024 + self._out_bytes - self.exchange.sent_bytes > 2 * frames.WINDOW + len(data):
            raise WireError("the isolate sent more of its response than it was allowed to")
        self._out.put_nowait(data)

    async def _write(self) -> None:
        """Write the response as it comes, granting the isolate as much again as the client has taken."""
        limit = self._limits.response_mb * 2**20
        try:
            while (data := await self._out.get()) is not None:
                if self.outcome is not None or not self.exchange.is_started:
                    continue
                if self.exchange.sent_bytes + len(data) > limit:
                    detail = f"the response may hold {self._limits.response_mb} MB"
                    return await self._conclude(Outcome.EXCEEDED_RESPONSE, detail)
                if self._ended is not None and self._out.qsize() == 1:
                    return await self._finish(data)
                await self.exchange.write(data)
                await self._say(to_isolate.Credit(size=len(data)))
            await self._finish(b"")
        except RuntimeError as e:  # uvicorn: the body does not fit the content-length that the function gave
            await self._conclude(Outcome.INVALID_RESPONSE, str(e))

    async def _finish(self, data: bytes) -> None:
        """The last part of the response; what `wait_until` was given goes on behind it."""
        if self.outcome is None and self._ended is not None and self.exchange.is_started:
            await self.exchange.finish(data)
            self._answered.set()
            self._arm(self._limits.wait_until_s if self._ended.wait_until else ABORT_GRACE_S)

    async def _pump(self, more: bool) -> None:
        """Hand on the request's body, where there is `more`, as the isolate makes room for it; then wait for the client
        to leave.
        """
        total, limit = 0, self._limits.body_mb * 2**20
        while (part := await self.exchange.read()) is not None:
            data, more_follows = part
            total += len(data)
            if total > limit:
                await self._conclude(Outcome.BODY_TOO_LARGE, f"the body may hold {self._limits.body_mb} MB")
                return
            for piece in cut(data):
                await self._body.take(len(piece))
                await self._say(to_isolate.Body(data=piece))
            if more and not more_follows:
                more = False
                await self._say(to_isolate.BodyEnd())
        self.abort()

    async def _write_log(self, level: str, text: str) -> None:
        """What the function wrote, to its limit, then one line that says so: its own process may have lost count."""
        if self._log_room <= 0:
            return
        for number, line in enumerate(text[: self._log_room].rstrip("\n").split("\n")):
            if self._log_room <= 0:
                return
            if number % 64 == 63:
                await asyncio.sleep(0)  # others have their turn
            self._log_room -= len(line) + LINE_COST
            pieces = []
            for start in range(0, len(line), LINE_SLICE):
                if start:
                    await asyncio.sleep(0)
                pieces.append(report.printable(line[start : start + LINE_SLICE]))
            report.function_line(self.function.name, self.exchange.request_id, level, "".join(pieces))
            if self._log_room <= 0:
                cut = "the log is cut here: its limit is reached"
                report.function_line(self.function.name, self.exchange.request_id, "warning", cut)

    async def _fail(self, failure: from_isolate.Failure) -> None:
        if self._has_failed:
            return
        self._has_failed = True
        known = (Outcome.EXCEPTION, Outcome.INVALID_RESPONSE, Outcome.EXCEEDED_MEMORY)
        outcome = next((o for o in known if o == failure.outcome), Outcome.EXCEPTION)
        self._log_room = max(self._log_room, TRACE_ROOM)
        message, trace = failure.message[:TRACE_ROOM], failure.trace[-TRACE_ROOM:]
        await self._write_log("error", trace or message or outcome.value)
        if self.outcome is None and not self.exchange.is_finished:
            await self._conclude(outcome, message, trace, kill=False)
            self._arm(self._limits.wait_until_s)

    async def _conclude(self, outcome: Outcome, detail: str, trace: str = "", *, kill: bool = True) -> None:
        """It failed for this reason: tell the client, or cut the connection if the answer had begun."""
        if self.outcome is None and not self.exchange.is_finished:
            self.outcome, self._detail = outcome, detail
            if not self.exchange.is_started:
                await self._tell_failure(outcome, detail, trace)
            self._answered.set()
        if kill:
            self._isolate.kill()

    def _expire(self) -> None:
        """Time is up: for the answer, for work behind it, or for a handler whose client has left."""
        if not self.exchange.is_finished and self.outcome is None:
            self.outcome = Outcome.EXCEEDED_WALL
            self._detail = f"not finished in {self._limits.wall_s:g} s"
        if self._writer is not None:
            self._writer.cancel()
        self._isolate.kill()

    def _arm(self, seconds: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer = asyncio.get_running_loop().call_later(seconds, self._expire)

    async def _say(self, message: frames.Message) -> None:
        """Send to the isolate; one that is gone has no use for it."""
        try:
            await self._isolate.send(message)
        except OSError:
            return

    def _spawn(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[None]:
        task = asyncio.create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._finished)
        return task

    def _finished(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            log.error("[%s] an invocation failed in the host", self.exchange.request_id, exc_info=error)
            self._isolate.kill()

    async def _refuse(self, outcome: Outcome, detail: str, trace: str = "") -> None:
        self.outcome, self._detail = outcome, detail
        if outcome is Outcome.STARTUP_FAILED:
            report.function_line(self.function.name, self.exchange.request_id, "error", trace or detail)
        await self._tell_failure(outcome, detail, trace)
        self._log("")

    async def _tell_failure(self, outcome: Outcome, detail: str, trace: str = "") -> None:
        await report.answer_failure(self.exchange, outcome, self.function.name, detail, trace, is_dev=self._is_dev)

    def _log(self, more: str) -> None:
        elapsed = asyncio.get_running_loop().time() - self._begin
        report.outcome_line(self.exchange, self.function.name, self.outcome or Outcome.CRASHED, elapsed, more)
