"""Drafts without a second model: what followed a sequence's last tokens earlier in it may follow them again.

A draft is computed in the batch of the token before it, and every position is then sampled as it would have been
alone, with the same random numbers: what was guessed right is a step saved, what was not is dropped. Whether more rows
in a batch are worth it is measured here, and so is how often each sequence is guessed right: where guessing does not
pay, nothing is drafted. Plain Python, no llama.cpp.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from functools import lru_cache
from statistics import median
from typing import Protocol

NGRAM = 3
"""Tokens that must have occurred before, in this order, for a guess."""
LONGEST = 7
"""Tokens of one draft at most: with the token before them two whole rows of llama.cpp's kernels."""
INDEXED = 512
"""Tokens of a prompt that one step adds to an index: a long prompt takes several, and holds nobody up."""
UNKNOWN = 0.5
"""How likely a guess is right before any has been compared."""
INERTIA = 0.9
"""What remains of a likelihood when one more guess has been compared."""
SAMPLES, ENOUGH = 5, 3
"""Steps of one size whose times are kept, and that must be known for a decision."""
STALE = 500
"""Steps after which a time is measured anew: longer contexts cost more, and the machine has other things to do."""
ROW = 4
"""Rows of a batch that llama.cpp's kernels compute together: batches with drafts come in whole ones of these."""
MOST_ROWS = 16
HOPELESS = 0.05
"""A likelihood whose longest draft promises less than `MARGIN` asks for."""
MARGIN, WORTH_TRYING = 1.05, 1.25
"""How many times the tokens a second drafting must promise; and how many times the tokens, where the time that a batch
of so many rows takes is not known yet."""


class Drafter:
    """One sequence's guesses. `likelihood`: how often a guessed token was right, lately; guesses that were not computed
    count as well, as it is seen what came."""

    def __init__(self) -> None:
        self.likelihood = UNKNOWN
        self._after: dict[tuple[int, ...], int] = {}
        self._indexed = 0
        """N-grams that begin before this token are in the index."""
        self._guess: int | None = None

    def guess(self, tokens: Items[int], most: int) -> tuple[int, ...]:
        """Up to `most` tokens that may follow `tokens`; none where their end is new. An image ends a guess."""
        self._index(tokens)
        at = self._after.get(tuple(tokens[-NGRAM:]))
        found: list[int] = []
        if at is not None:
            # a guess may go on into itself: what repeats, repeats
            n, period = len(tokens), len(tokens) - at
            for i in range(most):
                token = tokens[at + i] if at + i < n else found[i - period]
                if token < 0:
                    break
                found.append(token)
        self._guess = found[0] if found else None
        return tuple(found)

    def compare(self, came: int) -> None:
        """The token that followed, where a guess was made and no draft was computed."""
        if self._guess is not None:
            self._learn(came == self._guess)
            self._guess = None

    def judge(self, n_right: int, n_drafted: int) -> None:
        """How much of a draft was right, from its beginning."""
        self._guess = None
        for _ in range(n_right):
            self._learn(True)
        if n_right < n_drafted:
            self._learn(False)

    def _learn(self, is_right: bool) -> None:
        self.likelihood = INERTIA * self.likelihood + (1 - INERTIA) * is_right

    def _index(self, tokens: Items[int]) -> None:
        """Not the last n-gram: it would be found as its own predecessor."""
        end = min(len(tokens) - NGRAM, self._indexed + INDEXED)
        for i in range(self._indexed, end):
            self._after[tuple(tokens[i : i + NGRAM])] = i + NGRAM
        self._indexed = max(self._indexed, end)


class Draftable(Protocol):
    """What is asked of a sequence; `sequence.Sequence` is one."""

    drafter: Drafter
    tokens: list[int]

    @property
    def n_left(self) -> int:
        """Tokens that it may still generate."""


@dataclass(eq=False, slots=True)
class Costs:
    """Seconds that a step takes which only decodes, by the number of rows in its batch."""

    _times: dict[int, deque[float]] = field(default_factory=dict)
    _seen: dict[int, int] = field(default_factory=dict)
    """In which step each was measured last."""
    _steps: int = 0

    def add(self, rows: int, seconds: float) -> None:
        self._steps += 1
        self._seen[rows] = self._steps
        self._times.setdefault(rows, deque(maxlen=SAMPLES)).append(seconds)

    def of(self, rows: int) -> float | None:
        """None: not known, or not any more."""
        times = self._times.get(rows)
        if times is None or len(times) < ENOUGH:
            return None
        if self._steps - self._seen[rows] > STALE:
            times.clear()
            return None
        return median(times)


class Speculator:
    """Decides what a step drafts. `longest`: tokens of one draft, 0: never any; `rows`: of what a batch may sample."""

    def __init__(self, *, longest: int = LONGEST, rows: int = MOST_ROWS) -> None:
        self._longest = longest
        self._sizes = range(ROW, min(rows, MOST_ROWS) + 1, ROW)
        self._costs = Costs()

    def plan(self, sequences: Items[Draftable]) -> list[tuple[int, ...]]:
        """A draft for each of the decoding sequences, most often an empty one."""
        if not self._longest:
            return [()] * len(sequences)
        likelihoods = [s.drafter.likelihood for s in sequences]
        is_hopeless = max(likelihoods, default=0.0) < HOPELESS
        longest = 1 if is_hopeless else self._longest  # one is compared with what comes
        guesses = [s.drafter.guess(s.tokens, min(longest, s.n_left - 1)) for s in sequences]
        if is_hopeless:
            return [()] * len(sequences)
        lengths = self._lengths([len(guess) for guess in guesses], likelihoods)
        return [guess[:length] for guess, length in zip(guesses, lengths, strict=True)]

    def measured(self, sequences: int, rows: int, seconds: float) -> None:
        """A step that only decoded took so long."""
        self._costs.add(rows if rows == sequences else _whole(rows), seconds)

    def _lengths(self, most: list[int], likelihoods: list[float]) -> list[int]:
        n = len(most)
        best = [0] * n
        alone = self._costs.of(n)
        if alone is None or not any(most):
            return best  # the first is measured before anything else is tried
        pace = n / alone * MARGIN
        for size in self._sizes:
            lengths, gain = _share(size - n, tuple(most), tuple(round(each, 2) for each in likelihoods))
            rows = n + sum(lengths)
            if _whole(rows) != size or rows == n:
                continue  # nothing to fill it with
            seconds = self._costs.of(size)
            if seconds is None:
                if n + gain >= n * WORTH_TRYING:
                    return list(lengths)
            elif (n + gain) / seconds > pace:
                best, pace = list(lengths), (n + gain) / seconds
        return best


def _whole(rows: int) -> int:
    return -(-rows // ROW) * ROW


@lru_cache(256)
def _share(rows: int, most: tuple[int, ...], likelihoods: tuple[float, ...]) -> tuple[tuple[int, ...], float]:
    """Rows go to the likeliest tokens: how many each sequence gets, and how many tokens they promise in all."""
    lengths = [0] * len(most)
    chances = [likelihood if n else 0.0 for n, likelihood in zip(most, likelihoods, strict=True)]
    gain = 0.0
    for _ in range(rows):
        i = max(range(len(chances)), key=chances.__getitem__)
        if not chances[i]:
            break
        gain += chances[i]
        lengths[i] += 1
        chances[i] = chances[i] * likelihoods[i] if lengths[i] < most[i] else 0.0
    return tuple(lengths), gain
