"""The node's own pages, below `/_beira/`: whether it lives, whether it is ready, and cron handlers run by hand."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from urllib.parse import parse_qs

import orjson
from cronsim import CronSimError

from runtime.errors import Outcome
from runtime.gateway.exchange import Exchange
from runtime.gateway.routes import Routes
from runtime.gateway.schedule import Unattended, following

RunScheduled = Callable[[str, str, float], Awaitable[tuple[Outcome, Unattended]]]


class OwnPages:
    """Answers what it knows; `serve` says whether it did."""

    def __init__(
        self,
        routes: Callable[[], Routes],
        reasons: Callable[[], list[str]],
        run_scheduled: RunScheduled,
        *,
        is_dev: bool,
    ) -> None:
        """`reasons` are those why the node is not ready."""
        self._routes = routes
        self._reasons = reasons
        self._run_scheduled = run_scheduled
        self.paths = ("/_beira/health", "/_beira/ready", *(["/_beira/scheduled"] if is_dev else []))

    async def serve(self, exchange: Exchange) -> bool:
        if exchange.path not in self.paths:
            return False
        if exchange.path == "/_beira/health":
            await exchange.answer(200, {"status": "ok"})
        elif exchange.path == "/_beira/ready":
            reasons = self._reasons()
            status = "unready" if reasons else "ready"
            await exchange.answer(503 if reasons else 200, {"status": status, "reasons": reasons})
        else:
            await self._scheduled(exchange)
        return True

    async def _scheduled(self, exchange: Exchange) -> None:
        query = parse_qs(exchange.scope["query_string"].decode("latin-1"))
        name, crons = query.get("function", [""])[0], query.get("cron", [])
        functions = self._routes().functions
        function = functions.get(name)
        if function is None:
            known = ", ".join(n for n, f in functions.items() if "scheduled" in f.pool.handlers) or "none"
            return await _refuse(exchange, 404, f"function: no function {name!r}; with a scheduled handler: {known}")
        if function.pool.failure is None and "scheduled" not in function.pool.handlers:
            return await _refuse(exchange, 400, f"function: {name!r} has no scheduled handler")
        cron = (crons or [*function.settings.cron, ""])[0]
        try:
            if cron:
                following(cron, time.time())
        except (CronSimError, StopIteration) as e:
            return await _refuse(exchange, 400, f"cron: must be like '*/5 * * * *', got {cron!r}: {e}")
        outcome, run = await self._run_scheduled(name, cron, time.time())
        if outcome is Outcome.OK:
            answer = {"function": name, "cron": cron, "outcome": outcome.value, "request_id": run.request_id}
            return await exchange.answer(200, answer)
        await exchange.answer(outcome.status or 500, orjson.loads(run.body or b"{}"))
        return None


async def _refuse(exchange: Exchange, status: int, message: str) -> None:
    await exchange.answer(status, {"error": {"message": message, "request_id": exchange.request_id}})
