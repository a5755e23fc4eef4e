"""Attention in plain torch, of texts and pictures that stand one behind the other: which tokens belong together, what they gather, what they look at."""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import ParamSpec, TypeVar

import torch
from torch import Tensor

P = ParamSpec("P")
R = TypeVar("R")
STRIP = 128
"""Queries whose attention is computed together."""


def filled(n: int) -> int:
    """Up to one of few numbers of tokens, at most a sixteenth more where there are many: products of matrices are compiled for each shape, which takes
    longer than most of them do."""
    step = 64
    while n > 16 * step:
        step *= 2
    return -(-n // step) * step


def filling(lengths: Sequence[int]) -> list[int]:
    """What fills up texts of these lengths, in parts no longer than the longest: those that are set beside each other for attention are padded to that."""
    more, most = filled(sum(lengths)) - sum(lengths), max(lengths)
    return [most] * (more // most) + [more % most] * (more % most > 0)


@dataclass(frozen=True, slots=True)
class Segments:
    """Which tokens belong together, of many that stand one behind the other: of each text, picture or window, where it starts and how long it is."""

    bounds: Tensor
    """(count, 2), int32; all tokens are of one."""

    @classmethod
    def of(cls, lengths: Tensor) -> Segments:
        return cls(torch.stack((lengths.cumsum(0) - lengths, lengths), 1).int())

    def apart(self, x: Tensor) -> Tensor:
        """(t, heads, d) to (count, heads, longest, d), the shorter ones filled up with some other tokens."""
        return x[self._places()[0].clamp_max(len(x) - 1)].transpose(1, 2)

    def together(self, x: Tensor) -> Tensor:
        """And back: (count, heads, longest, d) to (t, heads · d)."""
        return x.transpose(1, 2)[self._places()[1]].flatten(1)

    def is_there(self) -> Tensor:
        """(count, longest)"""
        return self._places()[1]

    def _places(self) -> tuple[Tensor, Tensor]:
        start, length = self.bounds.long().unbind(1)
        place = torch.arange(int(length.max()))
        return start[:, None] + place, place < length[:, None]


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """What (b, n, d) queries gather, in products of matrices: of 32 values a head, torch's own attention takes two to six
    times as long as this in bfloat16. `mask` is added; q is scaled."""
    return torch.bmm(torch.baddbmm(mask, q, k.transpose(1, 2)).softmax(-1), v)


def attend_before(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of (b, heads, n, d) queries, scaled; keys and values may have fewer heads. In strips, as half would be masked."""
    b, heads, n, d = q.shape
    kv = k.shape[1]
    q = q.view(b, kv, heads // kv, n, d)
    k, v = k.reshape(b * kv, n, d), v.reshape(b * kv, n, d)
    made = []
    for start in range(0, n, STRIP):
        end = min(n, start + STRIP)
        mask = torch.full((end - start, end), -torch.inf, dtype=q.dtype).triu(start + 1).repeat(heads // kv, 1)
        strip = attend(q[:, :, :, start:end].reshape(b * kv, -1, d), k[:, :end], v[:, :end], mask)
        made.append(strip.view(b, kv, heads // kv, end - start, d))
    return torch.cat(made, 3).view(b, heads, n, d)


def in_32_bits(function: Callable[P, R]) -> Callable[P, R]:
    """For products of any number of tokens: in bfloat16 they are compiled for each, which takes longer than these do."""

    @functools.wraps(function)
    def within(*args: P.args, **kwargs: P.kwargs) -> R:
        with torch.autocast("cpu", enabled=False):
            return function(*args, **kwargs)

    return within


@in_32_bits
def attending(q: Tensor, k: Tensor, texts: Segments, asked: Tensor) -> list[tuple[Tensor, Tensor]]:
    """Of the tokens `asked` for, (m, 3) of text, place in it and head, logarithms of attention, in 32 bits: by text and its keys' head, which of `asked` they
    are, and (those, length). Queries are scaled; behind the last head comes the first."""
    heads, shared = q.shape[1], k.shape[1]
    text, place, head = asked[:, 0], asked[:, 1], asked[:, 2] % heads
    part = text * shared + head // (heads // shared)
    order = part.argsort(stable=True)
    parts, counts = part[order].unique_consecutive(return_counts=True)
    chosen = q[texts.bounds[:, 0].long()[text[order]] + place[order], head[order]].float().split(counts.tolist())
    keys = k.float().split(texts.bounds[:, 1].tolist())
    made = []
    for i, which, mine in zip(parts.tolist(), order.split(counts.tolist()), chosen, strict=True):
        scores = mine @ keys[i // shared][:, i % shared].T
        later = torch.arange(scores.shape[1]) > place[which, None]
        made.append((which, scores.masked_fill(later, -torch.inf).log_softmax(-1)))
    return made
