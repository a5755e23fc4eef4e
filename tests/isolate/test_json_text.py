"""JSON within a memory limit: the same text by either way, and no way that ends the process."""

from __future__ import annotations

import dataclasses
import datetime
import enum
import json
import subprocess
import sys
import uuid
from pathlib import Path
from typing import Any

import orjson
import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.isolate import json_text
from runtime.isolate.streams import record

ROOT = Path(__file__).parents[2]
VALUES: Any = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
    max_leaves=20,
)


class Colour(enum.Enum):
    RED = "red"


@dataclasses.dataclass
class Point:
    x: int
    _hidden: int = 0


@dataclasses.dataclass(slots=True)
class Slotted:
    x: int


RARE: list[Any] = [
    [float("nan"), {"a": float("inf")}],
    (1, "a", (None,)),
    Colour.RED,
    Point(3),
    [Slotted(3)],
    record({"a": [{"b": 1}]}),
    datetime.datetime(2026, 1, 2, 3, 4, 5, tzinfo=datetime.UTC),
    [datetime.date(2026, 1, 2), datetime.time(3, 4)],
    {"id": uuid.UUID(int=7)},
    '\x00\x1f"\\ü\u2028😀',
]


@pytest.fixture
def crowded(monkeypatch: pytest.MonkeyPatch) -> None:
    """There is no room for orjson."""
    monkeypatch.setattr(json_text, "_has_room", lambda _: False)


@given(VALUES)
def test_both_ways_write_and_read_the_same(value: Any) -> None:
    text = orjson.dumps(value)
    assert json_text.dumps(value) == text
    assert json.loads(json_text._encode(value)) == json.loads(text)
    assert json_text.loads(text) == orjson.loads(text)


@pytest.mark.parametrize("value", RARE, ids=str)
def test_without_room_the_text_is_the_same(crowded: None, value: Any) -> None:
    assert json_text.dumps(value) == orjson.dumps(value)


@pytest.mark.parametrize("value", [{1, 2}, b"x", object(), "\ud800", {"a": [{1}]}, {(1,): 2}], ids=str)
@pytest.mark.parametrize("has_room", [True, False])
def test_what_is_no_json_is_a_type_error(monkeypatch: pytest.MonkeyPatch, has_room: bool, value: Any) -> None:
    monkeypatch.setattr(json_text, "_has_room", lambda _: has_room)
    with pytest.raises(TypeError):
        json_text.dumps(value)


@pytest.mark.parametrize("has_room", [True, False])
def test_circles_and_depths_are_type_errors(monkeypatch: pytest.MonkeyPatch, has_room: bool) -> None:
    monkeypatch.setattr(json_text, "_has_room", lambda _: has_room)
    circle: list[Any] = []
    circle.append(circle)
    deep: list[Any] = []
    for _ in range(5000):
        deep = [deep]
    for value in (circle, deep):
        with pytest.raises(TypeError):
            json_text.dumps(value)


@pytest.mark.parametrize("data", [b"", b"NaN", b"[1,]", b'"\xff"', b"[" * 5000, b'{"a":Infinity}'])
@pytest.mark.parametrize("has_room", [True, False])
def test_what_is_no_text_is_a_value_error(monkeypatch: pytest.MonkeyPatch, has_room: bool, data: bytes) -> None:
    monkeypatch.setattr(json_text, "_has_room", lambda _: has_room)
    with pytest.raises(json.JSONDecodeError):
        json_text.loads(data)


@given(VALUES)
def test_no_text_is_longer_than_what_is_reckoned_with(value: Any) -> None:
    assert len(orjson.dumps(value)) <= json_text._written(value, 2**40)
    many = [value] * 1500  # those are not looked at one by one
    assert len(orjson.dumps(many)) <= json_text._written(many, 2**40)


LIMITED = """
import resource, sys
from runtime.isolate import json_text

def size():
    return int(open("/proc/self/statm").read().split()[5]) * resource.getpagesize()

WRITTEN = {
    "a long text": lambda n: "x" * (20 * n),
    "one text often": lambda n: ["x" * 1000] * (n // 20),
    "texts": lambda n: [f"text {i}" for i in range(n)],
    "numbers": lambda n: list(range(n)),
    "fractions": lambda n: [i / 7 for i in range(n)],
    "objects": lambda n: [{"id": i, "tags": ["a", "b"], "ok": True} for i in range(n // 8)],
    "shared": lambda n: [[[None] * 100] * 100] * (n // 1000),
    "control characters": lambda n: "\\0" * (5 * n),
}
READ = {
    "a long text": lambda n: b'"' + b"x" * (20 * n) + b'"',
    "a wide text": lambda n: '"{}\\U0001f600"'.format("x" * (10 * n)).encode(),
    "numbers": lambda n: b"[" + b"999," * n + b"1]",
    "objects": lambda n: b"[" + b"{}," * n + b"1]",
    "objects in objects": lambda n: b"[" + b'{"":{}},' * (n // 2) + b"1]",
    "keys": lambda n: b"{" + b",".join(b'"%d":1' % i for i in range(n)) + b"}",
    "lists": lambda n: b"[" + b"[]," * n + b"1]",
}
kind, limit = sys.argv[1], 24 * 2**20
makers, work = (WRITTEN, json_text.dumps) if kind == "written" else (READ, json_text.loads)
resource.setrlimit(resource.RLIMIT_DATA, (size() + limit, size() + limit))
ends = {"done": 0, "memory": 0}
for name, make in makers.items():
    n = 2_000
    while n < 2_000_000:
        print(name, n, file=sys.stderr, flush=True)
        try:
            work(make(n))
            ends["done"] += 1
        except MemoryError:
            ends["memory"] += 1
        n = n * 3 // 2
print(ends["done"] > 0, ends["memory"] > 0)
"""


@pytest.mark.skipif(sys.platform != "linux", reason="memory is limited by the kernel, in Linux alone")
@pytest.mark.parametrize("kind", ["written", "read"])
def test_where_memory_ends_it_is_told_and_the_process_lives(kind: str) -> None:
    done = subprocess.run([sys.executable, "-c", LIMITED, kind], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr[-500:]
    assert done.stdout == "True True\n"
