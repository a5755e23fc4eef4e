"""What the host does for one invocation, over the link: AI calls, subrequests, log lines."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable
from typing import Any

from runtime.errors import AIError, InvalidRequest, OutboundError, Overloaded, WireError
from runtime.isolate import json_text
from runtime.isolate.http import BodyLike, Request, Response, pieces
from runtime.isolate.link import Link
from runtime.isolate.streams import IncomingBody, ModelStream, Window, cut, record
from runtime.wire import frames, from_isolate, to_isolate

_NOT_SENT_ON = frozenset(
    ("host", "connection", "content-length", "transfer-encoding", "keep-alive", "te", "trailer", "upgrade", "expect")
)
_LINE = 64 * 1024
"""The most characters that one Log carries; the rest of a longer line follows in the next."""


class HostConnection:
    """Implements `binding.Connection`. Calls have numbers from 1; an answer to a call that is over is dropped."""

    def __init__(self, link: Link, limits: dict[str, Any]) -> None:
        self._link = link
        self._ai_limit = int(limits.get("ai_calls", 16))
        self._subrequest_limit = int(limits.get("subrequests", 50))
        self._log_room = int(limits.get("log_kb", 256)) * 1024
        self._next = 1
        self._ai: dict[int, asyncio.Queue[frames.Message]] = {}
        self._subrequests: dict[int, _Subrequest] = {}
        self._subrequest_count = 0

    def deliver(self, message: frames.Message) -> None:
        """Hand an answer of the host to the call that waits for it."""
        number: int = getattr(message, "call", 0)
        if (inbox := self._ai.get(number)) is not None:
            inbox.put_nowait(message)
        elif (call := self._subrequests.get(number)) is not None:
            call.deliver(message)

    async def run_model(self, model: str | None, inputs: dict[str, Any]) -> Any:
        if len(self._ai) >= self._ai_limit:
            raise Overloaded(f"at most {self._ai_limit} AI calls may run at once in one invocation")
        number = self._number()
        try:
            call = from_isolate.AICall(number, json_text.dumps({"model": model, "inputs": inputs}))
            if b"null" in call.data:  # what has no JSON has become that
                _refuse_infinite(inputs, "")
            self._link.send(call)
        except (TypeError, WireError) as e:
            raise InvalidRequest(f"inputs: must be JSON: {e}") from None
        inbox = self._ai[number] = asyncio.Queue()
        try:
            await self._link.drain()
            message = await inbox.get()
        except BaseException:
            self._close_ai(number, True)
            raise
        if isinstance(message, to_isolate.AIAccepted):
            return ModelStream(inbox, lambda is_canceled: self._close_ai(number, is_canceled))
        self._close_ai(number, False)
        if isinstance(message, to_isolate.AIFailed):
            raise AIError.from_wire(message.error)
        assert isinstance(message, to_isolate.AIResult)
        return record(message.value)

    def _close_ai(self, number: int, is_canceled: bool) -> None:
        if self._ai.pop(number, None) is not None and is_canceled:
            self._link.send(from_isolate.AICancel(call=number))

    async def subrequest(self, request: Request, redirect: str, timeout_s: float | None) -> Response:
        self._subrequest_count += 1
        if self._subrequest_count > self._subrequest_limit:
            raise OutboundError(f"an invocation may make {self._subrequest_limit} subrequests")
        number = self._number()
        call = self._subrequests[number] = _Subrequest(self._link, number, lambda: self._subrequests.pop(number, None))
        try:
            return await call.run(request, redirect, timeout_s)
        except BaseException:
            call.cancel()
            raise

    def log(self, level: str, text: str) -> None:
        """One Log a line's worth, until the invocation's share of the log is used up; then one line that says so."""
        for start in range(0, len(text) or 1, _LINE):
            piece = text[start : start + _LINE]
            if self._log_room <= 0:
                return
            data = piece.encode("utf-8", "replace")
            self._log_room -= len(data)
            if self._log_room <= 0:
                data = data[: self._log_room] if self._log_room else data
                self._link.write_through(from_isolate.Log(level=level, text=data.decode("utf-8", "ignore")))
                self._link.write_through(
                    from_isolate.Log(level="warning", text="the log is cut here: its limit is reached")
                )
                return
            self._link.write_through(from_isolate.Log(level=level, text=data.decode("utf-8")))

    def _number(self) -> int:
        self._next += 1
        return self._next - 1


class _Subrequest:
    """One request that the host sends for the handler, and its response."""

    def __init__(self, link: Link, number: int, forget: Callable[[], object]) -> None:
        self._link = link
        self._number = number
        self._forget = forget
        self._window = Window()
        self._head: asyncio.Future[to_isolate.FetchHead] = asyncio.get_running_loop().create_future()
        self._body = IncomingBody(lambda size: link.send(from_isolate.FetchCredit(call=number, size=size)))
        self._upload: asyncio.Task[None] | None = None

    async def run(self, request: Request, redirect: str, timeout_s: float | None) -> Response:
        source = request.take_body()
        headers = [(k, v) for k, v in request.headers.items() if k.lower() not in _NOT_SENT_ON]
        asked = from_isolate.FetchCall(
            call=self._number,
            method=request.method,
            url=str(request.url),
            headers=headers,
            has_body=source is not None,
            redirect=redirect,
            timeout_s=timeout_s,
        )
        try:
            self._link.send(asked)
        except WireError as e:
            raise OutboundError(f"the subrequest's head is too large: {e}") from None
        if source is not None:
            self._upload = asyncio.create_task(self._send(source))
        head = await self._head
        return Response(self._body, head.status, _received(head.headers), url=head.url)

    async def _send(self, source: BodyLike) -> None:
        try:
            async for data in pieces(source):
                for frame in cut(data):
                    await self._window.take(len(frame))
                    self._link.send(from_isolate.FetchData(call=self._number, data=frame))
                    await self._link.drain()
            self._link.send(from_isolate.FetchSent(call=self._number))
        except Exception as e:
            self.cancel(e)

    def deliver(self, message: frames.Message) -> None:
        match message:
            case to_isolate.FetchHead() if not self._head.done():
                self._head.set_result(message)
            case to_isolate.FetchBody(data=data):
                self._body.feed(data)
            case to_isolate.FetchMore(size=size):
                self._window.grant(size)
            case to_isolate.FetchEnd():
                self._end(None)
            case to_isolate.FetchFailed(message=text):
                self._end(OutboundError(text))

    def cancel(self, error: Exception | None = None) -> None:
        """The handler gave it up, or its body could not be read."""
        self._link.send(from_isolate.FetchCancel(call=self._number))
        self._end(error or OutboundError("the subrequest was canceled"))

    def _end(self, error: Exception | None) -> None:
        self._forget()
        self._body.finish(error)
        if error is not None and not self._head.done():
            self._head.set_exception(error)
            self._head.exception()  # who gave the call up does not ask for it
        if self._upload is not None and self._upload is not asyncio.current_task():
            self._upload.cancel()


def _received(headers: frames.Headers) -> list[tuple[str, str]]:
    """The response's fields without those of its transfer: the host has decoded the body."""
    dropped = {"connection", "keep-alive", "transfer-encoding"}
    if any(name.lower() == "content-encoding" for name, _ in headers):
        dropped |= {"content-encoding", "content-length"}
    return [(name, value) for name, value in headers if name.lower() not in dropped]


def _refuse_infinite(value: Any, path: str) -> None:
    """Raise InvalidRequest for a NaN or an infinity, by its path. `value` is no deeper than JSON may be."""
    if isinstance(value, float) and not math.isfinite(value):
        raise InvalidRequest(f"{path}: must be a finite number, got {value!r}", param=path)
    if isinstance(value, dict):
        for key, each in value.items():
            _refuse_infinite(each, f"{path}.{key}" if path else key)
    elif isinstance(value, list | tuple):
        for i, each in enumerate(value):
            _refuse_infinite(each, f"{path}[{i}]")
