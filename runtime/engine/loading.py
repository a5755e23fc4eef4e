"""From files and settings to a model that can compute: checked first, freed in the right order."""

from __future__ import annotations

import hashlib
import logging
from pathlib import Path

from runtime.config import EngineSettings
from runtime.engine.budget import MemoryPlan, Threads, available_memory, kv_type_of, require_weights, usable_cores
from runtime.engine.llama import AbortFlag, Context, Model
from runtime.engine.optimize import preferred
from runtime.engine.projector import Projector
from runtime.engine.token_rows import TokenRows
from runtime.engine.tokenize import Tokenizer
from runtime.engine.vision import EmbeddingCache
from runtime.errors import ConfigError

log = logging.getLogger(__name__)

BATCH = 512
"""Tokens that one decode takes at most."""
MAX_RUNNING = 128
BATCH_ASIDE = 128
"""The same of a prompt with images that is computed aside; between two of them it may be stopped."""
TEXT_ASIDE = 1024
"""Tokens that such a prompt may have beyond those of the largest image."""
LEAST_OUTPUTS = 8
"""Entries of a batch that may have logits where fewer sequences run: a draft needs some."""


class LoadedModel:
    """Owns what llama.cpp allocated. `close_context` on the thread that decodes, `close` when nothing encodes."""

    def __init__(
        self, text: Path, projector: Path | None, settings: EngineSettings, *, name: str, abort: AbortFlag
    ) -> None:
        """Raises ConfigError, EngineError."""
        if not 1 <= settings.max_sequences <= MAX_RUNNING:
            raise ConfigError(f"engine.max_sequences: must be 1 … {MAX_RUNNING}, got {settings.max_sequences}")
        projector = preferred(projector) if projector is not None else None
        available = available_memory() if not settings.gpu_layers else None
        require_weights(text, available)
        self.model = Model(text, gpu_layers=settings.gpu_layers, is_mapped=bool(settings.gpu_layers))
        self.outputs = max(settings.max_sequences + 1, LEAST_OUTPUTS)
        weights = text.stat().st_size
        self.threads = Threads.choose(settings.threads, usable_cores(), weights)
        self.kv_type = kv_type_of(settings.kv_type, weights, settings.gpu_layers, self.model.head)
        self.vision: Projector | None = None
        self._aside: Context | None = None
        self.cells_aside = 0
        """Of the context for prompts with images beside streams; none on a GPU, where it would spare them nothing."""
        if projector is not None and not settings.gpu_layers:
            self.cells_aside = min(settings.context, settings.image_max_tokens + TEXT_ASIDE)
        self.memory = 0
        """Bytes that it may use, as planned."""
        try:
            if self.model.is_recurrent:
                raise ConfigError(f"{text}: a recurrent model, whose state cannot be shared by prefix; use another")
            self._check_memory(projector, settings, name, available)
            self.vision = self._load_vision(projector, settings)
            self.context = self._load_context(settings, abort)
        except BaseException:
            self.close()
            raise
        self.model.let_go_of_pages()
        self.cells = min(settings.context, self.context.cells)
        measure = self.vision.measure if self.vision else None
        self.tokenizer = Tokenizer(self.model.tokenize, self.model.markup, self.model.user_defined, measure)

    def embedding_cache(self, settings: EngineSettings) -> EmbeddingCache:
        assert self.vision is not None
        name = _fingerprint(self.vision.path, settings.image_max_tokens)
        return EmbeddingCache(settings.image_cache_mb << 20, settings.image_cache_dir, model=name)

    def token_rows(self) -> TokenRows | None:
        """What lets text be computed together with images; None where the weights lie in several files."""
        if self.vision is None:
            return None
        try:
            return TokenRows(self.model.path, self.model.n_vocab, self.model.n_embd)
        except KeyError as e:
            log.warning("%s: text and images are computed apart: %s", self.model.path, e)
            return None

    def open_aside(self, abort: AbortFlag) -> Context:
        """The second context, which shares the weights; `close` closes it."""
        self._aside = Context(
            self.model,
            cells=self.cells_aside,
            batch=BATCH_ASIDE,
            sequences=1,
            outputs=1,
            threads=self.threads.vision,
            kv_type=self.kv_type,
            abort=abort,
        )
        return self._aside

    def close_context(self) -> None:
        self.context.close()

    def close(self) -> None:
        if self._aside is not None:
            self._aside.close()
        if self.vision is not None:
            self.vision.close()
        self.model.close()

    def _check_memory(self, projector: Path | None, settings: EngineSettings, name: str, available: int | None) -> None:
        """`available`: bytes before the weights were loaded."""
        plan = MemoryPlan.of(
            self.model.size(projector),
            cells=settings.context,
            kv_type=self.kv_type,
            outputs=self.outputs,
            batch=BATCH,
            aside=(self.cells_aside, BATCH_ASIDE),
            image_cache_mb=settings.image_cache_mb if projector else 0,
        )
        self.memory = plan.total
        log.info("%s: %s", name, plan.describe())
        plan.require(available)

    def _load_vision(self, projector: Path | None, settings: EngineSettings) -> Projector | None:
        if projector is None:
            return None
        return Projector(
            projector,
            self.model,
            threads=self.threads.vision,
            max_tokens=settings.image_max_tokens,
            use_gpu=settings.gpu_layers > 0,
        )

    def _load_context(self, settings: EngineSettings, abort: AbortFlag) -> Context:
        return Context(
            self.model,
            cells=settings.context,
            batch=BATCH,
            sequences=settings.max_sequences + 1,  # one for rows that only fill a batch
            outputs=self.outputs,
            threads=self.threads.text,
            kv_type=self.kv_type,
            abort=abort,
        )


def _fingerprint(projector: Path, max_tokens: int) -> str:
    """Tells one projector's embeddings from another's: its size, its time and its name."""
    stat = projector.stat()
    return hashlib.sha256(f"{projector.name} {stat.st_size} {stat.st_mtime_ns} {max_tokens}".encode()).hexdigest()
