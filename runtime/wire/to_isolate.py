"""What the host says to an isolate."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from runtime.wire.frames import FRAME_LIMIT, TEXT_LIMIT, Headers, Message


@dataclass(frozen=True, slots=True)
class Invoke(Message):
    """Run one invocation: the request's head and everything that the handler is given."""

    TYPE: ClassVar[int] = 1
    LIMIT: ClassVar[int] = FRAME_LIMIT
    handler: str
    """`fetch` or `scheduled`."""
    method: str
    url: str
    headers: Headers
    metadata: dict[str, Any]
    env: dict[str, str]
    args: dict[str, Any]
    limits: dict[str, Any]
    event: dict[str, Any] | None = None
    """What `scheduled` is given: `cron`, `scheduled_time`."""


@dataclass(frozen=True, slots=True)
class Body(Message):
    TYPE: ClassVar[int] = 2
    data: bytes


@dataclass(frozen=True, slots=True)
class BodyEnd(Message):
    TYPE: ClassVar[int] = 3


@dataclass(frozen=True, slots=True)
class Credit(Message):
    TYPE: ClassVar[int] = 4
    size: int


@dataclass(frozen=True, slots=True)
class Abort(Message):
    TYPE: ClassVar[int] = 5
    reason: str = "canceled"


@dataclass(frozen=True, slots=True)
class AIAccepted(Message):
    """A streaming call was accepted; chunks follow."""

    TYPE: ClassVar[int] = 6
    call: int


@dataclass(frozen=True, slots=True)
class AIResult(Message):
    TYPE: ClassVar[int] = 7
    LIMIT: ClassVar[int] = FRAME_LIMIT
    call: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AIChunk(Message):
    TYPE: ClassVar[int] = 8
    LIMIT: ClassVar[int] = FRAME_LIMIT
    call: int
    value: dict[str, Any]


@dataclass(frozen=True, slots=True)
class AIEnd(Message):
    TYPE: ClassVar[int] = 9
    call: int


@dataclass(frozen=True, slots=True)
class AIFailed(Message):
    """`error` is `AIError.to_wire`."""

    TYPE: ClassVar[int] = 10
    LIMIT: ClassVar[int] = TEXT_LIMIT
    call: int
    error: dict[str, Any]


@dataclass(frozen=True, slots=True)
class FetchHead(Message):
    TYPE: ClassVar[int] = 11
    LIMIT: ClassVar[int] = TEXT_LIMIT
    call: int
    status: int
    headers: Headers
    url: str


@dataclass(frozen=True, slots=True)
class FetchBody(Message):
    TYPE: ClassVar[int] = 12
    call: int
    data: bytes


@dataclass(frozen=True, slots=True)
class FetchEnd(Message):
    TYPE: ClassVar[int] = 13
    call: int


@dataclass(frozen=True, slots=True)
class FetchFailed(Message):
    TYPE: ClassVar[int] = 14
    LIMIT: ClassVar[int] = TEXT_LIMIT
    call: int
    message: str


@dataclass(frozen=True, slots=True)
class FetchMore(Message):
    """So many more bytes of the subrequest's body may be sent."""

    TYPE: ClassVar[int] = 15
    call: int
    size: int


ALL: tuple[type[Message], ...] = (
    Invoke, Body, BodyEnd, Credit, Abort, AIAccepted, AIResult, AIChunk, AIEnd, AIFailed,
    FetchHead, FetchBody, FetchEnd, FetchFailed, FetchMore,
)  # fmt: skip
