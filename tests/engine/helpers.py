"""What the engine's tests share: pictures, chats, a sink that collects, a plain reference."""

from __future__ import annotations

import ctypes
import hashlib
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from runtime.config import EngineSettings
from runtime.engine.engine import Engine
from runtime.engine.llama import c, m, start_backend
from runtime.engine.request import Event, Failed, Finished, Image, Markup, Part, Piece, SamplingParams, Started, Text

MODEL = Path(__file__).parents[2] / "models" / "beira-tiny"
TEXT_FILE, PROJECTOR_FILE = MODEL / "beira-tiny.gguf", MODEL / "beira-tiny-mmproj.gguf"
PATIENCE = 60.0
"""Seconds after which a test gives up waiting."""

COLORS = {"red": (220, 20, 20), "green": (20, 160, 40), "blue": (30, 60, 220), "white": (255, 255, 255)}


def small_engine(*, name: str = "beira-tiny", **settings: Any) -> Engine:
    """One compute thread: the tests share the machine."""
    values = {"context": 4096, "threads": 1, "max_sequences": 8, **settings}
    return Engine(TEXT_FILE, PROJECTOR_FILE, EngineSettings(**values), name=name)


def picture(kind: str, color: str, *, side: int = 112, background: str = "white") -> Image:
    """One shape in the middle, drawn without help."""
    y, x = np.mgrid[0:side, 0:side] - side / 2 + 0.5
    r = side * 0.3
    inside = {"circle": x**2 + y**2 < r**2, "square": (abs(x) < r) & (abs(y) < r)}[kind]
    pixels = np.where(inside[..., None], COLORS[color], COLORS[background]).astype(np.uint8)
    data = pixels.tobytes()
    return Image(side, side, data, hashlib.sha256(data).hexdigest() + f" {side}x{side}")


def chat(*user: Part | str) -> list[Part]:
    parts = [Text(p) if isinstance(p, str) else p for p in user]
    return [
        Markup("<|im_start|>"),
        Text("system\nYou are a helpful assistant."),
        Markup("<|im_end|>"),
        Text("\n"),
        Markup("<|im_start|>"),
        Text("user\n"),
        *parts,
        Markup("<|im_end|>"),
        Text("\n"),
        Markup("<|im_start|>"),
        Text("assistant\n"),
    ]


@dataclass(eq=False)
class Collector:
    """A sink, and what it was given."""

    n: int = 1
    events: list[Event] = field(default_factory=list)
    calls: list[list[Event]] = field(default_factory=list)
    hook: Callable[[list[Event]], None] = lambda events: None
    _changed: threading.Condition = field(default_factory=threading.Condition)

    def __call__(self, events: list[Event]) -> None:
        with self._changed:
            self.calls.append(events)
            self.events += events
            self._changed.notify_all()
        self.hook(events)

    def wait(self, until: Callable[[Collector], bool] | None = None) -> Collector:
        with self._changed:
            ended = self._changed.wait_for(lambda: (until or Collector.is_over)(self), PATIENCE)
        assert ended, f"nothing for {PATIENCE} s after {self.events}"
        return self

    def is_over(self) -> bool:
        return bool(self.failure) or len(self.finished) == self.n

    def has_text(self) -> bool:
        return bool(self.text()) or self.is_over()

    def text(self, index: int = 0) -> str:
        return "".join(e.text for e in self.events if isinstance(e, Piece) and e.index == index)

    @property
    def pieces(self) -> list[Piece]:
        return [e for e in self.events if isinstance(e, Piece)]

    @property
    def finished(self) -> list[Finished]:
        return sorted((e for e in self.events if isinstance(e, Finished)), key=lambda e: e.index)

    @property
    def started(self) -> Started:
        (started,) = [e for e in self.events if isinstance(e, Started)]
        return started

    @property
    def failure(self) -> Failed | None:
        return next((e for e in self.events if isinstance(e, Failed)), None)


