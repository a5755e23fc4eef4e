"""Large messages come as there is room for them: an AI call with pictures is tens of megabytes of the host's memory."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable

from runtime.wire import frames

DEADLINE_S = 30.0
"""How long a large message may take to arrive once there is room for it."""


class Room:
    """Of one function: the bytes of large messages that the host holds for it at once. Who finds too few waits."""

    def __init__(self, size: int = 4 * frames.FRAME_LIMIT) -> None:
        self._left = size
        self._waiting: deque[tuple[int, Callable[[], None]]] = deque()

    def take(self, size: int, call: Callable[[], None]) -> bool:
        """Whether there is room; else `call` is called once there is, and has been taken."""
        if self._waiting or size > self._left:
            self._waiting.append((size, call))
            return False
        self._left -= size
        return True

    def give(self, size: int) -> None:
        self._left += size
        while self._waiting and self._waiting[0][0] <= self._left:
            size, call = self._waiting.popleft()
            self._left -= size
            call()

    def forget(self, call: Callable[[], None]) -> None:
        """Who waits no more."""
        self._waiting = deque(each for each in self._waiting if each[1] != call)
        self.give(0)


class Claim:
    """One isolate's part of the room. `on_room` is told when it need not wait any more, `on_late` that it took long."""

    def __init__(self, room: Room, *, on_room: Callable[[], None], on_late: Callable[[], None]) -> None:
        self.is_waiting = False
        self._is_closed = False
        self._room = room
        self._on_room = on_room
        self._on_late = on_late
        self._expected = self._held = 0
        """Bytes of the message on its way, and of those that have come and are not let go."""
        self._late: asyncio.TimerHandle | None = None

    def expect(self, size: int) -> None:
        """A message of so many bytes is on its way; nothing is done where that is known."""
        if size and not self._expected and not self._is_closed:
            self._expected = size
            if self._room.take(size, self._has_room):
                self._begin()
            else:
                self.is_waiting = True

    def has_come(self) -> None:
        """All of it."""
        self._held, self._expected = self._held + self._expected, 0
        self._cancel()

    def let_go(self, size: int) -> None:
        """Of those that have come, one of so many bytes is held no more; small ones were not counted."""
        if frames.LARGE < size <= self._held:
            self._held -= size
            self._room.give(size)

    def close(self) -> None:
        """Its isolate is gone."""
        self._is_closed = True
        self._cancel()
        if self.is_waiting:
            self.is_waiting, self._expected = False, 0
            self._room.forget(self._has_room)
            self._on_room()
        left, self._expected, self._held = self._expected + self._held, 0, 0
        self._room.give(left)

    def _has_room(self) -> None:
        self.is_waiting = False
        self._begin()
        self._on_room()

    def _begin(self) -> None:
        self._late = asyncio.get_running_loop().call_later(DEADLINE_S, self._on_late)

    def _cancel(self) -> None:
        if self._late is not None:
            self._late.cancel()
