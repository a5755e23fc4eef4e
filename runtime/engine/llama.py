"""llama.cpp through its low-level bindings: the only file that imports `llama_cpp`.

Thin, typed, freed by `close`; nothing here decides anything. Callers keep llama.cpp's preconditions, as a failed
assertion in ggml ends the process: a context is used by one thread at a time, batches stay within its bounds, logits
are read only where asked for.
"""

from __future__ import annotations

import ctypes
import importlib
import importlib.util
import mmap
import sys
import types
from functools import cache
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from runtime.engine.budget import ModelSize
from runtime.engine.llama_log import report
from runtime.errors import ConfigError, EngineError

OK, NO_ROOM, ABORTED = 0, 1, 2
"""What `Context.decode` returns; anything below zero is a failure."""
MAX_SEQUENCE_IDS = 256
CONTROL, USER_DEFINED = 1 << 3, 1 << 4
DEVICE_CPU = 0
KV_TYPES = {"f32": 0, "f16": 1, "q4_0": 2, "q8_0": 8}

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Cells = ctypes.Array[ctypes.c_uint8]
"""What llama.cpp makes of a sequence's cells outside a context."""


def _bindings() -> tuple[Any, Any]:
    """The two modules of bindings alone: the package around them imports a whole server (0.3 s), leaves files open
    and takes llama.cpp's log for itself. What imports `llama_cpp` later gets the real package."""
    is_ours = "llama_cpp" not in sys.modules
    if is_ours:
        spec = importlib.util.find_spec("llama_cpp")
        if spec is None or spec.submodule_search_locations is None:
            raise ModuleNotFoundError("no module named 'llama_cpp': install llama-cpp-python", name="llama_cpp")
        package = types.ModuleType("llama_cpp")
        package.__path__ = list(spec.submodule_search_locations)
        sys.modules["llama_cpp"] = package
    try:
        return importlib.import_module("llama_cpp.llama_cpp"), importlib.import_module("llama_cpp.mtmd_cpp")
    finally:
        if is_ours:
            del sys.modules["llama_cpp"]


c, m = _bindings()


@c.llama_log_callback  # type: ignore[untyped-decorator]
def _on_log(level: int, text: bytes, _: Any) -> None:
    report(level, text)


@cache
def start_backend() -> None:
    """Once a process: the log into `logging`, ggml's backends."""
    c.llama_log_set(_on_log, None)
    m.mtmd_helper_log_set(_on_log, None)
    c.llama_backend_init()
    leave_out("AMX")


def layouts() -> list[str]:
    """How weights may be laid out for the CPU instead of as in their file, by ggml's names, in the order tried."""
    names: list[str] = []
    kinds = _layouts()
    while kinds and kinds[len(names)]:
        names.append(_name(kinds[len(names)]))
    return names


def leave_out(layout: str) -> None:
    """No weights that are loaded from now on are laid out so.

    AMX: GCC before 14 loses the tiles' shapes on their way into `ldtilecfg`, and the first product of several rows
    ends the process with SIGILL (https://github.com/ggml-org/llama.cpp/pull/26954).
    """
    kinds, names = _layouts(), layouts()
    if layout in names:
        for i in range(names.index(layout), len(names)):
            kinds[i] = kinds[i + 1]


def _layouts() -> Any:
    """ggml's own list, a pointer to pointers of which the last is null; a null pointer where ggml keeps none."""
    ggml = c._lib
    ggml.ggml_backend_dev_by_type.restype = ctypes.c_void_p
    ggml.ggml_backend_dev_backend_reg.restype = ctypes.c_void_p
    ggml.ggml_backend_reg_get_proc_address.restype = ctypes.c_void_p
    cpu = ctypes.c_void_p(ggml.ggml_backend_dev_by_type(DEVICE_CPU))
    registry = ctypes.c_void_p(ggml.ggml_backend_dev_backend_reg(cpu))
    address = ggml.ggml_backend_reg_get_proc_address(registry, b"ggml_backend_dev_get_extra_bufts")
    listed = ctypes.CFUNCTYPE(ctypes.POINTER(ctypes.c_void_p), ctypes.c_void_p)
    return listed(address)(cpu) if address else ctypes.POINTER(ctypes.c_void_p)()


def _name(layout: int) -> str:
    ggml = c._lib
    ggml.ggml_backend_buft_name.restype = ctypes.c_char_p
    name: bytes = ggml.ggml_backend_buft_name(ctypes.c_void_p(layout))
    return name.decode()


