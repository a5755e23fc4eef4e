"""llama.cpp's memory as the scheduler needs to imagine it, and a node that runs on it: for tests without a model."""

from __future__ import annotations

from collections.abc import Sequence as Items
from dataclasses import dataclass, field
from typing import Any

from runtime.engine.cache import Cache, Share
from runtime.engine.request import Image, SamplingParams
from runtime.engine.scheduler import Scheduler
from runtime.engine.sequence import ImageShape, PromptBuilder, Request, Sequence
from runtime.engine.step import Slice, Step

PART = int | tuple[str, int]
"""A token, or an image: its key and its number of tokens."""


@dataclass(eq=False, slots=True)
class Cell:
    token: int
    position: int
    holders: set[int]


class Memory:
    """Cells with positions and holders; does what llama_memory_seq_cp and _rm do."""

    def __init__(self, n: int) -> None:
        self.n = n
        self.cells: list[Cell] = []

    def apply(self, cache: Cache) -> None:
        operations, cache.operations = cache.operations, []
        for operation in operations:
            if isinstance(operation, Share):
                for cell in self.of(operation.source):
                    if operation.end < 0 or cell.position < operation.end:
                        cell.holders.add(operation.target)
            else:
                for cell in self.of(operation.target):
                    if cell.position >= operation.start:
                        cell.holders.discard(operation.target)
        self.cells = [cell for cell in self.cells if cell.holders]

    def of(self, holder: int) -> list[Cell]:
        return [cell for cell in self.cells if holder in cell.holders]

    def compute(self, piece: Slice) -> None:
        """The sequence's cells must be exactly what it believes to have computed."""
        s = piece.sequence
        held = [(cell.token, cell.position) for cell in self.of(s.slot)]
        believed = [(t, s.prompt.position(i)) for i, t in enumerate(s.tokens[: piece.start])]
        assert held == believed, f"slot {s.slot} holds {held}, its sequence believes {believed}"
        for i, token in enumerate(piece.tokens, piece.start):
            self.cells.append(Cell(token, s.prompt.position(i), {s.slot}))
        assert len(self.cells) <= self.n, "llama.cpp has no room"

    def put(self, slot: int, cells: list[Cell]) -> None:
        self.cells += [Cell(cell.token, cell.position, {slot}) for cell in cells]
        assert len(self.cells) <= self.n, "llama.cpp has no room"

    def forget(self, piece: Slice) -> None:
        """A failed batch: llama.cpp drops everything from the batch's lowest position on."""
        low = piece.sequence.prompt.position(piece.start)
        for cell in self.of(piece.sequence.slot):
            if cell.position >= low:
                cell.holders.discard(piece.sequence.slot)
        self.cells = [cell for cell in self.cells if cell.holders]


@dataclass(eq=False)
class FakeImages:
    """Encodes when told to; counts who waits."""

    cached: set[str] = field(default_factory=set)
    wanted: dict[str, int] = field(default_factory=dict)

    def fetch(self, image: Image) -> Any | None:
        if image.key in self.cached:
            return image.key
        self.wanted[image.key] = self.wanted.get(image.key, 0) + 1
        return None

    def forget(self, key: str) -> None:
        self.wanted[key] -= 1
        assert self.wanted[key] >= 0, "forgotten more often than asked for"


@dataclass(eq=False)
class FakeDrafts:
    """Drafts as they are told to be: how many tokens, and how many of them are right."""

    length: int = 0
    right: int = 0
    drafted: int = 0

    def plan(self, sequences: Items[Sequence]) -> list[tuple[int, ...]]:
        return [self._draft(s) for s in sequences]

    def _draft(self, s: Sequence) -> tuple[int, ...]:
        made: list[int] = []
        for i in range(min(self.length, s.n_left - 1)):
            made.append(following([*s.tokens, *made]) if i < self.right else 7)
        self.drafted += len(made)
        return tuple(made)


@dataclass(eq=False)
class FakeJob:
    """The cells of a sequence in the second context: those that the first one has, and those computed since."""

    sequence: Sequence
    cells: list[Cell]
    start: int
    end: int
    is_begun: bool = False
    is_stopped: bool = False
    is_forgotten: bool = False


class FakeAside:
    """Computes when told to: the first job that nobody has forgotten."""

    def __init__(self, cache: Cache, memory: Memory, n_cells: int) -> None:
        self._cache, self._memory = cache, memory
        self._n_cells = n_cells
        self.jobs: list[FakeJob] = []
        self.computed = 0

    def begin(self, sequence: Sequence, end: int) -> FakeJob | None:
        assert sequence.aside is None, "begun twice"
        assert sequence.n_computed < end < len(sequence.tokens)
        if end > self._n_cells:
            return None
        self._memory.apply(self._cache)
        n, prompt = sequence.n_computed, sequence.prompt
        cells = self._memory.of(sequence.slot)
        assert len(cells) == n, "the slot holds other cells than its sequence believes"
        assert any(span.end > n and span.start < end for span in prompt.images), "no image in it"
        spans = [span for span in prompt.images if span.end > n and span.start < end]
        assert all(span.image.key in sequence.embeddings for span in spans), "an image that is not encoded"
        job = FakeJob(sequence, list(cells), prompt.edge(n), end)
        self.jobs.append(job)
        return job

    def stop(self, job: FakeJob) -> bool:
        assert job in self.jobs
        job.is_stopped = True
        if not job.is_begun:
            self.forget(job)
        return job.is_begun

    def forget(self, job: FakeJob) -> None:
        assert not job.is_forgotten, "forgotten twice"
        job.is_forgotten = True
        self.jobs.remove(job)

    def compute(self, rows: int) -> FakeJob | None:
        """The first job's next rows; returns it if it has ended."""
        if not self.jobs:
            return None
        job = self.jobs[0]
        job.is_begun = True
        s = job.sequence
        for i in range(len(job.cells), min(len(job.cells) + rows, job.end)):
            job.cells.append(Cell(s.tokens[i], s.prompt.position(i), set()))
            self.computed += 1
        if len(job.cells) < job.end and not job.is_stopped:
            return None
        self.jobs.remove(job)
        return job


