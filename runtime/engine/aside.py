"""Prompts with images are computed aside while text streams: in a context of their own, in the background.

Beside a stream a step takes only a few rows of a prompt, and each of them takes as long as the stream's own: an image's
hundreds would double every gap for seconds. A second context of the same model computes them in large batches behind
everything else; the cells that it has filled are copied into the first one's.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from runtime.engine.background import Background, Then, in_background
from runtime.engine.batch import EmbeddingBatch, TextBatch
from runtime.engine.llama import ABORTED, OK, AbortFlag, Cells, Context
from runtime.engine.loading import BATCH_ASIDE
from runtime.engine.sequence import Sequence, TokenisedPrompt
from runtime.engine.token_rows import TokenRows
from runtime.errors import EngineError

log = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Job:
    """Tokens of a sequence on their way through the second context: `n` are computed, up to `end` they are to be."""

    sequence: Sequence
    prompt: TokenisedPrompt
    tokens: list[int]
    embeddings: dict[str, Any]
    before: Cells | None
    """The cells of the first `n`."""
    start: int
    """Of the tokens whose cells are handed over: `n` at first, but no part of an image."""
    n: int
    end: int
    cells: Cells | None = None
    """Those of tokens `start` … `n`, once nothing more is computed; None: it failed, or nothing was."""
    has_failed: bool = False
    is_begun: bool = False
    is_ended: bool = False
    is_stopped: bool = False
    is_forgotten: bool = False


@dataclass(eq=False)
class Aside:
    """`begin`, `stop` and `forget` on the engine's thread; `open_context` and what follows in the background."""

    open_context: Callable[[AbortFlag], Context]
    background: Background
    export: Callable[[int], Cells]
    """The cells of a slot of the first context."""
    on_done: Callable[[Job], None]
    """Takes a job that has ended, unless it was forgotten; called in the background."""
    rows: TokenRows | None
    n_cells: int
    _abort: AbortFlag = field(default_factory=AbortFlag)
    _lock: threading.Lock = field(default_factory=threading.Lock)
    _context: Context | None = None

    def begin(self, sequence: Sequence, end: int) -> Job | None:
        """Its tokens up to `end`; None: so many do not fit, or there is no memory for what comes before them."""
        n = sequence.n_computed
        if end > self.n_cells:
            return None
        try:
            before = self.export(sequence.slot) if n else None
        except (EngineError, MemoryError) as e:
            log.warning("a prompt is not computed aside, but as others are: %s", e)
            return None
        job = Job(
            sequence,
            sequence.prompt,
            sequence.tokens[:end],
            dict(sequence.embeddings),
            before,
            start=sequence.prompt.edge(n),
            n=n,
            end=end,
        )
        self.background.put(lambda: self._work(job), first=True)
        return job

    def stop(self, job: Job) -> bool:
        """Hand over what there is after the batch in work; False: it was not begun, and is forgotten."""
        with self._lock:
            job.is_stopped = True
            job.is_forgotten = job.is_forgotten or not job.is_begun
            return job.is_begun

    def forget(self, job: Job) -> None:
        """Nobody waits for it any more."""
        with self._lock:
            job.is_forgotten = True
            if job.is_begun and not job.is_ended:
                self._abort.set()

    def _work(self, job: Job) -> Then | None:
        with self._lock:
            if job.is_forgotten:
                return None
            job.is_begun = True
        try:
            in_background(lambda: self._compute(job))
        except Exception as e:
            log.warning("a prompt is not computed aside, but as others are: %s", e)
            job.has_failed = True
        finally:
            with self._lock:
                job.is_ended = True  # from here on it stops no other one's batch
        return None if job.is_forgotten else lambda: self.on_done(job)

    def _compute(self, job: Job) -> None:
        if self._context is None:
            self._context = self.open_context(self._abort)
        context, first = self._context, job.n
        context.clear()
        if job.before is not None and not context.put(0, job.before):
            raise EngineError(f"no room for {job.n} cells")
        job.before = None
        while job.n < job.end and not job.is_stopped:
            batch, end = self._batch(job)
            with self._lock:
                if job.is_forgotten:
                    return
                self._abort.clear()
            result = context.decode(batch)
            if result == ABORTED and job.is_forgotten:
                return
            if result != OK:
                raise EngineError(f"llama.cpp could not evaluate {end - job.n} rows (code {result})")
            job.n = end
        if job.n > first:
            context.remove(0, 0, job.prompt.position(job.start))
            job.cells = context.export(0)

    def _batch(self, job: Job) -> tuple[TextBatch | EmbeddingBatch, int]:
        """The next rows, and how many tokens are computed with them. Without rows of tokens, text is apart."""
        start, most = job.n, min(job.n + BATCH_ASIDE, job.end)
        batch = EmbeddingBatch()
        while start < most:
            span = job.prompt.image_at(start)
            if span is None and self.rows is None:
                return (batch, start) if start > job.n else _text(job, most)
            end = min(most, span.end if span is not None else _text_end(job, start))
            if span is not None:
                i = start - span.start
                rows = job.embeddings[span.image.key][i : i + end - start]
                batch.add_image(0, rows, span.shape, i, span.position, outputs=0)
            else:
                assert self.rows is not None
                rows = self.rows.of(job.tokens[start:end])
                batch.add_text(0, rows, job.prompt.position(start), outputs=0)
            start = end
        return batch, start


def _text(job: Job, most: int) -> tuple[TextBatch, int]:
    end = min(most, _text_end(job, job.n))
    batch = TextBatch(end - job.n)
    batch.add(0, job.tokens[job.n : end], job.prompt.position(job.n), outputs=0)
    return batch, end


def _text_end(job: Job, start: int) -> int:
    end = job.prompt.text_end(start)
    return job.end if end >= job.prompt.n_tokens else end
