"""Log-probabilities of whole answers: encoded as they come, so that no turn of the loop has all of them to do."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import Iterator
from typing import Any

import orjson
import pytest

from runtime.ai import response
from runtime.ai.completion import AT_ONCE, Completion, Feed
from runtime.ai.response import Answer, Choice
from runtime.engine.request import Event, Finished, Piece, TokenLogprob
from tests.ai.fake_engine import FakeTicket

N, TOKENS, TOP = 8, 600, 20


def token(number: int, top: int = TOP) -> TokenLogprob:
    return TokenLogprob(b"t%d" % number, -0.5, tuple((b"other %d" % i, -float(i)) for i in range(top)))


def completion(loop: asyncio.AbstractEventLoop, n: int, events: list[Event], *, is_stream: bool = False) -> Completion:
    """An answer whose engine has said all before anybody read it."""
    feed = Feed(loop)
    feed.put(events)
    choices = [Choice(i, None, has_logprobs=True, is_stream=is_stream) for i in range(n)]
    answer = Answer("m", choices, prompt_tokens=1)
    return Completion(answer, FakeTicket(), feed, is_stream=is_stream, stand_in=None, on_close=lambda _: None)


def said(n: int, tokens: int, top: int = TOP) -> list[Event]:
    pieces: list[Event] = [Piece(i, "x", (token(k, top),)) for k in range(tokens) for i in range(n)]
    return [*pieces, *(Finished(i, "length", None, tokens) for i in range(n))]


def objects(value: Any) -> Iterator[Any]:
    """Everything that an encoder visits."""
    yield value
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list) else ():
        yield from objects(each)


def test_a_whole_answer_has_what_its_chunks_have() -> None:
    async def work() -> tuple[Any, list[Any]]:
        loop = asyncio.get_running_loop()
        whole = await completion(loop, 1, said(1, 3, top=2)).result()
        stream = completion(loop, 1, said(1, 3, top=2), is_stream=True)
        return whole, [chunk async for chunk in stream.chunks()]

    whole, chunks = asyncio.run(work())
    entries = orjson.loads(orjson.dumps(whole))["choices"][0]["logprobs"]["content"]
    assert entries[0] == {
        "token": "t0",
        "logprob": -0.5,
        "bytes": [116, 48],
        "top_logprobs": [
            {"token": "other 0", "logprob": 0.0, "bytes": list(b"other 0")},
            {"token": "other 1", "logprob": -1.0, "bytes": list(b"other 1")},
        ],
    }
    assert entries == [e for c in chunks for e in (c["choices"][0]["logprobs"] or {"content": []})["content"]]


def test_an_answer_of_no_tokens_has_none() -> None:
    async def work() -> Any:
        return await completion(asyncio.get_running_loop(), 1, [Finished(0, "stop", None, 0)]).result()

    assert orjson.loads(orjson.dumps(asyncio.run(work())))["choices"][0]["logprobs"] == {"content": []}


def test_no_turn_of_the_loop_shapes_many_tokens(monkeypatch: pytest.MonkeyPatch) -> None:
    turns, shape = [0], response._logprob

    def counted(each: TokenLogprob) -> dict[str, Any]:
        turns[-1] += 1
        return shape(each)

    async def tick() -> None:
        while True:
            turns.append(0)
            await asyncio.sleep(0)

    async def work() -> None:
        ticking = asyncio.create_task(tick())
        await completion(asyncio.get_running_loop(), N, said(N, TOKENS)).result()
        ticking.cancel()

    monkeypatch.setattr(response, "_logprob", counted)
    asyncio.run(work())
    assert sum(turns) == N * TOKENS
    assert max(turns) <= AT_ONCE


def test_the_last_turn_has_as_little_to_encode_and_to_collect_as_if_there_were_few_tokens() -> None:
    async def work(tokens: int) -> tuple[int, int, int]:
        finished = completion(asyncio.get_running_loop(), N, said(N, tokens))
        gc.collect()
        before = len(gc.get_objects())
        result = await finished.result()
        gc.collect()
        kept = len(gc.get_objects()) - before
        return len(list(objects(result))), kept, len(orjson.dumps(result))

    few, many = asyncio.run(work(2)), asyncio.run(work(TOKENS))
    assert many[0] == few[0] < 50 * N
    assert many[1] <= few[1] + 50
    assert many[2] > 100 * few[2]
