"""How long a kept prefix stays: as long as it is likely to spare more than it costs. Plain Python, no llama.cpp.

Kept prefixes are not free: every row of every batch passes all cells, its own or not (0.5b shape: a prompt of 120
tokens takes 1.07 of the time beside 500 cells of others, 1.11 beside 3,000; 8 streams take 1.01 and 1.09). So one that
has lain unused for many rows leaves, the sooner the less such ones were used again. What has left is remembered for a
while, without its cells: so it is seen where it would have been used, however little is kept.
"""

from __future__ import annotations

from collections import deque

WORTH = 10_000
"""Rows that pass a cell for the time that computing it anew takes (0.5b shape: 0.47 us against 4.8 ms)."""
UNKNOWN, LEAST = 0.05, 0.01
"""So much of what is kept is thought to be used again: before anything is known, and at least."""
INERTIA = 0.9
REMEMBERED = 32
"""Prefixes that have left."""
TRIFLE = 0.1
"""A share of a prefix that is no use of it: prompts of one layout begin alike."""


class Reuse:
    """`likelihood`: how much of a kept prefix was used again, lately."""

    def __init__(self, worth: int = WORTH) -> None:
        self.likelihood = UNKNOWN
        self._worth = worth
        self._left: deque[list[int]] = deque(maxlen=REMEMBERED)

    @property
    def rows(self) -> float:
        """Rows that may be computed while a prefix lies unused."""
        return max(LEAST, self.likelihood) * self._worth

    def used(self, share: float) -> bool:
        """A share of a kept prefix is used again; False: it is a trifle."""
        if share < TRIFLE:
            return False
        self._learn(share)
        return True

    def left(self, tokens: list[int]) -> None:
        """A prefix leaves that nobody has used."""
        self._learn(0.0)
        self._left.append(tokens)

    def asked(self, tokens: list[int], cached: int) -> None:
        """`cached` of these tokens were kept; what has left might have spared more of them."""
        found = [(common_prefix(old, 0, tokens, 0), i) for i, old in enumerate(self._left)]
        n, i = max(found, default=(0, -1))
        if n > cached and self.used((n - cached) / len(self._left[i])):
            del self._left[i]

    def _learn(self, share: float) -> None:
        self.likelihood = INERTIA * self.likelihood + (1 - INERTIA) * share


def common_prefix(left: list[int], i: int, right: list[int], j: int) -> int:
    """How many items `left[i:]` and `right[j:]` have in common from their beginning on."""
    limit = min(len(left) - i, len(right) - j)
    if limit <= 0 or left[i] != right[j]:
        return 0
    done, step = 1, 64
    # whole slices compare in C; only the slice with the difference is looked at item by item
    while done < limit:
        end = min(done + step, limit)
        if left[i + done : i + end] != right[j + done : j + end]:
            break
        done, step = end, step * 2
    else:
        return limit
    while left[i + done] == right[j + done]:
        done += 1
    return done
