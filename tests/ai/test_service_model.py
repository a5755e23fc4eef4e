"""The service over the embedded model: what a client gets from the real thing."""

from __future__ import annotations

import asyncio
import base64
import json
from collections.abc import Awaitable, Callable
from typing import Any

import jsonschema_rs
import orjson
import PIL.Image
import PIL.ImageDraw
import pydantic_core
import pytest

from runtime.ai.service import Service
from runtime.catalog.catalog import Catalog
from runtime.catalog.manifest import Manifest
from runtime.config import EngineSettings
from runtime.engine.engine import Engine
from runtime.errors import ContextLengthExceeded, InvalidRequest
from tests.ai.seed import BASIC, TOOLS
from tests.ai.test_media import encoded

Ask = Callable[..., Awaitable[dict[str, Any]]]
FRANCE = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
PARIS = "The capital of France is Paris."


def with_model(body: Callable[[Service, Engine], Awaitable[None]]) -> None:
    engines: list[Engine] = []

    def make(manifest: Manifest) -> Engine:
        settings = EngineSettings(context=2048, max_sequences=8)
        engines.append(Engine(manifest.text, manifest.projector, settings, name=manifest.id))
        return engines[-1]

    async def main() -> None:
        service = Service(Catalog([]), make, default="beira-tiny", load=(), is_dev=True, allow_stand_in=False)
        await service.start()
        try:
            await asyncio.wait_for(body(service, engines[0]), 90)
        finally:
            await service.aclose()

    asyncio.run(main())


def asking(body: Callable[[Ask], Awaitable[None]]) -> None:
    """`body` with a function that asks and gives the whole answer."""

    async def main(service: Service, _: Engine) -> None:
        async def ask(inputs: dict[str, Any], **more: Any) -> dict[str, Any]:
            return await (await service.run({**inputs, **more})).result()

        await body(ask)

    with_model(main)


async def streamed(service: Service, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    return [c async for c in (await service.run({**inputs, "stream": True})).chunks()]


def content(result: dict[str, Any]) -> str:
    text: str = result["choices"][0]["message"]["content"]
    return text


def test_text_whole_and_streamed_and_from_the_cache() -> None:
    async def body(service: Service, _: Engine) -> None:
        whole = await (await service.run(FRANCE)).result()
        assert content(whole) == PARIS
        assert whole["choices"][0]["finish_reason"] == "stop"
        usage = whole["usage"]
        assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
        assert usage["prompt_tokens_details"] is None
        chunks = await streamed(service, {**FRANCE, "stream_options": {"include_usage": True}})
        texts = [c["choices"][0]["delta"].get("content", "") for c in chunks[:-1]]
        assert "".join(texts) == PARIS
        assert len(texts) > 5
        again = chunks[-1]["usage"]
        assert again.pop("prompt_tokens_details")["cached_tokens"] > 0
        assert again == {k: v for k, v in usage.items() if k != "prompt_tokens_details"}

    with_model(body)


def test_an_image_under_the_big_models_name() -> None:
    picture = PIL.Image.new("RGB", (112, 112), "white")
    PIL.ImageDraw.Draw(picture).ellipse((20, 20, 92, 92), fill="red")
    url = "data:image/png;base64," + base64.b64encode(encoded(picture)).decode()
    parts = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is in this image?"},
    ]

    async def body(service: Service, _: Engine) -> None:
        asked = {"messages": [{"role": "user", "content": parts}]}
        completion = await service.run(asked, model="qwen-qwen25-vl-3b-instruct-awq")
        assert completion.stand_in == "beira-tiny"
        result = await completion.result()
        assert content(result) == "The image shows a red circle."
        text_only = {"messages": [{"role": "user", "content": "What is in this image?"}]}
        plain = await (await service.run({**text_only, "max_tokens": 1})).result()
        # 112 x 112 are 16 tokens, between two of markup
        assert result["usage"]["prompt_tokens"] == plain["usage"]["prompt_tokens"] + 16 + 2

    with_model(body)


def test_the_seeds_tool_call_whole_and_streamed() -> None:
    async def body(service: Service, _: Engine) -> None:
        whole = (await (await service.run(TOOLS)).result())["choices"][0]
        assert whole["finish_reason"] == "tool_calls"
        assert whole["message"]["content"] is None
        call = whole["message"]["tool_calls"][0]["function"]
        assert call["name"] == "get_weather"
        assert set(json.loads(call["arguments"])) == {"location"}
        deltas = [c["choices"][0]["delta"] for c in await streamed(service, TOOLS)]
        calls = [d["tool_calls"][0]["function"] for d in deltas if "tool_calls" in d]
        assert calls[0] == {"name": "get_weather"}
        assert "".join(c["arguments"] for c in calls[1:]) == call["arguments"]
        assert len(calls) > 3
        assert not any(d.get("content") for d in deltas)

    with_model(body)


