"""JSON, made and read by a process whose memory is limited.

orjson checks none of its allocations: where memory runs out in it, the process dies of SIGSEGV. So it is used where
there surely is room for the most that it can take, and the standard library elsewhere, which raises MemoryError. The
two read and write the same, but that the latter takes numbers of any size and makes strings of numbers that are keys.
"""

from __future__ import annotations

import dataclasses
import enum
import json
import marshal
import math
import mmap
import resource
from typing import Any

import orjson

_ROOM = 128 * 1024
"""Bytes that either takes for itself."""
_FLAT = frozenset((int, float, bool, type(None)))
_FLAT_SIZE = 32
_CHARACTER, _QUOTES = 8, 34
"""orjson wants 8 bytes free for each character of a string that it is about to write, and 32 more; a comma."""
_COPIED = 32 * 2**20
"""The largest block that the C library may copy to make it larger."""
_MOST_READ = 170
"""Of `{},` a byte."""
_LOOKED_AT = 1000
"""Values that are looked at one by one."""
_OTHER = 256
"""More than a date, a time or a UUID."""


def dumps(value: Any) -> bytes:
    """`value` as JSON; what has none of the numbers is null. Raises TypeError where it is no JSON, MemoryError."""
    most = _written(value, _limit() // 2)
    if _has_room(2 * most + min(most, _COPIED) + _ROOM):
        return orjson.dumps(value)
    try:
        return _encode(value).encode()
    except RecursionError:
        raise TypeError("Recursion limit reached") from None
    except ValueError as e:  # a circle, or half a surrogate pair
        raise TypeError(str(e)) from None


def loads(data: bytes | bytearray) -> Any:
    """Raises json.JSONDecodeError, a ValueError, where `data` is no JSON, and MemoryError."""
    if _has_room(_MOST_READ * len(data) + _ROOM) or _has_room(_read(data) + _ROOM):
        return orjson.loads(data)
    try:
        return json.loads(str(data, "utf-8"), parse_constant=_refuse)
    except RecursionError:
        raise json.JSONDecodeError("Recursion limit reached", "", 0) from None
    except UnicodeDecodeError:
        raise json.JSONDecodeError("str is not valid UTF-8", "", 0) from None


def _limit() -> int:
    """Bytes of memory that this process may have."""
    soft, _ = resource.getrlimit(resource.RLIMIT_DATA)
    return 2**62 if soft == resource.RLIM_INFINITY else soft


def _has_room(size: int) -> bool:
    """Whether so many bytes could be had now. They are not touched, and given back at once."""
    try:
        mmap.mmap(-1, size, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS).close()
    except (OSError, ValueError, OverflowError):
        return False
    return True


def _written(value: Any, enough: int) -> int:
    """The most bytes that orjson may want for `value` as text; it is not looked at further once that is `enough`."""
    total, rest, seen = 0, [value], 0
    while rest and total < enough:
        each = rest.pop()
        kind = type(each)
        if kind is str:
            total += _CHARACTER * len(each) + _QUOTES
        elif kind in _FLAT:
            total += _FLAT_SIZE
        elif kind is list or kind is tuple:
            total += _elements(each, rest)
        elif isinstance(each, dict):
            total += _members(each, rest)
        else:
            total += _other(each, rest)
        seen += 1
        if seen == _LOOKED_AT:
            return total + _marshalled(rest, enough)
    return total


def _marshalled(values: list[Any], enough: int) -> int:
    """Of many: marshal writes them out as JSON does, at the least an eighth of what orjson may want, and in C."""
    try:
        return _CHARACTER * len(marshal.dumps(values, 2))
    except (ValueError, MemoryError):  # it does not know them all
        return enough


def _elements(values: list[Any] | tuple[Any, ...], rest: list[Any]) -> int:
    kinds = set(map(type, values))
    if kinds <= _FLAT:
        return _FLAT_SIZE * (len(values) + 1)
    if kinds == {str}:
        return _CHARACTER * sum(map(len, values)) + _QUOTES * (len(values) + 1)
    rest.extend(values)
    return len(values) + 2


def _members(value: dict[Any, Any], rest: list[Any]) -> int:
    rest.extend(dict.values(value))
    try:
        return _CHARACTER * sum(map(len, dict.keys(value))) + _QUOTES * len(value) + 2
    except TypeError:  # a key that is no str: it is no JSON
        return _OTHER


def _other(value: Any, rest: list[Any]) -> int:
    """Of those types that are rare."""
    if isinstance(value, str):
        return _CHARACTER * len(value) + _QUOTES
    if isinstance(value, list):
        return _elements(value, rest)
    if isinstance(value, enum.Enum):
        rest.append(value.value)
    elif dataclasses.is_dataclass(value) and not isinstance(value, type):
        return _members(_fields(value), rest)
    return _OTHER


def _fields(value: Any) -> dict[str, Any]:
    """Of a dataclass."""
    own: dict[str, Any] | None = getattr(value, "__dict__", None)
    return {field.name: getattr(value, field.name, None) for field in dataclasses.fields(value)} if own is None else own


def _read(data: bytes | bytearray) -> int:
    """The most bytes that orjson may want for `data` and what is read from it."""
    counts = zip((b"{", b"[", b",", b'"'), (320, 96, 128, 32), strict=True)
    return 17 * len(data) + sum(data.count(sign) * size for sign, size in counts)


def _refuse(name: str) -> Any:
    raise json.JSONDecodeError(f"{name} is no JSON", "", 0)


def _encode(value: Any) -> str:
    try:
        return _ENCODER.encode(value)
    except ValueError as e:
        if not str(e).startswith("Out of range"):
            raise
    return _ENCODER.encode(_finite(value))


def _finite(value: Any) -> Any:
    """`value` with null for what has no JSON among its numbers."""
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, dict):
        return {key: _finite(each) for key, each in value.items()}
    return [_finite(each) for each in value] if isinstance(value, list | tuple) else value


def _default(value: Any) -> Any:
    """What orjson writes of those types that the standard library does not know."""
    if isinstance(value, enum.Enum):
        return value.value
    if dataclasses.is_dataclass(value) and not isinstance(value, type):
        return {name: each for name, each in _fields(value).items() if not name.startswith("_")}
    return json.loads(orjson.dumps(value))


_ENCODER = json.JSONEncoder(ensure_ascii=False, allow_nan=False, separators=(",", ":"), default=_default)
