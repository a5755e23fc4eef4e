"""Bad requests, each with the one line it gets: path, rule and value."""

from __future__ import annotations

import asyncio
from inspect import get_annotations
from typing import Any

import pytest
from openai.types.chat.completion_create_params import CompletionCreateParamsBase

from runtime.ai.request import parse
from runtime.ai.schema import SCHEMAS, UNSUPPORTED
from runtime.errors import AIError, InvalidRequest
from tests.ai.fake_engine import FakeEngine
from tests.ai.test_service import DATA_URL, HI, Service, answer, serve

USER = {"role": "user", "content": "Hi"}


def said(*messages: Any) -> dict[str, Any]:
    return {"messages": list(messages)}


def part(item: Any) -> dict[str, Any]:
    return said({"role": "user", "content": [item]})


def image(**more: Any) -> dict[str, Any]:
    return part({"type": "image_url", "image_url": {"url": DATA_URL, **more}})


def calls(call: Any) -> dict[str, Any]:
    return said(USER, {"role": "assistant", "tool_calls": [call]})


def function(**more: Any) -> dict[str, Any]:
    return {**HI, "tools": [{"type": "function", "function": {"name": "f", **more}}]}


def call(**more: Any) -> dict[str, Any]:
    return {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}, **more}


def schema(**more: Any) -> dict[str, Any]:
    return {**HI, "response_format": {"type": "json_schema", "json_schema": {"name": "x", **more}}}


deep: Any = {}
for _ in range(70):
    deep = {"a": deep}

