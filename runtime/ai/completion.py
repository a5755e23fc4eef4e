"""One answer on its way: events cross from the engine's thread into asyncio, and leave as a result or as chunks."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from typing import Any

from runtime.ai.response import Answer
from runtime.engine.request import Event, Failed, Ticket
from runtime.errors import AIError, EngineError

AT_ONCE = 2
"""Events of one answer that are shaped in a turn of the loop, where many answers may be; logprobs take 0.2 ms."""


class Feed:
    """Events of one request, from the engine's thread to one task.

    What is done for a token here and behind it takes time from the next one: it is computed on the same cores."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._events: list[Event] = []
        self._reader: asyncio.Future[None] | None = None
        """What the task that reads has waited for last."""

    def sink(self, events: list[Event]) -> None:
        """For the engine's thread: one hop into the loop, however many events."""
        try:
            self._loop.call_soon_threadsafe(self.put, events)
        except RuntimeError:  # the loop has closed: nobody is left to tell
            return

    def put(self, events: list[Event]) -> None:
        """For the loop's own thread."""
        self._events += events
        if self._reader is not None and not self._reader.done():
            self._reader.set_result(None)

    async def first(self) -> Event:
        """The next event, left where it is."""
        await self._wait()
        return self._events[0]

    async def take(self) -> list[Event]:
        """All events there are, at least one."""
        await self._wait()
        events, self._events = self._events, []
        return events

    async def _wait(self) -> None:
        while not self._events:
            self._reader = self._loop.create_future()
            await self._reader


class Completion:
    """An accepted request. Read `result` or `chunks` once; `aclose` ends whatever still runs."""

    def __init__(
        self,
        answer: Answer,
        ticket: Ticket,
        feed: Feed,
        *,
        is_stream: bool,
        stand_in: str | None,
        on_close: Callable[[Completion], None],
    ) -> None:
        self.is_stream = is_stream
        self.stand_in = stand_in
        """The id of the model that answers in place of the one asked for."""
        self._answer = answer
        self._ticket = ticket
        self._feed = feed
        self._on_close = on_close
        self._is_closed = False

    async def started(self) -> None:
        """Wait for the first token, or raise what prevents it."""
        first = await self._feed.first()
        if isinstance(first, Failed):
            raise first.error

    async def result(self) -> dict[str, Any]:
        """The whole answer, for orjson: parts of it may be JSON already."""
        try:
            while not self._answer.is_finished:
                for number, event in enumerate(await self._feed.take(), 1):
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)  # who waited for the loop finds many, and others have their turn
                    self._answer.take(event)
            return self._answer.result()
        finally:
            await self.aclose()

    async def chunks(self) -> AsyncIterator[dict[str, Any]]:
        """The answer as it is generated."""
        try:
            for chunk in self._answer.opening():
                yield chunk
            while not self._answer.is_finished:
                for number, event in enumerate(await self._feed.take(), 1):
                    if number % AT_ONCE == 0:
                        await asyncio.sleep(0)  # a reader that was slow finds many, and others have their turn
                    for chunk in self._answer.take(event):
                        yield chunk
            for chunk in self._answer.closing():
                yield chunk
        finally:
            await self.aclose()

    def fail(self, error: AIError) -> None:
        """Whoever waits for this answer gets `error`."""
        self._feed.put([Failed(error)])

    async def aclose(self) -> None:
        """Cancel what still runs; any number of times."""
        if not self._is_closed:
            self._is_closed = True
            self._ticket.cancel()
            self._feed.put(
                [Failed(EngineError("the answer was closed before its end"))]
            )  # for a reader in another task
            self._on_close(self)
