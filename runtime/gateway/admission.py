"""How many invocations may run at once: the rest wait their turn in a bounded queue, or are shed."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any


class Full(Exception):
    """No place, and no room to wait for one."""


class Admission:
    """`size` places and a queue of `waiting`; first come, first served.

    Whoever has a place here takes one `within` another as well, a function's within the node's: so of those that wait
    there no function has more than it has places.
    """

    def __init__(self, size: int, waiting: int, within: Admission | None = None) -> None:
        self._size = size
        self._max_waiting = waiting
        self._within = within
        self._taken = 0
        self._queue: deque[asyncio.Future[None]] = deque()
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def taken(self) -> int:
        return self._taken

    @property
    def has_room(self) -> bool:
        """Who enters now need not wait."""
        is_free = self._taken < self._size and not self._queue
        return is_free and (self._within is None or self._within.has_room)

    async def enter_unless(self, gone: Callable[[], Coroutine[Any, Any, None]]) -> bool:
        """Take a place, if need be waiting for it until `gone` returns; whether there is one. Raises Full."""
        if self.has_room:
            await self.enter()
            return True
        entering, leaving = asyncio.ensure_future(self.enter()), asyncio.ensure_future(gone())
        try:
            await asyncio.wait((entering, leaving), return_when=asyncio.FIRST_COMPLETED)
            if not entering.done():
                return False
            entering.result()
            return True
        except asyncio.CancelledError:
            if entering.done() and entering.exception() is None:
                self.leave()
            raise
        finally:
            entering.cancel()
            leaving.cancel()
            await asyncio.gather(entering, leaving, return_exceptions=True)

    async def enter(self) -> None:
        """Take a place, waiting for it if need be. Raises Full."""
        await self._enter_here()
        if self._within is not None:
            try:
                await self._within.enter()
            except BaseException:
                self._leave_here()
                raise

    def leave(self) -> None:
        """Give the place back."""
        if self._within is not None:
            self._within.leave()
        self._leave_here()

    async def _enter_here(self) -> None:
        if self._taken < self._size and not self._queue:
            self._taken += 1
            self._idle.clear()
            return
        if len(self._queue) >= self._max_waiting:
            raise Full
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._queue.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self._leave_here()  # the place was given in the moment of the cancellation: pass it on
            else:
                self._queue.remove(turn)
            raise

    def _leave_here(self) -> None:
        """To the first that waits, if one does."""
        while self._queue:
            turn = self._queue.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._taken -= 1
        if not self._taken:
            self._idle.set()

    async def idle(self) -> None:
        """Wait until no place is taken."""
        await self._idle.wait()
