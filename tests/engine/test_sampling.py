"""Bias, penalties, mask, log-probabilities: on rows written by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from runtime.engine.request import SamplingParams
from runtime.engine.sampling import Sampled, Sampler, seed_of, temperature_of
from runtime.errors import EngineError

ROW = [1.0, 3.0, 2.0, -1.0]


def sampler(prompt: tuple[int, ...] = (), mask: Only | None = None, **params: object) -> Sampler:
    return Sampler(SamplingParams(**params), prompt, chain=None, piece=lambda t: b"t%d" % t, mask=mask)  # type: ignore[arg-type]


def sample(of: Sampler, row: list[float] = ROW) -> Sampled:
    return of.sample(np.array(row, dtype=np.float32), 0)


class Only:
    """A mask that allows the same tokens always."""

    is_open = False

    def __init__(self, *allowed: int) -> None:
        self.allowed = allowed
        self.accepted: list[int] = []

    def fill(self, bits: memoryview) -> None:
        for token in self.allowed:
            bits[token // 8] |= 1 << token % 8

    def accept(self, token: int) -> None:
        self.accepted.append(token)


def test_greedy_takes_the_likeliest() -> None:
    assert sample(sampler()).token == 1


def test_an_open_mask_is_not_asked_but_learns_the_choice() -> None:
    class Open(Only):
        is_open = True

        def fill(self, bits: memoryview) -> None:
            raise AssertionError("asked")

    mask = Open()
    assert sample(sampler(mask=mask)).token == 1
    assert mask.accepted == [1]


def test_bias_counts_before_the_choice() -> None:
    assert sample(sampler(logit_bias=((3, 10.0),))).token == 3
    assert sample(sampler(logit_bias=((1, -100.0),))).token == 2


def test_repetition_counts_prompt_and_completion_both_signs() -> None:
    twice = sampler(prompt=(1,), repetition_penalty=2.0)
    assert sample(twice).token == 2, "3 halved is 1.5"
    assert sample(twice).token == 1, "both halved: 1.5 and 1"
    assert sample(sampler(prompt=(0,), repetition_penalty=2.0), [-1.0, -1.5]).token == 1, "below zero: times 2"


def test_frequency_and_presence_count_the_completion_only() -> None:
    presence = sampler(prompt=(1,), presence_penalty=1.5)
    assert [sample(presence).token for _ in range(3)] == [1, 2, 1], "once taken, 1 costs 1.5, and so does 2"
    frequency = sampler(frequency_penalty=0.6)
    assert [sample(frequency).token for _ in range(4)] == [1, 1, 2, 1]


def test_image_tokens_are_not_repeated() -> None:
    assert sample(sampler(prompt=(-5, 1), repetition_penalty=2.0)).token == 2


def test_a_mask_leaves_what_it_allows_and_learns_the_choice() -> None:
    mask = Only(0, 3)
    assert sample(sampler(mask=mask)).token == 0
    assert mask.accepted == [0]


def test_a_mask_that_allows_nothing_is_an_error() -> None:
    with pytest.raises(EngineError, match="no token"):
        sample(sampler(mask=Only()))


def test_a_row_of_nothing_is_an_error() -> None:
    with pytest.raises(EngineError, match="usable"):
        sample(sampler(), [math.nan] * 4)


def test_logprobs_are_of_the_models_distribution() -> None:
    got = sample(sampler(prompt=(1,), repetition_penalty=9.0, logprobs=2)).logprob
    assert got is not None
    total = math.log(sum(math.exp(x) for x in ROW))
    assert got.token == b"t2"
    assert got.logprob == pytest.approx(2.0 - total, abs=1e-6)
    assert [t for t, _ in got.top] == [b"t1", b"t2"]
    assert got.top[0][1] == pytest.approx(3.0 - total, abs=1e-6)


def test_logprobs_of_none_and_of_all() -> None:
    none = sample(sampler(logprobs=0)).logprob
    every = sample(sampler(logprobs=20)).logprob
    assert none is not None
    assert none.top == ()
    assert every is not None
    assert [t for t, _ in every.top] == [b"t1", b"t2", b"t0", b"t3"]


def test_seeds_are_never_llamas_word_for_any() -> None:
    assert seed_of(SamplingParams(seed=7), 2) == 9
    for seed in (0xFFFFFFFF, -1, 2**64 - 1):
        assert 0 <= seed_of(SamplingParams(seed=seed), 0) < 0xFFFFFFFF
    assert 0 <= seed_of(SamplingParams(), 0) < 0xFFFFFFFF


def test_small_temperatures_are_greedy() -> None:
    assert temperature_of(SamplingParams(temperature=0)) is None
    assert temperature_of(SamplingParams(temperature=1e-6)) is None
    assert temperature_of(SamplingParams(temperature=1e-3)) == 0.01
    assert temperature_of(SamplingParams(temperature=0.7)) == 0.7


def test_many_tokens_are_counted() -> None:
    of = sampler(prompt=tuple(range(200)), repetition_penalty=2.0)
    assert sample(of, [5.0] * 200 + [3.0]).token == 200
