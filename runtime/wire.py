"""Every message that crosses between host, zygote and isolate, and its framing.

A frame is `length (u32) · type (u8) · call (u32) · payload`, big-endian; `length` counts the payload alone. The payload
of a message that carries `data: bytes` is those bytes, of any other a JSON object of its fields. `call` names the AI
call or subrequest that a message belongs to, counted by the isolate from 1; 0 is the invocation itself.

    host → isolate     Invoke · Body… · BodyEnd            the request; as much body as BodyCredit allows
                       Credit                              so many more bytes of response body may be sent
                       Abort                               the client left, or time is up: cancel the handler
                       AIAccepted · AIResult | AIChunk… · AIEnd | AIFailed
                       FetchHead · FetchBody… · FetchEnd | FetchFailed
    isolate → host     Ready                               forked, loop made, waiting
                       Head · Chunk… · End                 the response; Failure instead, where the handler failed
                       BodyCredit                          so many more bytes of request body may be sent
                       AICall, AICancel, FetchCall · FetchData… · FetchSent, FetchCredit, FetchCancel
                       Log                                 a line that the function printed
                       Done                                wait_until work is over; the process ends
    host → zygote      Fork (+ one descriptor)             fork an isolate that speaks on this socket
    zygote → host      Loaded | LoadFailed                 once, after the import
                       Forked, Exited                      one isolate's life

Bodies move under credit, so a reader that does not read stops its writer and nothing else: WINDOW bytes are granted
from the start, more as they are consumed.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass, field, fields
from typing import Any, ClassVar

import orjson

from runtime.errors import WireError

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

_HEADER = struct.Struct("!IBI")
Headers = list[tuple[str, str]]


@dataclass(frozen=True, slots=True)
class Message:
    """One frame."""

    TYPE: ClassVar[int]
    LIMIT: ClassVar[int] = CHUNK
    """The most bytes of its payload: as few as will do, since the host has to take them from anyone."""


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
    def of(call: int, model: str | None, inputs: Any) -> AICall:
        """Raises TypeError where `inputs` is no JSON."""
        return AICall(call, orjson.dumps({"model": model, "inputs": inputs}))

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


@dataclass(frozen=True, slots=True)
class Fork(Message):
    TYPE: ClassVar[int] = 64
    isolate: int
    """The host's number for it, given back in Forked and Exited."""
    place: int
    """Names its temporary folder, and its user where isolates have one of their own."""


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


TO_ISOLATE: tuple[type[Message], ...] = (
    Invoke, Body, BodyEnd, Credit, Abort, AIAccepted, AIResult, AIChunk, AIEnd, AIFailed,
    FetchHead, FetchBody, FetchEnd, FetchFailed, FetchMore,
)  # fmt: skip
FROM_ISOLATE: tuple[type[Message], ...] = (
    Ready, Head, Chunk, End, BodyCredit, AICall, AICancel, Log, Failure, Done,
    FetchCall, FetchData, FetchSent, FetchCredit, FetchCancel,
)  # fmt: skip
TO_ZYGOTE: tuple[type[Message], ...] = (Fork,)
FROM_ZYGOTE: tuple[type[Message], ...] = (Confined, Loaded, LoadFailed, Forked, Exited)