def test_log_probabilities_join_to_the_content() -> None:
    async def body(service: Service, _: Engine) -> None:
        inputs = {**FRANCE, "logprobs": True, "top_logprobs": 3, "stop": "Paris"}
        choice = (await (await service.run(inputs)).result())["choices"][0]
        assert (choice["finish_reason"], choice["stop_reason"]) == ("stop", "Paris")
        assert choice["message"]["content"] == "The capital of France is "
        entries = orjson.loads(orjson.dumps(choice["logprobs"]))["content"]
        assert b"".join(bytes(e["bytes"]) for e in entries).decode().startswith("The capital of France is")
        assert all(e["logprob"] <= 0 and len(e["top_logprobs"]) == 3 for e in entries)
        chunks = await streamed(service, {**FRANCE, "logprobs": True})
        parts = [e for c in chunks for e in (c["choices"][0]["logprobs"] or {"content": []})["content"]]
        assert "".join(e["token"] for e in parts) == PARIS
        assert all(e["top_logprobs"] == [] for e in parts)

    with_model(body)


def test_several_seeded_choices() -> None:
    """Each time by a fresh engine: what is cached, and so in which batch a row is, rounds otherwise, and hot choices
    follow."""
    found: list[list[str]] = []

    async def body(ask: Ask) -> None:
        answer = await ask(BASIC, n=3, seed=7, temperature=2.0, max_tokens=12)
        found.append([c["message"]["content"] for c in answer["choices"]])
        assert answer["usage"]["completion_tokens"] <= 36

    asking(body)
    asking(body)
    assert found[0] == found[1]
    assert len(set(found[0])) > 1


def test_a_prompt_that_does_not_fit_leaves_the_engine_working() -> None:
    async def body(ask: Ask) -> None:
        with pytest.raises(
            ContextLengthExceeded, match=r"maximum context length is 2048 tokens. However, you requested"
        ):
            await ask({"messages": [{"role": "user", "content": "word " * 3000}]})
        with pytest.raises(InvalidRequest, match="logit_bias"):
            await ask(FRANCE, logit_bias={"99999": 1})
        assert content(await ask(FRANCE)) == PARIS

    asking(body)


def test_a_reader_who_leaves_frees_the_engine() -> None:
    async def body(service: Service, engine: Engine) -> None:
        chunks = (await service.run({**FRANCE, "stream": True, "ignore_eos": True})).chunks()
        await anext(chunks)
        await chunks.aclose()  # type: ignore[attr-defined]
        deadline = asyncio.get_running_loop().time() + 20
        while engine.stats().running:
            assert asyncio.get_running_loop().time() < deadline
            await asyncio.sleep(0.01)

    with_model(body)


PERSON: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string", "maxLength": 8},
        "age": {"type": "integer", "minimum": 18, "maximum": 99},
        "score": {"type": "number", "exclusiveMinimum": 0, "maximum": 1, "multipleOf": 0.5},
        "colour": {"enum": ["red", "green", 3, None]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 4}, "minItems": 2, "maxItems": 3},
        "home": {"$ref": "#/$defs/Address"},
        "code": {"type": "string", "pattern": "^[A-Z]{2}-[0-9]{3}$"},
        "either": {"anyOf": [{"type": "boolean"}, {"const": "no"}]},
    },
    "required": ["name", "age", "score", "colour", "tags", "home", "code", "either"],
    "additionalProperties": False,
    "$defs": {
        "Address": {
            "type": "object",
            "properties": {
                "city": {"type": "string", "minLength": 1, "maxLength": 6},
                "on": {"type": "string", "format": "date"},
            },
            "required": ["city"],
            "additionalProperties": False,
        }
    },
}


