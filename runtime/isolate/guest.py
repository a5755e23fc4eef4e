"""The isolate: waits for one invocation on its socket, runs the handler, sends what it answers, and is done."""

from __future__ import annotations

import asyncio
import inspect
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

from runtime.errors import AIError, Outcome, WireError
from runtime.isolate import api, binding, json_text, limits
from runtime.isolate.connection import HostConnection
from runtime.isolate.headers import Headers
from runtime.isolate.http import BodyLike, Request, Response, pieces
from runtime.isolate.link import Link
from runtime.isolate.loop import Loop
from runtime.isolate.streams import IncomingBody, ModelStream, Window, cut, server_sent
from runtime.wire import frames, from_isolate, to_isolate

Handlers = dict[str, Callable[..., Any]]
"""By name, `fetch` and `scheduled`: each is called with all of (request or event, env, ctx)."""
_TEXT = 64 * 1024
"""The most characters that are told of an error: its first line's beginning, its trace's end."""


class InvalidResponse(TypeError):
    """The handler returned what cannot be a response."""


class Standby:
    """What an isolate is from its fork on, all but its invocation: made in the zygote, so that no fork makes it."""

    def __init__(self, sock: socket.socket, loop: Loop, handlers: Handlers, finish: Callable[[], None]) -> None:
        """`sock` is, by its number, the isolate's once it is forked; `finish` is called before the last frame, to
        flush what was printed. `handlers` may be filled until the fork.
        """
        self.loop = loop
        self._link = Link(sock, loop)
        self._finish = finish
        self._is_over = False
        guest = _Guest(self._link, loop, handlers, self._end)
        self._link.start(guest.on_message, guest.on_exhausted)

    def serve(self) -> None:
        """Run one invocation."""
        self._link.send(from_isolate.Ready())
        try:
            self.loop.run_forever()
        finally:
            if not self._is_over:
                self._finish()
            self._link.close()

    def _end(self, *last: frames.Message) -> None:
        """Say it, and no more. Raises WireError where it cannot be said."""
        if not self._is_over:
            self._finish()
            self._link.send(*last, from_isolate.Done())
            self._is_over = True


class _Guest:
    """One invocation, as the isolate sees it."""

    def __init__(
        self, link: Link, loop: asyncio.AbstractEventLoop, handlers: Handlers, end: Callable[..., None]
    ) -> None:
        """`end` is called once all is done, with what is still to be said; again is once too often, and nothing."""
        self._link = link
        self._loop = loop
        self._handlers = handlers
        self._end = end
        self._window = Window()
        self._body = IncomingBody(lambda size: link.send(from_isolate.BodyCredit(size=size)))
        self._connection: HostConnection | None = None
        self._context: api.Context | None = None
        self._handler: asyncio.Task[None] | None = None
        self._last: asyncio.Task[None] | None = None
        self._behind: set[asyncio.Future[Any]] = set()
        self._abort: to_isolate.Abort | None = None

    def on_message(self, message: frames.Message) -> None:
        match message:
            case to_isolate.Invoke() if self._handler is None:
                self._connection = HostConnection(self._link, message.limits)
                binding.bind(self._connection)
                self._handler = self._loop.create_task(self._answer(message))
                self._handler.add_done_callback(lambda _: self._answered(message))
            case to_isolate.Body(data=data):
                self._body.feed(data)
            case to_isolate.BodyEnd():
                self._body.finish()
            case to_isolate.Credit(size=size):
                self._window.grant(size)
            case to_isolate.Abort():
                self._on_abort(message)
            case _ if self._connection is not None:
                self._connection.deliver(message)

    def on_exhausted(self, error: MemoryError) -> None:
        """There was no memory for what the host said: whoever waits for it would wait for ever."""
        self._fail(error)
        self._stop()

    def _on_abort(self, message: to_isolate.Abort) -> None:
        self._abort = message
        if self._context is not None:
            self._context.abort()
        if self._handler is not None:
            self._handler.cancel()

    def _answered(self, invoke: to_isolate.Invoke) -> None:
        if self._behind:
            self._last = self._loop.create_task(self._wait_behind(float(invoke.limits.get("wait_until_s", 30.0))))
            self._last.add_done_callback(lambda _: self._stop())
        else:
            self._stop()

    def _stop(self) -> None:
        self._loop.stop()
        self._end()

    async def _answer(self, invoke: to_isolate.Invoke) -> None:
        """Call the handler and send its answer; whatever happens becomes a message."""
        try:
            self._context = ctx = api.Context(invoke.args, str(invoke.metadata.get("request_id", "")), self._go_on)
            env = api.Env(invoke.env)
            api.Azion.env.bind(env)
            if invoke.handler not in self._handlers:
                raise LookupError(f"the function has no handler {invoke.handler!r}")
            result = self._handlers[invoke.handler](self._subject(invoke), env, ctx)
            if inspect.isawaitable(result):
                result = await result
            await self._respond(Response(None) if invoke.handler == "scheduled" else to_response(result))
        except BaseException as e:
            self._fail(e)

    def _subject(self, invoke: to_isolate.Invoke) -> Any:
        """What the handler is given first."""
        if invoke.handler == "scheduled":
            event = invoke.event or {}
            return api.ScheduledEvent(str(event.get("cron", "")), event.get("scheduled_time"))
        headers = Headers.received(invoke.headers)
        return Request(invoke.url, method=invoke.method, headers=headers, body=self._body, metadata=invoke.metadata)

    async def _respond(self, response: Response) -> None:
        source = response.take_body()
        if isinstance(source, ModelStream):
            response.headers.setdefault("content-type", "text/event-stream")
            response.headers.setdefault("cache-control", "no-cache")
            source = _server_sent(source)
        whole = _whole(source)
        if whole:
            response.headers.set("content-length", str(len(whole)))
        elif whole is not None and response.status not in (204, 304):
            response.headers.setdefault("content-length", "0")  # a HEAD's answer may name what GET's would be
        head = from_isolate.Head(status=response.status, headers=response.headers.items())
        if whole is not None and len(whole) <= frames.CHUNK:  # one write, one wake-up of the host
            chunks = (from_isolate.Chunk(data=whole),) if whole else ()
            end = from_isolate.End(wait_until=bool(self._behind))
            if self._behind:
                self._link.send(head, *chunks, end)
            else:
                self._end(head, *chunks, end)
                self._loop.stop()
            return
        self._link.send(head)
        async for piece in pieces(source):
            for frame in cut(piece):
                await self._window.take(len(frame))
                self._link.send(from_isolate.Chunk(data=frame))
        self._link.send(from_isolate.End(wait_until=bool(self._behind)))

    def _fail(self, error: BaseException) -> None:
        """Tell the host how the handler failed; a cancellation that the host asked for is no failure."""
        if self._abort is not None and isinstance(error, asyncio.CancelledError):
            return
        try:
            self._link.send(_failure(error))
        except MemoryError as e:  # there is not even enough to tell of it
            self._link.send(_failure(e))

    def _go_on(self, awaitable: Awaitable[Any]) -> None:
        work = asyncio.ensure_future(awaitable)
        self._behind.add(work)
        work.add_done_callback(self._over)

    def _over(self, work: asyncio.Future[Any]) -> None:
        self._behind.discard(work)
        if not work.cancelled() and (error := work.exception()) is not None and self._connection is not None:
            self._connection.log("error", f"wait_until work failed:\n{_trace(error)}")

    async def _wait_behind(self, seconds: float) -> None:
        loop = asyncio.get_running_loop()
        end = loop.time() + seconds
        while self._behind and (left := end - loop.time()) > 0:
            await asyncio.wait(self._behind, timeout=left)
        if self._behind and self._connection is not None:
            self._connection.log("warning", f"wait_until work was not done in {seconds:g} s and is ended")


