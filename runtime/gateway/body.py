"""A request's body as a JSON object: read with bounds that keep parsing it from stopping the event loop."""

from __future__ import annotations

import codecs
from typing import Any

from runtime.errors import InvalidRequest
from runtime.gateway import bulk
from runtime.gateway.exchange import Exchange


class ClientLeft(Exception):
    """Nobody is there any more to take the answer."""


async def read_object(exchange: Exchange) -> dict[str, Any]:
    """The JSON object that the body holds; of a key that comes twice, the last value, as everywhere.

    Raises InvalidRequest, ClientLeft.
    """
    kind = (exchange.header("content-type") or "application/json").split(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise InvalidRequest(f"content-type: must be application/json, got {kind[:80]!r}")
    coding = (exchange.header("content-encoding") or "identity").strip().lower()
    if coding != "identity":
        raise InvalidRequest(f"content-encoding: must be absent, as bodies are not unpacked here, got {coding[:80]!r}")
    data = await _read(exchange)
    if data.startswith(codecs.BOM_UTF8):
        del data[: len(codecs.BOM_UTF8)]  # no JSON, but some clients write files with it, and send those
    value = await bulk.parse(data)
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body must be a JSON object, got {type(value).__name__}")
    return value


async def _read(exchange: Exchange) -> bytearray:
    if (exchange.content_length or 0) > bulk.MAX_MB * 2**20:
        raise _too_large()
    data = bytearray()
    n_marks, more = 0, True
    while more:
        part = await exchange.read()
        if part is None:
            raise ClientLeft
        piece, more = part
        data += piece
        if len(data) > bulk.MAX_MB * 2**20:
            raise _too_large()
        n_marks += bulk.count_marks(piece)
        if n_marks > bulk.MAX_MARKS:
            raise bulk.too_many_marks()
    return data


def _too_large() -> bulk.TooLarge:
    return bulk.TooLarge(f"the body may hold {bulk.MAX_MB} MB, got more")
