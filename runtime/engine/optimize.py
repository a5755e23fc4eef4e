"""A projector that fits the CPU: its feed-forward zero-padded to whole blocks, its matrices quantised by libggml.

Rows of a quantised matrix are made of blocks (256 values in Q4_K); where a row is no multiple of them, as the 3,420 of
Qwen2.5-VL's feed-forward, converters fall back to F16, which costs a CPU three times as much. Zeros added to gate, up
and down change no result: what they compute is zero.
"""

from __future__ import annotations

import ctypes
import hashlib
import logging
import os
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from runtime.engine.budget import usable_cores
from runtime.engine.llama import Floats, c, start_backend
from runtime.errors import ConfigError

if TYPE_CHECKING:
    # imported where it is used: it takes a fifth of a second, and only this command needs it
    from gguf import GGUFReader, ReaderTensor

log = logging.getLogger(__name__)

Bytes = NDArray[np.uint8]
BLOCK = 256
SUFFIX = ".optimized.gguf"
MIXES: tuple[Mapping[str, str], ...] = (
    {"ffn": "Q4_K", "attn": "Q4_K", "mm": "Q8_0"},
    {"ffn": "Q4_K", "attn": "Q6_K", "mm": "Q6_K"},
    {"ffn": "Q4_K", "attn": "Q8_0", "mm": "Q8_0"},
    {"ffn": "Q6_K", "attn": "Q6_K", "mm": "Q6_K"},
    {"ffn": "Q8_0", "attn": "Q8_0", "mm": "Q8_0"},
    {},
)
"""What the feed-forward's, the attention's and the merger's matrices become: the coarsest first; with the last one they
stay as they are. Which is fast depends on the CPU: with AVX-512 VNNI llama.cpp has tiles for k-quants, whatever their
bits, none for Q8_0: a picture of 448 x 448 at the 3b shape takes 4.2 to 4.7 s of one core there, and 10.6 s where all
are Q8_0."""
FINER = {"Q4_K": "Q8_0", "Q5_K": "Q8_0", "Q6_K": "Q8_0", "Q8_0": "F16"}
"""What a type gives way to where a row is no multiple of its block."""
_DIGEST, _SIZE, _TIME = "beira.source.sha256", "beira.source.size", "beira.source.mtime_ns"
_LENGTH = "clip.vision.feed_forward_length"
_MATRICES = {"gate": 0, "up": 0, "down": 1}
"""Which axis of a feed-forward matrix, and of its bias, is the padded one: its rows (0) or its columns (1)."""


def optimized_path(projector: Path) -> Path:
    """Where the optimised file of a projector lies."""
    return projector.with_name(projector.name.removesuffix(".gguf") + SUFFIX)


def preferred(projector: Path) -> Path:
    """The optimised file beside a projector if there is one and it was made from just this projector; else itself."""
    path = optimized_path(projector)
    if not path.is_file() or not projector.is_file():
        return projector
    from gguf import GGUFReader

    try:
        fields = GGUFReader(path).fields
        digest, size, time = (fields[key].contents() for key in (_DIGEST, _SIZE, _TIME))
    except (KeyError, ValueError, OSError, IndexError) as e:
        log.warning("%s: not used: it is no optimised projector (%s); write it again", path, e)
        return projector
    stat = projector.stat()
    is_same = stat.st_size == size and (stat.st_mtime_ns == time or _digest(projector) == digest)
    if not is_same:
        log.warning("%s: not used: it was made from another %s; write it again", path, projector.name)
        return projector
    log.info("%s: used instead of %s", path, projector.name)
    return path


def optimize(source: Path, target: Path, kinds: Mapping[str, str] = MIXES[0]) -> None:
    """Write `target` from the projector `source`; `kinds` empty: pad only. Raises ConfigError, OSError."""
    from gguf import GGUFReader, GGUFWriter

    start_backend()
    try:
        reader = GGUFReader(source)
        length = int(reader.fields[_LENGTH].contents())
    except (OSError, ValueError, IndexError, KeyError) as e:
        raise ConfigError(f"{source}: cannot be read as a vision projector: {e}; expected a GGUF") from e
    if _DIGEST in reader.fields:
        raise ConfigError(f"{source}: is optimised already; expected the projector that it was made from")
    jobs = [_Job(tensor, length, kinds) for tensor in reader.tensors]
    partial = target.with_name(f"{target.name}.{os.getpid()}.part")
    writer = GGUFWriter(partial, "clip")
    try:
        _add_metadata(writer, reader, source, _ceil(length))
        for job in jobs:
            writer.add_tensor_info(job.name, job.shape, np.dtype(np.uint8), job.n_bytes, raw_dtype=job.kind)
        writer.write_header_to_file()
        writer.write_kv_data_to_file()
        writer.write_ti_data_to_file()
        with ThreadPoolExecutor(usable_cores()) as pool:
            for job in jobs:
                writer.write_tensor_data(job.convert(pool))
        writer.close()
        partial.replace(target)
    finally:
        partial.unlink(missing_ok=True)


