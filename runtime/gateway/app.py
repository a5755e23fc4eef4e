"""The ASGI application: every request's way to a function, to `/v1`, or to the node's own pages."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from starlette.types import Receive, Scope, Send

from runtime.ai.service import Service
from runtime.errors import AIError, ModelNotLoaded, Outcome, Overloaded
from runtime.gateway import report
from runtime.gateway.exchange import Exchange
from runtime.gateway.invocation import Invocation
from runtime.gateway.memory import Memory
from runtime.gateway.openai import OpenAI
from runtime.gateway.own import OwnPages
from runtime.gateway.routes import Function, Routes
from runtime.gateway.schedule import Unattended
from runtime.gateway.subrequests import HOPS_HEADER, HOPS_LIMIT, Subrequests
from runtime.outbound import Outbound
from runtime.wire import to_isolate

log = logging.getLogger("beira")
START_S = 60.0
"""How long a request waits for a node that is starting: after a restart, clients are served late and not wrongly."""


@dataclass(frozen=True, slots=True)
class Node:
    """What the application is built from."""

    service: Service
    outbound: Outbound
    routes: Callable[[], Routes]
    """The table in force; asked anew for each request, since functions change in development."""
    memory: Memory
    faults: Callable[[], list[str]] = list
    """What is wrong with the node itself, for `/_beira/ready`."""
    api_keys: tuple[str, ...] = ()
    cors_origins: tuple[str, ...] = ()
    is_dev: bool = False


class App:
    """One node's ASGI callable; owns the invocations that run."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._openai = OpenAI(node.service, node.api_keys, node.cors_origins)
        self._invocations: set[Invocation] = set()
        self._work: set[asyncio.Task[None]] = set()
        self._own = OwnPages(node.routes, self._not_ready, self.run_scheduled, is_dev=node.is_dev)
        self._started = asyncio.Event()
        self._hurry = asyncio.Event()
        self.is_draining = False

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "websocket":
            await send({"type": "websocket.close", "code": 1008, "reason": "functions take HTTP requests"})
            return
        if scope["type"] != "http":
            return
        exchange = Exchange(scope, receive, send, secrets.token_hex(8))
        task = asyncio.current_task()
        assert task is not None
        self._work.add(task)
        try:
            await self._serve(exchange)
        except asyncio.CancelledError:
            if not self.is_draining:  # else it is ours, and uvicorn would log it as a fault
                raise
        finally:
            self._work.discard(task)

    async def _serve(self, exchange: Exchange) -> None:
        path = exchange.path
        if path == "/v1" or path.startswith("/v1/"):
            refusal = await self._refusal()
            work = self._openai.serve(exchange) if refusal is None else self._openai.refuse(exchange, _error(*refusal))
            await work
        elif path == "/_beira" or path.startswith("/_beira/"):
            if not await self._own.serve(exchange):
                await self._fail(exchange, Outcome.NOT_FOUND, f"known: {', '.join(self._own.paths)}")
        else:
            await self._serve_function(exchange)

    def open(self) -> None:
        """The node has started: what waits is served."""
        self._started.set()

    async def _refusal(self) -> tuple[Outcome, str] | None:
        """Why no new work is taken now; waits for a node that is starting."""
        if not self._started.is_set():
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(self._started.wait(), START_S)
        if self.is_draining:
            return Outcome.UNAVAILABLE, "the node is stopping"
        if not self._started.is_set():
            return Outcome.UNAVAILABLE, "the node is starting"
        if self._node.memory.is_low:
            return Outcome.LOAD_SHED, "the node is low on memory"
        return None

    @property
    def running(self) -> int:
        """Requests under way, and invocations whose isolate is not gone yet."""
        return len(self._work)

    async def drain(self, grace_s: float) -> None:
        """Take no new work; let what runs finish for `grace_s` seconds, then end it."""
        self.is_draining = True
        self._started.set()  # who waits for the start is answered, too
        if self._work:
            hurry = asyncio.ensure_future(self._hurry.wait())
            done = asyncio.ensure_future(asyncio.wait(set(self._work)))
            await asyncio.wait([hurry, done], timeout=grace_s, return_when=asyncio.FIRST_COMPLETED)
            for waiting in (hurry, done):
                waiting.cancel()
        for invocation in list(self._invocations):
            invocation.end()
        await asyncio.gather(*(i.tail for i in self._invocations if i.tail is not None), return_exceptions=True)
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    def hurry(self) -> None:
        """End at once what a drain still waits for."""
        self._hurry.set()

    async def run_scheduled(self, name: str, cron: str, at: float) -> tuple[Outcome, Unattended]:
        """Run a function's `scheduled` handler, from its start to the end of what it left behind."""
        exchange = Unattended(cron, secrets.token_hex(8))
        function = self._node.routes().functions.get(name)
        refusal = await self._refusal()
        if function is None or refusal is not None:
            outcome, detail = refusal or (Outcome.NOT_FOUND, "the function is gone")
            await self._fail(exchange, outcome, detail, name)
            return outcome, exchange
        event = {"cron": cron, "scheduled_time": round(at * 1000)}
        invocation = await self._invoke(exchange, function, 0, event)
        if invocation.tail is not None:
            await asyncio.wait([invocation.tail])
        return invocation.outcome or Outcome.CRASHED, exchange

    async def _serve_function(self, exchange: Exchange) -> None:
        function = self._node.routes().match(exchange.path)
        if function is None:
            await self._fail(exchange, Outcome.NOT_FOUND, self._known_routes())
        elif (refusal := await self._refusal()) is not None:
            await self._fail(exchange, *refusal)
        elif (hops := _hops(exchange)) >= HOPS_LIMIT:
            await self._fail(exchange, Outcome.LOOP_DETECTED, f"{hops} functions deep")
        else:
            await self._invoke(exchange, function, hops)

    async def _invoke(
        self, exchange: Exchange, function: Function, hops: int, event: dict[str, Any] | None = None
    ) -> Invocation:
        subrequests = Subrequests(self._node.outbound, limit=function.settings.limits.subrequests, hops=hops)
        invocation = Invocation(exchange, function, self._node.service, subrequests, is_dev=self._node.is_dev)
        self._invocations.add(invocation)
        try:
            await invocation.serve(_head(exchange, function, event))
        finally:
            if invocation.tail is None:
                self._invocations.discard(invocation)
            else:
                self._work.add(invocation.tail)
                invocation.tail.add_done_callback(lambda tail: self._forget(invocation, tail))
        return invocation

    def _forget(self, invocation: Invocation, tail: asyncio.Task[None]) -> None:
        self._invocations.discard(invocation)
        self._work.discard(tail)
        if not tail.cancelled() and (error := tail.exception()) is not None:
            log.error("[%s] an invocation failed in the host", invocation.exchange.request_id, exc_info=error)

    def _not_ready(self) -> list[str]:
        reasons = ["the node is stopping"] if self.is_draining else []
        if not self._node.service.is_ready:
            reasons.append("the model is not loaded")
        if self._node.memory.is_low:
            reasons.append("the node is low on memory")
        return [*reasons, *self._node.faults(), *self._not_warm()]

    def _not_warm(self) -> list[str]:
        """Functions that keep the node from its work. One whose zygote dies again and again is no reason as long as
        others are there: it must not take the node away from them.
        """
        functions = self._node.routes().functions.values()
        away = [f for f in functions if f.pool.state not in ("ready", "failed")]
        if len(away) < len(functions):
            away = [f for f in away if f.pool.state != "restarting"]
        return [f"the function {f.name!r} is {f.pool.state}" for f in away]

    async def _fail(self, exchange: Exchange, outcome: Outcome, detail: str, function: str = "") -> None:
        await report.answer_failure(exchange, outcome, function, detail, "", is_dev=self._node.is_dev)
        report.outcome_line(exchange, function, outcome, 0.0, "")

    def _known_routes(self) -> str:
        routes = sorted({r for f in self._node.routes().functions.values() for r in f.settings.routes})
        return f"Routes: {', '.join(routes) or 'none'}."


