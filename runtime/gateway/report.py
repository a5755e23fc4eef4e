"""How an invocation's end is told: to the client (JSON, a page for a browser in development) and to the log."""

from __future__ import annotations

import html
import logging
import signal

from runtime.config import Limits
from runtime.errors import Outcome
from runtime.gateway.exchange import Exchange
from runtime.isolate.pool import Exit

requests = logging.getLogger("beira.request")
functions = logging.getLogger("beira.function")
_LEVELS = {"debug": 10, "info": 20, "log": 20, "warn": 30, "warning": 30, "error": 40, "critical": 50}

_MESSAGES = {
    Outcome.BODY_TOO_LARGE: "The request's body is larger than this function accepts.",
    Outcome.EXCEEDED_RESPONSE: "The function's response is larger than it may be.",
    Outcome.UNAVAILABLE: "The function is restarting, or the node is stopping; try again.",
    Outcome.LOOP_DETECTED: "Functions call each other in a loop.",
    Outcome.EXCEPTION: "The function raised an exception.",
    Outcome.INVALID_RESPONSE: "The function returned what cannot be a response.",
    Outcome.STARTUP_FAILED: "The function did not load.",
    Outcome.CRASHED: "The function's process ended without an answer.",
    Outcome.EXCEEDED_CPU: "The function used more CPU time than it may.",
    Outcome.EXCEEDED_MEMORY: "The function used more memory than it may.",
    Outcome.EXCEEDED_WALL: "The function did not finish in time.",
    Outcome.LOAD_SHED: "Too many requests are running and waiting; try again.",
    Outcome.NOT_FOUND: "No function owns this path.",
}
_RETRY = (Outcome.UNAVAILABLE, Outcome.LOAD_SHED)


def outcome_of(ended: Exit, limits: Limits) -> Outcome:
    """Why an isolate that left without an answer is gone."""
    over = ended.cpu_ms >= limits.cpu_ms
    if ended.signal == signal.SIGXCPU or (ended.signal == signal.SIGKILL and over):
        return Outcome.EXCEEDED_CPU
    return Outcome.CRASHED


def describe(ended: Exit) -> str:
    """An isolate's end in words, for the log and the developer."""
    if ended.signal:
        try:
            return f"ended by {signal.Signals(ended.signal).name}"
        except ValueError:
            return f"ended by signal {ended.signal}"
    return f"left with exit status {ended.status} and no answer"


async def answer_failure(
    exchange: Exchange, outcome: Outcome, function: str, detail: str, trace: str, *, is_dev: bool
) -> None:
    """Tell the client. Only in development does it learn more than the outcome."""
    message = _MESSAGES[outcome]
    if outcome is Outcome.STARTUP_FAILED:
        message = f"The function {function!r} did not load."
    if is_dev and detail:
        message = f"{message} {detail}"
    if is_dev and "text/html" in (exchange.header("accept") or ""):
        await exchange.page(outcome.status, _page(outcome, function, message, trace, exchange.request_id))
        return
    body = {"error": {"code": outcome.value, "message": message, "request_id": exchange.request_id}}
    await exchange.answer(outcome.status, body, {"retry-after": "1"} if outcome in _RETRY else None)


def outcome_line(exchange: Exchange, function: str, outcome: Outcome, elapsed_s: float, more: str) -> None:
    """One line an invocation: who, what, how it ended, and what it took."""
    level = logging.INFO if outcome in (Outcome.OK, Outcome.CANCELED, Outcome.NOT_FOUND) else logging.WARNING
    requests.log(
        level,
        "[%s] %s %s %s outcome=%s status=%d ms=%.1f bytes=%d%s",
        exchange.request_id,
        function or "-",
        exchange.method,
        printable(exchange.path),
        outcome.value,
        exchange.status,
        elapsed_s * 1000,
        exchange.sent_bytes,
        more,
    )


def function_line(function: str, request_id: str, level: str, text: str) -> None:
    """What a function wrote, each of its lines on a line of the log."""
    number = _LEVELS.get(level, logging.INFO)
    if functions.isEnabledFor(number):
        for line in text.rstrip("\n").split("\n"):
            functions.log(number, "[%s] %s | %s", request_id, function, printable(line))


def printable(text: str) -> str:
    """`text` without characters that could forge a line or steer a terminal."""
    if text.isprintable():
        return text
    return "".join(c if c.isprintable() or c == "\t" else c.encode("unicode_escape").decode() for c in text)


def _page(outcome: Outcome, function: str, message: str, trace: str, request_id: str) -> str:
    style = (
        "body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:3rem auto;padding:0 1rem;color:#1c1c1c}"
        "h1{font-size:1.3rem}pre{background:#f6f4f0;padding:1rem;overflow:auto;border-left:4px solid #c0392b}"
        "@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}pre{background:#222}}"
    )
    return (
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>{outcome.value}: {html.escape(function)}</title>'
        f"<style>{style}</style><h1>{html.escape(function)}: {outcome.value}</h1><p>{html.escape(message)}</p>"
        + (f"<pre>{html.escape(trace)}</pre>" if trace else "")
        + f"<p><small>request {request_id}; this page is shown in development only</small></p></html>"
    )
