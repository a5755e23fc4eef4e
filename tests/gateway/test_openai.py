"""The OpenAI-compatible face by hand: fields, headers, and the order of a stream, as bytes on a socket."""

from __future__ import annotations

import asyncio
import json
import re
import socket
import threading
from collections.abc import Iterator
from typing import Any

import httpx
import pytest
import uvicorn
from starlette.types import Receive, Scope, Send

from runtime.ai.service import Service
from runtime.catalog.catalog import Catalog
from runtime.errors import EngineError
from runtime.gateway.exchange import Exchange
from runtime.gateway.openai import OpenAI
from tests.ai.fake_engine import FakeEngine
from tests.ai.seed import TOOLS
from tests.node import Node, until

FRANCE = {"model": "beira-tiny", "messages": [{"role": "user", "content": "What is the capital of France?"}]}
PARIS = "The capital of France is Paris."


def ask(node: Node, **more: Any) -> dict[str, Any]:
    answer = node.post("/v1/chat/completions", json=FRANCE | more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    assert re.fullmatch("[0-9a-f]{16}", answer.headers["x-beira-request-id"])
    body: dict[str, Any] = answer.json()
    return body


def events(answer: httpx.Response) -> list[Any]:
    """The data of a stream, each line checked; `[DONE]` is left out, having been seen at the end and only there."""
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "text/event-stream; charset=utf-8"
    assert answer.headers["cache-control"] == "no-cache"
    *lines, last, empty = answer.text.split("\n\n")
    assert (last, empty) == ("data: [DONE]", "")
    assert all(line.startswith("data: {") and "\n" not in line for line in lines)
    return [json.loads(line.removeprefix("data: ")) for line in lines]


def stream(node: Node, **more: Any) -> list[Any]:
    return events(node.post("/v1/chat/completions", json=FRANCE | {"stream": True} | more))


def test_an_answer_field_for_field(node: Node) -> None:
    answer = ask(node)
    assert re.fullmatch("chatcmpl-[0-9a-f]{32}", answer.pop("id"))
    assert isinstance(answer.pop("created"), int)
    usage = answer.pop("usage")
    assert list(usage) == ["prompt_tokens", "total_tokens", "completion_tokens", "prompt_tokens_details"]
    assert usage["total_tokens"] == usage["prompt_tokens"] + usage["completion_tokens"]
    message = {"role": "assistant", "reasoning_content": None, "content": PARIS, "tool_calls": []}
    choice = {"index": 0, "message": message, "logprobs": None, "finish_reason": "stop", "stop_reason": None}
    assert answer == {
        "object": "chat.completion",
        "model": "beira-tiny",
        "choices": [choice],
        "prompt_logprobs": None,
    }


def test_what_was_asked_before_comes_from_the_cache(node: Node) -> None:
    ask(node)
    details = ask(node)["usage"]["prompt_tokens_details"]
    assert list(details) == ["cached_tokens"]
    assert details["cached_tokens"] > 0


@pytest.mark.parametrize(
    ("more", "content", "finish_reason", "stop_reason"),
    [
        ({}, PARIS, "stop", None),
        ({"max_tokens": 2}, None, "length", None),
        ({"stop": "France"}, "The capital of ", "stop", "France"),
        ({"stop": ["nothing", " is Par"]}, "The capital of France", "stop", " is Par"),
        ({"stop": "The"}, "", "stop", "The"),
    ],
)
def test_why_an_answer_ends(
    node: Node, more: dict[str, Any], content: str | None, finish_reason: str, stop_reason: str | None
) -> None:
    (choice,) = ask(node, **more)["choices"]
    chunks = stream(node, **more)
    last = chunks[-1]["choices"][0]
    streamed = "".join(c["choices"][0]["delta"].get("content", "") for c in chunks)
    assert choice["message"]["content"] == streamed
    assert content is None or streamed == content
    assert (choice["finish_reason"], choice["stop_reason"]) == (finish_reason, stop_reason)
    assert (last["finish_reason"], last["stop_reason"]) == (finish_reason, stop_reason)


def test_the_order_of_a_stream(node: Node) -> None:
    chunks = stream(node, n=2, stream_options={"include_usage": True})
    assert len({(c["id"], c["created"], c["model"], c["object"]) for c in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    *chunks, end = chunks
    assert end["choices"] == []
    assert end["usage"] == ask(node, n=2)["usage"]
    assert not any("usage" in c for c in chunks)
    assert all(len(c["choices"]) == 1 for c in chunks)
    for index in (0, 1):
        first, *middle, last = (c["choices"][0] for c in chunks if c["choices"][0]["index"] == index)
        assert first["delta"] == {"role": "assistant", "content": ""}
        assert all(list(c["delta"]) == ["content"] and c["delta"]["content"] for c in middle)
        assert all(c["finish_reason"] is None and "stop_reason" not in c for c in (first, *middle))
        assert "".join(c["delta"]["content"] for c in middle) == PARIS
        assert (last["delta"], last["finish_reason"], last["stop_reason"]) == ({}, "stop", None)


def test_the_order_of_a_streamed_tool_call(node: Node) -> None:
    first, opened, *pieces, last = (c["choices"][0] for c in stream(node, **TOOLS))
    assert first["delta"] == {"role": "assistant", "content": ""}
    (call,) = opened["delta"]["tool_calls"]
    assert re.fullmatch("chatcmpl-tool-[0-9a-f]{32}", call.pop("id"))
    assert call == {"index": 0, "type": "function", "function": {"name": "get_weather"}}
    calls = [p["delta"]["tool_calls"] for p in pieces]
    assert all(list(call) == ["index", "function"] and call["index"] == 0 for (call,) in calls)
    assert list(json.loads("".join(call["function"]["arguments"] for (call,) in calls))) == ["location"]
    assert (last["delta"], last["finish_reason"], last["stop_reason"]) == ({}, "tool_calls", None)


@pytest.fixture
def failing() -> Iterator[str]:
    """The URL of a face whose engine fails after two words."""
    service = Service(
        Catalog([]),
        lambda _: FakeEngine(says=("Hello", " there"), error_last=EngineError("the engine broke down")),
        default="beira-tiny",
        load=(),
        is_dev=True,
        allow_stand_in=False,
    )

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        await OpenAI(service).serve(Exchange(scope, receive, send, "0" * 16))

    async def serve() -> None:
        await service.start()
        await server.serve([listener])
        await service.aclose()

    server = uvicorn.Server(uvicorn.Config(app, lifespan="off", log_config=None, ws="none"))
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        thread = threading.Thread(target=asyncio.run, args=[serve()])
        thread.start()
        until(lambda: server.started)
        yield f"http://127.0.0.1:{listener.getsockname()[1]}"
        server.should_exit = True
        thread.join(30)


def test_an_error_in_the_middle_of_a_stream_is_one_line_before_its_end(failing: str) -> None:
    answer = httpx.post(f"{failing}/v1/chat/completions", json=FRANCE | {"stream": True}, trust_env=False)
    *chunks, error = events(answer)
    assert "".join(c["choices"][0]["delta"]["content"] for c in chunks) == "Hello there"
    assert error == {"error": {"message": "the engine broke down", "type": "server_error", "param": None, "code": None}}


def test_an_error_without_a_stream_is_a_status(failing: str) -> None:
    answer = httpx.post(f"{failing}/v1/chat/completions", json=FRANCE, trust_env=False)
    assert answer.status_code == 500
    assert answer.json()["error"]["message"] == "the engine broke down"


def test_models(node: Node) -> None:
    listed = node.get("/v1/models").json()
    assert listed["object"] == "list"
    tiny, qwen = sorted(listed["data"], key=lambda m: str(m["id"]))
    for model in (tiny, qwen):
        assert (model["object"], model["owned_by"]) == ("model", "beira")
        assert isinstance(model["created"], int)
        assert (model["capabilities"], model["context"]) == (["chat", "vision", "tools"], 32768)
    assert (tiny["id"], tiny["aliases"], tiny["loaded"], tiny["stand_in"]) == ("beira-tiny", [], True, None)
    assert (qwen["id"], qwen["loaded"], qwen["stand_in"]) == ("qwen-qwen25-vl-3b-instruct-awq", False, "beira-tiny")
    assert "Qwen/Qwen2.5-VL-3B-Instruct" in qwen["aliases"]
    for name in (qwen["id"], *qwen["aliases"], qwen["id"].upper()):
        assert node.get(f"/v1/models/{name}").json() == qwen
    assert node.client.head("/v1/models").status_code == 200


def test_a_stand_in_is_named(node: Node) -> None:
    body = FRANCE | {"model": "Qwen/Qwen2.5-VL-3B-Instruct"}
    for more in ({}, {"stream": True}):
        answer = node.post("/v1/chat/completions", json=body | more)
        assert answer.headers["x-beira-stand-in"] == "beira-tiny"
        assert '"model":"Qwen/Qwen2.5-VL-3B-Instruct"' in answer.text


def test_a_request_that_names_no_model_gets_the_default_one(node: Node) -> None:
    assert node.post("/v1/chat/completions", json={"messages": FRANCE["messages"]}).json()["model"] == "beira-tiny"


def test_no_line_of_an_event_ends_within_it(node: Node) -> None:
    """Clients split streams at Unicode's line ends, too: httpx does."""
    name = "\u2028 \u2029 \x85"
    tool = {"type": "function", "function": {"name": name}}
    body = FRANCE | {"stream": True, "tools": [tool], "tool_choice": "required", "parallel_tool_calls": False}
    with node.client.stream("POST", "/v1/chat/completions", json=body) as answer:
        lines = [line for line in answer.iter_lines() if line]
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    calls = [call for c in chunks for call in c["choices"][0]["delta"].get("tool_calls", ())]
    assert calls[0]["function"]["name"] == name
