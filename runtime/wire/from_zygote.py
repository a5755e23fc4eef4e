"""What a zygote says to its host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import ClassVar

from runtime.wire.frames import TEXT_LIMIT, Message


@dataclass(frozen=True, slots=True)
class Confined(Message):
    """Sent before the module is imported, and with it the descriptor at which the kernel asks about threads."""

    TYPE: ClassVar[int] = 69


@dataclass(frozen=True, slots=True)
class Loaded(Message):
    TYPE: ClassVar[int] = 65
    LIMIT: ClassVar[int] = TEXT_LIMIT
    handlers: list[str]
    warnings: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class LoadFailed(Message):
    TYPE: ClassVar[int] = 66
    LIMIT: ClassVar[int] = TEXT_LIMIT
    message: str
    trace: str


@dataclass(frozen=True, slots=True)
class Forked(Message):
    TYPE: ClassVar[int] = 67
    isolate: int
    pid: int


@dataclass(frozen=True, slots=True)
class Exited(Message):
    """`status` is waitpid's; CPU in milliseconds, memory as the peak resident size in KiB."""

    TYPE: ClassVar[int] = 68
    isolate: int
    pid: int
    status: int
    cpu_ms: int
    max_rss_kb: int


ALL: tuple[type[Message], ...] = (
    Confined, Loaded, LoadFailed, Forked, Exited,
)  # fmt: skip
