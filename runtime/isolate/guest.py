"""The isolate: waits for one invocation on its socket, runs the handler, sends what it answers, and is done."""

from __future__ import annotations

import asyncio
import contextlib
import inspect
import socket
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable
from typing import Any

import orjson

from runtime import wire
from runtime.errors import AIError, Outcome, WireError
from runtime.isolate import api, binding, limits
from runtime.isolate.connection import HostConnection
from runtime.isolate.headers import Headers
from runtime.isolate.http import BodyLike, Request, Response, pieces
from runtime.isolate.link import Link
from runtime.isolate.streams import IncomingBody, ModelStream, Window, cut, server_sent

Handlers = dict[str, Callable[..., Any]]
"""By name, `fetch` and `scheduled`: each is called with all of (request or event, env, ctx)."""
_TEXT = 64 * 1024
"""The most characters that are told of an error: its first line's beginning, its trace's end."""


class InvalidResponse(TypeError):
    """The handler returned what cannot be a response."""


def serve(sock: socket.socket, handlers: Handlers, finish: Callable[[], None]) -> None:
    """Run one invocation on `sock`; `finish` is called before the last frame, to flush what was printed."""
    loop = asyncio.new_event_loop()
    link = Link(sock, loop)
    guest = _Guest(link, loop, handlers)
    link.start(guest.on_message)
    link.send(wire.Ready())
    try:
        loop.run_until_complete(guest.run())
    finally:
        finish()
        link.close()


def rehearse(times: int = 16) -> None:
    """Run invocations that answer nothing to nobody, in the zygote, before the function is loaded.

    What Python makes at first use (caches, specialised bytecode) is made once then, and not in every isolate.
    """
    invoke = wire.Invoke("fetch", "GET", "http://x/?a=b", [("host", "x")], {"request_id": ""}, {}, {}, {})
    handlers: Handlers = {"fetch": lambda request, env, ctx: Response.json({"a": request.url.query.get("a")})}
    for _ in range(times):
        ours, theirs = socket.socketpair()
        with ours, theirs, contextlib.closing(asyncio.new_event_loop()) as loop:
            link = Link(theirs, loop)
            guest = _Guest(link, loop, handlers)
            link.start(guest.on_message)
            link.send(wire.Ready())
            ours.sendall(wire.encode(invoke) + wire.encode(wire.BodyEnd()))
            loop.run_until_complete(guest.run())
            loop.remove_reader(theirs)
    binding.bind(None)
    api.Azion.env.bind(None)


class _Guest:
    """One invocation, as the isolate sees it."""

    def __init__(self, link: Link, loop: asyncio.AbstractEventLoop, handlers: Handlers) -> None:
        self._link = link
        self._handlers = handlers
        self._invoke: asyncio.Future[wire.Invoke] = loop.create_future()
        self._window = Window()
        self._body = IncomingBody(lambda size: link.send(wire.BodyCredit(size=size)))
        self._connection: HostConnection | None = None
        self._context: api.Context | None = None
        self._handler: asyncio.Task[None] | None = None
        self._behind: set[asyncio.Future[Any]] = set()
        self._abort: wire.Abort | None = None

    def on_message(self, message: wire.Message) -> None:
        match message:
            case wire.Invoke() if not self._invoke.done():
                self._connection = HostConnection(self._link, message.limits)
                binding.bind(self._connection)
                self._invoke.set_result(message)
            case wire.Body(data=data):
                self._body.feed(data)
            case wire.BodyEnd():
                self._body.finish()
            case wire.Credit(size=size):
                self._window.grant(size)
            case wire.Abort():
                self._on_abort(message)
            case _ if self._connection is not None:
                self._connection.deliver(message)

    def _on_abort(self, message: wire.Abort) -> None:
        self._abort = message
        if self._context is not None:
            self._context.abort()
        if self._handler is not None:
            self._handler.cancel()

    async def run(self) -> None:
        invoke = await self._invoke
        self._handler = asyncio.create_task(self._answer(invoke))
        await asyncio.wait([self._handler])
        if self._behind:
            await self._wait_behind(float(invoke.limits.get("wait_until_s", 30.0)))
        self._link.send(wire.Done())

    async def _answer(self, invoke: wire.Invoke) -> None:
        """Call the handler and send its answer; whatever happens becomes a message."""
        try:
            self._context = ctx = api.Context(invoke.args, str(invoke.metadata.get("request_id", "")), self._go_on)
            if self._abort is not None:
                self._on_abort(self._abort)
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

    def _subject(self, invoke: wire.Invoke) -> Any:
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
        head = wire.Head(status=response.status, headers=response.headers.items())
        if whole is not None and len(whole) <= wire.CHUNK:  # one write, one wake-up of the host
            chunks = (wire.Chunk(data=whole),) if whole else ()
            self._link.send(head, *chunks, wire.End(wait_until=bool(self._behind)))
            return
        self._link.send(head)
        async for piece in pieces(source):
            for frame in cut(piece):
                await self._window.take(len(frame))
                self._link.send(wire.Chunk(data=frame))
        self._link.send(wire.End(wait_until=bool(self._behind)))

    def _fail(self, error: BaseException) -> None:
        """Tell the host how the handler failed; a cancellation that the host asked for is no failure."""
        if self._abort is not None and isinstance(error, asyncio.CancelledError):
            return
        outcome = Outcome.EXCEPTION
        if isinstance(error, MemoryError):
            outcome = Outcome.EXCEEDED_MEMORY
            limits.release_reserve()
            traceback.clear_frames(error.__traceback__)  # they hold what filled the memory
        elif isinstance(error, InvalidResponse | WireError):  # the latter: a head that is larger than a head may be
            outcome = Outcome.INVALID_RESPONSE
        line, trace = _printable(_line(error)[:_TEXT]), _printable(_trace(error)[-_TEXT:])
        self._link.send(wire.Failure(outcome=outcome, message=line, trace=trace))

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


def to_response(result: Any) -> Response:
    """What a handler may return, as a Response. Raises InvalidResponse for anything else."""
    if isinstance(result, Response):
        return result
    if isinstance(result, dict | list):
        try:
            return Response(orjson.dumps(result), default_type="application/json")
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
            yield server_sent(chunk)
    except AIError as e:
        yield server_sent(e.body())
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
