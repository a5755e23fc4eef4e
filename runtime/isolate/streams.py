"""Bodies and calls that cross the wire: credit, inboxes, and the streams that a handler reads."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from typing import Any

from runtime.errors import AIError
from runtime.wire import frames, to_isolate

FRAMES = 256
"""Frames of a body that may be under way: many tiny ones cost the host more than their bytes."""


class Window:
    """What of an outgoing body may be sent, by the credit that the other side grants."""

    def __init__(self) -> None:
        self._room = frames.WINDOW
        self._frames: deque[int] = deque()
        self._more = asyncio.Event()

    def grant(self, size: int) -> None:
        self._room += size
        while self._frames and size >= self._frames[0]:
            size -= self._frames.popleft()
        if self._frames:
            self._frames[0] -= size
        self._more.set()

    async def take(self, size: int) -> None:
        """Wait until a frame of `size` bytes may be sent, and count it as sent."""
        while self._room < size or len(self._frames) >= FRAMES:
            self._more.clear()
            await self._more.wait()
        self._room -= size
        self._frames.append(size)


def cut(data: bytes) -> list[bytes]:
    """`data` in frames' sizes."""
    if len(data) <= frames.CHUNK:
        return [data] if data else []
    return [data[i : i + frames.CHUNK] for i in range(0, len(data), frames.CHUNK)]


_LINE_ENDS = tuple((char.encode(), b"\\u%04x" % ord(char)) for char in "\x85\u2028\u2029")


def server_sent(data: bytes) -> bytes:
    """A JSON text as one event of a stream.

    Line ends of Unicode are escaped: no line ends of server-sent events, but many clients split there (httpx does).
    """
    for char, escape in _LINE_ENDS:
        data = data.replace(char, escape)
    return b"data: " + data + b"\n\n"


class IncomingBody:
    """A body that arrives under credit; what is read is granted again. An async iterator of bytes."""

    def __init__(self, grant: Callable[[int], None]) -> None:
        self._grant = grant
        self._pieces: deque[bytes] = deque()
        self._news = asyncio.Event()
        self._is_complete = False
        self._error: BaseException | None = None

    def feed(self, data: bytes) -> None:
        self._pieces.append(data)
        self._news.set()

    def finish(self, error: BaseException | None = None) -> None:
        self._is_complete, self._error = True, error
        self._news.set()

    def __aiter__(self) -> AsyncIterator[bytes]:
        return self

    async def __anext__(self) -> bytes:
        while not self._pieces:
            if self._error is not None:
                raise self._error
            if self._is_complete:
                raise StopAsyncIteration
            self._news.clear()
            await self._news.wait()
        piece = self._pieces.popleft()
        self._grant(len(piece))
        return piece


_OPTIONAL = frozenset(("content", "function", "id", "name", "role", "tool_calls", "type", "usage"))
"""Fields that some chunks and messages of the contract leave out."""


class Record(dict[str, Any]):
    """A dict whose items are also attributes; one that the contract lets be absent is None then, as clients give it."""

    __slots__ = ()

    def __getattr__(self, name: str) -> Any:
        try:
            return self[name]
        except KeyError:
            if name in _OPTIONAL:
                return None
            raise AttributeError(f"no field {name!r}; it has {', '.join(self)}") from None


def record(value: Any) -> Any:
    """`value` with every dict in it a Record."""
    if isinstance(value, dict):
        return Record({key: record(item) for key, item in value.items()})
    if isinstance(value, list):
        return [record(item) for item in value]
    return value


class ModelStream:
    """The chunks of a streaming AI call; leaving it early cancels the generation."""

    def __init__(self, inbox: asyncio.Queue[frames.Message], close: Callable[[bool], None]) -> None:
        self._inbox = inbox
        self._close = close
        self._is_over = False

    def __aiter__(self) -> AsyncIterator[Any]:
        return self

    async def __anext__(self) -> Any:
        if self._is_over:
            raise StopAsyncIteration
        message = await self._inbox.get()
        if isinstance(message, to_isolate.AIChunk):
            return record(message.value)
        self._end(is_canceled=False)
        if isinstance(message, to_isolate.AIFailed):
            raise AIError.from_wire(message.error)
        raise StopAsyncIteration

    async def aclose(self) -> None:
        self._end(is_canceled=True)

    def _end(self, *, is_canceled: bool) -> None:
        if not self._is_over:
            self._is_over = True
            self._close(is_canceled)
