"""The engine on the embedded model: what a request gets, and what it leaves behind when it goes."""

from __future__ import annotations

import threading
from collections.abc import Iterator

import pytest

from runtime.config import EngineSettings
from runtime.engine.batch import EmbeddingBatch, TextBatch
from runtime.engine.engine import Engine
from runtime.engine.llama import ABORTED
from runtime.engine.request import Failed, Finished, Part, Piece, SamplingParams, Started, Text
from runtime.engine.runner import Runner
from runtime.engine.sequence import Request
from runtime.engine.vision import Floats
from runtime.errors import ConfigError, ContextLengthExceeded, EngineError, InvalidRequest, Overloaded
from tests.engine.helpers import (
    PATIENCE,
    PROJECTOR_FILE,
    TEXT_FILE,
    Collector,
    chat,
    generate,
    picture,
    small_engine,
    start,
    wait_for,
)

FRANCE = chat("What is the capital of France?")
ANSWER = "The capital of France is Paris."
LONG: list[Part] = [Text("a long prompt, word by word. " * 100)]


@pytest.fixture
def tight() -> Iterator[Engine]:
    """Two run, two wait, 512 cells."""
    engine = small_engine(context=512, max_sequences=2, max_queue=2)
    yield engine
    engine.close()


def test_events_in_order_one_call_a_step(engine: Engine) -> None:
    sink = generate(engine, FRANCE)
    assert isinstance(sink.events[0], Started)
    assert all(isinstance(e, Piece) for e in sink.events[1:-1])
    finished = sink.events[-1]
    assert isinstance(finished, Finished)
    assert (finished.reason, finished.stop) == ("stop", None)
    # a step gives one token, or several where some were guessed; the end token counts
    assert 5 < len(sink.calls) <= finished.completion_tokens
    assert sink.text() == ANSWER


def test_the_limit_of_tokens_counts_the_completion(engine: Engine) -> None:
    sink = generate(engine, FRANCE, max_tokens=3)
    assert sink.finished == [Finished(0, "length", None, 3)]
    assert ANSWER.startswith(sink.text())


def test_a_stop_string_ends_before_itself(engine: Engine) -> None:
    sink = generate(engine, FRANCE, stop=("nowhere", "is P"))
    assert sink.text() == "The capital of France "
    (finished,) = sink.finished
    assert (finished.reason, finished.stop) == ("stop", "is P")


def test_ignore_eos_goes_on_to_the_limit(engine: Engine) -> None:
    sink = generate(engine, FRANCE, ignore_eos=True, max_tokens=20)
    assert sink.finished == [Finished(0, "length", None, 20)]
    assert sink.text().startswith(ANSWER)


def test_several_choices(engine: Engine) -> None:
    sink = generate(engine, FRANCE, n=3)
    assert [sink.text(i) for i in range(3)] == [ANSWER] * 3
    assert [f.index for f in sink.finished] == [0, 1, 2]


def test_more_choices_than_run_at_once(engine: Engine) -> None:
    sink = generate(engine, FRANCE, n=20, max_tokens=4)
    assert len({sink.text(i) for i in range(20)}) == 1


def test_the_same_seed_gives_the_same_text(engine: Engine) -> None:
    hot = {"temperature": 2.0, "max_tokens": 24, "ignore_eos": True}
    first = generate(engine, FRANCE, seed=11, n=3, **hot)
    again = generate(engine, FRANCE, seed=11, n=3, **hot)
    other = generate(engine, FRANCE, seed=99, n=3, **hot)
    texts = [[sink.text(i) for i in range(3)] for sink in (first, again, other)]
    assert texts[0] == texts[1]
    assert texts[0] != texts[2]
    assert len(set(texts[0])) == 3, "each choice draws for itself"


@pytest.mark.parametrize("params", [{"top_k": 1}, {"top_p": 1e-6}, {"min_p": 1.0}])
def test_filters_that_leave_one_token_are_greedy(engine: Engine, params: dict[str, float]) -> None:
    assert generate(engine, FRANCE, temperature=2.0, seed=1, **params).text() == ANSWER


