"""A prompt's tokens and positions, and one generation's progress through them. Plain data, no llama.cpp.

Tokens are what the cache counts and usage reports; positions are what the model sees. They differ after an image:
its tokens all begin at one position, and what follows it continues max(width, height) positions later.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any

from runtime.engine.request import Event, Image, SamplingParams, Sink, TokenMask
from runtime.engine.speculation import Drafter

if TYPE_CHECKING:
    from runtime.engine.detokenize import Detokenizer


@dataclass(frozen=True, slots=True)
class ImageShape:
    """An image as the projector lays it out: a grid of tokens, and the positions that it takes."""

    columns: int
    rows: int
    n_tokens: int
    n_positions: int


@dataclass(frozen=True, slots=True)
class ImageSpan:
    """An image's place in a prompt; `position` is that of its first token."""

    start: int
    position: int
    shape: ImageShape
    image: Image

    @property
    def end(self) -> int:
        return self.start + self.shape.n_tokens


@dataclass(frozen=True, slots=True)
class TokenisedPrompt:
    """What `Engine.prepare` makes. An image's tokens are all the same negative number, made from its key."""

    ids: tuple[int, ...] = field(repr=False)
    images: tuple[ImageSpan, ...] = ()
    _starts: tuple[int, ...] = field(default=(), repr=False)

    @property
    def n_tokens(self) -> int:
        return len(self.ids)

    def position(self, index: int) -> int:
        """Where token `index` is, for generated tokens too; inside an image: where the image begins."""
        before = bisect_right(self._starts, index) - 1
        if before < 0:
            return index
        span = self.images[before]
        if index < span.end:
            return span.position
        return span.position + span.shape.n_positions + index - span.end

    def image_at(self, index: int) -> ImageSpan | None:
        """The image that token `index` belongs to."""
        before = bisect_right(self._starts, index) - 1
        if before >= 0 and index < self.images[before].end:
            return self.images[before]
        return None

    def has_image(self, start: int, end: int) -> bool:
        """Whether some of the tokens `start` … `end` are an image's."""
        return any(span.end > start and span.start < end for span in self.images)

    def edge(self, index: int) -> int:
        """The largest length up to `index` that cuts no image: `index` itself, or the start of the image around it."""
        span = self.image_at(index)
        return index if span is None else span.start

    def text_end(self, index: int) -> int:
        """Where the run of text from `index` ends: at the next image, or at the prompt's end."""
        after = bisect_right(self._starts, index)
        return self.images[after].start if after < len(self.images) else len(self.ids)


class PromptBuilder:
    """Collects tokens and images in order."""

    def __init__(self) -> None:
        self._ids: list[int] = []
        self._images: list[ImageSpan] = []
        self._position = 0

    def add_tokens(self, tokens: list[int]) -> None:
        self._ids += tokens
        self._position += len(tokens)

    def add_image(self, image: Image, shape: ImageShape) -> None:
        self._images.append(ImageSpan(len(self._ids), self._position, shape, image))
        self._ids += [image_token(image.key)] * shape.n_tokens
        self._position += shape.n_positions

    def build(self) -> TokenisedPrompt:
        starts = tuple(span.start for span in self._images)
        return TokenisedPrompt(tuple(self._ids), tuple(self._images), starts)


def image_token(key: str) -> int:
    """A number below zero that stands for an image of this content and size in a list of tokens."""
    return -1 - int.from_bytes(blake2b(key.encode("utf-8", "surrogatepass"), digest_size=8).digest())


@dataclass(eq=False, slots=True)
class Request:
    """What was submitted: one prompt, `n` sequences. Owned by the engine's thread, but for `is_canceled`."""

    prompt: TokenisedPrompt
    params: SamplingParams
    sink: Sink
    caller: str
    on_leave: Callable[[], None] = lambda: None
    """Called once for each sequence that has ended."""
    sequences: list[Sequence] = field(default_factory=list)
    events: list[Event] = field(default_factory=list)
    """What this step has for the sink."""
    is_started: bool = False
    is_closed: bool = False
    """Finished, failed or cancelled: no event follows."""


@dataclass(eq=False, slots=True)
class Sequence:
    """One generation. `tokens[:n_computed]` are in the KV cache; once all are, the next token is sampled."""

    request: Request
    index: int
    arrival: int
    """Its place in the order of all sequences; the newest is the first to be preempted."""
    max_tokens: int
    tokens: list[int]
    n_computed: int = 0
    n_cached: int = 0
    """Tokens that its last admission found in the cache."""
    slot: int = -1
    """Its sequence id in llama.cpp while it runs; -1 while it waits."""
    embeddings: dict[str, Any] = field(default_factory=dict)
    """Images that are ready, by key, until they are in the KV cache."""
    wanted: set[str] = field(default_factory=set)
    """Images that it has asked for and not got yet."""
    aside: Any = None
    """The job that computes its prompt aside; its tokens are left alone until that has ended."""
    is_refused: bool = False
    """Its prompt is no longer computed aside: that failed, or there was no room for it."""
    sampler: Any = None
    detokenizer: Detokenizer | None = None
    mask: TokenMask | None = None
    drafter: Drafter = field(default_factory=Drafter)
    is_done: bool = False

    @property
    def prompt(self) -> TokenisedPrompt:
        return self.request.prompt

    @property
    def n_prompt(self) -> int:
        return self.request.prompt.n_tokens

    @property
    def n_completion(self) -> int:
        return len(self.tokens) - self.n_prompt

    @property
    def n_left(self) -> int:
        """Tokens that it may still generate."""
        return self.max_tokens - self.n_completion

    @property
    def n_pending(self) -> int:
        """Tokens that must be computed before the next one can be sampled; 1: it is decoding."""
        return len(self.tokens) - self.n_computed

    def pending_image(self) -> ImageSpan | None:
        """The image that is to be computed next, if it is one."""
        return self.prompt.image_at(self.n_computed)

    def is_blocked(self) -> bool:
        """Its prompt is computed aside, or the image that comes next is not encoded yet."""
        span = self.pending_image()
        return self.aside is not None or (span is not None and span.image.key not in self.embeddings)

    def aside_end(self) -> int:
        """Up to where its tokens can be computed aside: up to the last one, whose logits are needed, or an image that
        is not encoded yet; no further than they are where no image that is encoded follows."""
        end, last = self.n_computed, len(self.tokens) - 1
        for span in self.prompt.images:
            if span.end > self.n_computed and span.start < last:
                if span.image.key not in self.embeddings:
                    return min(end, span.start)
                end = last
        return end
