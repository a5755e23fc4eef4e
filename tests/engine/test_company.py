"""The same seed and request, the same text: whatever was cached, and whatever runs beside it."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.engine.budget import SMALL_MODEL, kv_type_of
from runtime.engine.engine import Engine
from runtime.engine.request import Event, Part, SamplingParams
from tests.engine.helpers import Collector, chat, generate, picture, small_engine, start, wait_for

# of 64 rows and more: llama.cpp computes attention over f16 for so many in another way than for few
QUESTIONS = [chat(f"{word} of the hill and of the sea, " * 6) for word in ("river", "stone", "copper")]
PICTURE = chat(picture("circle", "red"), "What is in this image?")
LONG = [chat(f"{word} stone copper window garden " * 14) for word in ("river", "hill")]
# hot enough that whoever computed these logits with other rounding would soon draw something else
HOT: dict[str, Any] = {"temperature": 2.0, "seed": 7, "max_tokens": 48, "ignore_eos": True}


def alone(parts: list[Part]) -> str:
    """On an engine that has computed nothing else."""
    engine = small_engine(draft_tokens=0)
    try:
        return generate(engine, parts, **HOT).text()
    finally:
        engine.close()


@pytest.fixture(scope="module")
def texts() -> list[str]:
    return [alone(parts) for parts in (*QUESTIONS, PICTURE)]


@pytest.fixture
def shared() -> Any:
    """Fresh for each test: what it keeps is told by the test alone."""
    engine = small_engine(draft_tokens=0)
    yield engine
    engine.close()


def test_what_was_cached_changes_nothing(engine: Engine, texts: list[str]) -> None:
    assert all(engine.prepare(parts).n_tokens > 80 for parts in QUESTIONS)
    for _ in range(3):
        assert [generate(engine, parts, **HOT).text() for parts in (*QUESTIONS, PICTURE)] == texts


def test_streams_beside_it_change_nothing(engine: Engine, texts: list[str]) -> None:
    sinks = [start(engine, parts, **HOT)[0] for parts in (*QUESTIONS, PICTURE)]
    assert [sink.wait().text() for sink in sinks] == texts


@pytest.mark.parametrize("which", range(4))
def test_long_prompts_beside_it_change_nothing(engine: Engine, texts: list[str], which: int) -> None:
    """As long as nobody gives up cells meanwhile: whoever computes next fills them, and attention adds up in the order
    in which cells lie. So here all is kept: the prompts differ, and are too short for any to leave."""
    beside: list[Collector] = []

    def begin(events: list[Event]) -> None:
        """On the engine's thread: beside the stream for certain, and once steps are measured, or it would take on only
        a few rows at a time."""
        if len(sink.calls) == 8:
            beside.extend(start(engine, parts, max_tokens=4, ignore_eos=True)[0] for parts in LONG)

    sink = Collector(hook=begin)
    engine.submit(engine.prepare((*QUESTIONS, PICTURE)[which]), SamplingParams(**HOT), sink)
    assert sink.wait().text() == texts[which]
    assert [each.wait().failure for each in beside] == [None, None]
    assert engine.stats().resident == 3, "someone gave up cells, and the test says nothing"


def test_drafts_change_nothing(texts: list[str]) -> None:
    engine = small_engine()
    try:
        for parts, text in zip((*QUESTIONS, PICTURE), texts, strict=True):
            assert generate(engine, parts, **HOT).text() == text
        wait_for(lambda: engine.stats().running == 0, "idle")
    finally:
        engine.close()


def test_which_models_have_it_by_themselves() -> None:
    assert kv_type_of("auto", SMALL_MODEL - 1, 0, (64, 64)) == "q8_0"
    assert kv_type_of("auto", SMALL_MODEL, 0, (64, 64)) == "f16", "prompts would take too long"
    assert kv_type_of("auto", 1, 99, (64, 64)) == "f16", "on a GPU"
    assert kv_type_of("auto", 1, 0, (80, 64)) == "f16", "no whole blocks"
    assert kv_type_of("f16", 1, 0, (64, 64)) == "f16"
