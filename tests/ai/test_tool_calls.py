"""Tool calls found in generated text, however it is cut into pieces."""

from __future__ import annotations

import json
from collections.abc import Iterable

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from runtime.ai.tool_calls import Arguments, Broken, Closed, Content, Found, Opened, ToolCallParser

LONDON = '<tool_call>\n{"name": "get_weather", "arguments": {"location": "London"}}\n</tool_call>'
PARIS = LONDON.replace("London", "Paris")


def parsed(pieces: Iterable[str], limit: int | None = None) -> list[Found]:
    parser = ToolCallParser(limit)
    found: list[Found] = []
    for piece in pieces:
        found += parser.push(piece)
    return found + parser.finish()


def summary(found: list[Found]) -> tuple[str, list[tuple[str, str]]]:
    """The content, and the calls as name and arguments: what a whole answer shows."""
    content, calls = "", {}
    for item in found:
        match item:
            case Content(text):
                content += text
            case Opened(index, name):
                calls[index] = (name, "")
            case Arguments(index, text):
                calls[index] = (calls[index][0], calls[index][1] + text)
            case Broken(index, raw, _):
                del calls[index]
                content += raw
    return content, list(calls.values())


@pytest.mark.parametrize(
    ("text", "content", "calls"),
    [
        ("Hello, you.", "Hello, you.", []),
        ("  a < b  \n", "  a < b  \n", []),
        ("", "", []),
        ("\n", "\n", []),
        (LONDON, "", [("get_weather", '{"location": "London"}')]),
        (f"Sure.\n{LONDON}\n", "Sure.", [("get_weather", '{"location": "London"}')]),
        (f"{LONDON}\n{PARIS}", "", [("get_weather", f'{{"location": "{c}"}}') for c in ("London", "Paris")]),
        (f"{LONDON} Done.", " Done.", [("get_weather", '{"location": "London"}')]),
        ('<tool_call>{"name": "a", "arguments": {}}', "", [("a", "{}")]),
        ('<tool_call>{"name": "a"}</tool_call>', "", [("a", "{}")]),
        ('<tool_call>{"arguments": {"x": 1}, "name": "a"}</tool_call>', "", [("a", '{"x": 1}')]),
        ('<tool_call>{"name": "a", "arguments": {"x": "}{\\"\\\\"}}</tool_call>', "", [("a", '{"x": "}{\\"\\\\"}')]),
        (
            '<tool_call>{"name": "a", "arguments": {"x": "</tool_call>"}}</tool_call>',
            "",
            [("a", '{"x": "</tool_call>"}')],
        ),
    ],
)
def test_calls_and_content(text: str, content: str, calls: list[tuple[str, str]]) -> None:
    assert summary(parsed([text])) == (content, calls)
    assert summary(parsed(text)) == (content, calls)


@pytest.mark.parametrize(
    "text",
    [
        "<tool_call>",
        "<tool_call>\n",
        "x <tool_call>hm</tool_call> y",
        "<tool_call>[1]</tool_call>",
        '<tool_call>{"name": 3, "arguments": {}}</tool_call>',
        '<tool_call>{"name": "a", "arguments": "x"}</tool_call>',
        '<tool_call>{"name": "a", "arguments": {"x": 1}</tool_call>',
        '<tool_call>{"name": "a", "arguments": {"x": NaN}}</tool_call>',
        '<tool_call>{"name": "a", "arguments": {"x": "lo',
        '<tool_call>{"name": "a", "arguments": {"x": "lo}}\n</tool_call>',
        '<tool_call>{"name": "a", "arguments": {}} and more</tool_call>',
        "<tool_call>" + "[" * 100_000 + "</tool_call>",
        "</tool_call>",
        "<tool_cal",
    ],
)
def test_broken_markup_is_plain_content(text: str) -> None:
    assert summary(parsed([text])) == (text, [])
    if len(text) < 1000:
        assert summary(parsed(text)) == (text, [])


def test_arguments_pass_through_as_they_come() -> None:
    parser = ToolCallParser()
    assert parser.push("Sure.\n<tool") == [Content("Sure.")]
    assert parser.push('_call>\n{"name": "a", "argum') == []
    assert parser.push('ents": {"x": ') == [Opened(0, "a"), Arguments(0, '{"x": ')]
    assert parser.push('"Lon') == [Arguments(0, '"Lon')]
    assert parser.push('don"}}') == [Arguments(0, 'don"}')]
    assert parser.push("\n</tool_call>") == [Closed(0)]
    assert parser.finish() == []


def test_what_was_announced_and_breaks_gives_back_its_rest() -> None:
    found = parsed(['<tool_call>{"name": "a", "arguments": {"x": 1}', "</tool_call>!"])
    assert found[-2:] == [
        Broken(0, '<tool_call>{"name": "a", "arguments": {"x": 1}</tool_call>', "</tool_call>"),
        Content("!"),
    ]


def test_a_broken_calls_number_is_not_used_again() -> None:
    found = parsed(['<tool_call>{"name": "a", "arguments": {"x": 1}</tool_call>', LONDON, PARIS])
    assert [item.index for item in found if isinstance(item, Opened)] == [0, 1, 2]
    assert [item.index for item in found if isinstance(item, Closed)] == [1, 2]


def test_beyond_the_limit_calls_are_dropped() -> None:
    assert summary(parsed([f"{LONDON}\n{PARIS}\n"], limit=1)) == ("", [("get_weather", '{"location": "London"}')])
    assert summary(parsed(f"{LONDON}\n{PARIS}\n", limit=1)) == ("", [("get_weather", '{"location": "London"}')])


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(),
    lambda s: st.lists(s) | st.dictionaries(st.text(), s),
    max_leaves=8,
)


@given(st.text(), st.dictionaries(st.text(), JSON), st.integers(1, 9))
@example("</tool_call>", {}, 1)
@example("</tool_call>", {"</tool_call>": "<tool_call>"}, 9)
def test_any_arguments_in_any_pieces(name: str, arguments: dict[str, object], size: int) -> None:
    text = f"<tool_call>\n{json.dumps({'name': name, 'arguments': arguments}, ensure_ascii=False)}\n</tool_call>"
    content, calls = summary(parsed(text[i : i + size] for i in range(0, len(text), size)))
    assert content == ""
    assert [(n, json.loads(a)) for n, a in calls] == [(name, arguments)]


@given(
    st.lists(
        st.sampled_from(["<tool_call>", "</tool_call>", LONDON, '{"name": "a", "arguments": {', "}", '"', " x ", "\n"])
    )
)
def test_nothing_raises_and_pieces_do_not_matter(pieces: list[str]) -> None:
    assert summary(parsed(pieces)) == summary(parsed("".join(pieces)))
