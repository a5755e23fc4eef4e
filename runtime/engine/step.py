"""What a step computes: slices of sequences, in one batch. Plain data."""

from __future__ import annotations

from dataclasses import dataclass

from runtime.engine.sequence import ImageSpan, Sequence


@dataclass(frozen=True, slots=True)
class Slice:
    """Tokens `start` … `end` of a sequence, of which the last ones are a `draft`: guesses at what comes after those it
    has. `samples`: it has no more, the next token follows from them."""

    sequence: Sequence
    start: int
    end: int
    samples: bool
    draft: tuple[int, ...] = ()

    @property
    def tokens(self) -> list[int]:
        return [*self.sequence.tokens[self.start : self.end], *self.draft]

    @property
    def outputs(self) -> int:
        """Entries of it, the last ones, whose logits are needed."""
        return len(self.draft) + self.samples

    @property
    def is_decoding(self) -> bool:
        """One token, and guesses at those after it."""
        return self.samples and self.end - self.start == 1 + len(self.draft)


@dataclass(frozen=True, slots=True)
class Load:
    """`streams` decode, `behind` wait for their first token, with `pending` tokens to compute in all."""

    streams: int
    behind: int
    pending: int


@dataclass(frozen=True, slots=True)
class Step:
    """What the engine does next; nothing: it may sleep until a message comes."""

    text: tuple[Slice, ...] = ()
    image: tuple[Slice, ImageSpan] | None = None
    after: Slice | None = None
    """The text that follows the image."""

    @property
    def pieces(self) -> tuple[Slice, ...]:
        """In the order in which they are computed: of a sequence's own, the first first."""
        if self.image is None:
            return self.text
        return (*self.text, self.image[0]) if self.after is None else (*self.text, self.image[0], self.after)

    @property
    def is_empty(self) -> bool:
        return not self.text and self.image is None
