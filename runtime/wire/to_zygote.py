"""What the host says to a zygote."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from runtime.wire.frames import Message


@dataclass(frozen=True, slots=True)
class Fork(Message):
    TYPE: ClassVar[int] = 64
    isolate: int
    """The host's number for it, given back in Forked and Exited."""
    place: int
    """Names its temporary folder, and its user where isolates have one of their own."""


ALL: tuple[type[Message], ...] = (
    Fork,
)  # fmt: skip
