"""A vision projector through mtmd: how many tokens an image becomes, and its embeddings."""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np

from runtime.engine.llama import Floats, Model, m
from runtime.engine.sequence import ImageShape
from runtime.errors import ConfigError, EngineError


class Projector:
    """A projector. `measure` may be called from any thread, `encode` from one at a time."""

    def __init__(self, path: Path, model: Model, *, threads: int, max_tokens: int, use_gpu: bool) -> None:
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; expected the model's projector, a GGUF")
        params = m.mtmd_context_params_default()
        params.use_gpu, params.print_timings, params.n_threads = use_gpu, False, threads
        params.image_max_tokens = max_tokens
        # a warm-up encodes a whole picture to find out whether flash attention works; on a CPU it does
        params.warmup = use_gpu
        params.flash_attn_type = -1 if use_gpu else 1
        self.pointer = m.mtmd_init_from_file(str(path).encode(), model.pointer, params)
        if not self.pointer:
            raise ConfigError(f"{path}: llama.cpp cannot load it; expected the projector that belongs to {model.path}")
        self.path = path
        self.n_embd = model.n_embd
        if not m.mtmd_support_vision(self.pointer) or not m.mtmd_decode_use_mrope(self.pointer):
            self.close()
            raise ConfigError(f"{path}: expected an image projector of the Qwen-VL family (M-RoPE positions)")

    def measure(self, width: int, height: int) -> tuple[list[int], ImageShape, list[int]]:
        """What an image of this size becomes: tokens before it, its shape, tokens after it."""
        before: list[int] = []
        after: list[int] = []
        shape: ImageShape | None = None
        with self._chunks(width, height, None) as chunks:
            for chunk in chunks:
                if m.mtmd_input_chunk_get_type(chunk) == m.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                    shape = _shape(chunk)
                else:
                    n = ctypes.c_size_t()
                    tokens = m.mtmd_input_chunk_get_tokens_text(chunk, ctypes.byref(n))
                    (after if shape else before).extend(tokens[: n.value])
        if shape is None:
            raise EngineError(f"{self.path.name}: an image of {width} x {height} became no tokens")
        return before, shape, after

    def encode(self, width: int, height: int, rgb: bytes) -> Floats:
        """Its embeddings, a row a token; blocks for long and cannot be stopped."""
        with self._chunks(width, height, rgb) as chunks:
            for chunk in chunks:
                if m.mtmd_input_chunk_get_type(chunk) == m.MTMD_INPUT_CHUNK_TYPE_IMAGE:
                    if m.mtmd_encode_chunk(self.pointer, chunk) != 0:
                        break
                    n = m.mtmd_input_chunk_get_n_tokens(chunk)
                    return np.ctypeslib.as_array(m.mtmd_get_output_embd(self.pointer), (n, self.n_embd)).copy()
        raise EngineError(f"{self.path.name}: cannot encode an image of {width} x {height}")

    @contextmanager
    def _chunks(self, width: int, height: int, rgb: bytes | None) -> Iterator[list[Any]]:
        """`rgb` None: a placeholder, good for counting tokens."""
        data = None if rgb is None else ctypes.cast(ctypes.c_char_p(rgb), ctypes.POINTER(ctypes.c_uint8))
        bitmap = m.mtmd_bitmap_init(width, height, data)
        chunks = m.mtmd_input_chunks_init()
        part = m.mtmd_input_part(None, bitmap)
        parts = (ctypes.POINTER(m.mtmd_input_part) * 1)(ctypes.pointer(part))
        try:
            if m.mtmd_tokenize_from_parts(self.pointer, chunks, parts, 1, False) != 0:
                raise EngineError(f"{self.path.name}: cannot prepare an image of {width} x {height}")
            yield [m.mtmd_input_chunks_get(chunks, i) for i in range(m.mtmd_input_chunks_size(chunks))]
        finally:
            m.mtmd_input_chunks_free(chunks)
            m.mtmd_bitmap_free(bitmap)

    def close(self) -> None:
        if self.pointer:
            m.mtmd_free(self.pointer)
            self.pointer = None


def _shape(chunk: Any) -> ImageShape:
    tokens = m.mtmd_input_chunk_get_tokens_image(chunk)
    return ImageShape(
        columns=m.mtmd_image_tokens_get_nx(tokens),
        rows=m.mtmd_image_tokens_get_ny(tokens),
        n_tokens=m.mtmd_input_chunk_get_n_tokens(chunk),
        n_positions=m.mtmd_input_chunk_get_n_pos(chunk),
    )
