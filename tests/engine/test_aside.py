"""Prompts with images beside streams, on the embedded model: in the second context, and from there into the first."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from typing import Any

import pytest

from runtime.engine import aside as aside_module
from runtime.engine.batch import EmbeddingBatch, TextBatch
from runtime.engine.llama import OK, AbortFlag, Context
from runtime.engine.request import Part
from runtime.engine.runner import Runner
from tests.engine.helpers import PATIENCE, Collector, chat, generate, picture, small_engine, start, wait_for

PICTURE = picture("circle", "blue", side=224)
ASKED = chat(PICTURE, "What is in this image?")
GREEDY: dict[str, Any] = {"max_tokens": 12, "ignore_eos": True, "logprobs": 2}


class Desk:
    """An engine, a stream that runs on it, and the batches of the second context, which wait until they are let."""

    def __init__(self, **settings: Any) -> None:
        self.engine = small_engine(draft_tokens=0, **settings)
        assert self.engine._aside is not None
        self.aside = self.engine._aside
        self.sizes: list[int] = []
        self.n_entered = 0
        self.gate = threading.Semaphore(1000)
        self.stream, self._ticket = Collector(), None
        open_context = self.aside.open_context

        def opened(abort: AbortFlag) -> Context:
            context = open_context(abort)
            decode = context.decode

            def held(batch: TextBatch | EmbeddingBatch) -> int:
                self.n_entered += 1
                assert self.gate.acquire(timeout=PATIENCE)
                result = decode(batch)
                if result == OK:
                    self.sizes.append(batch.struct.n_tokens)
                return result

            context.decode = held  # type: ignore[method-assign]
            return context

        self.aside.open_context = opened

    def hold(self) -> None:
        self.gate = threading.Semaphore(0)

    def let(self, n: int = 1000) -> None:
        if n:
            self.gate.release(n)

    def wait(self, n: int) -> None:
        wait_for(lambda: self.n_entered == n, f"{n} batches are in work or done")

    def begin_stream(self) -> None:
        self.stream, self._ticket = start(self.engine, chat("river"), ignore_eos=True)
        self.stream.wait(Collector.has_text)

    def end_stream(self) -> None:
        assert self._ticket is not None
        self._ticket.cancel()

    def close(self) -> None:
        self.let()
        if self._ticket is not None and not self.engine._is_closing:
            self.end_stream()
            wait_for(lambda: (s := self.engine.stats()).running + s.waiting == 0, "idle")
            wait_for(lambda: self.engine._runner._is_checked, "checked")
            assert self.engine.stats().faults == 0
        self.engine.close()


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def tokens(sink: Collector, index: int = 0) -> list[Any]:
    return [t for piece in sink.pieces if piece.index == index for t in piece.logprobs]


def alone(parts: list[Part], **settings: Any) -> list[Any]:
    engine = small_engine(draft_tokens=0, **settings)
    try:
        return tokens(generate(engine, parts, **GREEDY))
    finally:
        engine.close()


def test_the_same_tokens_with_the_same_probabilities(desk: Desk) -> None:
    expected = alone(ASKED)
    desk.begin_stream()
    sink = generate(desk.engine, ASKED, **GREEDY)
    assert tokens(sink) == expected
    n = desk.engine.prepare(ASKED).n_tokens
    assert sum(desk.sizes) == n - 1 - sink.started.cached_tokens
    again = generate(desk.engine, chat(PICTURE, "What color is the circle?"), **GREEDY)
    assert again.started.cached_tokens > 64, "the picture is a prefix like any other"
    assert sum(desk.sizes) == n - 1 - sink.started.cached_tokens


def test_without_rows_of_tokens_text_is_apart(desk: Desk) -> None:
    expected = alone(ASKED)
    desk.aside.rows = None
    desk.begin_stream()
    assert tokens(generate(desk.engine, ASKED, **GREEDY)) == expected
    assert len(desk.sizes) == 3


def test_behind_what_the_first_context_has(desk: Desk) -> None:
    before = chat("A long question about a river and a hill, which comes first.", picture("square", "red"))
    parts = [*before, PICTURE, *chat("What is in this image?")]
    expected = alone(parts)
    generate(desk.engine, before, max_tokens=2)
    desk.begin_stream()
    sink = generate(desk.engine, parts, **GREEDY)
    assert tokens(sink) == expected
    assert sink.started.cached_tokens >= desk.engine.prepare(before).n_tokens - 1
    assert sum(desk.sizes) + sink.started.cached_tokens + 1 == desk.engine.prepare(parts).n_tokens


@pytest.mark.parametrize("n", [2, 3])
def test_choices_share_what_was_computed_aside(desk: Desk, n: int) -> None:
    expected = alone(ASKED)
    desk.begin_stream()
    sink = generate(desk.engine, ASKED, n=n, **GREEDY)
    assert [tokens(sink, i) for i in range(n)] == [expected] * n
    assert sum(desk.sizes) < desk.engine.prepare(ASKED).n_tokens


def test_two_images_in_one_prompt(desk: Desk) -> None:
    parts = chat(PICTURE, picture("square", "red", side=196), "What is in these images?")
    expected = alone(parts)
    desk.begin_stream()
    assert tokens(generate(desk.engine, parts, **GREEDY)) == expected
    assert sum(desk.sizes) > 64 + 49


def test_two_requests_with_one_image_compute_it_once(desk: Desk) -> None:
    desk.begin_stream()
    desk.hold()
    first, _ = start(desk.engine, ASKED, max_tokens=4)
    desk.wait(1)
    second, _ = start(desk.engine, chat(PICTURE, "Describe this image."), max_tokens=4)
    desk.let()
    first.wait()
    assert second.wait().started.cached_tokens > 64
    assert sum(desk.sizes) < desk.engine.prepare(ASKED).n_tokens


def test_text_that_begins_alike_waits_for_no_image(desk: Desk) -> None:
    desk.begin_stream()
    desk.hold()
    layout = "Two sentences that both begin with. Nobody else has computed them yet."
    pictured, _ = start(desk.engine, chat(layout, PICTURE), max_tokens=4)
    desk.wait(1)
    assert generate(desk.engine, chat(layout, "river"), max_tokens=4).text()
    desk.let()
    assert pictured.wait().text()


def test_a_cancel_stops_it_and_leaves_no_cells(desk: Desk) -> None:
    desk.begin_stream()
    desk.hold()
    sink, ticket = start(desk.engine, ASKED)
    desk.wait(1)
    ticket.cancel()
    wait_for(lambda: desk.engine.stats().running == 1, "only the stream runs")
    desk.end_stream()
    wait_for(lambda: desk.engine.stats().cells_used == 0, "no cells")
    desk.let()
    desk.begin_stream()
    again = generate(desk.engine, ASKED, **GREEDY)
    assert tokens(again) == alone(ASKED)
    n = desk.engine.prepare(ASKED).n_tokens
    assert sum(desk.sizes) == n - 1 - again.started.cached_tokens, "the batch of the cancelled one was stopped"
    assert not sink.events


@pytest.mark.parametrize("batches", [0, 1, 3])
def test_where_the_stream_ends_the_rest_is_computed_without(
    desk: Desk, monkeypatch: pytest.MonkeyPatch, batches: int
) -> None:
    monkeypatch.setattr(aside_module, "BATCH_ASIDE", 16)
    desk.begin_stream()
    desk.hold()
    sink, _ = start(desk.engine, ASKED, **GREEDY)
    desk.let(batches)
    desk.wait(batches + 1)
    desk.end_stream()
    wait_for(lambda: desk.engine._step_began is None, "nothing to do but wait")
    desk.let()
    assert tokens(sink.wait()) == alone(ASKED)
    assert desk.sizes == [16] * (batches + 1), "the batch in work is the last one"


def test_what_was_stopped_amid_an_image_is_taken_up_there(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(aside_module, "BATCH_ASIDE", 40)
    desk.begin_stream()
    desk.hold()
    sink, _ = start(desk.engine, ASKED, **GREEDY)
    desk.wait(1)
    (job,) = [s.aside for s in desk.engine._runner.scheduler.running if s.aside is not None]
    assert desk.aside.stop(job)
    desk.let()
    assert tokens(sink.wait()) == alone(ASKED)
    assert job.cells is not None
    assert job.prompt.edge(job.n) < job.n < job.end
    n = desk.engine.prepare(ASKED).n_tokens
    assert sum(desk.sizes) == n - 1 - sink.started.cached_tokens, "nothing twice"


def test_close_ends_it(desk: Desk) -> None:
    desk.begin_stream()
    desk.hold()
    sink, _ = start(desk.engine, ASKED)
    desk.wait(1)
    closing = threading.Thread(target=desk.engine.close)
    closing.start()
    assert sink.wait().failure is not None
    desk.let()
    closing.join(PATIENCE)
    assert not closing.is_alive()
    wait_for(lambda: not desk.engine._background._thread.is_alive(), "no thread")
    assert desk.engine._loaded._aside.pointer is None
    assert desk.engine._loaded.model.pointer is None


def test_a_fault_forgets_it(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    def broken(runner: Runner) -> None:
        raise ZeroDivisionError("unforeseen")

    desk.begin_stream()
    desk.hold()
    sink, _ = start(desk.engine, ASKED)
    desk.wait(1)
    desk.engine._inbox.append(broken)
    desk.engine._wake.set()
    assert sink.wait().failure is not None
    desk.let()
    desk.begin_stream()
    assert tokens(generate(desk.engine, ASKED, **GREEDY)) == alone(ASKED)
    assert "met a fault" in caplog.text


@pytest.mark.parametrize("where", ["decode", "open"])
def test_what_fails_aside_is_computed_as_others_are(desk: Desk, where: str, caplog: pytest.LogCaptureFixture) -> None:
    open_context = desk.aside.open_context

    def broken(abort: AbortFlag) -> Context:
        if where == "open":
            raise MemoryError("no memory")
        context = open_context(abort)
        context.decode = lambda batch: -3  # type: ignore[method-assign]
        return context

    desk.aside.open_context = broken
    desk.begin_stream()
    assert tokens(generate(desk.engine, ASKED, **GREEDY)) == alone(ASKED)
    assert caplog.text.count("not computed aside") == 1
    assert not desk.sizes


def test_cells_that_find_no_room_are_computed_anew(desk: Desk, caplog: pytest.LogCaptureFixture) -> None:
    desk.engine._loaded.context.put = lambda sequence, cells: False  # type: ignore[method-assign]
    desk.begin_stream()
    assert tokens(generate(desk.engine, ASKED, **GREEDY)) == alone(ASKED)
    assert "computed anew" in caplog.text


def test_cells_that_cannot_be_copied_are_left_where_they_are(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    def broken(sequence: int) -> None:
        raise MemoryError("no memory")

    monkeypatch.setattr(desk.engine._loaded.context, "export", broken)
    desk.begin_stream()
    assert tokens(generate(desk.engine, ASKED, **GREEDY)) == alone(ASKED)
    assert not desk.sizes


def test_a_prompt_that_is_too_long_for_it(desk: Desk) -> None:
    desk.aside.n_cells = 70
    desk.begin_stream()
    assert tokens(generate(desk.engine, ASKED, **GREEDY)) == alone(ASKED)
    assert not desk.sizes


def test_where_cells_are_short_everyone_ends() -> None:
    desk = Desk(context=400, max_sequences=3)
    try:
        parts = chat(picture("circle", "blue", side=252), "What is in this image?")
        expected = alone(parts)
        hot = {"temperature": 2.0, "seed": 1, "ignore_eos": True}
        others = [start(desk.engine, chat(word), max_tokens=200, **hot)[0] for word in ("river", "stone")]
        for other in others:
            other.wait(Collector.has_text)
        sinks = [start(desk.engine, parts, **GREEDY)[0] for _ in range(3)]
        for sink in (*sinks, *others):
            assert sink.wait().failure is None
        assert [tokens(sink) for sink in sinks] == [expected] * 3
        wait_for(lambda: desk.engine._runner._is_checked, "checked")
        assert desk.engine.stats().faults == 0
    finally:
        desk.close()