def start(engine: Engine, parts: list[Part], *, n: int = 1, **params: Any) -> tuple[Collector, Any]:
    """Submit greedily; `caller` and `mask` are the engine's, everything else is a sampling parameter."""
    options = {key: params.pop(key) for key in ("caller", "mask") if key in params}
    sink = Collector(n)
    ticket = engine.submit(
        engine.prepare(parts), SamplingParams(**{"temperature": 0.0, **params}), sink, n=n, **options
    )
    return sink, ticket


def generate(engine: Engine, parts: list[Part], **params: Any) -> Collector:
    sink, _ = start(engine, parts, **params)
    sink.wait()
    assert sink.failure is None, sink.failure
    return sink


def wait_for(condition: Callable[[], bool], what: str) -> None:
    """Poll: for what has no event of its own."""
    event = threading.Event()
    for _ in range(int(PATIENCE / 0.005)):
        if condition():
            return
        event.wait(0.005)
    raise AssertionError(f"still not: {what}")


class Reference:
    """The same model without the engine: mtmd's own tokenizer and helper, one prompt in one go, then token by token."""

    def __init__(self) -> None:
        start_backend()
        self._model = c.llama_model_load_from_file(str(TEXT_FILE).encode(), c.llama_model_default_params())
        params = m.mtmd_context_params_default()
        params.use_gpu, params.warmup, params.n_threads, params.image_max_tokens = False, False, 1, 1024
        params.print_timings = False
        self._vision = m.mtmd_init_from_file(str(PROJECTOR_FILE).encode(), self._model, params)
        self._vocab = c.llama_model_get_vocab(self._model)
        self.n_vocab = c.llama_vocab_n_tokens(self._vocab)

    def greedy(self, parts: list[Part], max_tokens: int) -> tuple[int, bytes]:
        """Tokens of the prompt, and the text up to the end token. Texts must be free of special spellings."""
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch, params.n_threads, params.n_threads_batch = 2048, 512, 512, 1, 1
        context = c.llama_init_from_model(self._model, params)
        chunks = self._chunks(parts)
        try:
            past = c.llama_pos()
            assert m.mtmd_helper_eval_chunks(self._vision, context, chunks, 0, 0, 512, True, ctypes.byref(past)) == 0
            return int(m.mtmd_helper_get_n_tokens(chunks)), self._go_on(context, past.value, max_tokens)
        finally:
            m.mtmd_input_chunks_free(chunks)
            c.llama_free(context)

    def _go_on(self, context: Any, position: int, max_tokens: int) -> bytes:
        text = b""
        batch = c.llama_batch_init(1, 0, 1)
        for _ in range(max_tokens):
            row = np.ctypeslib.as_array(c.llama_get_logits_ith(context, -1), (self.n_vocab,))
            token = int(row.argmax())
            if c.llama_vocab_is_eog(self._vocab, token):
                break
            buffer = ctypes.create_string_buffer(64)
            n = c.llama_token_to_piece(self._vocab, token, buffer, 64, 0, False)
            text += buffer.raw[:n]
            batch.n_tokens, batch.token[0], batch.pos[0] = 1, token, position
            batch.n_seq_id[0], batch.seq_id[0][0], batch.logits[0] = 1, 0, 1
            assert c.llama_decode(context, batch) == 0
            position += 1
        c.llama_batch_free(batch)
        return text

    def _chunks(self, parts: list[Part]) -> Any:
        text, bitmaps = "", []
        for part in parts:
            if isinstance(part, Image):
                text += m.mtmd_default_marker().decode()
                data = (ctypes.c_uint8 * len(part.rgb)).from_buffer_copy(part.rgb)
                bitmaps.append(m.mtmd_bitmap_init(part.width, part.height, data))
            else:
                text += part.name if isinstance(part, Markup) else part.text
        data = text.encode()
        chunks = m.mtmd_input_chunks_init()
        array = (m.mtmd_bitmap_p_ctypes * len(bitmaps))(*bitmaps)
        asked = m.mtmd_input_text(data, len(data), False, True)
        assert m.mtmd_tokenize(self._vision, chunks, ctypes.byref(asked), array, len(bitmaps)) == 0
        for bitmap in bitmaps:
            m.mtmd_bitmap_free(bitmap)
        return chunks

    def close(self) -> None:
        m.mtmd_free(self._vision)
        c.llama_model_free(self._model)
