"""The engine's face: load a model, prepare prompts, submit requests, cancel them, close. Everything is thread-safe.

One thread owns the llama_context and all state of requests (`runner.py`); others leave messages in its inbox.
A second thread encodes images (`vision.py`).
"""

from __future__ import annotations

import hashlib
import logging
import threading
from collections import deque
from collections.abc import Callable, Iterator
from collections.abc import Sequence as Items
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from runtime.config import EngineSettings
from runtime.engine.budget import MemoryPlan, Threads, available_memory, usable_cores
from runtime.engine.llama import ABORTED, AbortFlag, Context, ImageBatch, Model, TextBatch, Vision
from runtime.engine.request import Image, Part, Prompt, SamplingParams, Sink, Ticket, TokenMask
from runtime.engine.runner import BATCH, Runner
from runtime.engine.sequence import Request, Sequence, TokenisedPrompt
from runtime.engine.tokenize import Tokenizer
from runtime.engine.vision import EmbeddingCache, Floats, ImageEncoder
from runtime.errors import AIError, ConfigError, ContextLengthExceeded, EngineError, InvalidRequest, Overloaded

log = logging.getLogger(__name__)

MAX_RUNNING = 128
RETRY_AFTER = 2
JOIN_SECONDS = 1.0


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
    preemptions: int
    faults: int
    """Disagreements between the books and llama.cpp's memory; anything but 0 is a bug."""


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
        if not 1 <= settings.max_sequences <= MAX_RUNNING:
            raise ConfigError(f"engine.max_sequences: must be 1 … {MAX_RUNNING}, got {settings.max_sequences}")
        self.name = name
        self._max_open = settings.max_sequences + settings.max_queue
        self._threads = Threads.choose(settings.threads, usable_cores())
        self._abort = AbortFlag()
        self._lock = threading.Lock()
        self._idle_readers = threading.Condition(self._lock)
        self._wake = threading.Event()
        self._inbox: deque[Callable[[Runner], None]] = deque()
        self._canceled: set[Request] = set()
        self._stoppable: set[Request] = set()
        self._n_open = self._n_arrivals = self._n_readers = 0
        self._is_closing = False
        self._model = Model(text, gpu_layers=settings.gpu_layers)
        self._vision: Vision | None = None
        self._encoder: ImageEncoder | None = None
        self._context: Context | None = None
        try:
            self._load(projector, settings)
        except BaseException:
            self._free()
            raise
        self._thread = threading.Thread(target=self._work, name=f"beira-engine-{name}", daemon=True)
        self._thread.start()

    @property
    def has_vision(self) -> bool:
        return self._vision is not None

    @property
    def max_sequences(self) -> int:
        return self._settings.max_sequences

    def prepare(self, parts: Items[Part]) -> Prompt:
        """Tokenise; raises InvalidRequest, ImageError, EngineError (a markup name that the vocabulary lacks)."""
        with self._reading():
            return self._tokenizer.prepare(parts)

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
        return self._model.markup.get(name)

    def vocabulary(self) -> Vocabulary:
        with self._reading():
            return self._vocabulary

    def stats(self) -> EngineStats:
        runner, encoder = self._runner, self._encoder
        return EngineStats(
            running=len(runner.scheduler.running),
            waiting=max(0, self._n_open - len(runner.scheduler.running)),
            resident=runner.cache.n_residents,
            cells=runner.cache.cells,
            cells_used=runner.cache.used,
            images_cached=encoder.n_cached if encoder else 0,
            images_encoded=encoder.encoded if encoder else 0,
            tokens_generated=runner.generated,
            preemptions=runner.scheduler.preemptions,
            faults=runner.faults,
        )

    def close(self) -> None:
        """Stop within a step; every open request gets `Failed`. May be called again."""
        with self._lock:
            self._is_closing = True
            self._abort.set()
        self._wake.set()
        if threading.current_thread() is not self._thread:
            self._thread.join()

    def _load(self, projector: Path | None, settings: EngineSettings) -> None:
        model = self._model
        if model.is_recurrent:
            raise ConfigError(f"{model.path}: a recurrent model, whose state cannot be shared by prefix; use another")
        self._check_memory(projector, settings)
        if projector is not None:
            self._vision = Vision(
                projector,
                model,
                threads=self._threads.vision,
                max_tokens=settings.image_max_tokens,
                use_gpu=settings.gpu_layers > 0,
            )
        self._context = Context(
            model,
            cells=settings.context,
            batch=BATCH,
            sequences=settings.max_sequences,
            threads=self._threads.text,
            kv_type=settings.kv_type,
            abort=self._abort,
        )
        cells = min(settings.context, self._context.cells)
        self._settings = settings
        self.context = min(cells, model.n_ctx_train)
        measure = self._vision.measure if self._vision else None
        self._tokenizer = Tokenizer(model.tokenize, model.markup, model.user_defined, measure)
        if self._vision is not None:
            cache = EmbeddingCache(
                settings.image_cache_mb << 20,
                settings.image_cache_dir,
                model=_fingerprint(self._vision.path, settings.image_max_tokens),
            )
            self._encoder = ImageEncoder(self._encode, cache, self._encoded, name=self.name)
        self._runner = Runner(
            model,
            self._context,
            self._encoder or NoImages(),
            self._decode,
            cells=cells,
            max_sequences=settings.max_sequences,
        )

    def _check_memory(self, projector: Path | None, settings: EngineSettings) -> None:
        plan = MemoryPlan.of(
            self._model.size(projector),
            cells=settings.context,
            kv_type=settings.kv_type,
            sequences=settings.max_sequences,
            batch=BATCH,
            image_cache_mb=settings.image_cache_mb if projector else 0,
        )
        log.info("%s: %s", self.name, plan.describe())
        if not settings.gpu_layers:
            plan.require(available_memory())

    def _max_tokens(self, prompt: int, params: SamplingParams, n: int) -> int:
        """The completion's bound for one sequence."""
        if n < 1 or (params.max_tokens is not None and params.max_tokens < 1):
            raise InvalidRequest(f"n and max_tokens must be at least 1, got {n} and {params.max_tokens}")
        for token, _ in params.logit_bias:
            if not 0 <= token < self._model.n_vocab:
                raise InvalidRequest(f"logit_bias: token ids are 0 … {self._model.n_vocab - 1}, got {token}")
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
        assert self._vision is not None
        return self._vision.encode(image.width, image.height, image.rgb)

    def _encoded(self, key: str, result: Floats | AIError) -> None:
        self._inbox.append(lambda runner: runner.deliver(key, result))
        self._wake.set()

    def _decode(self, batch: TextBatch | ImageBatch, long: set[Request]) -> int:
        """One llama_decode; cancelling a request of `long` stops it."""
        assert self._context is not None
        with self._lock:
            if self._is_closing or not self._canceled.isdisjoint(long):
                return ABORTED
            self._abort.clear()
            self._stoppable = long
        try:
            is_busy = self._encoder is not None and self._encoder.is_busy
            self._context.set_threads(self._threads.text_beside_vision if is_busy else self._threads.text)
            return self._context.decode(batch)
        finally:
            with self._lock:
                self._stoppable = set()

    def _work(self) -> None:
        try:
            while not self._is_closing:
                self._wake.clear()
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
                    self._wake.wait()
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
            with self._idle_readers:
                self._idle_readers.wait_for(lambda: not self._n_readers)
            self._free()

    def _free(self) -> None:
        if self._context is not None:
            self._context.close()
        if self._encoder is not None:
            self._encoder.close(self._free_model, timeout=JOIN_SECONDS)
        else:
            self._free_model()

    def _free_model(self) -> None:
        if self._vision is not None:
            self._vision.close()
        self._model.close()

    @contextmanager
    def _reading(self) -> Iterator[None]:
        """Whoever uses the model from another thread; `close` waits for them."""
        with self._lock:
            self._refuse_if_closed()
            self._n_readers += 1
        try:
            yield
        finally:
            with self._idle_readers:
                self._n_readers -= 1
                self._idle_readers.notify_all()

    def _refuse_if_closed(self) -> None:
        if self._is_closing:
            raise EngineError(f"the engine of {self.name} is shutting down")

    @cached_property
    def _vocabulary(self) -> Vocabulary:
        model = self._model
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


def _fingerprint(projector: Path, max_tokens: int) -> str:
    """Tells one projector's embeddings from another's: its size, its time and its name."""
    stat = projector.stat()
    return hashlib.sha256(f"{projector.name} {stat.st_size} {stat.st_mtime_ns} {max_tokens}".encode()).hexdigest()
