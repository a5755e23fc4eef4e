"""JSON with data: URLs taken out and put back: the same value as when it is parsed whole."""

from __future__ import annotations

import json
from typing import Any

import pytest

from runtime.errors import InvalidRequest
from runtime.gateway import bulk

LONG = "data:image/png;base64," + "QUJD/+" * 30_000
TEXTS: list[Any] = [
    {"url": LONG},
    {"a": [LONG, {"b": LONG + "="}], "c": "data:,short"},
    {"text": f'He said: "{LONG}" and "data:{LONG}"', "url": LONG},
    {"url": LONG.replace("QUJD", "QUJD\r\n")},
    {"url": LONG + "é"},
    {"url": LONG + "\t", LONG: 1},
    {"url": "\\" + LONG, "x": "\\\\"},
    [LONG],
]


@pytest.mark.parametrize("value", TEXTS)
@pytest.mark.parametrize("is_escaped", [False, True])
def test_nothing_is_lost(value: Any, is_escaped: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    text = json.dumps(value, ensure_ascii=False)
    data = (text.replace("/", "\\/") if is_escaped else text).encode()
    for size in (7, 1000, bulk.SLICE):
        monkeypatch.setattr(bulk, "SLICE", size)
        assert bulk.loads(data) == value


def test_the_rest_is_bounded_and_urls_are_not() -> None:
    url = "data:," + "A" * (9 * 2**20)
    assert bulk.loads(json.dumps({"a": url}).encode()) == {"a": url}
    with pytest.raises(bulk.TooLarge, match="8 MB beside its data: URLs"):
        bulk.loads(json.dumps({"a": "x" + url}).encode())
    with pytest.raises(bulk.TooLarge, match="200000 commas"):
        bulk.loads(json.dumps({"a": [0] * 200_001}).encode())


@pytest.mark.parametrize("text", ['{"a": "%s}', '{"a": "%s""}', '{"a" "%s"}', '{"a": "x"%s"}', '"%s" 1'])
def test_what_is_no_json_stays_none(text: str) -> None:
    with pytest.raises(InvalidRequest, match="no JSON"):
        bulk.loads((text % LONG).encode())
