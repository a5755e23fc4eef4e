"""The engine's face: load a model, prepare prompts, submit requests, cancel them, close. Everything is thread-safe.

One thread owns the llama_context and all state of requests (`runner.py`); others leave messages in its inbox.
A second one works in the background: it encodes images (`vision.py`) and computes prompts with them beside streams
(`aside.py`).
"""

from __future__ import annotations

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from runtime.config import EngineSettings
from runtime.engine.aside import Aside, Job
from runtime.engine.background import Background
from runtime.engine.batch import EmbeddingBatch, TextBatch
from runtime.engine.llama import ABORTED, AbortFlag, Cells
from runtime.engine.loading import LoadedModel
from runtime.engine.request import Image, Part, Prompt, SamplingParams, Sink, Ticket, TokenMask
from runtime.engine.runner import Runner
from runtime.engine.sequence import Request, Sequence, TokenisedPrompt
from runtime.engine.speculation import Speculator
from runtime.engine.vision import Floats, ImageEncoder
from runtime.errors import AIError, ContextLengthExceeded, EngineError, InvalidRequest, Overloaded

log = logging.getLogger(__name__)

RETRY_AFTER = 2
JOIN_SECONDS = 1.0
TAKEN_SECONDS = 0.5
"""How long the next image waits for the engine's thread to take the last one, so that its prompt may come first."""


@dataclass(frozen=True, slots=True)
class EngineStats:
    """A glance at the engine; the numbers are not of one instant."""

    running: int
    waiting: int
    resident: int
    """Prefixes of finished sequences that are kept."""
    cells: int
    cells_used: int
    images_cached: int
    images_encoded: int
    tokens_generated: int
    tokens_drafted: int
    tokens_guessed: int
    """Of those drafted, the ones that came."""
    preemptions: int
    faults: int
    """Disagreements between the books and llama.cpp's memory; anything but 0 is a bug."""
    memory: int
    """Bytes that it may use in all, as planned when it was loaded."""
    step_s: float
    """How long the step that runs now has taken; 0 while the engine sleeps. One that never ends: a wedged engine."""
    image_s: float
    """How long the image that is encoded now, or its prompt, has taken in the background; 0 without one."""


@dataclass(frozen=True, slots=True)
class Vocabulary:
    """What a grammar needs: every token's text by id (none for control tokens), and which tokens end a generation."""

    pieces: tuple[bytes, ...]
    eos: int
    ends: frozenset[int]
    markup: dict[str, int]
    """Control and user-defined tokens by name."""