class Model:
    """Weights and vocabulary; shared, read-only, safe to use from any thread until `close`."""

    def __init__(self, path: Path, *, gpu_layers: int, is_mapped: bool = False) -> None:
        """`is_mapped`: weights that are computed with as they lie in the file stay in it, instead of being read into
        memory that may have huge pages, in which a token takes 0.95 of the time."""
        start_backend()
        if not path.is_file():
            raise ConfigError(f"{path}: no such file; expected a model's GGUF")
        params = c.llama_model_default_params()
        params.n_gpu_layers = gpu_layers
        params.load_mode = c.LLAMA_LOAD_MODE_MMAP if is_mapped else c.LLAMA_LOAD_MODE_NONE
        self.pointer = c.llama_model_load_from_file(str(path).encode(), params)
        if not self.pointer:
            raise ConfigError(f"{path}: llama.cpp cannot load it; expected a GGUF of a model that it supports")
        self.path = path
        self.vocab = c.llama_model_get_vocab(self.pointer)
        self.n_vocab: int = c.llama_vocab_n_tokens(self.vocab)
        self.n_ctx_train: int = c.llama_model_n_ctx_train(self.pointer)
        self.n_embd: int = c.llama_model_n_embd_inp(self.pointer)
        self.eos: int = c.llama_vocab_eos(self.vocab)
        self.is_mrope: bool = c.llama_model_rope_type(self.pointer) == c.LLAMA_ROPE_TYPE_MROPE
        self.is_recurrent: bool = c.llama_model_is_recurrent(self.pointer) or c.llama_model_is_hybrid(self.pointer)
        attributes = [c.llama_vocab_get_attr(self.vocab, t) for t in range(self.n_vocab)]
        self.markup = {
            self.spelling(t): t for t, attribute in enumerate(attributes) if attribute & (CONTROL | USER_DEFINED)
        }
        self.user_defined = tuple(self.spelling(t) for t, a in enumerate(attributes) if a & USER_DEFINED)
        self.ends = frozenset(t for t in range(self.n_vocab) if c.llama_vocab_is_eog(self.vocab, t))

    def spelling(self, token: int) -> str:
        """A token's entry in the vocabulary, which is its text for control and user-defined tokens only."""
        text: bytes = c.llama_vocab_get_text(self.vocab, token)
        return text.decode("utf-8", "replace")

    def piece(self, token: int) -> bytes:
        """A token's text; none for control tokens."""
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            n = c.llama_token_to_piece(self.vocab, token, buffer, size, 0, False)
            if n >= 0:
                return buffer.raw[:n]
            size = -n

    def tokenize(self, text: str) -> list[int]:
        """Plain text only; USER_DEFINED spellings become their token whatever is asked (`tokenize.py` prevents it)."""
        # half a surrogate pair would throw inside llama.cpp
        data = text.encode("utf-8", "replace")
        size = len(data) + 8
        tokens = (c.llama_token * size)()
        n = c.llama_tokenize(self.vocab, data, len(data), tokens, size, False, False)
        if n < 0:
            raise EngineError(f"{self.path.name}: cannot tokenise a text of {len(data)} bytes")
        return list(tokens[:n])

    def size(self, projector: Path | None) -> ModelSize:
        keys, values = self.head
        return ModelSize(
            layers=c.llama_model_n_layer(self.pointer),
            kv_values=c.llama_model_n_head_kv(self.pointer) * (keys + values),
            vocabulary=self.n_vocab,
            files=self.path.stat().st_size + (projector.stat().st_size if projector and projector.is_file() else 0),
        )

    @property
    def head(self) -> tuple[int, int]:
        """How many values one head's key has, and one head's value."""
        width = c.llama_model_n_embd(self.pointer) // c.llama_model_n_head(self.pointer)
        keys, values = self._meta("attention.key_length"), self._meta("attention.value_length")
        return int(keys or width), int(values or width)

    def _meta(self, key: str) -> str | None:
        """A value of the GGUF's metadata, under the architecture's name."""
        buffer = ctypes.create_string_buffer(256)
        if c.llama_model_meta_val_str(self.pointer, b"general.architecture", buffer, 256) < 0:
            return None
        name = buffer.value + b"." + key.encode()
        return buffer.value.decode() if c.llama_model_meta_val_str(self.pointer, name, buffer, 256) >= 0 else None

    def let_go_of_pages(self) -> None:
        """A mapped file stays so, and all that was read of it resident, though most weights have gone into memory of
        their own: give the pages back. What is read again comes from the kernel's cache of the file."""
        if sys.platform != "linux":
            return
        libc, path = ctypes.CDLL(None), str(self.path.resolve())
        for line in Path("/proc/self/maps").read_text("utf-8", "replace").splitlines():
            addresses, rights, *_, name = line.split(maxsplit=5)
            if name == path and rights.startswith("r--"):
                start, end = (int(each, 16) for each in addresses.split("-"))
                libc.madvise(ctypes.c_void_p(start), ctypes.c_size_t(end - start), mmap.MADV_DONTNEED)

    def close(self) -> None:
        if self.pointer:
            c.llama_model_free(self.pointer)
            self.pointer = None


class AbortFlag:
    """Stops a running `decode` from another thread.

    llama.cpp asks at every graph node; a Python callback would take the GIL each time, libc's `strlen` does not:
    an empty string is "go on", one letter is "stop".
    """

    def __init__(self) -> None:
        self._text = ctypes.create_string_buffer(2)
        self.callback = ctypes.cast(ctypes.CDLL(None).strlen, c.ggml_abort_callback)
        self.data = ctypes.cast(self._text, ctypes.c_void_p)

    def set(self) -> None:
        self._text[0] = b"x"

    def clear(self) -> None:
        self._text[0] = b"\0"


