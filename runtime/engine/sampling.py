"""The next token of one sequence: bias, penalties and mask on its logits, then a C sampler chain draws.

The order is vLLM's: mask, bias, penalties, temperature, min-p, top-k, top-p. Penalties and bias touch the few tokens
that they are about, in llama.cpp's own row of logits; its penalty sampler looks up every token of the vocabulary.
"""

from __future__ import annotations

import math
import secrets
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.engine.request import SamplingParams, TokenLogprob, TokenMask
from runtime.errors import EngineError

GREEDY_BELOW = 1e-5
_COARSEST = 1e-2
"""Temperatures between the two count as this one, as in vLLM: dividing by less overflows."""

Floats = NDArray[np.float32]


class Draw(Protocol):
    """A C sampler chain, `llama.Chain`."""

    def sample(self, index: int) -> int:
        """Draw from the logits of batch entry `index`."""

    def close(self) -> None: ...


@dataclass(frozen=True, slots=True)
class Sampled:
    token: int
    logprob: TokenLogprob | None = None


class Sampler:
    """One sequence's sampling state: what it has seen, its random numbers, its mask. Survives preemption."""

    def __init__(
        self,
        params: SamplingParams,
        prompt: Iterable[int],
        *,
        chain: Draw | None,
        piece: Callable[[int], bytes],
        mask: TokenMask | None = None,
    ) -> None:
        """`chain` None: greedy. `piece`: a token's bytes."""
        self._params = params
        self._chain = chain
        self._piece = piece
        self._mask = mask
        self._seen = _Counts(t for t in prompt if t >= 0) if params.repetition_penalty != 1 else None
        self._generated = _Counts() if params.presence_penalty or params.frequency_penalty else None
        self._bias = _Bias.of(params.logit_bias)

    def sample(self, row: Floats, index: int) -> Sampled:
        """From the logits of batch entry `index`; `row` is a view of them, and is changed."""
        wanted = self._params.logprobs
        original = row.copy() if wanted is not None else None
        self._change(row)
        token = int(row.argmax()) if self._chain is None else self._chain.sample(index)
        if not math.isfinite(row[token]):
            raise EngineError("the model gave no usable probabilities for the next token")
        self._accept(token)
        if original is None or wanted is None:
            return Sampled(token)
        return Sampled(token, self._logprob(original, token, wanted))

    def close(self) -> None:
        if self._chain is not None:
            self._chain.close()

    def _change(self, row: Floats) -> None:
        if self._mask is not None and not self._mask.is_open:
            _apply_mask(self._mask, row)
        if self._bias is not None:
            self._bias.apply(row)
        if self._seen is not None:
            ids = self._seen.tokens
            values = row[ids]
            penalty = self._params.repetition_penalty
            row[ids] = np.where(values > 0, values / penalty, values * penalty)
        if self._generated is not None:
            row[self._generated.tokens] -= (
                self._params.frequency_penalty * self._generated.counts + self._params.presence_penalty
            ).astype(np.float32)

    def _accept(self, token: int) -> None:
        if self._seen is not None:
            self._seen.add(token)
        if self._generated is not None:
            self._generated.add(token)
        if self._mask is not None:
            self._mask.accept(token)

    def _logprob(self, row: Floats, token: int, n: int) -> TokenLogprob:
        highest = float(row.max())
        total = highest + float(np.log(np.exp((row - highest).astype(np.float64)).sum()))
        n = min(n, len(row))
        likeliest = np.argpartition(row, -n)[-n:] if n > 0 else np.empty(0, dtype=np.int64)
        likeliest = likeliest[np.argsort(-row[likeliest], kind="stable")]
        top = tuple((self._piece(int(t)), float(row[t]) - total) for t in likeliest)
        return TokenLogprob(self._piece(token), float(row[token]) - total, top)


def seed_of(params: SamplingParams, index: int) -> int:
    """The seed of choice `index`; llama.cpp has 32 bits and takes the last number for "any"."""
    seed = secrets.randbits(32) if params.seed is None else params.seed + index
    return seed % 0xFFFFFFFF


def temperature_of(params: SamplingParams) -> float | None:
    """None: greedy."""
    return None if params.temperature <= GREEDY_BELOW else max(params.temperature, _COARSEST)


class _Counts:
    """Distinct tokens and how often each was added (those that it begins with: once), as arrays that grow."""

    def __init__(self, tokens: Iterable[int] = ()) -> None:
        distinct = dict.fromkeys(tokens, 1)
        self._index = {token: i for i, token in enumerate(distinct)}
        self._tokens = np.zeros(len(distinct) + 64, dtype=np.int64)
        self._counts = np.zeros(len(distinct) + 64, dtype=np.float64)
        self._tokens[: len(distinct)] = list(distinct)
        self._counts[: len(distinct)] = 1

    @property
    def tokens(self) -> NDArray[np.int64]:
        return self._tokens[: len(self._index)]

    @property
    def counts(self) -> NDArray[np.float64]:
        return self._counts[: len(self._index)]

    def add(self, token: int) -> None:
        index = self._index.setdefault(token, len(self._index))
        if index == len(self._tokens):
            self._tokens = np.concatenate([self._tokens, np.zeros_like(self._tokens)])
            self._counts = np.concatenate([self._counts, np.zeros_like(self._counts)])
        self._tokens[index] = token
        self._counts[index] += 1


@dataclass(frozen=True, slots=True)
class _Bias:
    tokens: NDArray[np.int64]
    values: Floats

    @classmethod
    def of(cls, bias: tuple[tuple[int, float], ...]) -> _Bias | None:
        if not bias:
            return None
        merged: Mapping[int, float] = dict(bias)
        return cls(np.array(list(merged), dtype=np.int64), np.array(list(merged.values()), dtype=np.float32))

    def apply(self, row: Floats) -> None:
        row[self.tokens] += self.values


def _apply_mask(mask: TokenMask, row: Floats) -> None:
    bits = bytearray((len(row) + 7) // 8)
    mask.fill(memoryview(bits))
    allowed = np.unpackbits(np.frombuffer(bits, dtype=np.uint8), bitorder="little")[: len(row)].astype(bool)
    if not allowed.any():
        raise EngineError("the token mask allows no token, not even an end")
    row[~allowed] = -np.inf
