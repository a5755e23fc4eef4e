"""The subrequests of one invocation: a function's `fetch`, made by the host under its address rules and limits."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator

from runtime.errors import OutboundError, WireError
from runtime.isolate.pool import Isolate
from runtime.isolate.streams import FRAMES, Window, cut
from runtime.outbound import Outbound
from runtime.wire import frames, from_isolate, to_isolate

log = logging.getLogger("beira")
HOPS_HEADER = "x-beira-hops"
"""How many functions a request has come through; HOPS_LIMIT of them are a loop."""
HOPS_LIMIT = 16
HEADERS = 128
"""The most header fields of a subrequest, as of any request."""
REFUSALS = 16
"""How often more subrequests than allowed are refused before their asker is ended; the runtime's own never asks."""
DEFAULT_TIMEOUT_S = 30.0


class _Call:
    """One subrequest under way: its task, and the two directions' windows."""

    def __init__(self) -> None:
        self.task: asyncio.Task[None] | None = None
        self.upload: asyncio.Queue[bytes | None] = asyncio.Queue()
        self.upload_bytes = 0
        """Of them, what waits."""
        self.window = Window()


class Subrequests:
    """Takes the isolate's Fetch messages and answers them."""

    def __init__(self, outbound: Outbound, *, limit: int, hops: int) -> None:
        self._outbound = outbound
        self._limit = limit
        self._hops = hops
        self._count = 0
        self._calls: dict[int, _Call] = {}

    def take(self, message: frames.Message, isolate: Isolate) -> None:
        """One message of the isolate. Raises WireError for a call that is not under way or is so already."""
        if isinstance(message, from_isolate.FetchCall):
            self._start(message, isolate)
            return
        number: int = getattr(message, "call", 0)
        call = self._calls.get(number)
        if call is None:
            return  # it ended in the meantime
        match message:
            case from_isolate.FetchData(data=data):
                call.upload.put_nowait(data)
                call.upload_bytes += len(data)
                if call.upload_bytes > frames.WINDOW or call.upload.qsize() > FRAMES:
                    raise WireError(f"subrequest {number}: more body than allowed")
            case from_isolate.FetchSent():
                call.upload.put_nowait(None)
            case from_isolate.FetchCredit(size=size):
                call.window.grant(size)
            case from_isolate.FetchCancel():
                if call.task is not None:
                    call.task.cancel()
            case _:
                raise WireError(f"{type(message).__name__} was not expected")

    def close(self) -> None:
        """End all that is under way."""
        for call in self._calls.values():
            if call.task is not None:
                call.task.cancel()

    def _start(self, head: from_isolate.FetchCall, isolate: Isolate) -> None:
        if head.call in self._calls:
            raise WireError(f"subrequest {head.call} is under way already")
        self._count += 1
        if self._count > self._limit + REFUSALS:
            raise WireError(f"an invocation may make {self._limit} subrequests")
        call = self._calls[head.call] = _Call()
        call.task = asyncio.create_task(self._answer(head, call, isolate))
        call.task.add_done_callback(lambda _: self._calls.pop(head.call, None))

    async def _answer(self, head: from_isolate.FetchCall, call: _Call, isolate: Isolate) -> None:
        try:
            if self._count > self._limit:
                raise OutboundError(f"an invocation may make {self._limit} subrequests")
            if len(head.headers) > HEADERS:
                raise OutboundError(f"a subrequest may have {HEADERS} headers, got {len(head.headers)}")
            await self._forward(head, call, isolate)
        except OutboundError as e:
            await _say(isolate, to_isolate.FetchFailed(call=head.call, message=str(e)))
        except asyncio.CancelledError:
            raise
        except Exception:
            log.exception("a subrequest failed in the host")
            await _say(isolate, to_isolate.FetchFailed(call=head.call, message="the node failed; its log says why"))

    async def _forward(self, head: from_isolate.FetchCall, call: _Call, isolate: Isolate) -> None:
        headers = [(k, v) for k, v in head.headers if k.lower() != HOPS_HEADER]
        headers.append((HOPS_HEADER, str(self._hops + 1)))
        async with self._outbound.stream(
            head.method,
            head.url,
            headers=headers,
            content=_upload(head.call, call, isolate) if head.has_body else None,
            redirect="manual" if head.redirect == "manual" else "error" if head.redirect == "error" else "follow",
            timeout_s=head.timeout_s or DEFAULT_TIMEOUT_S,
        ) as response:
            await _say(
                isolate,
                to_isolate.FetchHead(
                    call=head.call, status=response.status, headers=list(response.headers), url=response.url
                ),
            )
            async for data in response.aiter_bytes():
                for piece in cut(data):
                    await call.window.take(len(piece))
                    await _say(isolate, to_isolate.FetchBody(call=head.call, data=piece))
        await _say(isolate, to_isolate.FetchEnd(call=head.call))


async def _upload(number: int, call: _Call, isolate: Isolate) -> AsyncIterator[bytes]:
    while (data := await call.upload.get()) is not None:
        call.upload_bytes -= len(data)
        yield data
        await _say(isolate, to_isolate.FetchMore(call=number, size=len(data)))


async def _say(isolate: Isolate, message: frames.Message) -> None:
    try:
        await isolate.send(message)
    except OSError:
        return
