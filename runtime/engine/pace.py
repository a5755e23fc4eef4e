"""How much of waiting prompts a step takes on: as much as fits in a time, by what steps have taken so far.

A stream's next token waits for the whole step. So what a step does besides decoding may take no longer than `SHARE`
of a step that only decodes, for each who waits for a first token. Only where several wait, and for little, is it done
in as few steps as `LONGEST` allows: each one in between would cost all who wait, and spare the streams nothing in all.
Plain Python, no llama.cpp.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from math import ceil
from typing import Any

FIRST_SLICE = 64
"""Tokens, before anything is measured, and while no stream runs at least."""
SHARE = 1.25
"""Of a step that only decodes: with it, what streams wait for a token stays well below three times their pace."""
LONGEST, LONGEST_ALONE = 1.0, 2.0
"""Seconds of prefill in one step: beside streams (where several wait), and while there are none."""
LITTLE = 3.0
"""Seconds of prefill in all."""
ROWS = 4
"""Rows that llama.cpp's kernels for quantised weights compute together; what is left over is computed one by one."""
SMALLEST = 3
"""Tokens of prefill beside streams, at least."""
FEW, DEARER = 16, 2.0
"""Rows of prefill that are few, and how much more one of them costs than one of many, before that is measured: at the
0.5b shape one of 3 or 7 beside a stream takes 10 ms, one of 128 takes 5."""
INERTIA = 0.7
"""Of what is known, where something is measured."""
RISING = 0.9
"""The same for a step that only decodes, where one takes longer: a request that is being taken in holds up a few of
them, and those that follow would take on too much."""
HELD_UP = 2.0
"""Times what is known, that a longer measurement counts for: one step that others on the machine held up says little,
and would let the next ones take on far too much."""


@dataclass(eq=False, slots=True)
class Pace:
    """What is measured is kept by the number of compute threads: beside work in the background there are fewer."""

    batch: int
    """Rows that one batch takes at most."""
    _steps: dict[tuple[int, int], float] = field(default_factory=dict)
    """Seconds of a step that only decodes, by threads and streams."""
    _rows: dict[tuple[int, bool], float] = field(default_factory=dict)
    """Seconds that one more row of prefill costs, by threads and whether it is one of few."""

    def measured(self, threads: int, streams: int, prefill: int, seconds: float) -> None:
        """A batch of one row for each of `streams` and `prefill` rows has been computed."""
        if not prefill:
            _learn(self._steps, (threads, streams), seconds, RISING)
            return
        alone = self._step(threads, streams) if streams else 0.0
        if alone is None or (not streams and prefill < FIRST_SLICE // ROWS):
            return  # weights are read once, whatever the rows: few of them tell little of more
        row = max(seconds - alone, seconds / (streams + prefill) / 2) / prefill
        _learn(self._rows, (threads, prefill <= FEW), row, INERTIA)

    def budget(self, threads: int, streams: int, behind: int, pending: int) -> int:
        """Rows of prefill for the next step, where `behind` with `pending` rows in all wait for their first token
        beside `streams`. With the streams' own they are whole `ROWS`."""
        few, many = self._row(threads)
        if not streams:
            rows = 0 if many is None else _equal(pending, LONGEST_ALONE / many)
            return min(max(rows, FIRST_SLICE), self.batch)
        step = self._step(threads, streams)
        if few is None or many is None or step is None:
            return _fewest(streams)
        if behind > 1 and pending * many <= LITTLE:
            rows = _equal(pending, LONGEST / many)
            return min(rows + filling(streams + rows), self.batch)
        seconds = min(SHARE * step * max(1, behind), LONGEST)
        rows = int(seconds / few)
        if rows > FEW:
            rows = int(seconds / many)
        whole = (streams + rows) // ROWS * ROWS - streams
        return min(max(whole, _fewest(streams)), self.batch)

    def _row(self, threads: int) -> tuple[float | None, float | None]:
        """Seconds of one of few rows, and of one of many; one is guessed by the other."""
        few, many = self._rows.get((threads, True)), self._rows.get((threads, False))
        if few is None and many is not None:
            few = DEARER * many
        if many is None and few is not None:
            many = few / DEARER
        return few, many

    def _step(self, threads: int, streams: int) -> float | None:
        """For so many streams, or for the number nearest to it that has been seen."""
        known = [n for t, n in self._steps if t == threads]
        if not known:
            return None
        return self._steps[threads, min(known, key=lambda n: abs(n - streams))]


def _equal(pending: int, most: float) -> int:
    """Rows of a step where all have one length, `most` at most: a short one for what long ones left over would cost
    more a row, and beside streams it would become many."""
    return ceil(pending / max(1, ceil(pending / most)))


def filling(rows: int) -> int:
    """What `rows` lack of whole `ROWS`."""
    return -rows % ROWS


def _fewest(streams: int) -> int:
    """Rows that with the streams' own are whole `ROWS`."""
    return SMALLEST + filling(streams + SMALLEST)


def _learn(known: dict[Any, float], key: Any, value: float, rising: float) -> None:
    before = known.get(key, value)
    inertia = INERTIA if value < before else rising
    known[key] = inertia * before + (1 - inertia) * min(value, HELD_UP * before)