BAD: list[tuple[Any, str]] = [
    # the request as a whole
    (3, "inputs: must be an object, got 3"),
    ([], "inputs: must be an object, got []"),
    ({}, "messages: is required"),
    ({"messages": None}, "messages: must be an array, got null"),
    ({"messages": "Hi"}, 'messages: must be an array, got "Hi"'),
    ({"messages": []}, "messages: must not be empty, got []"),
    ({**HI, "model": 3}, "model: must be a string, got 3"),
    ({**HI, "x": b"y"}, "x: must be a JSON value, got a bytes"),
    ({**HI, "x": deep}, "must be nested at most 64 deep, got an object"),
    ({**HI, "x": [0] * 50_001}, "inputs: must hold at most 50000 values, got an object"),
    ({"messages": [USER] * 20_000}, "inputs: must hold at most 50000 values, got an object"),
    ({**HI, 3: 3}, "inputs: must have keys of Unicode text, got an object"),
    ({**HI, "x": {"\ud800": 3}}, "x: must have keys of Unicode text, got an object"),
    # messages
    (said(3), "messages[0]: must be an object, got 3"),
    (said({}), "messages[0].role: is required"),
    (said({"content": "Hi"}), "messages[0].role: is required"),
    (said({"role": 3}), "messages[0].role: must be a string, got 3"),
    (
        said({"role": "robot", "content": "Hi"}),
        'messages[0].role: must be one of "system", "user", "assistant", "tool", "developer", got "robot"',
    ),
    (said(USER, {"role": "user"}), "messages[1].content: is required"),
    (said({"role": "user", "content": None}), "messages[0].content: must be a string or an array, got null"),
    (said({"role": "user", "content": 3}), "messages[0].content: must be a string or an array, got 3"),
    (said({"role": "user", "content": {"a": 1}}), "messages[0].content: must be a string or an array, got an object"),
    (said({"role": "user", "content": "\ud83d"}), "messages[0].content: must be Unicode text without lone surrogates"),
    (said({**USER, "name": 3}), "messages[0].name: must be a string, got 3"),
    (said({"role": "system"}), "messages[0].content: is required"),
    (
        said({"role": "system", "content": [{"type": "image_url"}]}),
        'messages[0].content[0].type: must be "text", got "image_url"',
    ),
    (
        said({"role": "assistant", "content": [{"type": "refusal", "refusal": "no"}]}),
        'messages[0].content[0].type: must be "text", got "refusal"',
    ),
    (said({"role": "assistant", "content": [{"type": "text"}]}), "messages[0].content[0].text: is required"),
    (said({"role": "assistant"}), "messages[0].content: is required"),
    (said({"role": "assistant", "content": None}), "messages[0].content: must be a string or an array, got null"),
    (said({"role": "assistant", "tool_calls": None}), "messages[0].content: is required"),
    (said({"role": "assistant", "tool_calls": 3}), "messages[0].tool_calls: must be an array, got 3"),
    (said({"role": "tool", "content": "x"}), "messages[0].tool_call_id: is required"),
    (said({"role": "tool", "tool_call_id": "1"}), "messages[0].content: is required"),
    (
        said({"role": "tool", "tool_call_id": "1", "content": [{"type": "image_url", "image_url": {"url": "data:,"}}]}),
        'messages[0].content[0].type: must be "text", got "image_url"',
    ),
    (said({"role": "tool", "tool_call_id": 1, "content": "x"}), "messages[0].tool_call_id: must be a string, got 1"),
    # content parts
    (part(3), "messages[0].content[0]: must be an object, got 3"),
    (part({"text": "x"}), "messages[0].content[0].type: is required"),
    (
        part({"type": "video_url", "video_url": {}}),
        'messages[0].content[0].type: must be one of "text", "image_url", got "video_url"',
    ),
    (part({"type": "text"}), "messages[0].content[0].text: is required"),
    (part({"type": "text", "text": 3}), "messages[0].content[0].text: must be a string, got 3"),
    (part({"type": "image_url"}), "messages[0].content[0].image_url: is required"),
    (
        part({"type": "image_url", "image_url": "data:,"}),
        'messages[0].content[0].image_url: must be an object, got "data:,"',
    ),
    (part({"type": "image_url", "image_url": {}}), "messages[0].content[0].image_url.url: is required"),
    (
        said(USER, {"role": "user", "content": [{"type": "image_url", "image_url": {"url": 3}}]}),
        "messages[1].content[0].image_url.url: must be a string, got 3",
    ),
    (
        image(detail="huge"),
        'messages[0].content[0].image_url.detail: must be one of "low", "high", "auto", got "huge"',
    ),
    (image(min_pixels=0), "messages[0].content[0].image_url.min_pixels: must be at least 1, got 0"),
    (
        image(min_pixels=9, max_pixels=8),
        "messages[0].content[0].image_url.min_pixels: must be at most max_pixels, 8, got 9",
    ),
    # tool calls of earlier turns
    (calls({}), "messages[1].tool_calls[0].function: is required"),
    (calls(call(id=3)), "messages[1].tool_calls[0].id: must be a string, got 3"),
    (
        calls({"id": "1", "type": "custom", "custom": {"name": "f", "input": ""}}),
        'messages[1].tool_calls[0].type: must be "function", got "custom"',
    ),
    (calls(call(type="x")), 'messages[1].tool_calls[0].type: must be "function", got "x"'),
    (calls(call(function={"name": "f"})), "messages[1].tool_calls[0].function.arguments: is required"),
    (
        calls(call(function={"name": "f", "arguments": {}})),
        "messages[1].tool_calls[0].function.arguments: must be a string, got {}",
    ),
    (
        calls(call(function={"name": "f", "arguments": "{oh"})),
        'messages[1].tool_calls[0].function.arguments: must be JSON, got "{oh"',
    ),
    (calls(call(function={"name": "f", "arguments": '{"a": NaN}'})), "function.arguments: must be JSON"),
    (calls(call(function={"name": "f", "arguments": '"\\ud800"'})), "function.arguments: must be JSON"),
    (calls(call(function={"name": "f", "arguments": "[" * 5000})), "function.arguments: must be JSON"),
    (
        calls(call(function={"name": "f", "arguments": "1" * 2**21})),
        "messages[1].tool_calls[0].function.arguments: must have at most 1048576 characters, got",
    ),
    (
        said({"role": "assistant", "content": "x", "audio": {"id": "1"}}),
        "messages[0].audio: is not supported by this server, got an object",
    ),
    (said({"role": "developer"}), "messages[0].content: is required"),
    # numbers
    ({**HI, "temperature": "hot"}, 'temperature: must be a number, got "hot"'),
    ({**HI, "temperature": True}, "temperature: must be a number, got true"),
    ({**HI, "temperature": -0.1}, "temperature: must be at least 0, got -0.1"),
    ({**HI, "temperature": 2.1}, "temperature: must be at most 2, got 2.1"),
    ({**HI, "temperature": float("nan")}, "temperature: must be a finite number, got nan"),
    ({**HI, "temperature": float("inf")}, "temperature: must be a finite number, got inf"),
    ({**HI, "temperature": 10**400}, "temperature: must be at most 2, got a huge number"),
    ({**HI, "top_p": 1.5}, "top_p: must be at most 1, got 1.5"),
    ({**HI, "top_p": -1}, "top_p: must be at least 0, got -1"),
    ({**HI, "top_k": -2}, "top_k: must be at least -1, got -2"),
    ({**HI, "top_k": 1.5}, "top_k: must be an integer, got 1.5"),
    ({**HI, "min_p": 2}, "min_p: must be at most 1, got 2"),
    ({**HI, "repetition_penalty": 0}, "repetition_penalty: must be at least 0.01, got 0"),
    ({**HI, "repetition_penalty": 5e-324}, "repetition_penalty: must be at least 0.01, got 5e-324"),
    ({**HI, "repetition_penalty": 1e30}, "repetition_penalty: must be at most 100, got 1e+30"),
    ({**HI, "presence_penalty": -3}, "presence_penalty: must be at least -2, got -3"),
    ({**HI, "frequency_penalty": 3}, "frequency_penalty: must be at most 2, got 3"),
    ({**HI, "n": 0}, "n: must be at least 1, got 0"),
    ({**HI, "n": 10**9}, "n: must be at most 128, got 1000000000"),
    ({**HI, "n": "2"}, 'n: must be an integer, got "2"'),
    ({**HI, "max_tokens": 0}, "max_tokens: must be at least 1, got 0"),
    ({**HI, "max_tokens": 1.5}, "max_tokens: must be an integer, got 1.5"),
    ({**HI, "max_completion_tokens": -1}, "max_completion_tokens: must be at least 1, got -1"),
    ({**HI, "seed": "x"}, 'seed: must be an integer, got "x"'),
    ({**HI, "seed": 2**63}, "seed: must be at most 9223372036854775807, got 9223372036854775808"),
    ({**HI, "top_logprobs": 21, "logprobs": True}, "top_logprobs: must be at most 20, got 21"),
    ({**HI, "top_logprobs": 2}, "top_logprobs: needs logprobs: true, got 2"),
    ({**HI, "logit_bias": [1]}, "logit_bias: must be an object, got an array of 1"),
    ({**HI, "logit_bias": {"x": 1}}, "logit_bias: must have token ids as keys, got an object"),
    ({**HI, "logit_bias": {"5": 101}}, "logit_bias[5]: must be at most 100, got 101"),
    # the rest
    ({**HI, "stream": "yes"}, 'stream: must be a boolean, got "yes"'),
    ({**HI, "stream": 1}, "stream: must be a boolean, got 1"),
    ({**HI, "stream_options": {"include_usage": True}}, "stream_options: is only for stream: true, got an object"),
    (
        {**HI, "stream": True, "stream_options": {"include_usage": 1}},
        "stream_options.include_usage: must be a boolean, got 1",
    ),
    ({**HI, "stop": 3}, "stop: must be a string or an array, got 3"),
    ({**HI, "stop": ""}, 'stop: must not be empty, got ""'),
    ({**HI, "stop": ["a", 3]}, "stop[1]: must be a string, got 3"),
    ({**HI, "stop": list("abcde")}, "stop: must have at most 4 items, got an array of 5"),
    ({**HI, "logprobs": 5}, "logprobs: must be a boolean, got 5"),
    ({**HI, "ignore_eos": "no"}, 'ignore_eos: must be a boolean, got "no"'),
    (
        {**HI, "ignore_eos": True, "response_format": {"type": "json_object"}},
        "ignore_eos: cannot be combined with an answer of a given form, got true",
    ),
    ({**function(), "ignore_eos": True, "tool_choice": "required"}, "ignore_eos: cannot be combined with an answer"),
    ({**function(strict=True), "ignore_eos": True}, "ignore_eos: cannot be combined with an answer of a given form"),
    ({**HI, "tools": [], "tool_choice": "required"}, 'tool_choice: needs tools, got "required"'),
    ({**HI, "user": 3}, "user: must be a string, got 3"),
    ({**HI, "metadata": []}, "metadata: must be an object, got []"),
    # tools
    ({**HI, "tools": {}}, "tools: must be an array, got {}"),
    (
        {**HI, "tools": [{"type": "function", "function": {"name": "f"}}] * 1025},
        "tools: must have at most 1024 items, got an array of 1025",
    ),
    ({**HI, "tools": [{"type": "function"}]}, "tools[0].function: is required"),
    ({**HI, "tools": [{"type": "custom", "custom": {}}]}, 'tools[0].type: must be "function", got "custom"'),
    ({**HI, "tools": [{"type": 3}]}, 'tools[0].type: must be "function", got 3'),
    (
        {**function(), "tool_choice": {"type": "allowed_tools", "allowed_tools": {"mode": "auto", "tools": []}}},
        'tool_choice.type: must be "function", got "allowed_tools"',
    ),
    ({**HI, "tools": [{"type": "x", "function": {"name": "f"}}]}, 'tools[0].type: must be "function", got "x"'),
    ({**HI, "tools": [{"type": "function", "function": {}}]}, "tools[0].function.name: is required"),
    (function(name=3), "tools[0].function.name: must be a string, got 3"),
    (function(description=3), "tools[0].function.description: must be a string, got 3"),
    (function(parameters=[]), "tools[0].function.parameters: must be an object, got []"),
    (function(strict="yes"), 'tools[0].function.strict: must be a boolean, got "yes"'),
    ({**HI, "tool_choice": "auto"}, 'tool_choice: needs tools, got "auto"'),
    ({**function(), "tool_choice": "any"}, 'tool_choice: must be one of "none", "auto", "required", got "any"'),
    ({**function(), "tool_choice": 3}, "tool_choice: must be a string or an object, got 3"),
    ({**function(), "tool_choice": {"type": "function"}}, "tool_choice.function: is required"),
    (
        {**function(), "tool_choice": {"type": "function", "function": {"name": "g"}}},
        'tool_choice.function.name: must be one of the tools, "f", got "g"',
    ),
    ({**function(), "parallel_tool_calls": 1}, "parallel_tool_calls: must be a boolean, got 1"),
    # response_format
    ({**HI, "response_format": "json"}, 'response_format: must be an object, got "json"'),
    ({**HI, "response_format": {}}, "response_format.type: is required"),
    (
        {**HI, "response_format": {"type": "xml"}},
        'response_format.type: must be one of "text", "json_object", "json_schema", got "xml"',
    ),
    ({**HI, "response_format": {"type": "json_schema"}}, "response_format.json_schema: is required"),
    (schema(), "response_format.json_schema.schema: is required"),
    (schema(schema=3), "response_format.json_schema.schema: must be an object, got 3"),
    # known, and not supported
    ({**HI, "functions": []}, "functions: is not supported by this server, got []"),
    ({**HI, "audio": {"voice": "x"}}, "audio: is not supported by this server, got an object"),
    ({**HI, "modalities": ["text", "audio"]}, "modalities: is not supported by this server, got an array of 2"),
    ({**HI, "store": True}, "store: is not supported by this server, got true"),
    ({**HI, "best_of": 2}, "best_of: is not supported by this server, got 2"),
    ({**HI, "guided_json": {}}, "guided_json: is not supported by this server, got {}"),
    ({**HI, "moderation": {}}, "moderation: is not supported by this server, got {}"),
    ({**HI, "stream_interval": 4}, "stream_interval: is not supported by this server, got 4"),
    ({**HI, "prompt_logprobs": 1}, "prompt_logprobs: is not supported by this server, got 1"),
    ({**HI, "lora": "x"}, 'lora: is not supported by this server, got "x"'),
    # long and awkward values
    ({**HI, "stop": 3, "x": "y" * 10**6}, "stop: must be a string or an array, got 3"),
    (
        {**HI, "stream": "a\n" * 10**6},
        'stream: must be a boolean, got "' + "a\\n" * 30 + '…" (2000000 characters)',
    ),
]