def json_schema(schema: dict[str, Any]) -> dict[str, Any]:
    return {"response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}}}


def test_a_json_schema_is_kept() -> None:
    async def body(ask: Ask) -> None:
        for seed in (1, 20, 300):
            more = {"temperature": 1.5, "seed": seed, "max_tokens": 500, "n": 2}
            result = await ask(FRANCE, **json_schema(PERSON), **more)
            for choice in result["choices"]:
                assert choice["finish_reason"] == "stop"
                jsonschema_rs.validate(PERSON, json.loads(choice["message"]["content"]))

    asking(body)


def test_a_json_answer_cut_short_is_a_valid_prefix() -> None:
    async def body(ask: Ask) -> None:
        for n in (1, 3, 9, 20):
            for form in (json_schema(PERSON), {"response_format": {"type": "json_object"}}):
                result = await ask(FRANCE, **form, max_tokens=n)
                choice = result["choices"][0]
                assert choice["finish_reason"] in ("length", "stop")
                assert content(result).startswith("{")
                assert isinstance(pydantic_core.from_json(content(result), allow_partial="trailing-strings"), dict)

    asking(body)


def two_tools(**more: Any) -> dict[str, Any]:
    tools = [
        {"type": "function", "function": {"name": "paint", "parameters": PERSON, **more}},
        {"type": "function", "function": {"name": "now", **more}},
    ]
    return {**FRANCE, "tools": tools, "max_tokens": 600, "temperature": 1.0}


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "paint"}}])
def test_a_required_call_is_made_with_valid_arguments(choice: Any) -> None:
    async def body(ask: Ask) -> None:
        for seed in range(4):
            more = {"tool_choice": choice, "parallel_tool_calls": False, "seed": seed}
            made = (await ask(two_tools(), **more))["choices"][0]
            assert made["finish_reason"] == "tool_calls"
            assert made["message"]["content"] is None
            (call,) = [c["function"] for c in made["message"]["tool_calls"]]
            arguments = json.loads(call["arguments"])
            if call["name"] == "paint":
                jsonschema_rs.validate(PERSON, arguments)
            else:
                assert (call["name"], arguments) == ("now", {})
                assert choice == "required"

    asking(body)


def test_the_arguments_of_a_required_call_are_those_that_the_tool_lists() -> None:
    """As langchain and MCP describe tools: nothing says that there may be no other properties."""
    nothing = {"type": "function", "function": {"name": "now", "parameters": {"type": "object", "properties": {}}}}

    async def body(ask: Ask) -> None:
        for tool, keys in ((TOOLS["tools"][0], ["location"]), (nothing, [])):
            for seed in (1, 2, 3):
                more = {"tool_choice": "required", "parallel_tool_calls": False, "seed": seed, "temperature": 2.0}
                made = (await ask({**TOOLS, "tools": [tool]}, **more, max_tokens=1000))["choices"][0]
                if made["finish_reason"] == "tool_calls":
                    (call,) = made["message"]["tool_calls"]
                    assert list(json.loads(call["function"]["arguments"])) == keys

    asking(body)


@pytest.mark.parametrize("name", ["look up", 'a"b\\c', "é😀", "</tool_call>", "\x7f\x85\u2028", "\x00\n", ""])
def test_a_tool_may_have_any_name(name: str) -> None:
    tool = {"type": "function", "function": {"name": name}}

    async def body(ask: Ask) -> None:
        made = (await ask(FRANCE, tools=[tool], tool_choice="required", parallel_tool_calls=False))["choices"][0]
        assert [c["function"] for c in made["message"]["tool_calls"]] == [{"name": name, "arguments": "{}"}]

    asking(body)


def test_a_strict_tool_gets_valid_arguments_when_the_model_calls_it() -> None:
    function = TOOLS["tools"][0]["function"]
    units = {**function["parameters"], "required": ["location", "unit"], "additionalProperties": False}
    units["properties"] = {"location": {"type": "string", "maxLength": 9}, "unit": {"enum": ["celsius"]}}
    tools = [{"type": "function", "function": {**function, "parameters": units, "strict": True}}]

    async def body(ask: Ask) -> None:
        for is_parallel in (True, False):
            result = await ask({**TOOLS, "tools": tools}, max_tokens=100, parallel_tool_calls=is_parallel)
            call = result["choices"][0]["message"]["tool_calls"][0]["function"]
            jsonschema_rs.validate(units, json.loads(call["arguments"]))
        assert content(await ask(FRANCE, tools=tools, max_tokens=30)) is not None

    asking(body)


def weather(parameters: dict[str, Any]) -> list[dict[str, Any]]:
    """The seed's tool with other parameters, which nobody insists on."""
    function = TOOLS["tools"][0]["function"]
    return [{"type": "function", "function": {**function, "parameters": parameters, "strict": False}}]


def test_a_call_that_the_model_chooses_to_make_keeps_the_tools_definition() -> None:
    days = {"type": "array", "items": {"enum": ["today", "tomorrow"]}, "maxItems": 2}  # else it may never end
    units = {
        "type": "object",
        "properties": {"location": {"type": "integer"}, "unit": {"enum": ["kelvin"]}, "days": days},
        "required": ["location", "unit", "days"],
    }

    async def calls(ask: Ask, **more: Any) -> int:
        made = (await ask({**TOOLS, "tools": weather(units)}, **{"max_tokens": 100, **more}))["choices"][0]["message"]
        for call in made["tool_calls"]:
            arguments = json.loads(call["function"]["arguments"])
            jsonschema_rs.validate(units, arguments)
            assert list(arguments) == ["location", "unit", "days"]
        return len(made["tool_calls"])

    async def body(ask: Ask) -> None:
        assert await calls(ask)
        assert await calls(ask, parallel_tool_calls=False) == 1
        # sampled, it may choose not to call
        assert sum([await calls(ask, temperature=1.0, seed=seed, max_tokens=400) for seed in range(8)])

    asking(body)