class _Job:
    """One tensor: what it is, and what it becomes."""

    def __init__(self, tensor: ReaderTensor, length: int, kinds: Mapping[str, str]) -> None:
        from gguf import GGMLQuantizationType, quant_shape_to_byte_shape

        self.name = tensor.name
        self._tensor = tensor
        shape = [int(n) for n in reversed(tensor.shape)]
        axis = _padded_axis(self.name, shape)
        if axis is not None:
            if shape[axis] != length:
                raise ConfigError(f"{self.name}: expected {length} along axis {axis}, got a shape of {shape}")
            shape[axis] = _ceil(length)
        name = _kind(self.name, shape, kinds)
        self.kind = tensor.tensor_type if name is None else GGMLQuantizationType[name]
        self._shape = tuple(shape)
        self._raw_shape = quant_shape_to_byte_shape(self._shape, tensor.tensor_type)
        self.shape = quant_shape_to_byte_shape(self._shape, self.kind)
        self.n_bytes = int(np.prod(self.shape))

    def convert(self, pool: ThreadPoolExecutor) -> Bytes:
        """Its bytes in the new file."""
        from gguf import dequantize

        # zero bytes are zeros in every type of ggml
        data = np.ascontiguousarray(self._tensor.data)
        raw = data.view(np.uint8)
        raw = np.pad(raw, [(0, new - old) for new, old in zip(self._raw_shape, raw.shape, strict=True)])
        if self.kind == self._tensor.tensor_type:
            return raw
        rows = np.ascontiguousarray(dequantize(raw, self._tensor.tensor_type), dtype=np.float32)
        return quantize(rows.reshape(self._shape), int(self.kind), self.n_bytes, pool)


def quantize(rows: Floats, kind: int, n_bytes: int, pool: ThreadPoolExecutor) -> Bytes:
    """A matrix as libggml's own quantiser packs it, a share of the rows to each thread."""
    run: Callable[..., int] = c._lib.ggml_quantize_chunk
    n, columns = rows.shape
    out = np.zeros(n_bytes, dtype=np.uint8)
    share = -(-n // usable_cores())

    def pack(start: int) -> int:
        count = min(share, n - start)
        return run(
            ctypes.c_int(kind), rows.ctypes.data_as(ctypes.c_void_p), out.ctypes.data_as(ctypes.c_void_p),
            ctypes.c_int64(start * columns), ctypes.c_int64(count), ctypes.c_int64(columns), None,
        )  # fmt: skip

    list(pool.map(pack, range(0, n, share)))
    return out


def _kind(name: str, shape: list[int], kinds: Mapping[str, str]) -> str | None:
    """The type that a tensor becomes; None: the one it has."""
    if len(shape) != 2 or not name.endswith(".weight"):
        return None
    family = "mm" if name.startswith("mm.") else name.rsplit(".", 2)[-2].partition("_")[0]
    kind = kinds.get(family)
    sizes = {"Q8_0": 32, "F16": 1}
    while kind is not None and shape[1] % sizes.get(kind, BLOCK):
        kind = FINER[kind]
    return kind


def _padded_axis(name: str, shape: list[int]) -> int | None:
    """Which axis of a tensor must grow: None for all but the feed-forward's."""
    family, _, part = name.rpartition(".")[0].rpartition(".")[2].partition("_")
    if family != "ffn" or part not in _MATRICES:
        return None
    axis = _MATRICES[part]
    return axis if axis < len(shape) else None


def _add_metadata(writer: Any, reader: GGUFReader, source: Path, length: int) -> None:
    from gguf import GGUFValueType

    for field in reader.fields.values():
        if field.name.startswith("GGUF.") or field.name == "general.architecture":
            continue
        kind, sub = field.types[0], field.types[-1] if field.types[0] == GGUFValueType.ARRAY else None
        value = length if field.name == _LENGTH else field.contents()
        writer.add_key_value(field.name, value, kind, sub)
    stat = source.stat()
    writer.add_string(_DIGEST, _digest(source))
    writer.add_uint64(_SIZE, stat.st_size)
    writer.add_uint64(_TIME, stat.st_mtime_ns)


def _digest(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()


def _ceil(n: int) -> int:
    return -(-n // BLOCK) * BLOCK