class Engine:
    """A loaded model. `close` frees it; a closed engine refuses everything."""

    def __init__(self, text: Path, projector: Path | None, settings: EngineSettings, *, name: str) -> None:
        """Raises ConfigError, EngineError."""
        self.name = name
        self._max_open = settings.max_sequences + settings.max_queue
        self._abort = AbortFlag()
        self._lock = threading.Lock()
        self._no_readers = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._inbox: deque[Callable[[Runner], None]] = deque()
        self._canceled: set[Request] = set()
        self._stoppable: set[Request] = set()
        """Requests with a long slice in the batch that is computed right now."""
        self._n_open = self._n_arrivals = self._n_readers = 0
        self._is_closing = False
        self._step_began: float | None = None
        self._loaded = LoadedModel(text, projector, settings, name=name, abort=self._abort)
        self.context = min(self._loaded.cells, self._loaded.model.n_ctx_train)
        self._encoder: ImageEncoder | None = None
        self._background: Background | None = None
        self._aside: Aside | None = None
        rows = self._loaded.token_rows()
        if self.has_vision:
            self._background = Background(name=name)
            cache = self._loaded.embedding_cache(settings)
            self._encoder = ImageEncoder(self._encode, cache, self._encoded, self._background)
            if n_cells := self._loaded.cells_aside:
                open_context = self._loaded.open_aside
                self._aside = Aside(open_context, self._background, self._export, self._computed, rows, n_cells)
        self._runner = Runner(
            self._loaded.model,
            self._loaded.context,
            self._encoder or NoImages(),
            self._decode,
            threads=self._threads,
            rows=rows,
            cells=self._loaded.cells,
            max_sequences=settings.max_sequences,
            speculator=Speculator(longest=settings.draft_tokens, rows=self._loaded.outputs),
            aside=self._aside,
            is_filled=not settings.gpu_layers,
        )
        self._thread = threading.Thread(target=self._work, name=f"beira-engine-{name}", daemon=True)
        self._thread.start()

    @property
    def has_vision(self) -> bool:
        return self._loaded.vision is not None

    def prepare(self, parts: Items[Part]) -> Prompt:
        """Tokenise; raises InvalidRequest, ImageError, EngineError (a markup name that the vocabulary lacks)."""
        with self._reading():
            return self._loaded.tokenizer.prepare(parts)

    def submit(
        self,
        prompt: Prompt,
        params: SamplingParams,
        sink: Sink,
        *,
        n: int = 1,
        caller: str = "",
        mask: Callable[[], TokenMask] | None = None,
    ) -> Ticket:
        """Queue `n` generations. `mask` makes one mask for each of them.

        Raises InvalidRequest, ContextLengthExceeded, Overloaded, EngineError (closed).
        """
        assert isinstance(prompt, TokenisedPrompt), "a prompt is made by Engine.prepare"
        max_tokens = self._max_tokens(prompt.n_tokens, params, n)
        masks = [mask() if mask is not None else None for _ in range(n)]
        request = Request(prompt, params, sink, caller)
        with self._lock:
            self._refuse_if_closed()
            if self._n_open >= self._max_open:
                raise Overloaded(
                    f"{self._n_open} generations are running or waiting, which is all that this node takes; try later",
                    retry_after=RETRY_AFTER,
                )
            self._n_open += n
            request.on_leave = self._left
            request.sequences += [
                Sequence(request, i, self._n_arrivals + i, max_tokens, list(prompt.ids), mask=masks[i])
                for i in range(n)
            ]
            self._n_arrivals += n
            self._inbox.append(lambda runner: runner.add(request))
        self._wake.set()
        return _Ticket(self, request)

    def markup(self, name: str) -> int | None:
        """The id of a control or user-defined token; None where the vocabulary lacks it."""
        return self._loaded.model.markup.get(name)

    def vocabulary(self) -> Vocabulary:
        with self._reading():
            return self._vocabulary

    def stats(self) -> EngineStats:
        runner, encoder = self._runner, self._encoder
        began = self._step_began
        return EngineStats(
            running=len(runner.scheduler.running),
            waiting=max(0, self._n_open - len(runner.scheduler.running)),
            resident=runner.cache.n_residents,
            cells=runner.cache.cells,
            cells_used=runner.cache.used,
            images_cached=encoder.n_cached if encoder else 0,
            images_encoded=encoder.encoded if encoder else 0,
            tokens_generated=runner.generated,
            tokens_drafted=runner.drafted,
            tokens_guessed=runner.guessed,
            preemptions=runner.scheduler.preemptions,
            faults=runner.faults,
            memory=self._loaded.memory,
            step_s=0.0 if began is None else time.monotonic() - began,
            image_s=self._background.current_s if self._background else 0.0,
        )

    def close(self) -> None:
        """Stop within a step; every open request gets `Failed`. May be called again."""
        with self._lock:
            self._is_closing = True
            self._abort.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _max_tokens(self, prompt: int, params: SamplingParams, n: int) -> int:
        """The completion's bound for one sequence."""
        if n < 1 or (params.max_tokens is not None and params.max_tokens < 1):
            raise InvalidRequest(f"n and max_tokens must be at least 1, got {n} and {params.max_tokens}")
        for token, _ in params.logit_bias:
            if not 0 <= token < self._loaded.model.n_vocab:
                most = self._loaded.model.n_vocab - 1
                raise InvalidRequest(f"logit_bias: token ids are 0 … {most}, got {token}", param="logit_bias")
        asked = params.max_tokens or 0
        if prompt + max(asked, 1) > self.context:
            raise ContextLengthExceeded(
                f"This model's maximum context length is {self.context} tokens. However, you requested "
                f"{prompt + asked} tokens ({prompt} in the messages, {asked} in the completion). "
                "Please reduce the length of the messages or completion."
            )
        return asked or self.context - prompt

    def _cancel(self, request: Request) -> None:
        with self._lock:
            if self._is_closing or request.is_closed or request in self._canceled:
                return
            self._canceled.add(request)
            if request in self._stoppable:
                self._abort.set()
            self._inbox.append(lambda runner: self._take_cancel(runner, request))
        self._wake.set()

    def _take_cancel(self, runner: Runner, request: Request) -> None:
        runner.cancel(request)
        with self._lock:
            self._canceled.discard(request)

    def _left(self) -> None:
        with self._lock:
            self._n_open -= 1

    def _encode(self, image: Image) -> Floats:
        assert self._loaded.vision is not None
        return self._loaded.vision.encode(image.width, image.height, image.rgb)

    def _encoded(self, key: str, result: Floats | AIError) -> None:
        taken = threading.Event()

        def deliver(runner: Runner) -> None:
            try:
                runner.deliver(key, result)
            finally:
                taken.set()

        self._inbox.append(deliver)
        self._wake.set()
        taken.wait(TAKEN_SECONDS)

    def _export(self, slot: int) -> Cells:
        return self._runner.export(slot)

    def _computed(self, job: Job) -> None:
        self._inbox.append(lambda runner: runner.arrive(job))
        self._wake.set()

    def _decode(self, batch: TextBatch | EmbeddingBatch, long: set[Request]) -> int:
        """One llama_decode; cancelling a request of `long` stops it."""
        with self._lock:
            if self._is_closing or not self._canceled.isdisjoint(long):
                return ABORTED
            self._abort.clear()
            self._stoppable = long
        try:
            return self._loaded.context.decode(batch)
        finally:
            with self._lock:
                self._stoppable = set()

    def _threads(self) -> int:
        is_busy = self._background is not None and self._background.is_busy
        return self._loaded.threads.text_beside_vision if is_busy else self._loaded.threads.text

    def _work(self) -> None:
        try:
            while not self._is_closing:
                self._step_began = time.monotonic()
                try:
                    while self._inbox:
                        self._inbox.popleft()(self._runner)
                    is_idle = not self._runner.step()
                    if is_idle:
                        self._runner.check()
                except Exception as e:
                    log.exception("%s: the engine met a fault; all its requests fail", self.name)
                    self._runner.reset(EngineError(f"the engine met a fault: {e}"))
                    continue
                if is_idle and not self._is_closing:
                    self._step_began = None
                    self._wake.wait()
                    self._wake.clear()  # before the inbox is read: what comes from now on wakes again
        finally:
            self._end()

    def _end(self) -> None:
        with self._lock:
            self._is_closing = True
        error = EngineError(f"the engine of {self.name} is shutting down")
        try:
            while self._inbox:
                self._inbox.popleft()(self._runner)
            self._runner.fail_all(error)
        finally:
            with self._no_readers:
                self._no_readers.wait_for(lambda: not self._n_readers)
            self._loaded.close_context()
            if self._background is not None:
                self._background.close(self._loaded.close, timeout=JOIN_SECONDS)
            else:
                self._loaded.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whoever uses the model from another thread; `close` waits for them."""
        with self._lock:
            self._refuse_if_closed()
            self._n_readers += 1
        try:
            yield
        finally:
            with self._no_readers:
                self._n_readers -= 1
                self._no_readers.notify_all()

    def _refuse_if_closed(self) -> None:
        if self._is_closing:
            raise EngineError(f"the engine of {self.name} is shutting down")

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        model = self._loaded.model
        pieces = tuple(model.piece(token) for token in range(model.n_vocab))
        return Vocabulary(pieces, model.eos, model.ends, dict(model.markup))


class _Ticket:
    """See `request.Ticket`."""

    def __init__(self, engine: Engine, request: Request) -> None:
        self._engine = engine
        self._request = request

    def cancel(self) -> None:
        self._engine._cancel(self._request)


class NoImages:
    """Where there is no projector: `prepare` lets no image pass."""

    def fetch(self, image: Image) -> None:
        raise EngineError("an image without a projector")

    def forget(self, key: str) -> None:
        raise EngineError("an image without a projector")