@pytest.mark.parametrize(("inputs", "message"), BAD)
def test_a_bad_request_is_refused_in_one_line(inputs: Any, message: str) -> None:
    with pytest.raises(InvalidRequest) as e:
        parse(inputs)
    error = e.value
    assert message in error.message
    assert "\n" not in error.message
    assert len(error.message) < 300
    assert (error.status, error.type, error.code) == (400, "invalid_request_error", None)
    path = error.message.partition(": ")[0]
    assert error.param == (None if path == "inputs" else path)


def test_through_the_service_and_after_all_of_them_it_answers_as_before() -> None:
    async def body(service: Service) -> None:
        for inputs, message in BAD:
            with pytest.raises(AIError) as e:
                await service.run(inputs)
            assert message in e.value.message
        result = await (await service.run(HI)).result()
        assert result["choices"][0]["message"]["content"] == "Hello."
        assert len(asyncio.all_tasks()) == 2

    engine = FakeEngine()
    serve(engine, body)
    assert len(engine.tickets) == 1


GOOD: list[dict[str, Any]] = [
    {**HI, "unknown_field": {"any": "thing"}},
    {**HI, **dict.fromkeys(("temperature", "n", "stop", "tools", "tool_choice", "response_format", "lora", "store"))},
    {**HI, "store": False, "modalities": ["text"], "best_of": 1.0, "min_tokens": 0, "skip_special_tokens": True},
    {**HI, "n": 1.0, "max_tokens": 5.0, "seed": -1},
    {**HI, "tools": [], "stop": [], "logit_bias": {}, "metadata": {"a": "b"}, "user": "me"},
    {**HI, "top_p": 0, "temperature": 0, "top_k": 0},
    {**HI, "response_format": {"type": "text"}, "tool_choice": "none"},
    said(USER, {"role": "assistant", "content": "x", "tool_calls": []}),
    said(USER, {"role": "assistant", "tool_calls": []}),
    said(USER, {"role": "assistant", "content": None, "tool_calls": [call()]}),
    said({"role": "system", "content": [{"type": "text", "text": "x"}]}, {"role": "user", "content": []}),
    said({"role": "user", "content": "", "name": "me"}),
    said({"role": "developer", "content": "Be brief."}, USER),
    # as OpenAI's client dumps its own messages
    said(USER, {"role": "assistant", "content": "x", **dict.fromkeys(("refusal", "audio", "function_call", "name"))}),
    said(USER, {"role": "assistant", "content": "x", "reasoning_content": None, "tool_calls": []}),
    {**HI, "top_logprobs": 0},
    {**HI, "stream": True, "stream_options": {}},
    {**function(), "tool_choice": "auto", "ignore_eos": True},
    {**HI, "response_format": {"type": "text"}, "ignore_eos": True},
    function(parameters=None, description=None, strict=None),
    image(detail=None, min_pixels=None, max_pixels=10**9),
]


@pytest.mark.parametrize("inputs", GOOD)
def test_a_good_request_passes(inputs: dict[str, Any]) -> None:
    assert answer(FakeEngine(), inputs)["choices"][0]["finish_reason"] == "stop"


def test_every_field_of_openais_client_is_known() -> None:
    """The installed one's: a new field must be met, or refused by name, never passed over."""
    known = SCHEMAS["ChatRequest"]["properties"].keys() | UNSUPPORTED.keys()
    assert get_annotations(CompletionCreateParamsBase).keys() | {"stream"} <= known
