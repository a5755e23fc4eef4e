"""A model's token embeddings, as llama.cpp itself reads them: so that text can be in one batch with an image.

A batch holds tokens or embeddings, never both. Text whose rows are looked up here is computed together with an image's
slice, in one pass over the weights instead of two.
"""

from __future__ import annotations

import ctypes
from collections.abc import Sequence as Items
from pathlib import Path
from typing import Any

import numpy as np

from runtime.engine.llama import Floats, c

TENSOR = b"token_embd.weight"


class _Params(ctypes.Structure):
    _fields_ = (("no_alloc", ctypes.c_bool), ("context", ctypes.c_void_p))


class _Traits(ctypes.Structure):
    """The head of ggml_type_traits."""

    _fields_ = (
        ("name", ctypes.c_char_p),
        ("block", ctypes.c_int64),
        ("interleave", ctypes.c_int64),
        ("size", ctypes.c_size_t),
        ("is_quantized", ctypes.c_bool),
        ("to_float", ctypes.CFUNCTYPE(None, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)),
    )


class TokenRows:
    """Embeddings of tokens, a row of `n_embd` values each."""

    def __init__(self, path: Path, n_vocab: int, n_embd: int) -> None:
        """Raises KeyError where this file does not hold them, or not in this shape (it is one of several parts)."""
        kind, start, size = _find(path)
        traits = _function("ggml_get_type_traits", ctypes.POINTER(_Traits), ctypes.c_int)(kind).contents
        self._to_float = traits.to_float
        self._row = n_embd // traits.block * traits.size
        if self._row * n_vocab != size:
            raise KeyError(f"{path.name}: expected {n_vocab} rows of {n_embd} values in {TENSOR.decode()}")
        self._n_embd = n_embd
        self._data = np.memmap(path, np.uint8, "r", start, (n_vocab, self._row))

    def of(self, tokens: Items[int]) -> Floats:
        """A row a token."""
        packed = np.ascontiguousarray(self._data[list(tokens)])
        if not self._to_float:
            return packed.view(np.float32)
        rows = np.empty((len(tokens), self._n_embd), dtype=np.float32)
        self._to_float(packed.ctypes.data, rows.ctypes.data, rows.size)
        return rows


def _find(path: Path) -> tuple[int, int, int]:
    """The tensor's type, where in the file it begins, and its bytes."""
    open_file = _function("gguf_init_from_file", ctypes.c_void_p, ctypes.c_char_p, _Params)
    number = (ctypes.c_void_p, ctypes.c_int64)
    file = open_file(str(path).encode(), _Params(True, None))
    if not file:
        raise KeyError(f"{path.name}: no GGUF")
    try:
        found = _function("gguf_find_tensor", ctypes.c_int64, ctypes.c_void_p, ctypes.c_char_p)(file, TENSOR)
        if found < 0:
            raise KeyError(f"{path.name}: no {TENSOR.decode()}")
        start = _function("gguf_get_data_offset", ctypes.c_size_t, ctypes.c_void_p)(file)
        start += _function("gguf_get_tensor_offset", ctypes.c_size_t, *number)(file, found)
        kind = _function("gguf_get_tensor_type", ctypes.c_int, *number)(file, found)
        return kind, start, _function("gguf_get_tensor_size", ctypes.c_size_t, *number)(file, found)
    finally:
        _function("gguf_free", None, ctypes.c_void_p)(file)


def _function(name: str, result: Any, *arguments: Any) -> Any:
    """One of libggml-base, which the bindings do not declare."""
    return ctypes.CFUNCTYPE(result, *arguments)((name, c._lib))