_CHECKS: dict[str, tuple[type, ...]] = {
    "str": (str,), "int": (int,), "bool": (bool,), "str | None": (str, type(None)),
    "dict[str, Any]": (dict,), "dict[str, Any] | None": (dict, type(None)), "dict[str, str]": (dict,),
    "list[str]": (list,), "float | None": (int, float, type(None)), "Headers": (list,),
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class _Plan:
    """What is known of a message's type before any message comes."""

    kind: Any
    annotations: dict[str, str]
    """Of the fields that the payload's object has."""
    has_call: bool
    is_raw: bool


def _plan(kind: type[Message]) -> _Plan:
    annotations = {f.name: str(f.type) for f in fields(kind)}
    has_call = annotations.pop("call", None) is not None
    return _Plan(kind, annotations, has_call, "data" in annotations)


_PLANS = {kind: _plan(kind) for kind in TO_ISOLATE + FROM_ISOLATE + TO_ZYGOTE + FROM_ZYGOTE}


def encode(message: Message) -> bytes:
    """The frame of `message`. Raises WireError where it is too large, TypeError where a value is no JSON."""
    plan = _PLANS[type(message)]
    call = message.call if plan.has_call else 0  # type: ignore[attr-defined]
    if plan.is_raw:
        data: bytes = message.data  # type: ignore[attr-defined]
    elif plan.annotations:
        data = orjson.dumps({name: getattr(message, name) for name in plan.annotations})
    else:
        data = b""
    if len(data) > plan.kind.LIMIT:
        limit, size = plan.kind.LIMIT // 1024, len(data) // 1024
        raise WireError(f"{type(message).__name__}: a message may hold {limit} KB, got {size} KB")
    return _HEADER.pack(len(data), message.TYPE, call) + data


class Decoder:
    """Bytes in, messages out; one for each socket and direction.

    Everything is checked: a length over the limit, an unknown type, a payload that is not what its type says raise
    WireError, and the decoder is of no use after that.
    """

    def __init__(self, accept: tuple[type[Message], ...]) -> None:
        self._plans = {kind.TYPE: _PLANS[kind] for kind in accept}
        self._buffer = bytearray()
        self.awaited = 0
        """Bytes of the large AI call that is on its way, all of them."""
        self.toll_s = 0.0
        """CPU time that all frames so far have cost who made them, at the least."""

    def feed(self, data: bytes | bytearray | memoryview) -> list[Message]:
        """Every message that `data` completes, in order."""
        buffer = self._buffer
        buffer += data
        messages: list[Message] = []
        start = self.awaited = 0
        while len(buffer) - start >= _HEADER.size:
            length, number, call = _HEADER.unpack_from(buffer, start)
            plan = self._plans.get(number)
            if plan is None:
                raise WireError(f"unknown message type {number}")
            if length > plan.kind.LIMIT:
                most = plan.kind.LIMIT
                raise WireError(f"{plan.kind.__name__}: {length} bytes announced, at most {most} are allowed")
            end = start + _HEADER.size + length
            if len(buffer) < end:
                self.awaited = length if plan.is_raw and length > LARGE else 0
                break
            self.toll_s += FRAME_S if plan.is_raw else FRAME_S + length * TEXT_BYTE_S
            if length > LARGE:
                buffer = self._split(start + _HEADER.size, end)
                messages.append(_decode(plan, call, buffer))
                buffer, start = self._buffer, 0
                continue
            messages.append(_decode(plan, call, bytes(memoryview(buffer)[start + _HEADER.size : end])))
            start = end
        if start:
            del buffer[:start]
        return messages

    def _split(self, start: int, end: int) -> bytearray:
        """What the buffer has from `start` to `end`, not copied; it goes on behind that."""
        payload, self._buffer = self._buffer, self._buffer[end:]
        del payload[end:], payload[:start]
        return payload


def _decode(plan: _Plan, call: int, payload: bytes | bytearray) -> Message:
    name = plan.kind.__name__
    values: Any = {"data": payload} if plan.is_raw else {}
    if payload and not plan.is_raw:
        try:
            values = orjson.loads(payload)
        except orjson.JSONDecodeError as e:
            raise WireError(f"{name}: the payload is no JSON: {e}") from None
        if not isinstance(values, dict):
            raise WireError(f"{name}: the payload is no object")
        for key, value in values.items():
            _check(name, key, plan.annotations.get(key), value)
    if plan.has_call:
        values["call"] = call
    try:
        message: Message = plan.kind(**values)
    except TypeError as e:
        raise WireError(f"{name}: {e}") from None
    return message


def _check(kind: str, name: str, annotation: str | None, value: Any) -> None:
    if annotation is None:
        raise WireError(f"{kind}: unknown field {name!r}")
    ok = isinstance(value, _CHECKS[annotation])
    if annotation == "Headers":
        ok = ok and all(
            isinstance(h, list) and len(h) == 2 and isinstance(h[0], str) and isinstance(h[1], str) for h in value
        )
    elif annotation == "int":
        ok = ok and not isinstance(value, bool) and 0 <= value < 2**63
    if not ok:
        raise WireError(f"{kind}.{name}: must be {annotation}, got {type(value).__name__}")