def test_bias_and_penalties_change_a_greedy_answer(engine: Engine) -> None:
    banned = next(i for i, piece in enumerate(engine.vocabulary().pieces) if piece == b"The")
    assert not generate(engine, FRANCE, logit_bias=((banned, -100.0),), max_tokens=4).text().startswith("The")
    repeated = generate(engine, FRANCE, repetition_penalty=1.5, max_tokens=24, ignore_eos=True)
    assert repeated.text() != generate(engine, FRANCE, max_tokens=24, ignore_eos=True).text()


def test_logprobs_come_with_their_text(engine: Engine) -> None:
    sink = generate(engine, FRANCE, logprobs=3)
    tokens = [logprob for piece in sink.pieces for logprob in piece.logprobs]
    assert b"".join(t.token for t in tokens).decode() == ANSWER
    for token in tokens:
        assert len(token.top) == 3
        assert token.top[0] == (token.token, token.logprob), "greedy: the likeliest"
        assert token.logprob <= 0
    assert all(not piece.logprobs for piece in generate(engine, FRANCE).pieces)


class Spell:
    """A mask that lets through one text, letter by letter or in longer tokens, then the end."""

    is_open = False

    def __init__(self, engine: Engine, text: bytes) -> None:
        self.pieces, self.eos = engine.vocabulary().pieces, engine.vocabulary().eos
        self.rest = text

    def fill(self, bits: memoryview) -> None:
        allowed = [i for i, piece in enumerate(self.pieces) if piece and self.rest.startswith(piece)] or [self.eos]
        for token in allowed:
            bits[token // 8] |= 1 << token % 8

    def accept(self, token: int) -> None:
        assert token == self.eos or self.rest.startswith(self.pieces[token])
        self.rest = self.rest[len(self.pieces[token]) :]


def test_a_mask_decides_what_may_come(engine: Engine) -> None:
    sink = generate(engine, FRANCE, n=2, mask=lambda: Spell(engine, b'{"a": 1}'))
    assert [sink.text(i) for i in range(2)] == ['{"a": 1}'] * 2


def test_a_mask_that_fails_fails_its_request_only(engine: Engine) -> None:
    class Broken(Spell):
        def fill(self, bits: memoryview) -> None:
            raise ZeroDivisionError("broken grammar")

    other, _ = start(engine, FRANCE)
    sink, _ = start(engine, FRANCE, mask=lambda: Broken(engine, b""))
    sink.wait()
    assert sink.failure is not None
    assert "broken grammar" in sink.failure.error.message
    assert other.wait().text() == ANSWER


def test_the_prefix_of_a_running_request_is_shared(engine: Engine) -> None:
    parts = chat(picture("circle", "blue", side=140), "What is in this image?")
    generate(engine, parts)
    other = chat(picture("circle", "blue", side=140), "What color is the circle?")
    sink = generate(engine, other)
    assert sink.started.cached_tokens >= 14 + 27, "the picture, too"


def test_an_image_asked_twice_at_once_is_encoded_once() -> None:
    engine = small_engine()
    try:
        image = picture("square", "green")
        sinks = [start(engine, chat(image, text))[0] for text in ("What is in this image?", "Describe this image.")]
        for sink in sinks:
            sink.wait()
        assert engine.stats().images_encoded == 1
    finally:
        engine.close()


def test_a_cancelled_request_leaves_no_cells() -> None:
    engine = small_engine()
    try:
        sink, ticket = start(engine, FRANCE, ignore_eos=True)
        sink.wait(Collector.has_text)
        ticket.cancel()
        ticket.cancel()
        wait_for(lambda: engine.stats().cells_used == 0, "no cells")
        n = len(sink.events)
        assert generate(engine, FRANCE, max_tokens=2).text()
        assert len(sink.events) == n, "no event after a cancel"
        assert not sink.finished
    finally:
        engine.close()


def test_cancel_in_the_middle_of_a_long_prompt() -> None:
    engine = small_engine(context=8192)
    try:
        other, _ = start(engine, FRANCE, ignore_eos=True, max_tokens=200)
        sink, ticket = start(engine, LONG)
        wait_for(lambda: engine.stats().running == 2 or bool(sink.events), "running")
        ticket.cancel()
        other.wait()
        assert other.text().startswith(ANSWER)
        wait_for(lambda: engine.stats().running == 0, "idle")
        assert not sink.is_over()
        assert engine.stats().faults == 0
    finally:
        engine.close()


def test_cancel_while_an_image_waits_its_turn(engine: Engine) -> None:
    pictures = [picture("circle", "red", side=28 * n) for n in (9, 10, 11)]
    pairs = [start(engine, chat(p, "What is in this image?")) for p in pictures]
    for _, ticket in pairs[1:]:
        ticket.cancel()
    assert pairs[0][0].wait().text()


def test_cancel_from_inside_a_sink(engine: Engine) -> None:
    sink = Collector()
    ticket = engine.submit(engine.prepare(FRANCE), SamplingParams(temperature=0, ignore_eos=True), sink)
    sink.hook = lambda events: ticket.cancel()
    wait_for(lambda: engine.stats().running == 0 and bool(sink.events), "gone")


def test_a_sink_that_fails_loses_its_request_only(engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    def broken(events: object) -> None:
        raise RuntimeError("a broken sink")

    engine.submit(engine.prepare(FRANCE), SamplingParams(temperature=0), broken)
    assert generate(engine, FRANCE).text() == ANSWER
    wait_for(lambda: "a broken sink" in caplog.text, "logged")


def test_a_prompt_that_does_not_fit_is_refused_at_the_door(tight: Engine) -> None:
    prompt = tight.prepare(FRANCE)
    with pytest.raises(ContextLengthExceeded, match=rf"length is 512 tokens.*requested {prompt.n_tokens + 500} "):
        tight.submit(prompt, SamplingParams(max_tokens=500), Collector())
    long = tight.prepare(LONG)
    says = rf"requested {long.n_tokens} tokens \({long.n_tokens} in the messages, 0 in the completion\)"
    with pytest.raises(ContextLengthExceeded, match=says):
        tight.submit(long, SamplingParams(), Collector())


def test_a_request_may_fill_the_whole_context(tight: Engine) -> None:
    left = 512 - tight.prepare(FRANCE).n_tokens
    for _ in range(3):
        sink = generate(tight, FRANCE, ignore_eos=True)
        assert sink.finished == [Finished(0, "length", None, left)]


def test_more_than_fits_is_preempted_and_finished(tight: Engine) -> None:
    # what is sampled wildly cannot be guessed: both stay until the cells run out
    wild = {"ignore_eos": True, "max_tokens": 300, "temperature": 2.0, "seed": 1}
    sinks = [start(tight, chat(text), **wild)[0] for text in ("Hello!", "Hi there!")]
    for sink in sinks:
        assert sink.wait().finished[0].completion_tokens == 300
    assert tight.stats().preemptions > 0


def test_too_many_are_refused_with_a_time(tight: Engine) -> None:
    pairs = [start(tight, FRANCE, ignore_eos=True) for _ in range(4)]
    with pytest.raises(Overloaded) as refused:
        start(tight, FRANCE)
    assert refused.value.retry_after
    for _, ticket in pairs:
        ticket.cancel()
    wait_for(lambda: tight.stats().waiting + tight.stats().running == 0, "idle")
    assert generate(tight, FRANCE).text() == ANSWER


@pytest.mark.parametrize("params", [{"max_tokens": 0}, {"logit_bias": ((100_000, 1.0),)}, {"n": 0}])
def test_parameters_that_cannot_be(engine: Engine, params: dict[str, object]) -> None:
    with pytest.raises(InvalidRequest):
        start(engine, FRANCE, **params)  # type: ignore[arg-type]


def test_many_short_requests_leave_nothing_behind() -> None:
    engine = small_engine(context=1024)
    try:
        threads = threading.active_count()
        for i in range(10):
            sinks = [start(engine, chat(f"Hello {i} {j}"), max_tokens=4)[0] for j in range(12)]
            for sink in sinks:
                assert sink.wait().failure is None
        stats = engine.stats()
        assert (stats.running, stats.waiting, stats.faults) == (0, 0, 0)
        assert threading.active_count() == threads
        sink = generate(engine, [Text("x")], ignore_eos=True)
        assert sink.finished[0].completion_tokens == 1024 - 1, "every cell can be used again"
    finally:
        engine.close()


def test_close_fails_what_is_open_and_refuses_the_rest() -> None:
    engine = small_engine(name="closing")
    prompt = engine.prepare(FRANCE)
    sinks = [start(engine, FRANCE, ignore_eos=True)[0] for _ in range(12)]
    sinks.append(start(engine, chat(picture("circle", "red", side=448), "What is in this image?"))[0])
    sinks[0].wait(Collector.has_text)
    engine.close()
    engine.close()
    for sink in sinks:
        assert sink.failure is not None
        assert isinstance(sink.events[-1], Failed)
        assert "shutting down" in sink.failure.error.message
    for refused in (lambda: engine.prepare(FRANCE), lambda: engine.submit(prompt, SamplingParams(), Collector())):
        with pytest.raises(EngineError, match="shutting down"):
            refused()
    wait_for(lambda: not [t for t in threading.enumerate() if t.name.endswith("closing")], "no threads")


def test_files_that_are_no_model() -> None:
    with pytest.raises(ConfigError, match="no such file"):
        Engine(TEXT_FILE.with_name("absent.gguf"), None, EngineSettings(), name="x")
    with pytest.raises(ConfigError, match="cannot load"):
        Engine(PROJECTOR_FILE, None, EngineSettings(), name="x")
    with pytest.raises(ConfigError, match="projector"):
        Engine(TEXT_FILE, TEXT_FILE, EngineSettings(threads=1), name="x")


def test_a_model_without_a_projector_takes_text_only() -> None:
    engine = Engine(TEXT_FILE, None, EngineSettings(context=512, threads=1), name="text")
    try:
        assert not engine.has_vision
        assert generate(engine, FRANCE).text() == ANSWER
        with pytest.raises(InvalidRequest, match="without a projector"):
            engine.prepare([picture("circle", "red")])
    finally:
        engine.close()


def test_embeddings_survive_a_restart(tmp_path: object) -> None:
    parts = chat(picture("circle", "red"), "What is in this image?")
    for encoded in (1, 0):
        engine = small_engine(image_cache_dir=tmp_path)
        try:
            assert generate(engine, parts).text() == "The image shows a red circle."
            assert engine.stats().images_encoded == encoded
        finally:
            engine.close()


def test_cancel_stops_the_batch_that_computes_its_prompt(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = small_engine()
    context = engine._loaded.context
    decode, entered, go, results = context.decode, threading.Event(), threading.Event(), []

    def held(batch: TextBatch | EmbeddingBatch) -> int:
        entered.set()
        assert go.wait(PATIENCE)
        results.append(decode(batch))
        return results[-1]

    monkeypatch.setattr(context, "decode", held)
    try:
        _, ticket = start(engine, LONG, max_tokens=8)
        assert entered.wait(PATIENCE)
        ticket.cancel()
        go.set()
        wait_for(lambda: engine.stats().waiting + engine.stats().running == 0, "gone")
        assert results == [ABORTED]
        assert engine.stats().cells_used == 0
        assert generate(engine, FRANCE).text() == ANSWER
    finally:
        go.set()
        engine.close()


@pytest.mark.parametrize("with_image", [False, True])
def test_rows_that_fill_a_batch_leave_nothing(with_image: bool) -> None:
    engine = small_engine(draft_tokens=0)
    sizes: list[int] = []
    decode = engine._runner._decode

    def watched(batch: TextBatch | EmbeddingBatch, long: set[Request]) -> int:
        sizes.append(batch.struct.n_tokens)
        return decode(batch, long)

    engine._runner._decode = watched
    try:
        answers = set()
        for n in range(4):
            parts = chat("x" * 60 + "9" * n, *([picture("circle", "red")] if with_image else []))
            sink = generate(engine, parts, max_tokens=2)
            answers.add(sink.text())
            wait_for(lambda: engine.stats().running == 0, "gone")
            assert generate(engine, parts, max_tokens=2).text() == sink.text()
        assert any(n > 1 for n in sizes)
        assert all(n == 1 or n % 4 == 0 for n in sizes)
        wait_for(lambda: engine._runner._is_checked, "checked")
        assert engine.stats().faults == 0
    finally:
        engine.close()


def test_books_that_are_wrong_are_noticed_when_idle(caplog: pytest.LogCaptureFixture) -> None:
    engine = small_engine()

    def tamper(runner: Runner) -> None:
        for holder in runner.cache.holders():
            runner._context.remove(holder, 0)
        runner._is_checked = False

    try:
        generate(engine, FRANCE)
        engine._inbox.append(tamper)
        engine._wake.set()
        wait_for(lambda: engine.stats().faults == 1, "noticed")
        assert "books are wrong" in caplog.text
        sink = generate(engine, FRANCE)
        assert (sink.text(), sink.started.cached_tokens) == (ANSWER, 0)
    finally:
        engine.close()


def test_a_fault_nobody_foresaw_fails_what_is_open_and_no_more(caplog: pytest.LogCaptureFixture) -> None:
    engine = small_engine()

    def broken(runner: Runner) -> None:
        raise ZeroDivisionError("unforeseen")

    try:
        sink, _ = start(engine, FRANCE, ignore_eos=True)
        sink.wait(Collector.has_text)
        engine._inbox.append(broken)
        engine._wake.set()
        failure = sink.wait().failure
        assert failure is not None
        assert "unforeseen" in failure.error.message
        assert generate(engine, FRANCE).text() == ANSWER
        assert "met a fault" in caplog.text
    finally:
        engine.close()


def test_text_goes_on_while_an_image_is_encoded(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = small_engine()
    vision = engine._loaded.vision
    assert vision is not None
    encode, go = vision.encode, threading.Event()

    def held(width: int, height: int, rgb: bytes) -> Floats:
        assert go.wait(PATIENCE)
        return encode(width, height, rgb)

    monkeypatch.setattr(vision, "encode", held)
    try:
        pictured, _ = start(engine, chat(picture("circle", "red"), "What is in this image?"))
        assert generate(engine, FRANCE).text() == ANSWER
        assert not pictured.events
        go.set()
        assert pictured.wait().text() == "The image shows a red circle."
    finally:
        go.set()
        engine.close()


@pytest.mark.parametrize(
    "settings",
    [
        {"max_sequences": 1},
        {"max_sequences": 128},
        {"kv_type": "q8_0"},
        {"context": 300},
        {"image_max_tokens": 16, "image_cache_mb": 0},
        {"threads": 0},
    ],
    ids=str,
)
def test_settings(settings: dict[str, object]) -> None:
    engine = small_engine(**settings)
    try:
        parts = chat(picture("circle", "red"), "What is in this image?")
        for _ in range(2):
            sinks = [start(engine, p, n=2, max_tokens=24)[0] for p in (FRANCE, parts)]
            for sink, answer in zip(sinks, (ANSWER, "The image shows a red circle."), strict=True):
                assert [sink.wait().text(i) for i in range(2)] == [answer] * 2
        assert engine.stats().faults == 0
    finally:
        engine.close()
