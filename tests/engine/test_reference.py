"""Greedy output equals what a plain sequential evaluation of the same prompt gives, whatever runs beside it."""

from __future__ import annotations

import pytest

from runtime.engine.batch import EmbeddingBatch, TextBatch
from runtime.engine.engine import Engine
from runtime.engine.llama import ABORTED
from runtime.engine.request import Markup, Part, Text
from runtime.engine.sequence import Request
from tests.engine.helpers import Reference, chat, generate, picture, small_engine, start

PROMPTS: dict[str, list[Part]] = {
    "capital": chat("What is the capital of France?"),
    "another capital": chat("What is the capital of Italy?"),
    "capitals": chat("Name the european capitals"),
    "greeting": chat("Hello!"),
    "circle": chat(picture("circle", "red"), "What is in this image?"),
    "square": chat(picture("square", "blue"), "What color is the square?"),
    "text before the image": chat("Describe this image.", picture("circle", "green", side=140)),
    "two images": chat(picture("circle", "red"), picture("square", "blue", side=84), "How many shapes are there?"),
    "a second turn": [
        *chat("What is the capital of France?"),
        Text("The capital of France is Paris."),
        Markup("<|im_end|>"),
        Text("\n"),
        Markup("<|im_start|>"),
        Text("user\nWhat is the capital of Spain?"),
        Markup("<|im_end|>"),
        Text("\n"),
        Markup("<|im_start|>"),
        Text("assistant\n"),
    ],
}


@pytest.fixture(scope="module")
def expected(reference: Reference) -> dict[str, tuple[int, str]]:
    answers = {name: reference.greedy(parts, 48) for name, parts in PROMPTS.items()}
    return {name: (n, text.decode("utf-8", "replace")) for name, (n, text) in answers.items()}


def test_the_reference_knows_its_model(expected: dict[str, tuple[int, str]]) -> None:
    assert expected["capital"][1] == "The capital of France is Paris."
    assert expected["circle"][1] == "The image shows a red circle."


@pytest.mark.parametrize("name", PROMPTS)
def test_alone_and_from_the_cache(engine: Engine, expected: dict[str, tuple[int, str]], name: str) -> None:
    n, text = expected[name]
    for attempt in range(2):
        sink = generate(engine, PROMPTS[name], max_tokens=48)
        assert engine.prepare(PROMPTS[name]).n_tokens == n
        assert sink.text() == text
        if attempt:
            assert sink.started.cached_tokens == n - 1


@pytest.mark.parametrize("context", [4096, 384], ids=["roomy", "with preemption"])
def test_beside_the_others(expected: dict[str, tuple[int, str]], context: int) -> None:
    engine = small_engine(context=context)
    try:
        for _ in range(3):
            sinks = [(name, start(engine, parts, max_tokens=48)[0]) for name, parts in PROMPTS.items()]
            for name, sink in sinks:
                sink.wait()
                assert sink.failure is None
                assert (name, sink.text()) == (name, expected[name][1])
        assert engine.stats().faults == 0
    finally:
        engine.close()


def test_without_any_cache_between(expected: dict[str, tuple[int, str]]) -> None:
    for name in ("circle", "two images"):
        engine = small_engine()
        try:
            sink = generate(engine, PROMPTS[name], max_tokens=48)
            assert sink.started.cached_tokens == 0
            assert sink.text() == expected[name][1]
        finally:
            engine.close()


def test_aborted_batches_change_nothing(expected: dict[str, tuple[int, str]], monkeypatch: pytest.MonkeyPatch) -> None:
    """Every third decode is stopped inside llama.cpp; what it had computed of the batch is computed again."""
    engine = small_engine()
    decode, calls, results = engine._decode, iter(range(10**6)), []

    def interrupted(batch: TextBatch | EmbeddingBatch, long: set[Request]) -> int:
        if next(calls) % 3:
            return decode(batch, long)
        context = engine._loaded.context
        engine._abort.set()
        result = context.decode(batch)
        results.append(result)
        return result

    monkeypatch.setattr(engine._runner, "_decode", interrupted)
    try:
        for _ in range(3):
            sinks = [(name, start(engine, parts, max_tokens=48)[0]) for name, parts in PROMPTS.items()]
            for name, sink in sinks:
                assert (name, sink.wait().text()) == (name, expected[name][1])
        assert set(results) == {ABORTED}
        assert engine.stats().faults == 0
    finally:
        engine.close()