def test_text_beside_tools_is_free() -> None:
    async def body(ask: Ask) -> None:
        for more in ({}, {"ignore_eos": True, "max_tokens": 40}, {"logprobs": True, "top_logprobs": 2}):
            assert content(await ask(FRANCE, tools=TOOLS["tools"], **more)).startswith(PARIS)

    asking(body)


@pytest.mark.parametrize(
    "parameters",
    [
        {"type": "array"},
        {"type": "object", "not": {}},
        {"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]},
        {"$ref": "http://a.test/b"},
        {"type": "object", "properties": {"location": {"type": "string", "pattern": "^x$"}}},
    ],
)
def test_a_definition_that_no_grammar_can_keep_soon_is_left_to_the_model(parameters: dict[str, Any]) -> None:
    async def body(ask: Ask) -> None:
        assert content(await ask(FRANCE, tools=weather(parameters))) == PARIS
        both = [*weather(parameters), {"type": "function", "function": {"name": "now", "strict": True}}]
        assert content(await ask(FRANCE, tools=both)) == PARIS
        made = (await ask({**TOOLS, "tools": weather(parameters)}, max_tokens=100))["choices"][0]
        for call in made["message"]["tool_calls"]:
            assert json.loads(call["function"]["arguments"]).get("location") != "x"

    asking(body)


def test_with_tools_and_a_form_the_model_may_do_either() -> None:
    async def body(ask: Ask) -> None:
        made = (await ask(TOOLS, response_format={"type": "json_object"}, max_tokens=60))["choices"][0]["message"]
        if made["tool_calls"]:
            json.loads(made["tool_calls"][0]["function"]["arguments"])
        else:
            assert made["content"].startswith("{")

    asking(body)


SCHEMA = "response_format.json_schema.schema"


@pytest.mark.parametrize(
    ("inputs", "message"),
    [
        (json_schema({"type": "object", "not": {}}), f'{SCHEMA}: cannot be enforced: Unimplemented keys: ["not"]'),
        (json_schema({"properties": {"a": {"uniqueItems": True, "if": {}}}}), '["if", "uniqueItems"]'),
        (json_schema({"type": "text"}), f"{SCHEMA}: cannot be enforced: Invalid type: text"),
        (json_schema({"$ref": "http://a.test/b"}), f"{SCHEMA}: cannot be enforced: Resource 'http://a.test/b'"),
        # each of these would hold a thread for minutes
        (
            json_schema({"allOf": [{"type": "string", "pattern": f"x{i}"} for i in range(30)]}),
            f"{SCHEMA}: cannot be enforced: more than 12 patterns in a schema with allOf",
        ),
        (
            json_schema({"type": "object", "properties": {f"p{i}": {"type": "string"} for i in range(10_000)}}),
            f"{SCHEMA}: cannot be enforced: more than 10000 values",
        ),
        (json_schema({"$ref": "#/a"}), f"{SCHEMA}: cannot be enforced: Pointer '/a' does not exist"),
        (json_schema({"type": "string", "pattern": "("}), "unclosed group"),
        (json_schema({"type": "string", "format": "iri"}), "Unknown format: iri"),
        (json_schema({"$ref": "#"}), "response_format: cannot be enforced: nothing can keep it"),
        # an answer that is forced on and on
        (
            json_schema({"type": "object", "properties": {"a": {"$ref": "#"}}, "required": ["a"]}),
            "response_format: cannot be enforced: parser error: Too many items",
        ),
        (
            json_schema({"type": "integer", "multipleOf": 982451653}),
            f"{SCHEMA}: cannot be enforced: multipleOf of more than 20000",
        ),
        (json_schema({"enum": []}), "Unsatisfiable schema"),
        (json_schema({"x-guidance": {"lenient": True}, "not": {}}), '["x-guidance"]'),
        ({**json_schema({}), "ignore_eos": True}, "ignore_eos: cannot be combined with an answer of a given form"),
        (
            {**two_tools(parameters={"type": "array"}), "tool_choice": "required"},
            'tools[0].function.parameters.type: must be "object", got "array"',
        ),
        (
            two_tools(parameters={"type": "object", "not": {}}, strict=True),
            'tools[0].function.parameters: cannot be enforced: Unimplemented keys: ["not"]',
        ),
    ],
)
def test_what_no_grammar_can_keep_is_refused_by_name(inputs: dict[str, Any], message: str) -> None:
    async def body(ask: Ask) -> None:
        with pytest.raises(InvalidRequest) as e:
            await ask(FRANCE, **{k: v for k, v in inputs.items() if k != "messages"})
        assert message in e.value.message
        assert "\n" not in e.value.message
        assert e.value.param == e.value.message.partition(": ")[0]

    asking(body)