def _hops(exchange: Exchange) -> int:
    value = exchange.header(HOPS_HEADER) or "0"
    return int(value) if value.isdecimal() and len(value) < 4 else 0


def _error(outcome: Outcome, detail: str) -> AIError:
    """The same refusal on `/v1`."""
    kind: type[AIError] = Overloaded if outcome is Outcome.LOAD_SHED else ModelNotLoaded
    return kind(f"{detail}; try again", code=outcome.value if kind is ModelNotLoaded else None)


def _head(exchange: Exchange, function: Function, event: dict[str, Any] | None) -> to_isolate.Invoke:
    settings, client = function.settings, exchange.scope.get("client")
    limits = settings.limits
    return to_isolate.Invoke(
        handler="fetch" if event is None else "scheduled",
        method=exchange.method,
        url=exchange.url,
        headers=exchange.headers,
        metadata={
            "remote_addr": client[0] if client else None,
            "remote_port": client[1] if client else None,
            "request_id": exchange.request_id,
            "function": settings.name,
            "http_version": exchange.scope.get("http_version", "1.1"),
        },
        env=dict(settings.env),
        args=dict(settings.args),
        limits={
            "ai_calls": limits.ai_calls,
            "subrequests": limits.subrequests,
            "wait_until_s": limits.wait_until_s,
            "log_kb": limits.log_kb,
        },
        event=event,
    )
