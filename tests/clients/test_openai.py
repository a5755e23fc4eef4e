"""The `openai` package, sync and async, against a real node."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import openai
import pytest

from tests.clients.asked import FRANCE, MODEL, PARIS, TOOL, WEATHER, Place, looking
from tests.node import Node, project, running


@pytest.fixture(scope="module")
def client(node: Node) -> Iterator[openai.OpenAI]:
    with connect(f"{node.url}/v1") as client:
        yield client


@pytest.fixture
def create(client: openai.OpenAI) -> Callable[..., Any]:
    def call(**arguments: Any) -> Any:
        return client.chat.completions.create(**({"model": MODEL, "messages": FRANCE} | arguments))

    return call


def connect(url: str, **options: Any) -> openai.OpenAI:
    return openai.OpenAI(base_url=url, **({"api_key": "none", "max_retries": 0, "timeout": 30} | options))


def test_an_answer(create: Callable[..., Any]) -> None:
    answer = create()
    assert answer.choices[0].message.content == PARIS
    assert answer.choices[0].message.tool_calls == []
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens


def test_a_stream(create: Callable[..., Any]) -> None:
    chunks = list(create(stream=True, stream_options={"include_usage": True}))
    assert "".join(c.choices[0].delta.content or "" for c in chunks if c.choices) == PARIS
    assert chunks[-1].usage.completion_tokens == create().usage.completion_tokens


def test_a_stream_that_is_left_early(create: Callable[..., Any]) -> None:
    with create(stream=True, max_tokens=1000, extra_body={"ignore_eos": True}) as stream:
        next(stream)
    assert create().choices[0].message.content == PARIS


def test_the_helper_that_collects_a_stream(client: openai.OpenAI) -> None:
    with client.chat.completions.stream(model=MODEL, messages=FRANCE) as stream:  # type: ignore[arg-type]
        kinds = {event.type for event in stream}
        whole = stream.get_final_completion()
    assert {"chunk", "content.delta", "content.done"} <= kinds
    assert whole.choices[0].message.content == PARIS


def test_several_choices(create: Callable[..., Any]) -> None:
    answer = create(n=3, temperature=1, seed=5)
    assert [c.index for c in answer.choices] == [0, 1, 2]
    assert all(c.message.content for c in answer.choices)
    chunks = list(create(n=3, stream=True))
    assert {c.choices[0].index for c in chunks} == {0, 1, 2}


def test_logprobs_join_to_the_content(create: Callable[..., Any]) -> None:
    choice = create(logprobs=True, top_logprobs=3).choices[0]
    tokens = [t for t in choice.logprobs.content if t.bytes]
    assert b"".join(bytes(t.bytes) for t in tokens).decode() == choice.message.content
    assert all(len(t.top_logprobs) == 3 and t.logprob <= 0 for t in tokens)
    assert all(t.top_logprobs[0].token == t.token for t in tokens)


def test_a_stop_text_ends_the_answer_and_is_not_sent(create: Callable[..., Any]) -> None:
    choice = create(stop=["nothing like it", " Paris"]).choices[0]
    assert choice.message.content == "The capital of France is"
    assert (choice.finish_reason, choice.stop_reason) == ("stop", " Paris")


def test_the_token_limit_ends_the_answer(create: Callable[..., Any]) -> None:
    answer = create(max_completion_tokens=2)
    assert answer.choices[0].finish_reason == "length"
    assert answer.usage.completion_tokens == 2


def test_a_seed_repeats_an_answer(create: Callable[..., Any]) -> None:
    options = {"temperature": 2, "max_tokens": 60, "extra_body": {"ignore_eos": True}}
    said = [create(seed=seed, **options).choices[0].message.content for seed in (7, 7, 8)]
    assert said[0] == said[1] != said[2]


def test_an_image(create: Callable[..., Any]) -> None:
    assert "red circle" in create(messages=looking()).choices[0].message.content


def test_a_loop_with_a_tool(create: Callable[..., Any]) -> None:
    asked = create(messages=WEATHER, tools=[TOOL])
    message = asked.choices[0].message
    assert asked.choices[0].finish_reason == "tool_calls"
    assert message.content is None
    (call,) = message.tool_calls
    assert call.function.name == "get_weather"
    assert list(json.loads(call.function.arguments)) == ["location"]
    result = {"role": "tool", "tool_call_id": call.id, "content": '{"weather": "rain", "degrees": 12}'}
    final = create(messages=[*WEATHER, message, result], tools=[TOOL], tool_choice="none", max_tokens=60)
    assert final.choices[0].message.content
    assert final.choices[0].message.tool_calls == []


def test_a_tool_call_as_it_is_generated(create: Callable[..., Any]) -> None:
    chunks = list(create(messages=WEATHER, tools=[TOOL], stream=True))
    deltas = [t for c in chunks for t in c.choices[0].delta.tool_calls or ()]
    assert deltas[0].id.startswith("chatcmpl-tool-")
    assert deltas[0].function.name == "get_weather"
    assert len(deltas) > 2
    assert list(json.loads("".join(d.function.arguments or "" for d in deltas))) == ["location"]
    assert chunks[-1].choices[0].finish_reason == "tool_calls"
    assert not any(c.choices[0].delta.content for c in chunks)


def test_the_helper_that_collects_tool_calls(client: openai.OpenAI) -> None:
    arguments: dict[str, Any] = {"model": MODEL, "messages": WEATHER, "tools": [TOOL], "tool_choice": "required"}
    with client.chat.completions.stream(**arguments) as stream:
        kinds = {event.type for event in stream}
        whole = stream.get_final_completion()
    assert "tool_calls.function.arguments.done" in kinds
    assert whole.choices[0].message.tool_calls is not None
    assert whole.choices[0].message.tool_calls[0].function.name == "get_weather"


@pytest.mark.parametrize("choice", ["required", {"type": "function", "function": {"name": "look_up"}}])
def test_a_tool_that_must_be_called(create: Callable[..., Any], choice: Any) -> None:
    look_up = openai.pydantic_function_tool(Place, name="look_up")
    message = create(tools=[look_up], tool_choice=choice).choices[0].message
    assert [c.function.name for c in message.tool_calls][:1] == ["look_up"]
    Place.model_validate_json(message.tool_calls[0].function.arguments)


def test_an_answer_parsed_into_a_model_of_pydantic(client: openai.OpenAI) -> None:
    parsed = client.chat.completions.parse(model=MODEL, messages=FRANCE, response_format=Place)  # type: ignore[arg-type]
    assert isinstance(parsed.choices[0].message.parsed, Place)


def test_an_answer_cut_short_is_not_parsed(client: openai.OpenAI) -> None:
    with pytest.raises(openai.LengthFinishReasonError):
        client.chat.completions.parse(model=MODEL, messages=FRANCE, response_format=Place, max_tokens=2)  # type: ignore[arg-type]


def test_json_of_any_form(create: Callable[..., Any]) -> None:
    choice = create(response_format={"type": "json_object"}, max_tokens=200).choices[0]
    assert choice.message.content.lstrip().startswith("{")
    if choice.finish_reason == "stop":
        assert isinstance(json.loads(choice.message.content), dict)


def test_models(client: openai.OpenAI) -> None:
    assert {m.id for m in client.models.list()} == {MODEL, "qwen-qwen25-vl-3b-instruct-awq"}
    assert client.models.retrieve("Qwen/Qwen2.5-VL-3B-Instruct").id == "qwen-qwen25-vl-3b-instruct-awq"


def test_async(node: Node) -> None:
    async def main() -> None:
        async with openai.AsyncOpenAI(base_url=f"{node.url}/v1", api_key="none", max_retries=0, timeout=30) as client:
            create: Any = client.chat.completions.create
            several = await asyncio.gather(*(create(model=MODEL, messages=FRANCE) for _ in range(4)))
            assert {a.choices[0].message.content for a in several} == {PARIS}
            stream = await create(model=MODEL, messages=FRANCE, stream=True)
            assert "".join([c.choices[0].delta.content or "" async for c in stream]) == PARIS
            call = await create(model=MODEL, messages=WEATHER, tools=[TOOL])
            assert call.choices[0].message.tool_calls[0].function.name == "get_weather"
            parsed = await client.chat.completions.parse(model=MODEL, messages=FRANCE, response_format=Place)  # type: ignore[arg-type]
            assert isinstance(parsed.choices[0].message.parsed, Place)
            with pytest.raises(openai.NotFoundError):
                await create(model="nobody", messages=FRANCE)

    asyncio.run(main())


@pytest.mark.parametrize(
    ("arguments", "error", "code", "param"),
    [
        ({"temperature": 3}, openai.BadRequestError, None, "temperature"),
        ({"messages": [{"role": "robot", "content": "x"}]}, openai.BadRequestError, None, "messages[0].role"),
        ({"max_tokens": 10**6}, openai.BadRequestError, "context_length_exceeded", "messages"),
        ({"model": "nobody"}, openai.NotFoundError, "model_not_found", "model"),
        ({"extra_body": {"x": "y" * (65 * 2**20)}}, openai.APIStatusError, "request_too_large", None),
    ],
)
def test_refusals_are_typed_exceptions(
    create: Callable[..., Any], arguments: dict[str, Any], error: type[openai.APIStatusError], code: str, param: str
) -> None:
    with pytest.raises(error) as caught:
        create(**arguments)
    assert (caught.value.type, caught.value.code, caught.value.param) == ("invalid_request_error", code, param)


def test_a_wrong_key_a_full_queue_and_an_absent_model(tmp_path: Path) -> None:
    root = project(tmp_path, hello="def fetch(request): return 'hello'")
    env = {"BEIRA_API_KEYS": "right", "BEIRA_ENGINE_MAX_SEQUENCES": "1", "BEIRA_ENGINE_MAX_QUEUE": "0"}
    with running(root, "--host", "127.0.0.1", command="serve", env=env) as node:
        url = f"{node.url}/v1"
        with connect(url) as client, pytest.raises(openai.AuthenticationError) as unauthorized:
            client.models.list()
        assert unauthorized.value.code == "invalid_api_key"
        with connect(url, api_key="right") as client:
            create: Any = client.chat.completions.create
            with pytest.raises(openai.InternalServerError) as absent:
                create(model="qwen-qwen25-vl-3b-instruct-awq", messages=FRANCE)
            assert (absent.value.status_code, absent.value.code) == (503, "model_not_loaded")
            endless = {"messages": FRANCE, "stream": True, "extra_body": {"ignore_eos": True}}
            with create(model=MODEL, **endless), pytest.raises(openai.RateLimitError) as full:
                create(model=MODEL, messages=FRANCE)
            assert full.value.code == "overloaded"
            assert int(full.value.response.headers["retry-after"]) >= 1


def test_time_that_runs_out(node: Node) -> None:
    arguments: dict[str, Any] = {"model": MODEL, "messages": FRANCE, "extra_body": {"ignore_eos": True}}
    # the connection takes its time as it likes; reading ends at once
    client = connect(f"{node.url}/v1", timeout=httpx.Timeout(30, read=0.001))
    with client, pytest.raises(openai.APITimeoutError):
        client.chat.completions.create(**arguments)


def test_a_node_that_is_not_there() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        client = connect(f"http://127.0.0.1:{closed.getsockname()[1]}/v1")
        with client, pytest.raises(openai.APIConnectionError):
            client.models.list()
