"""Messages as bytes: frames made of them, and taken apart again by who trusts nobody."""

from __future__ import annotations

import struct
from collections.abc import Callable
from dataclasses import dataclass, fields
from typing import Any

import orjson

from runtime.errors import WireError
from runtime.wire import from_isolate, from_zygote, to_isolate, to_zygote
from runtime.wire.frames import FRAME_S, LARGE, TEXT_BYTE_S, Message

_HEADER = struct.Struct("!IBI")
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


_PLANS = {kind: _plan(kind) for kind in to_isolate.ALL + from_isolate.ALL + to_zygote.ALL + from_zygote.ALL}


def encode(message: Message, dumps: Callable[[Any], bytes] = orjson.dumps) -> bytes:
    """The frame of `message`. Raises WireError where it is too large, TypeError where a value is no JSON."""
    plan = _PLANS[type(message)]
    call = message.call if plan.has_call else 0  # type: ignore[attr-defined]
    if plan.is_raw:
        data: bytes = message.data  # type: ignore[attr-defined]
    elif plan.annotations:
        data = dumps({name: getattr(message, name) for name in plan.annotations})
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

    def __init__(
        self, accept: tuple[type[Message], ...], loads: Callable[[bytes | bytearray], Any] = orjson.loads
    ) -> None:
        """`loads` reads JSON, and raises ValueError for what is none."""
        self._loads = loads
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
                messages.append(self._decode(plan, call, buffer))
                buffer, start = self._buffer, 0
                continue
            messages.append(self._decode(plan, call, bytes(memoryview(buffer)[start + _HEADER.size : end])))
            start = end
        if start:
            del buffer[:start]
        return messages

    def _split(self, start: int, end: int) -> bytearray:
        """What the buffer has from `start` to `end`, not copied; it goes on behind that."""
        payload, self._buffer = self._buffer, self._buffer[end:]
        del payload[end:], payload[:start]
        return payload

    def _decode(self, plan: _Plan, call: int, payload: bytes | bytearray) -> Message:
        name = plan.kind.__name__
        values: Any = {"data": payload} if plan.is_raw else {}
        if payload and not plan.is_raw:
            try:
                values = self._loads(payload)
            except ValueError as e:
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
