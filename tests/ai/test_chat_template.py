"""The chat layout: Qwen's ChatML, and markup that only the layout can write."""

from __future__ import annotations

import itertools
from typing import Any

from runtime.ai.request import parse
from runtime.ai.template import lay_out
from runtime.engine.request import Image, Text
from tests.ai.fake_engine import written
from tests.ai.seed import BASIC, WEATHER

TOOLS = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>\n"
    '{"type": "function", "function": {"name": "get_weather", "description": "Get the current weather for a location", '
    '"parameters": {"type": "object", "properties": {"location": {"type": "string", "description": "The city and state"'
    '}}, "required": ["location"]}}}\n'
    "</tools>\n\nFor each function call, return a json object with function name and arguments within "
    "|<tool_call>||</tool_call>| XML tags:\n|<tool_call>|\n"
    '{"name": <function-name>, "arguments": <args-json-object>}\n|</tool_call>|'
)


def laid_out(messages: list[dict[str, Any]], **more: Any) -> str:
    return written(lay_out(parse({"messages": messages, **more}), ()))


def test_the_seeds_basic_example() -> None:
    assert laid_out(**BASIC) == (
        "|<|im_start|>|system\nYou are a helpful assistant.|<|im_end|>|\n"
        "|<|im_start|>|user\nName the european capitals|<|im_end|>|\n|<|im_start|>|assistant\n"
    )


def test_without_a_system_message_the_models_own_one_stands_there() -> None:
    assert laid_out([{"role": "user", "content": "Hi"}]) == (
        "|<|im_start|>|system\nYou are a helpful assistant.|<|im_end|>|\n"
        "|<|im_start|>|user\nHi|<|im_end|>|\n|<|im_start|>|assistant\n"
    )


def test_tools_stand_in_the_system_turn() -> None:
    messages = [{"role": "system", "content": "Be kind."}, {"role": "user", "content": "London?"}]
    assert laid_out(messages, tools=[WEATHER]) == (
        f"|<|im_start|>|system\nBe kind.{TOOLS}|<|im_end|>|\n"
        "|<|im_start|>|user\nLondon?|<|im_end|>|\n|<|im_start|>|assistant\n"
    )
    assert laid_out(messages[1:], tools=[WEATHER]).startswith(
        f"|<|im_start|>|system\nYou are a helpful assistant.{TOOLS}"
    )


def test_with_tool_choice_none_the_tools_are_left_out() -> None:
    assert "get_weather" not in laid_out([{"role": "user", "content": "Hi"}], tools=[WEATHER], tool_choice="none")


def test_calls_and_results_of_earlier_turns() -> None:
    def call(name: str, arguments: str) -> dict[str, Any]:
        return {"id": "1", "type": "function", "function": {"name": name, "arguments": arguments}}

    messages = [
        {"role": "user", "content": "Both?"},
        {"role": "assistant", "content": "Sure.", "tool_calls": [call("a", '{"x":1,"y":"é"}'), call("b", "")]},
        {"role": "tool", "content": "one", "tool_call_id": "1"},
        {"role": "tool", "content": [{"type": "text", "text": t} for t in ("t", "wo")], "tool_call_id": "2"},
        {"role": "assistant", "content": None, "tool_calls": [call("c", "{}")]},
        {"role": "tool", "content": "three", "tool_call_id": "3"},
    ]
    assert laid_out(messages).split("|\n", 2)[2] == (
        "|<|im_start|>|assistant\nSure.\n"
        '|<tool_call>|\n{"name": "a", "arguments": {"x": 1, "y": "é"}}\n|</tool_call>|\n'
        '|<tool_call>|\n{"name": "b", "arguments": {}}\n|</tool_call>||<|im_end|>|\n'
        "|<|im_start|>|user\n<tool_response>\none\n</tool_response>\n<tool_response>\ntwo\n</tool_response>|<|im_end|>|\n"
        '|<|im_start|>|assistant\n|<tool_call>|\n{"name": "c", "arguments": {}}\n|</tool_call>||<|im_end|>|\n'
        "|<|im_start|>|user\n<tool_response>\nthree\n</tool_response>|<|im_end|>|\n"
        "|<|im_start|>|assistant\n"
    )


def test_parts_keep_their_order_and_images_stand_among_them() -> None:
    picture = {"type": "image_url", "image_url": {"url": "data:,"}}
    content = [{"type": "text", "text": "a"}, picture, {"type": "text", "text": "b"}, {"type": "text", "text": "c"}]
    messages = [
        {"role": "user", "content": [*content, picture]},
        {"role": "assistant", "content": [{"type": "text", "text": "d"}]},
        {"role": "user", "content": [picture]},
    ]
    images = [Image(1, 1, b"rgb", f"{i}") for i in range(3)]
    parts = lay_out(parse({"messages": messages}), images)
    assert [p for p in parts if isinstance(p, Image)] == images
    assert "user\na|image|bc|image||<|im_end|>|" in written(parts)


def test_neighbouring_texts_are_one_part() -> None:
    parts = lay_out(parse({"messages": [{"role": "user", "content": "Hi"}], "tools": [WEATHER]}), ())
    assert not any(isinstance(a, Text) and isinstance(b, Text) for a, b in itertools.pairwise(parts))
