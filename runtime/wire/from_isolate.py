"""What an isolate says to its host."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, ClassVar

from runtime.errors import WireError
from runtime.wire.frames import FRAME_LIMIT, HEAD_LIMIT, TEXT_LIMIT, Headers, Message


@dataclass(frozen=True, slots=True)
class Ready(Message):
    TYPE: ClassVar[int] = 32


@dataclass(frozen=True, slots=True)
class Head(Message):
    """The response's head."""

    TYPE: ClassVar[int] = 33
    LIMIT: ClassVar[int] = HEAD_LIMIT
    status: int
    headers: Headers


@dataclass(frozen=True, slots=True)
class Chunk(Message):
    TYPE: ClassVar[int] = 34
    data: bytes


@dataclass(frozen=True, slots=True)
class End(Message):
    """The response is complete; `wait_until` tells whether work goes on behind it."""

    TYPE: ClassVar[int] = 35
    wait_until: bool = False


@dataclass(frozen=True, slots=True)
class BodyCredit(Message):
    TYPE: ClassVar[int] = 36
    size: int


@dataclass(frozen=True, slots=True)
class AICall(Message):
    """`data` is a JSON object of `model` and `inputs`: megabytes at times, so the host parses it off its loop."""

    TYPE: ClassVar[int] = 37
    LIMIT: ClassVar[int] = FRAME_LIMIT
    call: int
    data: bytes | bytearray

    @staticmethod
    def read(value: Any) -> tuple[str | None, dict[str, Any]]:
        """Model and inputs of `data` as parsed. Raises WireError."""
        match value:
            case {"model": str() | None as model, "inputs": dict(inputs)} if len(value) == 2:
                return model, inputs
        raise WireError("AICall: the payload must be an object of model and inputs")


@dataclass(frozen=True, slots=True)
class AICancel(Message):
    TYPE: ClassVar[int] = 38
    call: int


@dataclass(frozen=True, slots=True)
class Log(Message):
    """One or more lines that the function wrote; `level` is a name of `logging`, in lower case."""

    TYPE: ClassVar[int] = 39
    LIMIT: ClassVar[int] = TEXT_LIMIT
    level: str
    text: str


@dataclass(frozen=True, slots=True)
class Failure(Message):
    """The handler failed; `outcome` is one of `runtime.errors.Outcome`, `trace` is for the log."""

    TYPE: ClassVar[int] = 40
    LIMIT: ClassVar[int] = TEXT_LIMIT
    outcome: str
    message: str
    trace: str = ""


@dataclass(frozen=True, slots=True)
class Done(Message):
    TYPE: ClassVar[int] = 41


@dataclass(frozen=True, slots=True)
class FetchCall(Message):
    """A subrequest's head; FetchData and FetchSent follow where `has_body`."""

    TYPE: ClassVar[int] = 42
    LIMIT: ClassVar[int] = HEAD_LIMIT
    call: int
    method: str
    url: str
    headers: Headers
    has_body: bool
    redirect: str = "follow"
    """`follow`, `manual` or `error`."""
    timeout_s: float | None = None


@dataclass(frozen=True, slots=True)
class FetchData(Message):
    TYPE: ClassVar[int] = 43
    call: int
    data: bytes


@dataclass(frozen=True, slots=True)
class FetchSent(Message):
    TYPE: ClassVar[int] = 44
    call: int


@dataclass(frozen=True, slots=True)
class FetchCredit(Message):
    """So many more bytes of the subrequest's response may be sent."""

    TYPE: ClassVar[int] = 45
    call: int
    size: int


@dataclass(frozen=True, slots=True)
class FetchCancel(Message):
    TYPE: ClassVar[int] = 46
    call: int


ALL: tuple[type[Message], ...] = (
    Ready, Head, Chunk, End, BodyCredit, AICall, AICancel, Log, Failure, Done,
    FetchCall, FetchData, FetchSent, FetchCredit, FetchCancel,
)  # fmt: skip
