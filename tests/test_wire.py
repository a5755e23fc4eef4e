"""The wire: what is encoded comes back, however the bytes are cut, and nothing else is taken for a message."""

from __future__ import annotations

import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.errors import WireError
from runtime.wire import frames, framing, from_isolate, from_zygote, to_isolate, to_zygote

MESSAGES: list[frames.Message] = [
    from_isolate.Ready(),
    from_isolate.Head(status=200, headers=[["content-type", "text/plain"]]),  # type: ignore[list-item]
    from_isolate.Chunk(data=b"\x00\xff" * 1000),
    from_isolate.End(wait_until=True),
    from_isolate.AICall(call=7, data='{"model":null,"inputs":{"content":"é"}}'.encode()),
    from_isolate.AICancel(call=7),
    from_isolate.Log(level="info", text="hello\n"),
    from_isolate.FetchData(call=2**32 - 1, data=b""),
]


@given(st.lists(st.sampled_from(MESSAGES), max_size=6), st.integers(1, 40))
def test_messages_survive_any_cut_of_the_bytes(messages: list[frames.Message], size: int) -> None:
    data = b"".join(framing.encode(m) for m in messages)
    decoder = framing.Decoder(from_isolate.ALL)
    got = [m for i in range(0, len(data), size) for m in decoder.feed(data[i : i + size])]
    assert got == messages


def test_every_type_number_is_used_once() -> None:
    kinds = to_isolate.ALL + from_isolate.ALL + to_zygote.ALL + from_zygote.ALL
    assert len({k.TYPE for k in kinds}) == len(kinds) == len({k.__name__ for k in frames.Message.__subclasses__()})


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
        framing.Decoder(from_isolate.ALL).feed(data)


@pytest.mark.parametrize("value", [3, {}, {"model": 3, "inputs": {}}, {"model": None, "inputs": []}, {"inputs": {}}])
def test_what_is_no_ai_call_is_refused(value: object) -> None:
    with pytest.raises(WireError, match="must be an object of model and inputs"):
        from_isolate.AICall.read(value)
    with pytest.raises(WireError):
        from_isolate.AICall.read({"model": None, "inputs": {}, "call": 4})
    assert from_isolate.AICall.read({"model": "x", "inputs": {"a": 1}}) == ("x", {"a": 1})


def test_a_message_over_the_limit_is_not_encoded() -> None:
    with pytest.raises(WireError, match="a message may hold 64 KB"):
        framing.encode(from_isolate.Chunk(data=bytes(frames.CHUNK + 1)))
    with pytest.raises(WireError, match="a message may hold 65536 KB"):
        framing.encode(from_isolate.AICall(1, bytes(frames.FRAME_LIMIT + 1)))


def test_of_a_large_call_on_its_way_the_size_is_known() -> None:
    call = framing.encode(from_isolate.AICall(1, bytes(frames.LARGE + 1)))
    line = framing.encode(from_isolate.Log(level="info", text="x" * (frames.LARGE + 1)))  # its reader has it at once
    decoder = framing.Decoder(from_isolate.ALL)
    assert decoder.feed(line[:-1]) == []
    assert decoder.awaited == 0
    assert len(decoder.feed(line[-1:] + call[:20])) == 1
    assert decoder.awaited == frames.LARGE + 1
    assert decoder.feed(call[20:] + call[:5]) == [from_isolate.AICall(1, bytes(frames.LARGE + 1))]
    assert decoder.awaited == 0
