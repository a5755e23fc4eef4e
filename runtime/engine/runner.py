"""One step after the other: what the scheduler plans, llama.cpp computes; then sample, detokenise, tell the sinks.

Everything here happens on the engine's thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable

from runtime.engine import llama
from runtime.engine.aside import Aside, Job
from runtime.engine.batch import EmbeddingBatch, TextBatch, text_only, with_image
from runtime.engine.cache import Cache, Operation, Share
from runtime.engine.detokenize import Detokenizer, Emission
from runtime.engine.llama import ABORTED, MAX_SEQUENCE_IDS, NO_ROOM, OK, Context, Model
from runtime.engine.loading import BATCH
from runtime.engine.pace import Pace, filling
from runtime.engine.request import Failed, Finished, FinishReason, Piece, Started
from runtime.engine.sampling import Sampled, Sampler, seed_of, temperature_of
from runtime.engine.scheduler import Images, Scheduler
from runtime.engine.sequence import Request, Sequence
from runtime.engine.speculation import Speculator
from runtime.engine.step import Slice, Step
from runtime.engine.token_rows import TokenRows
from runtime.errors import AIError, EngineError

log = logging.getLogger(__name__)

RESIDENTS = 64
LONG = 8
"""Tokens of one sequence in a batch from which on a cancel stops the batch, instead of waiting for its end."""


class Runner:
    """The state of all requests; `decode(batch, long)` runs one decode that a cancel of one of `long` may stop,
    `threads()` says how many threads compute it. Without `rows` text and images are computed apart."""

    def __init__(
        self,
        model: Model,
        context: Context,
        images: Images,
        decode: Callable[[TextBatch | EmbeddingBatch, set[Request]], int],
        *,
        threads: Callable[[], int],
        rows: TokenRows | None,
        cells: int,
        max_sequences: int,
        speculator: Speculator,
        aside: Aside | None,
        is_filled: bool,
    ) -> None:
        """`is_filled`: batches may get rows that only make them faster."""
        self._is_filled = is_filled
        self._images = images
        self._speculator = speculator
        self._aside = aside
        self._cells, self._max_sequences = cells, max_sequences
        self._rows = rows
        self.cache, self.scheduler = self._new_books()
        self.faults = 0
        """How often the books and llama.cpp's memory disagreed."""
        self.generated = 0
        self.drafted = self.guessed = 0
        """Tokens computed as drafts, and those of them that came."""
        self._model = model
        self._context = context
        self._decode = decode
        self._threads = threads
        self._batch = TextBatch(BATCH)
        self._requests: dict[Request, None] = {}
        self._pieces: dict[int, bytes] = {}
        self._pace = Pace(BATCH)
        self._is_checked = True

    @property
    def n_open(self) -> int:
        return len(self._requests)

    def add(self, request: Request) -> None:
        self._requests[request] = None
        for sequence in request.sequences:
            sequence.detokenizer = Detokenizer(request.params.stop)
            sequence.sampler = self._sampler(sequence)
        for sequence in request.sequences:
            self.scheduler.add(sequence)

    def cancel(self, request: Request) -> None:
        if not request.is_closed:
            request.events.clear()
            self._close(request)

    def deliver(self, key: str, result: object) -> None:
        """An image's embeddings, or the error that it met."""
        if isinstance(result, AIError):
            for request in {s.request: None for s in self.scheduler.wanting(key)}:
                self.fail(request, result)
            self._flush()
        else:
            self.scheduler.deliver(key, result)
            self.scheduler.load()  # what it lets begin aside is begun before the next image

    def export(self, slot: int) -> llama.Cells:
        """A copy of a slot's cells."""
        self._apply()
        return self._context.export(slot)

    def arrive(self, job: Job) -> None:
        """What was computed aside goes into the cache, unless its sequence has left or was preempted meanwhile."""
        s = job.sequence
        if s.aside is not job:
            return
        s.is_refused = job.has_failed
        piece = self.scheduler.arrived(s, job.start, job.n if job.cells is not None else 0)
        if piece is None or job.cells is None:
            return
        self._apply()
        spare = self.cache.free_slot
        if spare is not None and self._context.put(spare, job.cells):
            self._context.copy(spare, s.slot, -1)
            self.scheduler.computed(piece)
        else:
            log.warning("cells that were computed aside found no room; they are computed anew")
            s.is_refused = True
        if spare is not None:
            self._context.remove(spare, 0)

    def fail(self, request: Request, error: AIError) -> None:
        if not request.is_closed:
            request.events.append(Failed(error))
            self._close(request)

    def fail_all(self, error: AIError) -> None:
        for request in list(self._requests):
            self.fail(request, error)
            self._tell(request)

    def reset(self, error: AIError) -> None:
        """After a fault that nobody foresaw: every request fails, every cell is free. Trusts no books."""
        requests, self._requests = list(self._requests), {}
        self._start_afresh()
        for request in requests:
            request.is_closed = True
            request.events.append(Failed(error))
            for sequence in request.sequences:
                for key in sequence.wanted:
                    self._images.forget(key)
                if sequence.aside is not None and self._aside is not None:
                    self._aside.forget(sequence.aside)
                if not sequence.is_done:
                    self._leave(sequence)
            self._tell(request)

    def step(self) -> bool:
        """False: there is nothing to do until a message comes."""
        load = self.scheduler.load()
        self._context.set_threads(self._threads())
        budget = 0
        if load.behind:
            budget = self._pace.budget(self._context.threads, load.streams, load.behind, load.pending)
        step = self.scheduler.schedule(budget)
        if step.is_empty:
            return False
        self._is_checked = False
        if step.image is None or self._rows is not None:
            self._run(step)
        else:
            if step.text:
                self._run(Step(step.text))
            if not step.image[0].sequence.request.is_closed:
                self._run(Step(image=step.image))
        self._flush()
        return True

    def check(self) -> None:
        """When idle: the books agree with themselves and with llama.cpp's memory, else start afresh."""
        if self._is_checked or not self.scheduler.is_idle:
            return
        self._is_checked = True
        self._apply()
        try:
            self.cache.check()
            for holder in range(MAX_SEQUENCE_IDS):
                held, there = self.cache.length(holder), self._context.last_position(holder)
                assert (held > 0) == (there >= 0), f"id {holder} holds {held} cells, its last position is {there}"
                assert there < held or not held, f"id {holder} holds {held} cells, its last position is {there}"
        except AssertionError as e:
            log.error("the KV cache's books are wrong, starting afresh: %s", e)
            self.faults += 1
            self._start_afresh()

    def _new_books(self) -> tuple[Cache, Scheduler]:
        slots = self._max_sequences + 1
        cache = Cache(self._cells, slots=slots, residents=min(RESIDENTS, MAX_SEQUENCE_IDS - slots))
        scheduler = Scheduler(
            cache,
            self._images,
            max_sequences=self._max_sequences,
            batch=BATCH,
            drafts=self._speculator,
            aside=self._aside,
            joins=self._rows is not None,
        )
        return cache, scheduler

    def _start_afresh(self) -> None:
        preemptions = self.scheduler.preemptions
        self.cache, self.scheduler = self._new_books()
        self.scheduler.preemptions = preemptions
        self._context.clear()

    def _run(self, step: Step) -> None:
        """One batch, then a token for each sequence that has no more to compute."""
        batch, ends = with_image(step, self._rows) if step.image is not None else text_only(step, self._batch)
        if not self._compute(batch, step.pieces):
            return
        for piece, end in zip(step.pieces, ends, strict=True):
            if piece.samples and not piece.sequence.request.is_closed:
                self._sample(piece, end - piece.outputs)

    def _compute(self, batch: TextBatch | EmbeddingBatch, pieces: tuple[Slice, ...]) -> bool:
        self._apply()
        rows, decoding = sum(p.end - p.start for p in pieces), sum(p.is_decoding for p in pieces)
        long = {p.sequence.request for p in pieces if p.end - p.start >= LONG} if rows >= LONG else set[Request]()
        filled = self._fill(batch, rows) if decoding < len(pieces) else None
        began = time.perf_counter()
        try:
            result = self._decode(batch, long)
        finally:
            if filled is not None:
                self._context.remove(filled, 0)
        if result == OK:
            self._measure(time.perf_counter() - began, len(pieces), rows, decoding)
            for piece in pieces:
                self.scheduler.computed(piece)
            return True
        for piece in reversed(pieces):
            self.scheduler.undo(piece)
        if result == ABORTED:
            return False
        if result == NO_ROOM:
            log.error("llama.cpp has no room for %d tokens that the books have room for", len(pieces))
            self.faults += 1
            if self.cache.evict():
                return False
        for piece in pieces:
            self.fail(piece.sequence.request, EngineError(f"llama.cpp could not evaluate the request (code {result})"))
        return False

    def _fill(self, batch: TextBatch | EmbeddingBatch, rows: int) -> int | None:
        """Rows of nothing beside prompts, where there is room: what is left over of whole fours costs one more pass
        over the weights. Returns the id that they are in. Where all rows decode, more of them cost more than that."""
        n, slot = filling(rows), self.cache.free_slot
        if not n or not self._is_filled or slot is None or rows + n > self.cache.free:
            return None
        batch.fill(slot, n)
        return slot

    def _sample(self, piece: Slice, row: int) -> None:
        """The next tokens from the logits of batch entry `row` and those after it: one, and one more for each token of
        the draft that is what was sampled."""
        s = piece.sequence
        if not s.request.is_started:
            s.request.is_started = True
            s.request.events.append(Started(s.n_cached))
        n_right, end = 0, None
        for guess in (*piece.draft, None):
            try:
                sampled = s.sampler.sample(self._context.logits(row + n_right), row + n_right)
            except AIError as e:
                self.fail(s.request, e)
                return
            except Exception as e:
                log.exception("a token was not sampled")
                self.fail(s.request, EngineError(f"a token was not sampled: {e}"))
                return
            end = self._take(s, sampled)
            if sampled.token != guess or end is not None:
                break
            n_right += 1
        self._judge(piece, n_right)
        if end is not None:
            self._finish(s, *end)

    def _take(self, s: Sequence, sampled: Sampled) -> tuple[FinishReason, str | None] | None:
        """One more token; returns why it is the last one, with the stop string if that is why."""
        self.generated += 1
        s.tokens.append(sampled.token)
        assert s.detokenizer is not None
        is_end = sampled.token in self._model.ends and not s.request.params.ignore_eos
        emission = Emission() if is_end else s.detokenizer.push(self._piece(sampled.token), sampled.logprob)
        self._show(s, emission)
        if emission.stop is not None:
            return "stop", emission.stop
        if not is_end and s.n_left > 0:
            return None
        emission = s.detokenizer.finish()
        self._show(s, emission)
        return "stop" if is_end or emission.stop is not None else "length", emission.stop

    def _judge(self, piece: Slice, n_right: int) -> None:
        s, n = piece.sequence, len(piece.draft)
        if n:
            self.drafted += n
            self.guessed += n_right
            s.drafter.judge(n_right, n)
        else:
            s.drafter.compare(s.tokens[-1])
        self.scheduler.settle(s)

    def _show(self, s: Sequence, emission: Emission) -> None:
        if emission.text or emission.logprobs:
            s.request.events.append(Piece(s.index, emission.text, emission.logprobs))

    def _finish(self, s: Sequence, reason: FinishReason, stop: str | None) -> None:
        s.request.events.append(Finished(s.index, reason, stop, s.n_completion))
        self.scheduler.finish(s)
        self._leave(s)
        if all(other.is_done for other in s.request.sequences):
            self._requests.pop(s.request)
            s.request.is_closed = True
            self._tell(s.request)

    def _close(self, request: Request) -> None:
        """What is not finished of it ends here."""
        request.is_closed = True
        for sequence in request.sequences:
            if not sequence.is_done:
                self.scheduler.drop(sequence)
                self._leave(sequence)
        self._requests.pop(request, None)
        if request.events:
            self._tell(request)

    def _leave(self, s: Sequence) -> None:
        s.is_done = True
        s.sampler.close()
        s.request.on_leave()
        self._is_checked = False

    def _tell(self, request: Request) -> None:
        events, request.events = request.events, []
        if not events:
            return
        try:
            request.sink(events)
        except Exception:
            log.exception("a sink failed; its request is cancelled")
            self.cancel(request)

    def _flush(self) -> None:
        for request in list(self._requests):
            self._tell(request)

    def _apply(self) -> None:
        """Carry out in llama.cpp what the books have recorded."""
        operations: list[Operation] = self.cache.operations
        self.cache.operations = []
        for operation in operations:
            if isinstance(operation, Share):
                self._context.copy(operation.source, operation.target, operation.end)
            else:
                self._context.remove(operation.target, operation.start)

    def _sampler(self, s: Sequence) -> Sampler:
        params = s.request.params
        temperature = temperature_of(params)
        chain = None
        if temperature is not None:
            chain = llama.Chain(
                self._context,
                temperature=temperature,
                top_k=params.top_k,
                top_p=params.top_p,
                min_p=params.min_p,
                seed=seed_of(params, s.index),
            )
        return Sampler(params, s.prompt.ids, chain=chain, piece=self._piece, mask=s.mask)

    def _piece(self, token: int) -> bytes:
        piece = self._pieces.get(token)
        if piece is None:
            piece = self._pieces[token] = self._model.piece(token)
        return piece

    def _measure(self, seconds: float, pieces: int, rows: int, decoding: int) -> None:
        if self._threads() != self._context.threads:
            return  # something began or ended in the background meanwhile: the time is that of neither
        only_decodes = decoding == pieces
        if only_decodes:
            self._speculator.measured(decoding, rows, seconds)
        if rows == decoding or not only_decodes:  # else there were drafts
            self._pace.measured(self._context.threads, decoding, rows - decoding, seconds)
