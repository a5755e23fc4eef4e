"""JSON of many megabytes, parsed so that nothing else in this process waits for it for long.

A parser holds the interpreter's lock for as long as it runs, on whatever thread: 64 MB are 160 ms. What is honestly
large in a request are the data: URLs of images. They are taken out of the text first, in slices, and put back into what
the parser makes of the rest; that rest, and what parsing it costs, is bounded.
"""

from __future__ import annotations

import asyncio
import secrets
from typing import Any

import orjson

from runtime.errors import InvalidRequest

MAX_MB = 64
MAX_TEXT_MB = 8
"""Beside data: URLs. The longest context there is takes a tenth, escaped as \\uXXXX."""
MAX_MARKS = 200_000
"""Commas and opening brackets, those within texts included: what parsing costs. A text that fits a context has far
fewer; without the bound, 8 MB of `[],[],…` take a second and a gigabyte."""
INLINE = 64 * 1024
"""Bytes that are parsed where they are: a hop to another thread takes longer."""
SLICE = 2**20
_LONG = 64 * 1024
_MARKS = (b",", b"[", b"{")
_START = b'"data:'
_PLAIN = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/=-_.,;:%!'()*~@#$&? "
_ESCAPES = ((rb"\/", b"/"), (rb"\n", b"\n"), (rb"\r", b"\r"))


class TooLarge(InvalidRequest):
    """The body is over its limit."""

    status = 413
    default_code = "request_too_large"


async def parse(data: bytes | bytearray) -> Any:
    """The JSON value that `data` holds. Raises InvalidRequest."""
    if len(data) <= INLINE:
        return loads(data)
    return await asyncio.to_thread(loads, data)


def count_marks(data: bytes | bytearray) -> int:
    """What parsing `data` costs, to be held against MAX_MARKS."""
    return sum(map(data.count, _MARKS))


def too_many_marks() -> TooLarge:
    return TooLarge(f"the body may hold {MAX_MARKS} commas and opening brackets, got more")


def loads(data: bytes | bytearray) -> Any:
    """As `parse`; slow, for a thread."""
    cuts: list[str] = []
    name = ""
    if len(data) > _LONG:
        name = secrets.token_hex(16)
        data = _without_urls(data, name, cuts)
    if len(data) > MAX_TEXT_MB * 2**20:
        raise TooLarge(f"the body may hold {MAX_TEXT_MB} MB beside its data: URLs, got more")
    if count_marks(data) > MAX_MARKS:
        raise too_many_marks()
    try:
        # no option to let NaN, Infinity or lone surrogates through: they are no JSON
        value = orjson.loads(data)
    except orjson.JSONDecodeError as e:
        raise InvalidRequest(f"the body is no JSON: {e}") from None
    if cuts:
        _put_back(value, f"data:{name}", cuts)
    return value


def _without_urls(data: bytes | bytearray, name: str, cuts: list[str]) -> bytearray:
    """`data` with a short name in the place of each long data: URL; the URLs are appended to `cuts`."""
    rest = bytearray()
    done = at = 0
    while (at := data.find(_START, at)) >= 0:
        begin = at + 1
        at += len(_START)
        # within a text the quote is escaped; else a quote that "data:" follows begins a text
        if data[begin - 2 : begin - 1] == b"\\":
            continue
        end = data.find(b'"', at)
        is_key = data[end + 1 : end + 33].lstrip()[:1] == b":"
        url = _url(data, begin, end) if end - begin > _LONG and not is_key else None
        if url is not None:
            rest += memoryview(data)[done:begin]
            rest += b"data:%s%d" % (name.encode(), len(cuts))
            cuts.append(url)
            at = done = end
    if not cuts:
        return data if isinstance(data, bytearray) else bytearray(data)
    rest += memoryview(data)[done:]
    return rest


def _url(data: bytes | bytearray, begin: int, end: int) -> str | None:
    """The text in `data`, unescaped; None where it holds what a URL does not."""
    pieces: list[str] = []
    while begin < end:
        cut = min(begin + SLICE, end)
        if cut < end and data[cut - 1] == ord("\\"):
            cut += 1
        piece = bytes(data[begin:cut])
        if piece.translate(None, _PLAIN):
            for escape, char in _ESCAPES:
                piece = piece.replace(escape, char)
            if piece.translate(None, _PLAIN + b"\r\n"):
                return None
        pieces.append(piece.decode("ascii"))
        begin = cut
    return "".join(pieces)


def _put_back(value: Any, prefix: str, cuts: list[str]) -> None:
    left: list[Any] = [value]
    while left:
        item = left.pop()
        pairs = item.items() if isinstance(item, dict) else enumerate(item)
        for key, each in list(pairs):
            if isinstance(each, dict | list):
                left.append(each)
            elif isinstance(each, str) and each.startswith(prefix):
                item[key] = cuts[int(each[len(prefix) :])]