class Batch(Protocol):
    """What `batch.py` makes."""

    @property
    def struct(self) -> Any:
        """A `llama_batch`."""


class Context:
    """One KV cache and its compute buffers. All cells are shared by all sequences (`kv_unified`)."""

    def __init__(
        self,
        model: Model,
        *,
        cells: int,
        batch: int,
        sequences: int,
        outputs: int,
        threads: int,
        kv_type: str,
        abort: AbortFlag,
    ) -> None:
        """`outputs`: entries of a batch that may have logits."""
        params = c.llama_context_default_params()
        params.n_ctx, params.n_batch, params.n_ubatch = cells, batch, batch
        # ids from n_seq_max up to 255 may hold cells, they only cannot be in a batch
        params.n_seq_max, params.n_outputs_max = sequences, outputs
        params.n_threads = params.n_threads_batch = threads
        params.type_k = params.type_v = KV_TYPES[kv_type]
        params.kv_unified, params.offload_kqv, params.no_perf = True, True, True
        params.abort_callback, params.abort_callback_data = abort.callback, abort.data
        self._abort = abort
        self.pointer = c.llama_init_from_model(model.pointer, params)
        if not self.pointer:
            raise EngineError(f"{model.path.name}: no context of {cells} tokens; try a smaller engine.context")
        self.model = model
        self.cells: int = c.llama_n_ctx(self.pointer)
        self._memory = c.llama_get_memory(self.pointer)
        self._row = ctypes.c_float * model.n_vocab
        self.threads = threads

    def set_threads(self, threads: int) -> None:
        if threads != self.threads:
            c.llama_set_n_threads(self.pointer, threads, threads)
            self.threads = threads

    def decode(self, batch: Batch) -> int:
        return int(c.llama_decode(self.pointer, batch.struct))

    def logits(self, index: int) -> Floats:
        """The row of batch entry `index`: a view into llama.cpp's buffer, good until the next `decode`."""
        row = c.llama_get_logits_ith(self.pointer, index)
        if not row:
            raise EngineError(f"no logits for entry {index} of the batch")
        return np.frombuffer(memoryview(self._row.from_address(ctypes.addressof(row.contents))), dtype=np.float32)

    def copy(self, source: int, target: int, end: int) -> None:
        """Cells of `source` below position `end` (all for -1) belong to `target` too; nothing is copied."""
        c.llama_memory_seq_cp(self._memory, source, target, 0 if end >= 0 else -1, end)

    def remove(self, sequence: int, start: int, end: int = -1) -> None:
        """`sequence` gives up its cells from position `start` on (below `end`)."""
        c.llama_memory_seq_rm(self._memory, sequence, start, end)

    def export(self, sequence: int) -> Cells:
        """A copy of its cells, for a context of the same model and KV type."""
        cells: Cells = (ctypes.c_uint8 * c.llama_state_seq_get_size(self.pointer, sequence))()
        if c.llama_state_seq_get_data(self.pointer, cells, len(cells), sequence) != len(cells):
            raise EngineError(f"the cells of sequence {sequence} were not copied")
        return cells

    def put(self, sequence: int, cells: Cells) -> bool:
        """An id that holds nothing gets these; False: there is no room, or they are of another model."""
        return bool(c.llama_state_seq_set_data(self.pointer, cells, len(cells), sequence))

    def last_position(self, sequence: int) -> int:
        """-1: it has no cells."""
        return int(c.llama_memory_seq_pos_max(self._memory, sequence))

    def clear(self) -> None:
        c.llama_memory_clear(self._memory, False)

    def close(self) -> None:
        if self.pointer:
            c.llama_free(self.pointer)
            self.pointer = None


class Chain:
    """A C sampler chain that ends in a draw: top-k, temperature, min-p, top-p, seed."""

    def __init__(
        self, context: Context, *, temperature: float, top_k: int, top_p: float, min_p: float, seed: int
    ) -> None:
        self._context = context
        params = c.llama_sampler_chain_default_params()
        params.no_perf = True
        self.pointer = c.llama_sampler_chain_init(params)
        # top-k commutes with temperature and min-p; first, it spares the others most of the vocabulary
        if top_k > 0:
            self._add(c.llama_sampler_init_top_k(top_k))
        self._add(c.llama_sampler_init_temp(temperature))
        if min_p > 0:
            self._add(c.llama_sampler_init_min_p(min_p, 1))
        if top_p < 1:
            self._add(c.llama_sampler_init_top_p(top_p, 1))
        self._add(c.llama_sampler_init_dist(seed))

    def _add(self, sampler: Any) -> None:
        c.llama_sampler_chain_add(self.pointer, sampler)

    def sample(self, index: int) -> int:
        """Draw from the logits of batch entry `index` (there must be some: `Context.logits` checks)."""
        return int(c.llama_sampler_sample(self.pointer, self._context.pointer, index))

    def close(self) -> None:
        if self.pointer:
            c.llama_sampler_free(self.pointer)
            self.pointer = None
