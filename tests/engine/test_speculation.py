"""Drafts: what is guessed, when it is tried, and that it changes nothing but the time."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from runtime.engine.engine import Engine
from runtime.engine.request import Part, TokenLogprob
from runtime.engine.speculation import ENOUGH, HOPELESS, INDEXED, STALE, Drafter, Speculator
from tests.engine.helpers import chat, generate, small_engine, start

REPEATS = [1, 2, 3, 4, 5, 6, 7, 8, 1, 2, 3]


@dataclass(eq=False)
class Fake:
    tokens: list[int] = field(default_factory=lambda: list(REPEATS))
    n_left: int = 100
    drafter: Drafter = field(default_factory=Drafter)


def test_what_followed_before_is_guessed() -> None:
    assert Drafter().guess(REPEATS, 3) == (4, 5, 6)
    assert Drafter().guess([1, 2, 3, 4, 5], 3) == ()
    assert Drafter().guess([1, 2], 3) == ()


def test_the_last_occurrence_counts() -> None:
    assert Drafter().guess([1, 2, 3, 4, 1, 2, 3, 5, 1, 2, 3], 1) == (5,)


def test_what_repeats_is_guessed_beyond_its_end() -> None:
    assert Drafter().guess([9, 1, 2, 1, 2, 1], 5) == (2, 1, 2, 1, 2)


def test_an_image_ends_a_guess() -> None:
    assert Drafter().guess([1, 2, 3, 4, -77, -77, 1, 2, 3], 5) == (4,)


def test_a_long_prompt_is_indexed_in_several_steps() -> None:
    tokens = [*range(1000, 1000 + 3 * INDEXED), 2, 1, 2, 3, 4, 1, 2, 3]
    drafter = Drafter()
    guesses = [drafter.guess(tokens, 1) for _ in range(4)]
    assert guesses == [(), (), (), (4,)]


def test_a_likelihood_follows_what_came() -> None:
    drafter = Drafter()
    for _ in range(40):
        drafter.guess(REPEATS, 1)
        drafter.compare(4)
    assert drafter.likelihood > 0.95
    for _ in range(40):
        drafter.judge(0, 3)
    assert drafter.likelihood < 0.05
    before = drafter.likelihood
    drafter.guess([*REPEATS, 4, 9], 1)
    drafter.compare(4)
    assert drafter.likelihood == before, "nothing was guessed"


def run(speculator: Speculator, sequences: list[Fake], seconds: dict[int, float], steps: int) -> list[int]:
    """Rows of each step's batch, whose time is that of `seconds`."""
    rows = []
    for _ in range(steps):
        rows.append(len(sequences) + sum(map(len, speculator.plan(sequences))))
        speculator.measured(len(sequences), rows[-1], seconds[-(-rows[-1] // 4) * 4 if rows[-1] > 1 else 1])
    return rows


@pytest.mark.parametrize(
    ("likelihood", "seconds", "chosen"),
    [
        (0.9, {1: 1.0, 4: 1.8, 8: 2.8}, 8),
        (0.6, {1: 1.0, 4: 1.8, 8: 2.8}, 4),
        (0.3, {1: 1.0, 4: 1.8, 8: 2.8}, 1),
        (0.3, {1: 1.0, 4: 1.0, 8: 1.0}, 8),
        (0.9, {1: 1.0, 4: 4.0, 8: 8.0}, 1),
    ],
)
def test_drafts_are_as_long_as_it_pays(likelihood: float, seconds: dict[int, float], chosen: int) -> None:
    sequence = Fake()
    sequence.drafter.likelihood = likelihood
    rows = run(Speculator(), [sequence], seconds, 30)
    assert rows[:ENOUGH] == [1] * ENOUGH, "first it is seen what a step alone costs"
    assert rows[-1] == chosen


def test_what_it_costs_is_measured_anew() -> None:
    sequence = Fake()
    sequence.drafter.likelihood = 0.6
    speculator = Speculator()
    assert run(speculator, [sequence], {1: 1.0, 4: 5.0, 8: 9.0}, 30)[-1] == 1
    assert run(speculator, [sequence], {1: 1.0, 4: 1.2, 8: 9.0}, STALE + 30)[-1] == 4


def test_rows_go_to_those_who_are_guessed_right() -> None:
    good, bad, new = Fake(), Fake(), Fake(tokens=[1, 2, 3])
    good.drafter.likelihood, bad.drafter.likelihood = 0.9, 0.1
    speculator = Speculator(rows=8)
    run(speculator, [good, bad, new], {4: 1.0, 8: 1.2}, 20)
    assert [len(draft) for draft in speculator.plan([good, bad, new])] == [5, 0, 0]


def test_nothing_is_drafted_that_could_not_be_sent() -> None:
    sequence = Fake(n_left=3)
    sequence.drafter.likelihood = 0.9
    rows = run(Speculator(), [sequence], {1: 1.0, 4: 1.1, 8: 1.2}, 20)
    assert max(rows) == 1 + 2


def test_hopeless_guesses_are_compared_until_there_is_hope_again() -> None:
    sequence = Fake()
    sequence.drafter.likelihood = HOPELESS / 2
    speculator = Speculator()
    assert set(run(speculator, [sequence], {1: 1.0, 4: 1.0, 8: 1.0}, 20)) == {1}
    for _ in range(20):
        speculator.plan([sequence])
        sequence.drafter.compare(4)
    assert run(speculator, [sequence], {1: 1.0, 4: 1.0, 8: 1.0}, 20)[-1] == 8


def test_it_can_be_switched_off() -> None:
    sequence = Fake()
    sequence.drafter.likelihood = 0.9
    assert set(run(Speculator(longest=0), [sequence], {1: 1.0}, 20)) == {1}


TIE = 0.25
"""Of a log-probability: 0.18 was seen, where what came before had differed by 0.04."""
DRIFT = 0.5
"""Of any log-probability of a text that is drawn, and so unlikely: 0.26 was seen."""


class Free:
    """Rows cost nothing: every guess is drafted."""

    def of(self, rows: int) -> float:
        return 1.0 + rows / 1e6

    def add(self, rows: int, seconds: float) -> None:
        """Nothing to learn."""


@contextlib.contextmanager
def both() -> Iterator[tuple[Engine, Engine]]:
    """Without drafts, and with as many as there can be."""
    plain, drafting = small_engine(draft_tokens=0), small_engine()
    drafting._runner._speculator._costs = Free()  # type: ignore[assignment]
    yield plain, drafting
    assert not plain.stats().tokens_drafted
    for engine in (plain, drafting):
        assert engine.stats().faults == 0
        engine.close()


@pytest.fixture(scope="module")
def pair() -> Iterator[tuple[Engine, Engine]]:
    with both() as pair:
        yield pair
        assert pair[1].stats().tokens_guessed > 500


PROMPTS = [
    chat("What is the capital of France?"),
    chat("Name the european capitals"),
    chat("Repeat: one two three one two three one two three one two three"),
    chat("Say: the red circle and the blue square and the red circle and the blue square"),
]


PARAMS: list[dict[str, object]] = [
    {},
    {"repetition_penalty": 1.2},
    {"temperature": 0.8, "seed": 5, "top_p": 0.9},
    {"temperature": 2.0, "seed": 6, "frequency_penalty": 0.5},
    {"ignore_eos": False, "stop": ("circle",)},
    {"logprobs": 2},
]


@pytest.mark.parametrize("parts", PROMPTS, ids=["answer", "list", "repeat", "say"])
@pytest.mark.parametrize("params", PARAMS, ids=str)
def test_the_text_is_the_same(parts: list[Part], params: dict[str, object]) -> None:
    with both() as engines:
        before, after = (generate(each, parts, **{"max_tokens": 120, "ignore_eos": True, **params}) for each in engines)
    assert after.text() == before.text()
    assert after.finished == before.finished
    tokens = [[[t.token for t in piece.logprobs] for piece in sink.pieces] for sink in (before, after)]
    assert tokens[0] == tokens[1]


@pytest.mark.parametrize("parts", PROMPTS, ids=["answer", "list", "repeat", "say"])
def test_it_is_after_other_answers_too(pair: tuple[Engine, Engine], parts: list[Part]) -> None:
    """Each engine's cache holds other things in other places by then, which rounds differently."""
    for params in PARAMS:
        before, after = (
            generate(each, parts, **{"max_tokens": 120, "ignore_eos": True, **params, "logprobs": 2}) for each in pair
        )
        one, other = ([t for piece in sink.pieces for t in piece.logprobs] for sink in (before, after))
        if [t.token for t in one] == [t.token for t in other]:
            assert after.finished == before.finished
        else:
            # a penalty is no part of a log-probability: of such choices these cannot say how close they were
            is_drawn = "temperature" in params
            assert "repetition_penalty" in params or (parts_by_chance if is_drawn else parts_at_a_tie)(one, other)


def parts_by_chance(one: list[TokenLogprob], other: list[TokenLogprob]) -> bool:
    """Whether each drew from what was the other's distribution too, as far as it is told: where one token's share ends
    and the next one's begins, rounding decides."""
    a, b = next((dict(a.top), dict(b.top)) for a, b in zip(one, other, strict=False) if a.token != b.token)
    shared = a.keys() & b.keys()
    return bool(shared) and all(abs(a[token] - b[token]) < DRIFT for token in shared)


def parts_at_a_tie(one: list[TokenLogprob], other: list[TokenLogprob]) -> bool:
    """Whether they are the same up to a token for which each had the other's as good as its own."""
    a, b = next((a, b) for a, b in zip(one, other, strict=False) if a.token != b.token)
    return a.logprob - dict(a.top).get(b.token, -9) < TIE and b.logprob - dict(b.top).get(a.token, -9) < TIE


def test_drafts_were_computed_and_some_of_them_came(pair: tuple[Engine, Engine]) -> None:
    _, drafting = pair
    before = drafting.stats()
    sinks = [start(drafting, parts, max_tokens=100, ignore_eos=True)[0] for parts in PROMPTS]
    for sink in sinks:
        assert sink.wait().failure is None
    stats = drafting.stats()
    drafted, guessed = stats.tokens_drafted - before.tokens_drafted, stats.tokens_guessed - before.tokens_guessed
    assert drafted > guessed > 50
