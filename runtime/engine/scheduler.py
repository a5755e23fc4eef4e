"""Who computes what in the next step: admission, fairness, cells, preemption. Never sees a tensor.

A step computes at most one batch: every decoding sequence first, then a slice of waiting prompts, of which one may be
a slice of image embeddings, with the text around it. Decoding is prefill of one token: each sequence has tokens and a
count of those computed.
"""

from __future__ import annotations

from collections.abc import Iterator
from collections.abc import Sequence as Items
from dataclasses import replace
from typing import Any, Protocol

from runtime.engine.cache import Cache, Match
from runtime.engine.request import Image
from runtime.engine.reuse import common_prefix
from runtime.engine.sequence import ImageSpan, Sequence
from runtime.engine.step import Load, Slice, Step
from runtime.engine.waiting import Waiting

WORTH_WAITING = 8
"""Tokens that another sequence is about to compute, for which a request with the same prefix waits."""
HEADROOM = 8
"""Cells that a running sequence is granted beyond its prompt when another one asks to be admitted."""


class Images(Protocol):
    """Where embeddings come from."""

    def fetch(self, image: Image) -> Any | None:
        """The embeddings, or None: they will be delivered by `Scheduler.deliver`."""

    def forget(self, key: str) -> None:
        """One of those who asked no longer wants it."""


class Drafts(Protocol):
    """Guesses at what comes next; `speculation.Speculator` is one."""

    def plan(self, sequences: Items[Sequence]) -> list[tuple[int, ...]]:
        """A draft for each of the decoding sequences: most often an empty one."""


class Aside(Protocol):
    """Where prompts with images are computed while others stream; `aside.Aside` is one."""

    def begin(self, sequence: Sequence, end: int) -> Any | None:
        """A job: its tokens up to `end` are computed, and `Scheduler.arrived` is told. None: they do not fit there."""

    def stop(self, job: Any) -> bool:
        """What is computed by now is wanted soon; False: nothing is, and `arrived` is not told."""

    def forget(self, job: Any) -> None:
        """Nobody wants it any more; `arrived` is not told."""


