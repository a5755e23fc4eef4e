"""What the engine is asked and what it answers: parts and parameters in, events out. Plain data, no llama.cpp."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal, Protocol

from runtime.errors import AIError

FinishReason = Literal["stop", "length"]


@dataclass(frozen=True, slots=True)
class Markup:
    """One token of the vocabulary by its name, put there by the chat layout: `<|im_start|>`, `<tool_call>`."""

    name: str


@dataclass(frozen=True, slots=True)
class Text:
    """Plain text; whatever it spells, it never becomes a special token."""

    text: str


@dataclass(frozen=True, slots=True)
class Image:
    """Decoded pixels: `rgb` holds width · height · 3 bytes, rows from the top; `key` names content and size."""

    width: int
    height: int
    rgb: bytes = field(repr=False)
    key: str


Part = Markup | Text | Image


class TokenMask(Protocol):
    """Which tokens may come next; `ai` implements it (a grammar), the engine applies it. Used by one sequence only."""

    @property
    def is_open(self) -> bool:
        """Any token may come next: there is nothing to `fill`."""

    def fill(self, bits: memoryview) -> None:
        """Set bit `t` (little-endian within each byte) for every token `t` allowed next; `bits` comes zeroed."""

    def accept(self, token: int) -> None:
        """Move past a sampled token; an end token is accepted only where `fill` allowed it."""


@dataclass(frozen=True, slots=True)
class SamplingParams:
    """How to choose tokens and when to stop. `temperature` 0 is greedy, `top_k` 0 is off."""

    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int = 0
    min_p: float = 0.0
    repetition_penalty: float = 1.0
    presence_penalty: float = 0.0
    frequency_penalty: float = 0.0
    logit_bias: tuple[tuple[int, float], ...] = ()
    seed: int | None = None
    """The same one draws the same text, whatever was cached or runs beside it, as far as rounding goes. Over a KV cache
    of q8_0 (`budget.kv_type_of`) it goes far: only the order in which cells lie is left, where others gave some up
    meanwhile, and k-quantised weights' kernels for few rows. Over one of f16 a row is rounded by how many are computed
    with it: texts part soon, the sooner the hotter."""
    max_tokens: int | None = None
    """Completion tokens, the end token counted; None: what the context still holds."""
    stop: tuple[str, ...] = ()
    ignore_eos: bool = False
    logprobs: int | None = None
    """None: no log-probabilities; N: the sampled token's and those of the N likeliest."""


@dataclass(frozen=True, slots=True)
class TokenLogprob:
    """One token with its log-probability (natural log, of the model's distribution before sampling)."""

    token: bytes
    logprob: float
    top: tuple[tuple[bytes, float], ...] = ()


@dataclass(frozen=True, slots=True)
class Started:
    """The prompt has been evaluated (for every choice); sent once, before any piece."""

    cached_tokens: int


@dataclass(frozen=True, slots=True)
class Piece:
    """New text of choice `index`: whole characters only, never part of a stop string."""

    index: int
    text: str
    logprobs: tuple[TokenLogprob, ...] = ()


@dataclass(frozen=True, slots=True)
class Finished:
    """Choice `index` ended; no piece of it follows. `stop` is the matched stop string, None for the end token."""

    index: int
    reason: FinishReason
    stop: str | None
    completion_tokens: int


@dataclass(frozen=True, slots=True)
class Failed:
    """The whole request failed; nothing follows."""

    error: AIError


Event = Started | Piece | Finished | Failed
Sink = Callable[[list[Event]], None]
"""Takes the events of one request, in order, one call a step; runs on the engine's thread and must not block."""


class Prompt(Protocol):
    """A tokenised prompt, made by `Engine.prepare`."""

    @property
    def n_tokens(self) -> int:
        """Tokens that it counts for: those of text and those of images."""


class Ticket(Protocol):
    """A submitted request."""

    def cancel(self) -> None:
        """End it within one step and free its cells; no event follows. Any thread, any number of times."""
