"""Admission, fairness, preemption, sharing: on an imagined memory that checks every slice."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from runtime.engine.sequence import Sequence
from tests.engine.simulation import PART, Node


def test_decoding_goes_on_beside_a_long_prompt() -> None:
    node = Node(cells=200)
    (short,) = node.submit([1, 2], max_tokens=20)
    node.step()
    node.submit([int(i) for i in range(100, 150)])
    for _ in range(6):
        before = len(short.tokens)
        step = node.step(budget=8)
        assert len(short.tokens) == before + 1
        assert sum(p.end - p.start for p in step.text) <= 8 + 1
    node.drain()


def test_a_common_prefix_is_computed_once_even_if_nobody_had_it() -> None:
    node = Node(cells=400, max_sequences=3)
    prefix = list(range(40))
    for i in range(3):
        node.submit([*prefix, 100 + i])
    computed = 0
    while node.open:
        computed += sum(p.end - p.start for p in node.step().text)
    assert computed < 40 + 3 + 3 * 3 + 1


def test_choices_of_one_request_share_its_prompt() -> None:
    node = Node(cells=100, max_sequences=3, batch=32)
    node.submit(list(range(20)), n=3)
    node.step(budget=100)
    node.step(budget=100)
    assert len(node.scheduler.running) == 3
    assert node.cache.used <= 20 + 3 * 2
    node.drain()


def test_more_choices_than_slots_come_in_turn() -> None:
    node = Node(max_sequences=2)
    made = node.submit([1, 2, 3], n=7)
    node.drain()
    assert len(node.finished) == len(made)


def test_callers_take_turns() -> None:
    node = Node(max_sequences=1, cells=100)
    for i in range(4):
        node.submit([10 + i], caller="a", max_tokens=1)
    node.submit([20], caller="b", max_tokens=1)
    node.drain()
    assert [s.request.caller for s in node.finished] == ["a", "b", "a", "a", "a"]


def test_nobody_smaller_overtakes_for_want_of_cells() -> None:
    node = Node(cells=40, max_sequences=3)
    node.submit(list(range(20)), max_tokens=10)
    node.step(budget=64)
    big, small = node.submit(list(range(100, 125)))[0], node.submit([7])[0]
    node.step()
    assert big in node.scheduler.waiting
    assert small in node.scheduler.waiting
    node.drain()


def test_the_newest_is_preempted_and_resumed_with_the_same_result() -> None:
    alone: list[list[int]] = []
    for start in (1, 2):
        node = Node(cells=200)
        node.submit([start], max_tokens=25)
        node.drain()
        alone.append(node.finished[0].tokens)
    node = Node(cells=36, max_sequences=2)
    first, second = node.submit([1], max_tokens=25)[0], node.submit([2], max_tokens=25)[0]
    node.drain()
    assert node.scheduler.preemptions > 0
    assert [first.tokens, second.tokens] == alone
    assert node.finished == [first, second], "the older one never waited"


def test_an_image_that_is_not_ready_holds_nobody_up() -> None:
    node = Node(max_sequences=1, cells=100)
    (pictured,) = node.submit([1, ("cat", 6), 2])
    (plain,) = node.submit([3])
    for _ in range(5):
        node.step()
    assert node.finished == [plain]
    node.deliver("cat")
    node.drain()
    assert node.finished == [plain, pictured]


def test_a_cached_image_needs_no_encoding() -> None:
    node = Node(cells=100)
    node.submit([1, ("cat", 6), 2])
    node.drain()
    node.images.cached.clear()
    node.images.wanted.clear()
    (again,) = node.submit([1, ("cat", 6), 2, 3])
    assert not any(node.images.wanted.values())
    node.drain()
    assert again.n_cached == 8


def test_a_prefix_is_cut_at_the_edge_of_an_image() -> None:
    node = Node(cells=100)
    node.submit([1, ("cat", 6)])
    node.drain()
    (again,) = node.submit([1, ("cat", 6)])
    node.drain()
    assert again.n_cached == 1, "the image is the prompt's end: its last logits are needed"


def test_an_image_and_a_text_that_wait_share_a_step() -> None:
    node = Node(cells=200, max_sequences=2, batch=32)
    (pictured,) = node.submit([1, ("cat", 40), 2])
    node.deliver("cat")
    node.step()
    (long,) = node.submit([int(i) for i in range(100, 140)])
    before = pictured.n_computed
    step = node.step(budget=9)
    assert (pictured.n_computed - before, long.n_computed) == (5, 4)
    assert step.pieces[-1].sequence is pictured
    node.drain()


def test_a_failed_slice_of_an_image_begins_it_anew() -> None:
    node = Node(cells=100)
    (s,) = node.submit([1, ("cat", 12), 2])
    node.deliver("cat")
    node.step(budget=2)
    assert s.n_computed == 2
    node.step(budget=5)
    assert s.n_computed == 7
    node.step(budget=5, fail=True)
    assert s.n_computed == 1
    node.drain()


def test_an_image_and_the_text_around_it_are_one_step() -> None:
    node = Node(cells=100)
    (s,) = node.submit([1, 2, ("cat", 3), 4, 5, ("dog", 3), 6])
    node.deliver("cat")
    node.deliver("dog")
    step = node.step(budget=16, fail=True)
    assert [(p.start, p.end) for p in step.pieces] == [(0, 2), (2, 5), (5, 7)], "an image a step"
    assert s.n_computed == 0
    node.step(budget=16)
    step = node.step(budget=16)
    assert [(p.start, p.end, p.samples) for p in step.pieces] == [(7, 10, False), (10, 11, True)]
    node.drain()


def test_an_image_that_is_not_ready_is_left_for_later() -> None:
    node = Node(cells=100)
    (s,) = node.submit([1, ("cat", 3), 2, ("dog", 3), 3])
    node.deliver("cat")
    node.step(budget=16)
    assert s.n_computed == 5
    node.drain()


def test_drafts_change_no_token() -> None:
    results = []
    for length, right in ((0, 0), (5, 0), (5, 3), (5, 5)):
        node = Node(cells=200)
        node.drafts.length, node.drafts.right = length, right
        made = [node.submit([i, 2, 3], max_tokens=20)[0] for i in range(3)]
        steps = 0
        while node.open:
            node.step()
            steps += 1
        assert bool(node.drafts.drafted) == bool(length)
        results.append(([s.tokens for s in made], steps))
    assert all(tokens == results[0][0] for tokens, _ in results)
    plain, wrong, half, right_ones = (steps for _, steps in results)
    assert plain == wrong > half > right_ones


def test_a_draft_takes_no_cell_that_another_needs() -> None:
    node = Node(cells=36, max_sequences=2)
    node.drafts.length = 7
    first, second = node.submit([1], max_tokens=16)[0], node.submit([2], max_tokens=16)[0]
    node.drain()
    assert node.finished == [first, second]
    assert not node.scheduler.preemptions, "what they need fits: 34 of 36"


def test_a_failed_draft_leaves_nothing() -> None:
    node = Node(cells=100)
    (s,) = node.submit([1, 2, 3], max_tokens=10)
    node.step()
    node.drafts.length, node.drafts.right = 4, 2
    node.step(fail=True)
    assert len(s.tokens) == s.n_computed + 1 == 4
    node.drain()


def beside_a_stream(**settings: int) -> tuple[Node, Sequence]:
    node = Node(**{"cells": 200, "cells_aside": 100, **settings})
    (stream,) = node.submit([9], max_tokens=40)
    node.step()
    return node, stream


def test_beside_a_stream_a_prompt_with_an_image_is_computed_aside() -> None:
    node, stream = beside_a_stream()
    (s,) = node.submit([1, 2, ("cat", 12), 3, 4])
    node.step()
    assert s.aside is None, "the image is not encoded yet"
    node.deliver("cat")
    for rows in (8, 7):
        before = len(stream.tokens)
        step = node.step()
        assert [p.sequence for p in step.pieces] == [stream], "nothing of it in the stream's steps"
        assert len(stream.tokens) == before + 1
        node.compute_aside(rows)
    assert s.n_computed == len(s.tokens) - 1 == node.aside.computed == 15
    step = node.step()
    assert [p.is_decoding for p in step.pieces] == [True, True]
    node.drain()


def test_without_a_stream_nothing_is_aside() -> None:
    node = Node(cells=200, cells_aside=100)
    node.submit([1, ("cat", 12), 3])
    node.drain()
    assert not node.aside.computed


def test_what_is_computed_aside_is_what_would_be_computed_without() -> None:
    parts: list[PART] = [1, 2, ("cat", 12), 3, ("dog", 6), 4, 5]
    results = []
    for cells_aside in (0, 100):
        node, _ = beside_a_stream(cells_aside=cells_aside)
        (s,) = node.submit(parts, max_tokens=5)
        node.drain()
        (again,) = node.submit([*parts, 6], max_tokens=2)
        node.drain()
        assert again.n_cached == len(s.request.prompt.ids)
        assert bool(node.aside.computed) == bool(cells_aside)
        results.append(s.tokens)
    assert results[0] == results[1]


def test_up_to_an_image_that_is_not_encoded_yet() -> None:
    node, _ = beside_a_stream()
    (s,) = node.submit([1, ("cat", 4), 2, 3, ("dog", 4), 4])
    node.deliver("cat")
    node.step()
    node.compute_aside(100)
    assert s.n_computed == 7
    node.step()
    assert s.aside is None
    node.deliver("dog")
    node.step()
    node.compute_aside(100)
    assert s.n_computed == 11
    node.drain()


def test_where_the_last_stream_ends_the_rest_is_not_computed_aside() -> None:
    node, stream = beside_a_stream()
    (s,) = node.submit([1, 2, ("cat", 12), 3])
    node.deliver("cat")
    node.step()
    node.compute_aside(5)
    node.cancel(stream)
    node.step()
    assert s.aside is not None, "what is begun is awaited"
    node.compute_aside(1)
    assert (s.aside, s.n_computed) == (None, 6)
    node.step(budget=3)
    assert s.n_computed == 9
    node.submit([8], max_tokens=20)
    node.step()
    assert s.aside.start == 2, "a part of an image is handed over with the rest of it"
    node.compute_aside(100)
    assert s.n_computed == 14
    node.drain()


def test_what_is_not_begun_when_the_last_stream_ends_is_left() -> None:
    node, stream = beside_a_stream()
    made = [node.submit([i, (f"cat{i}", 12), 3])[0] for i in range(2)]
    node.deliver("cat0")
    node.deliver("cat1")
    node.step()
    node.compute_aside(1)
    node.cancel(stream)
    node.step()
    assert [s.aside is not None for s in made] == [True, False]
    assert made[1].n_computed > 0
    node.drain()


def test_a_cancel_takes_what_is_computed_aside_with_it() -> None:
    node, stream = beside_a_stream()
    (s,) = node.submit([1, ("cat", 12), 3])
    node.deliver("cat")
    node.step()
    node.compute_aside(5)
    job = s.aside
    node.cancel(s)
    assert job.is_forgotten
    node.check()
    node.cancel(stream)
    node.check()
    assert node.cache.used == 0


def test_without_room_for_what_was_computed_aside_it_is_computed_anew() -> None:
    node, stream = beside_a_stream(cells=40, max_sequences=2)
    (s,) = node.submit([1, ("cat", 14), 3], max_tokens=2)
    node.deliver("cat")
    node.step()
    assert s.aside is not None
    while node.cache.free > 10:
        node.step()
    node.compute_aside(100)
    assert s.is_refused
    assert s.n_computed < 15
    node.drain()
    assert node.finished == [stream, s]


def test_the_newest_is_preempted_while_it_is_computed_aside() -> None:
    node, stream = beside_a_stream(cells=48, max_sequences=2)
    (s,) = node.submit([1, ("cat", 12), 2, ("dog", 4), 3], max_tokens=2)
    node.deliver("cat")
    node.step()
    node.compute_aside(100)
    assert s.n_computed == 14
    assert not s.embeddings, "what is in the cache is not kept twice"
    node.deliver("dog")
    while not node.scheduler.preemptions:
        node.step()
    assert s in node.scheduler.waiting
    node.drain()
    assert node.finished == [stream, s]


def test_a_prompt_that_fails_aside_is_computed_as_others_are() -> None:
    node, _ = beside_a_stream()
    (s,) = node.submit([1, ("cat", 12), 3])
    node.deliver("cat")
    node.step()
    node.compute_aside(5)
    node.compute_aside(100, fail=True)
    computed = node.aside.computed
    node.step()
    assert s.n_computed > 0
    node.drain()
    assert node.aside.computed == computed


def test_one_image_in_two_prompts_is_computed_aside_once() -> None:
    node, _ = beside_a_stream(max_sequences=4)
    prefix: list[PART] = [1, 2, ("cat", 12)]
    first, second = node.submit([*prefix, 3])[0], node.submit([*prefix, 4])[0]
    text = node.submit([1, 2, 5, 6])[0]
    node.deliver("cat")
    node.step()
    assert first.aside is not None
    assert second in node.scheduler.waiting
    node.step()
    assert text in node.finished or text in node.scheduler.running, "it waits for no image"
    node.drain()
    assert node.aside.computed == 14
    assert second.n_cached == 14


PARTS = st.lists(
    st.integers(0, 2) | st.tuples(st.sampled_from(["cat", "dog", "owl"]), st.sampled_from([1, 3, 6])),
    min_size=1,
    max_size=10,
)


class Life(RuleBasedStateMachine):
    """Random submit, cancel, evict, fail orders."""

    def __init__(self) -> None:
        super().__init__()
        self.node = Node(cells=48, max_sequences=3, residents=3, worth=60, cells_aside=40)
        self.sizes: dict[str, int] = {}

    @rule(parts=PARTS, n=st.sampled_from([1, 1, 1, 3]), max_tokens=st.integers(1, 12), caller=st.sampled_from("ab"))
    def submit(self, parts: list[PART], n: int, max_tokens: int, caller: str) -> None:
        # an image's key names its size too
        named: list[PART] = [p if isinstance(p, int) else (f"{p[0]}{p[1]}", p[1]) for p in parts]
        if sum(1 if isinstance(p, int) else p[1] for p in named) + max_tokens <= 48:
            self.node.submit(named, n=n, max_tokens=max_tokens, caller=caller)

    @rule(prefix=st.integers(8, 30), tail=st.integers(0, 2), max_tokens=st.integers(1, 12))
    def submit_long(self, prefix: int, tail: int, max_tokens: int) -> None:
        self.node.submit([*range(10, 10 + prefix), tail], max_tokens=max_tokens)

    @precondition(lambda self: self.node.open)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        self.node.cancel(data.draw(st.sampled_from(self.node.open)))

    @rule(length=st.integers(0, 7), right=st.integers(0, 7))
    def draft(self, length: int, right: int) -> None:
        self.node.drafts.length, self.node.drafts.right = length, right

    @rule(budget=st.integers(1, 16))
    def step(self, budget: int) -> None:
        self.node.step(budget=budget)

    @rule(budget=st.integers(1, 16))
    def fail(self, budget: int) -> None:
        self.node.step(budget=budget, fail=True)

    @precondition(lambda self: any(self.node.images.wanted.values()))
    @rule(data=st.data())
    def deliver(self, data: st.DataObject) -> None:
        wanted = sorted(key for key, n in self.node.images.wanted.items() if n)
        self.node.deliver(data.draw(st.sampled_from(wanted)))

    @rule(rows=st.integers(1, 16))
    def compute_aside(self, rows: int) -> None:
        self.node.compute_aside(rows)

    @rule()
    def fail_aside(self) -> None:
        self.node.compute_aside(48, fail=True)

    @rule()
    def forget_images(self) -> None:
        self.node.images.cached.clear()

    @rule()
    def evict(self) -> None:
        self.node.cache.evict()

    @invariant()
    def books_are_right(self) -> None:
        self.node.check()

    def teardown(self) -> None:
        self.node.drain()
        while self.node.cache.evict():
            pass
        self.node.check()
        assert self.node.cache.used == 0
        assert not any(self.node.images.wanted.values())


TestLife = Life.TestCase
TestLife.settings = settings(
    max_examples=150, stateful_step_count=40, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