class Scheduler:
    """Owned by the engine's thread."""

    def __init__(
        self,
        cache: Cache,
        images: Images,
        *,
        max_sequences: int,
        batch: int,
        drafts: Drafts | None = None,
        aside: Aside | None = None,
        joins: bool = True,
    ) -> None:
        """`joins`: a sequence's image and the text around it may be in one step."""
        self.cache = cache
        self.running: list[Sequence] = []
        self.waiting = Waiting()
        self.preemptions = 0
        self._images = images
        self._drafts = drafts
        self._aside = aside
        self._max_sequences = max_sequences
        self._batch = batch
        self._joins = joins

    @property
    def is_idle(self) -> bool:
        return not self.running and not len(self.waiting)

    def add(self, sequence: Sequence) -> None:
        """Queue it, and have its images encoded while it waits; those that the cache holds already are spared."""
        self.waiting.add(sequence)
        cached = self._match(sequence)
        for span in sequence.prompt.images:
            if span.end > cached.n:
                self._want(sequence, span)

    def deliver(self, key: str, embeddings: Any) -> None:
        """An image is ready."""
        for sequence in [*self.running, *self.waiting]:
            if key in sequence.wanted:
                sequence.wanted.discard(key)
                sequence.embeddings[key] = embeddings

    def wanting(self, key: str) -> list[Sequence]:
        return [s for s in [*self.running, *self.waiting] if key in s.wanted]

    def load(self) -> Load:
        """Who runs and who waits once those who can be are admitted."""
        self.cache.expire()
        self._admit()
        self._set_aside()
        waiting = self._prompts()
        streams = sum(map(_is_decoding, self.running))
        return Load(streams, len(waiting), sum(s.n_pending for s in waiting))

    def schedule(self, budget: int) -> Step:
        """The next step, with at most `budget` tokens of prefill: text's and an image's, half each where both wait."""
        self._admit()
        self._make_room()
        decoding = [_slice(s, len(s.tokens)) for s in self.running if _is_decoding(s)]
        waiting = self._prompts()
        step = self._with_prompts(decoding, waiting, budget) if waiting else Step(tuple(decoding))
        if decoding and len(step.pieces) == len(decoding) and self._drafts is not None:
            return Step(tuple(self._with_drafts(decoding, self._drafts)))
        return step

    def _prompts(self) -> list[Sequence]:
        """Those that run and wait for their first token, but for those that are blocked."""
        return [s for s in self.running if not _is_decoding(s) and not s.is_blocked()]

    def _with_prompts(self, decoding: list[Slice], waiting: list[Sequence], budget: int) -> Step:
        text = list(decoding)
        image: tuple[Slice, ImageSpan] | None = None
        after: Slice | None = None
        planned = len(text)
        left = budget = min(budget, self._batch - planned)
        half = budget - budget // 2 if len({s.pending_image() is None for s in waiting}) == 2 else budget
        for sequence in sorted(waiting, key=lambda s: (s.pending_image() is None, s.arrival)):
            begins_with_image = sequence.pending_image() is not None
            for piece, span in self._next(sequence, half if begins_with_image else left, planned, image is None):
                n = piece.end - piece.start
                planned += n
                left -= n
                if span is not None:
                    image = piece, span
                elif image is not None and image[0].sequence is sequence:
                    after = piece
                else:
                    text.append(piece)
        return Step(tuple(text), image, after)

    def _next(
        self, sequence: Sequence, most: int, planned: int, takes_image: bool
    ) -> Iterator[tuple[Slice, ImageSpan | None]]:
        """The sequence's next `most` tokens, run by run (one at least, an image at most), as cells are granted."""
        start, is_last = sequence.n_computed, False
        while most > 0 and not is_last:
            span = sequence.prompt.image_at(start)
            if span is not None and (not takes_image or span.image.key not in sequence.embeddings):
                return
            end = span.end if span is not None else _run_end(sequence, start)
            n = self._grant(min(end - start, most), planned)
            if n <= 0:
                return
            piece = Slice(sequence, start, start + n, samples=start + n == len(sequence.tokens))
            yield piece, span
            takes_image = takes_image and span is None
            is_last = not self._joins or piece.samples or start + n < end
            start, most, planned = start + n, most - n, planned + n

    def computed(self, piece: Slice) -> None:
        """The slice is in llama.cpp's cache."""
        sequence = piece.sequence
        self.cache.extend(sequence.slot, piece.tokens)
        sequence.n_computed = piece.end
        spans = sequence.prompt.images
        still = {span.image.key for span in spans if span.end > piece.end}
        for span in spans:
            if piece.start < span.end <= piece.end and span.image.key not in still:
                sequence.embeddings.pop(span.image.key, None)

    def arrived(self, sequence: Sequence, start: int, end: int) -> Slice | None:
        """Its job has ended: the slice whose cells are to be put into the cache, for which there is room. None: it
        goes on as others do, as nothing was computed, or there is none."""
        sequence.aside = None
        n = end - sequence.n_computed
        if n <= 0:
            return None
        if self._grant(n, len(self.running)) < n:
            sequence.is_refused = True
            return None
        if start < sequence.n_computed:  # part of an image, which comes once more with the rest of it
            self.cache.truncate(sequence.slot, start, sequence.prompt.position(start))
            sequence.n_computed = start
        return Slice(sequence, start, end, samples=False)

    def settle(self, sequence: Sequence) -> None:
        """After sampling: what was drafted and is not what came leaves the cache."""
        n = len(sequence.tokens) - 1
        if n < sequence.n_computed:
            self.cache.truncate(sequence.slot, n, sequence.prompt.position(n))
            sequence.n_computed = n

    def undo(self, piece: Slice) -> None:
        """The slice was not computed; of several of one sequence, tell the last one first. llama.cpp may have dropped
        more than it: an image begins anew, as all its cells share a position; what remains of a run of text is dropped
        too."""
        sequence = piece.sequence
        n = sequence.prompt.edge(piece.start)
        self.cache.truncate(sequence.slot, n, sequence.prompt.position(n))
        sequence.n_computed = n

    def finish(self, sequence: Sequence) -> None:
        """It has all its tokens; what it computed stays for later requests."""
        self.running.remove(sequence)
        self.cache.keep(sequence.slot, sequence.tokens[: sequence.n_computed])
        self._leave(sequence)

    def drop(self, sequence: Sequence) -> None:
        """Cancelled or failed, wherever it is: its cells are free at once."""
        if sequence in self.running:
            self.running.remove(sequence)
            self.cache.release(sequence.slot)
        else:
            self.waiting.remove(sequence)
        self._leave(sequence)

    def _leave(self, sequence: Sequence) -> None:
        self._forget_aside(sequence)
        sequence.slot = -1
        for key in sequence.wanted:
            self._images.forget(key)
        sequence.wanted.clear()
        sequence.embeddings.clear()

    def _set_aside(self) -> None:
        """Beside streams, prompts with images are computed aside; what is begun ends soon where there are none."""
        if self._aside is None:
            return
        if not any(map(_is_decoding, self.running)):
            for sequence in self.running:
                if sequence.aside is not None and not self._aside.stop(sequence.aside):
                    sequence.aside = None
            return
        for sequence in self._prompts():
            end = sequence.aside_end()
            if end > sequence.n_computed and not sequence.is_refused:
                sequence.aside = self._aside.begin(sequence, end)
                sequence.is_refused = sequence.aside is None

    def _forget_aside(self, sequence: Sequence) -> None:
        if sequence.aside is not None and self._aside is not None:
            self._aside.forget(sequence.aside)
        sequence.aside = None

    def _admit(self) -> None:
        if not len(self.waiting):
            return
        for sequence in list(self.waiting):
            if len(self.running) >= self._max_sequences or not self.cache.n_free_slots:
                return
            match = self._match(sequence)
            if self._is_about_to_come(sequence, match.n) or not self._has_image(sequence, match.n):
                continue
            needed = len(sequence.tokens) - match.n + HEADROOM * len(self.running)
            promised = sum(s.n_pending for s in self.running)
            if self.running and self.cache.available(match) - promised < needed:
                # first come, first served: nobody smaller overtakes it
                return
            self._start(sequence, match)

    def _start(self, sequence: Sequence, match: Match) -> None:
        self.waiting.remove(sequence, turn=True)
        self.cache.reuse.asked(sequence.tokens, match.n)
        sequence.slot = self.cache.open(match, sequence.prompt.position(match.n))
        sequence.n_computed = sequence.n_cached = match.n
        self.running.append(sequence)

    def _match(self, sequence: Sequence) -> Match:
        """What the cache has of it: no part of an image, and not its last token, whose logits are needed."""
        match = self.cache.match(sequence.tokens)
        n = sequence.prompt.edge(min(match.n, len(sequence.tokens) - 1))
        return self.cache.cut(match, n)

    def _is_about_to_come(self, sequence: Sequence, cached: int) -> bool:
        """Another sequence is computing a longer prefix of this one right now: it pays to wait for it."""
        for other in self.running:
            if other.n_computed >= other.n_prompt:
                continue
            common = common_prefix(other.tokens, 0, sequence.tokens, 0)
            common = sequence.prompt.edge(min(common, other.n_prompt, len(sequence.tokens) - 1))
            if other.aside is not None and not sequence.prompt.has_image(other.n_computed, common):
                continue  # text alone, which comes with the image behind it, much later
            worth = 1 if other.request is sequence.request else WORTH_WAITING
            if common - max(cached, other.n_computed) >= worth:
                return True
        return False

    def _has_image(self, sequence: Sequence, n: int) -> bool:
        """Whether the image that comes first after `n` cached tokens is ready (or there is none); asks for all."""
        ready = [self._want(sequence, span) for span in sequence.prompt.images if span.start >= n]
        return not ready or ready[0]

    def _want(self, sequence: Sequence, span: ImageSpan) -> bool:
        key = span.image.key
        if key in sequence.embeddings:
            return True
        if key in sequence.wanted:
            return False
        embeddings = self._images.fetch(span.image)
        if embeddings is None:
            sequence.wanted.add(key)
            return False
        sequence.embeddings[key] = embeddings
        return True

    def _make_room(self) -> None:
        """A cell for every decoding sequence, or for one prompt to go on: residents leave, then the newest waits."""
        while self.cache.free < len(self.running):
            decoding = sum(map(_is_decoding, self.running))
            needed = decoding or int(any(not s.is_blocked() for s in self.running))
            if self.cache.free >= needed or not (self.cache.evict() or self._preempt()):
                return

    def _preempt(self) -> bool:
        if len(self.running) < 2:
            return False
        newest = max(self.running, key=lambda s: s.arrival)
        self.running.remove(newest)
        self._forget_aside(newest)
        self.cache.release(newest.slot)
        newest.slot, newest.n_computed = -1, 0
        self.waiting.preempted.append(newest)
        self.preemptions += 1
        return True

    def _with_drafts(self, text: list[Slice], drafts: Drafts) -> list[Slice]:
        """Beside prefill there are none: it takes all the time that the streams can spare."""
        result, planned = [], len(text)
        for piece, draft in zip(text, drafts.plan([piece.sequence for piece in text]), strict=True):
            n = self._grant(len(draft), planned) if draft else 0
            planned += n
            result.append(replace(piece, end=piece.end + n, draft=draft[:n]) if n > 0 else piece)
        return result

    def _grant(self, n: int, planned: int) -> int:
        """How many of `n` cells a sequence's next slice gets besides those planned; residents make way for it."""
        while self.cache.free - planned < n and self.cache.evict():
            pass
        return min(n, self.cache.free - planned)


def _slice(sequence: Sequence, end: int) -> Slice:
    return Slice(sequence, sequence.n_computed, end, samples=end == len(sequence.tokens))


def _run_end(sequence: Sequence, start: int) -> int:
    """Where the run of text from `start` ends: at an image, or with the last token."""
    end = sequence.prompt.text_end(start)
    return len(sequence.tokens) if end >= sequence.n_prompt else end


def _is_decoding(sequence: Sequence) -> bool:
    return sequence.n_pending == 1 and sequence.pending_image() is None
