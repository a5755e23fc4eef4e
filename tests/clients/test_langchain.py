"""`langchain-openai` against a real node: plain, streamed, async, tools bound, structured output, a picture."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from langchain_core.messages import AIMessage, AIMessageChunk, HumanMessage, SystemMessage, ToolMessage
from langchain_core.tools import tool
from langchain_openai import ChatOpenAI
from pydantic import SecretStr

from tests.clients.asked import FRANCE, MODEL, PARIS, WEATHER, Place, Where, looking
from tests.node import Node


@pytest.fixture
def chat(node: Node) -> ChatOpenAI:
    return ChatOpenAI(model=MODEL, base_url=f"{node.url}/v1", api_key=SecretStr("none"), max_retries=0, timeout=30)


@tool(args_schema=Where)
def get_weather(location: str) -> str:
    """Get the current weather for a location"""
    return f"It rains in {location}."


def test_an_answer(chat: ChatOpenAI) -> None:
    answer = chat.invoke("What is the capital of France?")
    assert answer.content == PARIS
    assert answer.usage_metadata is not None
    assert answer.usage_metadata["output_tokens"] > 0
    assert answer.response_metadata["finish_reason"] == "stop"


def test_a_stream(chat: ChatOpenAI) -> None:
    parts = list(chat.stream(FRANCE, stream_usage=True))
    assert len(parts) > 3
    assert "".join(p.text for p in parts) == PARIS
    assert sum(p.usage_metadata["output_tokens"] for p in parts if p.usage_metadata) > 0


def test_async_and_in_batches(chat: ChatOpenAI) -> None:
    async def main() -> None:
        assert (await chat.ainvoke(FRANCE)).content == PARIS
        assert "".join([p.text async for p in chat.astream(FRANCE)]) == PARIS

    asyncio.run(main())
    assert [a.content for a in chat.batch([FRANCE, FRANCE])] == [PARIS, PARIS]


def test_a_loop_with_a_bound_tool(chat: ChatOpenAI) -> None:
    bound = chat.bind_tools([get_weather], tool_choice="required")
    messages: list[Any] = [SystemMessage(WEATHER[0]["content"]), HumanMessage(WEATHER[1]["content"])]
    asked = bound.invoke(messages)
    assert isinstance(asked, AIMessage)
    assert [c["name"] for c in asked.tool_calls] == ["get_weather"]
    assert asked.invalid_tool_calls == []
    result = get_weather.invoke(asked.tool_calls[0])
    assert isinstance(result, ToolMessage)
    final = chat.bind_tools([get_weather]).invoke([*messages, asked, result], max_tokens=60)
    assert final.content or final.tool_calls


@tool
def now() -> str:
    """Tell the time"""
    return "noon"


def test_a_tool_without_arguments(chat: ChatOpenAI) -> None:
    asked = chat.bind_tools([now], tool_choice="any", parallel_tool_calls=False).invoke("What time is it?")
    assert isinstance(asked, AIMessage)
    assert [(c["name"], c["args"]) for c in asked.tool_calls] == [("now", {})]


def test_a_bound_tool_streamed(chat: ChatOpenAI) -> None:
    whole: Any = None
    for part in chat.bind_tools([get_weather], tool_choice="get_weather").stream(WEATHER):
        whole = part if whole is None else whole + part
    assert isinstance(whole, AIMessageChunk)
    assert [c["name"] for c in whole.tool_calls] == ["get_weather"]
    Where.model_validate(whole.tool_calls[0]["args"])


@pytest.mark.parametrize("method", ["json_schema", "function_calling"])
def test_structured_output(chat: ChatOpenAI, method: Any) -> None:
    structured = chat.with_structured_output(Place, method=method)
    assert isinstance(structured.invoke(FRANCE), Place)


def test_a_picture(chat: ChatOpenAI) -> None:
    assert "red circle" in chat.invoke(looking()).text
