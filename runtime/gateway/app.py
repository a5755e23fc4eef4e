"""The ASGI application: every request's way to a function, to `/v1`, or to the node's own pages."""

from __future__ import annotations

import asyncio
import logging
import secrets
from collections.abc import Callable
from dataclasses import dataclass

from starlette.types import Receive, Scope, Send

from runtime import wire
from runtime.ai.service import Service
from runtime.errors import Outcome
from runtime.gateway import report
from runtime.gateway.exchange import Exchange
from runtime.gateway.invocation import Invocation
from runtime.gateway.openai import OpenAI
from runtime.gateway.routes import Function, Routes
from runtime.gateway.subrequests import HOPS_HEADER, HOPS_LIMIT, Subrequests
from runtime.outbound import Outbound

log = logging.getLogger("beira")


@dataclass(frozen=True, slots=True)
class Node:
    """What the application is built from."""

    service: Service
    outbound: Outbound
    routes: Callable[[], Routes]
    """The table in force; asked anew for each request, since functions change in development."""
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
            await self._openai.serve(exchange)
        elif path == "/_beira" or path.startswith("/_beira/"):
            await self._serve_own(exchange)
        else:
            await self._serve_function(exchange)

    @property
    def running(self) -> int:
        """Requests under way, and invocations whose isolate is not gone yet."""
        return len(self._work)

    async def drain(self, grace_s: float) -> None:
        """Take no new work; let what runs finish for `grace_s` seconds, then end it."""
        self.is_draining = True
        if self._work:
            await asyncio.wait(set(self._work), timeout=grace_s)
        for invocation in list(self._invocations):
            invocation.end()
        await asyncio.gather(*(i.tail for i in self._invocations if i.tail is not None), return_exceptions=True)
        for task in list(self._work):
            task.cancel()
        await asyncio.gather(*self._work, return_exceptions=True)

    async def _serve_function(self, exchange: Exchange) -> None:
        function = self._node.routes().match(exchange.path)
        if function is None:
            await self._fail(exchange, Outcome.NOT_FOUND, self._known_routes())
        elif self.is_draining:
            await self._fail(exchange, Outcome.UNAVAILABLE, "the node is stopping")
        elif (hops := _hops(exchange)) >= HOPS_LIMIT:
            await self._fail(exchange, Outcome.LOOP_DETECTED, f"{hops} functions deep")
        else:
            await self._invoke(exchange, function, hops)

    async def _invoke(self, exchange: Exchange, function: Function, hops: int) -> None:
        subrequests = Subrequests(self._node.outbound, limit=function.settings.limits.subrequests, hops=hops)
        invocation = Invocation(exchange, function, self._node.service, subrequests, is_dev=self._node.is_dev)
        self._invocations.add(invocation)
        try:
            await invocation.serve(_head(exchange, function))
        finally:
            if invocation.tail is None:
                self._invocations.discard(invocation)
            else:
                self._work.add(invocation.tail)
                invocation.tail.add_done_callback(lambda tail: self._forget(invocation, tail))

    def _forget(self, invocation: Invocation, tail: asyncio.Task[None]) -> None:
        self._invocations.discard(invocation)
        self._work.discard(tail)
        if not tail.cancelled() and (error := tail.exception()) is not None:
            log.error("[%s] an invocation failed in the host", invocation.exchange.request_id, exc_info=error)

    async def _serve_own(self, exchange: Exchange) -> None:
        if exchange.path == "/_beira/health":
            await exchange.answer(200, {"status": "ok"})
        elif exchange.path == "/_beira/ready":
            reasons = self._not_ready()
            status = "unready" if reasons else "ready"
            await exchange.answer(503 if reasons else 200, {"status": status, "reasons": reasons})
        else:
            await self._fail(exchange, Outcome.NOT_FOUND, "known: /_beira/health, /_beira/ready")

    def _not_ready(self) -> list[str]:
        reasons = ["the node is stopping"] if self.is_draining else []
        if not self._node.service.is_ready:
            reasons.append("the model is not loaded")
        functions = self._node.routes().functions.values()
        return reasons + [
            f"the function {f.name!r} is {f.pool.state}" for f in functions if f.pool.state not in ("ready", "failed")
        ]

    async def _fail(self, exchange: Exchange, outcome: Outcome, detail: str) -> None:
        await report.answer_failure(exchange, outcome, "", detail, "", is_dev=self._node.is_dev)
        report.outcome_line(exchange, "", outcome, 0.0, "")

    def _known_routes(self) -> str:
        routes = sorted({r for f in self._node.routes().functions.values() for r in f.settings.routes})
        return f"Routes: {', '.join(routes) or 'none'}."


def _hops(exchange: Exchange) -> int:
    value = exchange.header(HOPS_HEADER) or "0"
    return int(value) if value.isdecimal() and len(value) < 4 else 0


def _head(exchange: Exchange, function: Function) -> wire.Invoke:
    settings, client = function.settings, exchange.scope.get("client")
    limits = settings.limits
    return wire.Invoke(
        handler="fetch",
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
    )
