"""What one decode computes: batches in llama.cpp's form, and how a step becomes one."""

from __future__ import annotations

import ctypes
from functools import cached_property
from typing import Any

import numpy as np

from runtime.engine.llama import Floats, Ints, c
from runtime.engine.sequence import ImageShape
from runtime.engine.step import Slice, Step
from runtime.engine.token_rows import TokenRows
from runtime.errors import EngineError


class TextBatch:
    """A batch of tokens of several sequences, filled anew for each step. Each entry belongs to one sequence."""

    def __init__(self, capacity: int) -> None:
        self.capacity = capacity
        self._tokens = (c.llama_token * capacity)()
        self._positions = (c.llama_pos * capacity)()
        self._ids = (c.llama_seq_id * capacity)()
        self._outputs = (ctypes.c_byte * capacity)()
        self.struct = _batch(capacity, self._positions, self._ids, self._outputs)
        self.struct.token = self._tokens
        self.clear()

    def clear(self) -> None:
        self.struct.n_tokens = 0

    def add(self, sequence: int, tokens: list[int], position: int, *, outputs: int) -> int:
        """Append a run at consecutive positions, the last `outputs` entries with logits; returns the index after it."""
        start, n = self.struct.n_tokens, len(tokens)
        end = start + n
        if not 0 < end <= self.capacity:
            raise EngineError(f"a batch of {end} tokens, where {self.capacity} fit")
        self._tokens[start:end] = tokens
        self._positions[start:end] = range(position, position + n)
        self._ids[start:end] = [sequence] * n
        # `ctypes.memset` would hand the GIL, a moment before `decode`, to whoever was told of the last tokens
        self._outputs[start:end] = [*bytes(n - outputs), *b"\1" * outputs]
        self.struct.n_tokens = end
        return int(end)

    def fill(self, sequence: int, n: int) -> None:
        """Append `n` rows that nobody asked for, in an id that nobody uses: its first token again."""
        self.add(sequence, [self._tokens[0]] * n, 0, outputs=0)


class EmbeddingBatch:
    """A batch of embeddings: slices of images, and text beside them. M-RoPE positions by section: t, y, x, 0."""

    def __init__(self) -> None:
        self._rows: list[Floats] = []
        self._positions: list[Ints] = []
        self._ids: list[int] = []
        self._outputs = bytearray()

    def add_text(self, sequence: int, rows: Floats, position: int, *, outputs: int) -> int:
        """Append tokens' embeddings at consecutive positions, the last `outputs` with logits; returns the index after
        them."""
        positions = np.zeros((4, len(rows)), dtype=np.int32)
        positions[:3] = np.arange(position, position + len(rows))
        return self._add(sequence, rows, positions, outputs)

    def add_image(
        self, sequence: int, rows: Floats, shape: ImageShape, start: int, position: int, *, outputs: int
    ) -> int:
        """Append an image's embeddings from `start` on; `position` is where the image begins."""
        index = np.arange(start, start + len(rows), dtype=np.int32)
        positions = np.zeros((4, len(rows)), dtype=np.int32)
        positions[0] = position
        positions[1] = position + index // shape.columns
        positions[2] = position + index % shape.columns
        return self._add(sequence, rows, positions, outputs)

    def fill(self, sequence: int, n: int) -> None:
        """Append `n` rows that nobody asked for, in an id that nobody uses: its first row again. Zeros would become
        NaN where a norm has no epsilon, and stay in the cells for whoever gets them next."""
        self.add_text(sequence, np.repeat(self._rows[0][:1], n, axis=0), 0, outputs=0)

    def _add(self, sequence: int, rows: Floats, positions: Ints, outputs: int) -> int:
        self._rows.append(rows)
        self._positions.append(positions)
        self._ids += [sequence] * len(rows)
        self._outputs += bytes(len(rows) - outputs) + b"\1" * outputs
        return len(self._ids)

    @cached_property
    def struct(self) -> Any:
        """What llama.cpp takes; nothing can be added any more."""
        n = len(self._ids)
        rows = np.ascontiguousarray(np.concatenate(self._rows), dtype=np.float32)
        positions = (c.llama_pos * (4 * n)).from_buffer(np.ascontiguousarray(np.concatenate(self._positions, axis=1)))
        ids = (c.llama_seq_id * n)(*self._ids)
        outputs = (ctypes.c_byte * n).from_buffer(self._outputs)
        struct = _batch(n, positions, ids, outputs)
        struct.embd = rows.ctypes.data_as(ctypes.POINTER(ctypes.c_float))
        self._kept = rows, positions, ids, outputs  # llama.cpp has only their addresses
        struct.n_tokens = n
        return struct


def _batch(capacity: int, positions: Any, ids: Any, outputs: Any) -> Any:
    """A llama_batch over arrays that its owner keeps alive."""
    struct = c.llama_batch()
    one = ctypes.sizeof(c.llama_seq_id)
    pointers = (ctypes.POINTER(c.llama_seq_id) * capacity)(
        *(ctypes.cast(ctypes.byref(ids, i * one), ctypes.POINTER(c.llama_seq_id)) for i in range(capacity))
    )
    struct.pos, struct.seq_id, struct.logits = positions, pointers, outputs
    struct.n_seq_id = (ctypes.c_int32 * capacity)(*[1] * capacity)
    return struct


def text_only(step: Step, batch: TextBatch) -> tuple[TextBatch, list[int]]:
    """The batch, filled anew, and where in it each piece ends."""
    batch.clear()
    return batch, [
        batch.add(p.sequence.slot, p.tokens, p.sequence.prompt.position(p.start), outputs=p.outputs) for p in step.text
    ]


def with_image(step: Step, rows: TokenRows | None) -> tuple[EmbeddingBatch, list[int]]:
    """A new batch, and where in it each piece ends. Without `rows` there may be no text in the step."""
    assert step.image is not None
    batch, ends = EmbeddingBatch(), list[int]()

    def add_text(p: Slice) -> None:
        assert rows is not None
        position = p.sequence.prompt.position(p.start)
        ends.append(batch.add_text(p.sequence.slot, rows.of(p.tokens), position, outputs=p.outputs))

    for piece in step.text:
        add_text(piece)
    p, span = step.image
    start = p.start - span.start
    image = p.sequence.embeddings[span.image.key][start : start + p.end - p.start]
    ends.append(batch.add_image(p.sequence.slot, image, span.shape, start, span.position, outputs=p.outputs))
    if step.after is not None:
        add_text(step.after)
    return batch, ends
