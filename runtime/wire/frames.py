"""What a frame may hold: the sizes that both sides keep to, and the base of all messages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

WINDOW = 256 * 1024
"""Bytes of a body that may be under way before its reader grants more."""
CHUNK = 64 * 1024
"""The most bytes of a body that one frame carries."""
FRAME_LIMIT = 64 * 1024 * 1024
"""The most bytes of any payload: an AI call may carry images as data URLs."""
TEXT_LIMIT = 1024 * 1024
"""The most bytes of a payload that the host reads itself: a log line, a failure."""
HEAD_LIMIT = 64 * 1024
"""The most bytes of a head's payload, a response's or a subrequest's: its reader takes all of it in one turn."""
FRAME_S, TEXT_BYTE_S = 5e-6, 0.5e-9
"""CPU time that a frame, and a byte of JSON in it, cost who makes them by this package's own means, at the least."""
LARGE = 256 * 1024
"""Bytes from which on a payload is large: it is not copied once more, which takes 60 ms, and waits for room."""

Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Message:
    """One frame."""

    TYPE: ClassVar[int]
    LIMIT: ClassVar[int] = CHUNK
    """The most bytes of its payload: as few as will do, since the host has to take them from anyone."""