def following(tokens: list[int]) -> int:
    """The token after these: a sum of what came before, so that sharing shows."""
    return 1000 + sum(tokens) % 97


class Node:
    """A scheduler over a memory."""

    def __init__(
        self,
        *,
        cells: int = 64,
        max_sequences: int = 3,
        residents: int = 4,
        batch: int = 16,
        worth: int = 10_000,
        cells_aside: int = 0,
    ) -> None:
        """`cells_aside` 0: nothing is computed aside."""
        self.drafts = FakeDrafts()
        self.images = FakeImages()
        self.cache = Cache(cells, slots=max_sequences, residents=residents, worth=worth)
        self.memory = Memory(cells)
        self.max_sequences = max_sequences
        self.aside = FakeAside(self.cache, self.memory, cells_aside)
        self.scheduler = Scheduler(
            self.cache,
            self.images,
            max_sequences=max_sequences,
            batch=batch,
            drafts=self.drafts,
            aside=self.aside if cells_aside else None,
        )
        self.arrivals = 0
        self.open: list[Sequence] = []
        self.finished: list[Sequence] = []

    def submit(self, parts: list[PART], *, max_tokens: int = 3, caller: str = "", n: int = 1) -> list[Sequence]:
        builder = PromptBuilder()
        for part in parts:
            if isinstance(part, int):
                builder.add_tokens([part])
            else:
                key, size = part
                shape = ImageShape(size, 1, size, max(1, size // 2))
                builder.add_image(Image(1, 1, b"abc", key), shape)
        request = Request(builder.build(), SamplingParams(), lambda events: None, caller)
        made = [Sequence(request, i, self.arrivals + i, max_tokens, list(request.prompt.ids)) for i in range(n)]
        self.arrivals += n
        request.sequences += made
        self.open += made
        for sequence in made:
            self.scheduler.add(sequence)
        return made

    def cancel(self, sequence: Sequence) -> None:
        self.open.remove(sequence)
        self.scheduler.drop(sequence)

    def deliver(self, key: str) -> None:
        self.images.wanted.pop(key, None)
        self.images.cached.add(key)
        self.scheduler.deliver(key, key)

    def compute_aside(self, rows: int = 8, *, fail: bool = False) -> None:
        """Some rows of what is computed aside; what has ended goes into the cache, as the runner does it."""
        job = self.aside.compute(rows)
        if job is None:
            return
        s = job.sequence
        assert s.aside is job
        s.is_refused = fail
        piece = self.scheduler.arrived(s, job.start, 0 if fail else len(job.cells))
        self.memory.apply(self.cache)
        if piece is not None:
            assert (piece.start, piece.end) == (job.start, len(job.cells))
            self.memory.put(s.slot, job.cells[piece.start :])
            self.scheduler.computed(piece)
        self.check()

    def step(self, *, budget: int = 8, fail: bool = False) -> Step:
        load = self.scheduler.load()
        assert load.streams + load.behind <= len(self.scheduler.running)
        step = self.scheduler.schedule(budget)
        assert len(self.scheduler.running) <= self.max_sequences
        ends: dict[int, int] = {}
        for piece in step.pieces:
            end = ends.get(id(piece.sequence), piece.sequence.n_computed)
            assert piece.start == end, "a sequence's pieces do not follow each other"
            ends[id(piece.sequence)] = piece.end
        prefill = sum(p.end - p.start for p in step.pieces if not p.is_decoding)
        assert prefill <= budget, "a slice is longer than allowed"
        self._compute(list(step.pieces), fail)
        self.check()
        return step

    def drain(self, *, limit: int = 2000) -> None:
        """Until all are finished: nothing is lost, nothing starves."""
        for _ in range(limit):
            for key in [key for key, n in self.images.wanted.items() if n]:
                self.deliver(key)
            if not self.open:
                return
            self.compute_aside()
            self.step()
        raise AssertionError(f"starved: {self.open}")

    def check(self) -> None:
        self.memory.apply(self.cache)
        self.cache.check()
        assert len(self.memory.cells) == self.cache.used, "the books and the memory disagree"
        for holder in self.cache.holders():
            assert len(self.memory.of(holder)) == self.cache.length(holder)
        assert {id(job) for job in self.aside.jobs} == {id(s.aside) for s in self.scheduler.running if s.aside}
        assert not any(s.aside for s in [*self.scheduler.waiting, *self.finished])
        assert set(self.open) == {*self.scheduler.running, *self.scheduler.waiting}

    def _compute(self, pieces: list[Slice], fail: bool) -> None:
        self.memory.apply(self.cache)
        if fail:
            for piece in reversed(pieces):
                self.memory.forget(piece)
                self.scheduler.undo(piece)
            return
        for piece in pieces:
            self.memory.compute(piece)
            self.scheduler.computed(piece)
        for piece in pieces:
            if piece.samples:
                self._sample(piece)

    def _sample(self, piece: Slice) -> None:
        s = piece.sequence
        for guess in (*piece.draft, None):
            s.tokens.append(following(s.tokens))
            if s.tokens[-1] != guess or not s.n_left:
                break
        self.scheduler.settle(s)
        if not s.n_left:
            self.scheduler.finish(s)
            self.open.remove(s)
            self.finished.append(s)