def _failure(error: BaseException) -> from_isolate.Failure:
    outcome = Outcome.EXCEPTION
    if isinstance(error, MemoryError):
        outcome = Outcome.EXCEEDED_MEMORY
        limits.release_reserve()
        traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
    elif isinstance(error, InvalidResponse | WireError):  # the latter: a head that is larger than a head may be
        outcome = Outcome.INVALID_RESPONSE
    line, trace = _printable(_line(error)[:_TEXT]), _printable(_trace(error)[-_TEXT:])
    return from_isolate.Failure(outcome=outcome, message=line, trace=trace)


def to_response(result: Any) -> Response:
    """What a handler may return, as a Response. Raises InvalidResponse for anything else."""
    if isinstance(result, Response):
        return result
    if isinstance(result, dict | list):
        try:
            return Response(json_text.dumps(result), default_type="application/json")
        except TypeError as e:
            raise InvalidResponse(f"the handler returned a {type(result).__name__} that is no JSON: {e}") from None
    if isinstance(result, str | bytes | bytearray | memoryview) or hasattr(result, "__aiter__"):
        return Response(result)
    raise InvalidResponse(
        f"the handler returned {type(result).__name__}; a response is a Response, dict, list, str, bytes, "
        "an async iterator, or what AI.run gave"
    )


async def _server_sent(stream: ModelStream) -> AsyncIterator[bytes]:
    """Chunks as server-sent events; an error on the way is one event, since the status has been sent."""
    try:
        async for chunk in stream:
            yield server_sent(json_text.dumps(chunk))
    except AIError as e:
        yield server_sent(json_text.dumps(e.body()))
    finally:
        await stream.aclose()
    yield b"data: [DONE]\n\n"


def _whole(source: BodyLike) -> bytes | None:
    """A body that is known whole; None for one that is produced piece by piece."""
    if source is None:
        return b""
    if isinstance(source, str):
        return source.encode()
    return bytes(source) if isinstance(source, bytes | bytearray | memoryview) else None


def _line(error: BaseException) -> str:
    return "".join(traceback.format_exception_only(error)).strip()


def _printable(text: str) -> str:
    """`text` as JSON can carry it: it may hold half a surrogate pair."""
    return text.encode("utf-8", "replace").decode()


def _trace(error: BaseException) -> str:
    """The traceback from the handler's own first line on: ours above it explains nothing."""
    frames = error.__traceback__
    while frames is not None and frames.tb_frame.f_code.co_filename == __file__:
        frames = frames.tb_next
    try:
        return "".join(traceback.format_exception(type(error), error, frames or error.__traceback__)).rstrip()
    except Exception:  # a __str__ of the function's that raises, or no memory left
        return type(error).__name__
