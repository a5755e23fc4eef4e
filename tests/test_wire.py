"""The wire: what is encoded comes back, however the bytes are cut, and nothing else is taken for a message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime import wire
from runtime.errors import WireError

MESSAGES: list[wire.Message] = [
    wire.Ready(),
    wire.Head(status=200, headers=[["content-type", "text/plain"]]),  # type: ignore[list-item]
    wire.Chunk(data=b"\x00\xff" * 1000),
    wire.End(wait_until=True),
    wire.AICall.of(7, None, {"messages": [{"role": "user", "content": "é"}]}),
    wire.AICancel(call=7),
    wire.Log(level="info", text="hello\n"),
    wire.FetchData(call=2**32 - 1, data=b""),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.integers(1, 40))
def test_messages_survive_any_cut_of_the_bytes(messages: list[wire.Message], size: int) -> None:
    data = b"".join(wire.encode(m) for m in messages)
    decoder = wire.Decoder(wire.FROM_ISOLATE)
    got = [m for i in range(0, len(data), size) for m in decoder.feed(data[i : i + size])]
    assert got == messages


def test_every_type_number_is_used_once() -> None:
    kinds = wire.TO_ISOLATE + wire.FROM_ISOLATE + wire.TO_ZYGOTE + wire.FROM_ZYGOTE
    assert len({k.TYPE for k in kinds}) == len(kinds) == len({k.__name__ for k in wire.Message.__subclasses__()})


@pytest.mark.parametrize(
    ("data", "says"),
    [
        (struct.pack("!IBI", 2**30, 34, 0), "1073741824 bytes announced"),
        (struct.pack("!IBI", 0, 200, 0), "unknown message type 200"),
        (struct.pack("!IBI", 0, 1, 0), "unknown message type 1"),
        (struct.pack("!IBI", 3, 33, 0) + b"{]}", "Head: the payload is no JSON"),
        (struct.pack("!IBI", 2, 33, 0) + b"[]", "Head: the payload is no object"),
        (struct.pack("!IBI", 2, 33, 0) + b"{}", "missing"),
        (struct.pack("!IBI", 14, 33, 0) + b'{"status":"x"}', "Head.status: must be int, got str"),
        (struct.pack("!IBI", 15, 33, 0) + b'{"status":true}', "Head.status: must be int, got bool"),
        (struct.pack("!IBI", 9, 33, 0) + b'{"bad":1}', "unknown field 'bad'"),
        (struct.pack("!IBI", 26, 33, 0) + b'{"status":1,"headers":[1]}', "Head.headers: must be Headers"),
        (struct.pack("!IBI", 10, 42, 1) + b'{"call":4}', "unknown field 'call'"),
    ],
)
def test_what_is_no_message_is_refused(data: bytes, says: str) -> None:
    with pytest.raises(WireError, match=says.replace("[", r"\[")):
        wire.Decoder(wire.FROM_ISOLATE).feed(data)


@pytest.mark.parametrize("value", [3, {}, {"model": 3, "inputs": {}}, {"model": None, "inputs": []}, {"inputs": {}}])
def test_what_is_no_ai_call_is_refused(value: object) -> None:
    with pytest.raises(WireError, match="must be an object of model and inputs"):
        wire.AICall.read(value)
    with pytest.raises(WireError):
        wire.AICall.read({"model": None, "inputs": {}, "call": 4})
    assert wire.AICall.read({"model": "x", "inputs": {"a": 1}}) == ("x", {"a": 1})


def test_a_message_over_the_limit_is_not_encoded() -> None:
    with pytest.raises(WireError, match="a message may hold 64 KB"):
        wire.encode(wire.Chunk(data=bytes(wire.CHUNK + 1)))
    with pytest.raises(WireError, match="a message may hold 65536 KB"):
        wire.encode(wire.AICall.of(1, None, {"x": "x" * wire.FRAME_LIMIT}))


def test_of_a_large_call_on_its_way_the_size_is_known() -> None:
    call = wire.encode(wire.AICall(1, bytes(wire.LARGE + 1)))
    line = wire.encode(wire.Log(level="info", text="x" * (wire.LARGE + 1)))  # its reader has it at once
    decoder = wire.Decoder(wire.FROM_ISOLATE)
    assert decoder.feed(line[:-1]) == []
    assert decoder.awaited == 0
    assert len(decoder.feed(line[-1:] + call[:20])) == 1
    assert decoder.awaited == wire.LARGE + 1
    assert decoder.feed(call[20:] + call[:5]) == [wire.AICall(1, bytes(wire.LARGE + 1))]
    assert decoder.awaited == 0
