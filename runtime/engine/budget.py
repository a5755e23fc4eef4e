"""What the machine has for the engine: compute threads, and memory, with the arithmetic said before it is used."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path

from runtime.errors import ConfigError

SMALL_MODEL = 64 << 20
KV_BYTES = {"f32": 4.0, "f16": 2.0, "q8_0": 34 / 32, "q4_0": 18 / 32}
"""Bytes a value in the KV cache; quantised blocks carry a scale."""
KV_BLOCK = 32


@dataclass(frozen=True, slots=True)
class Threads:
    """Compute threads: text alone, text while something is computed in the background, and that (images and prompts
    with them). The last two together: cores + 1 at most.

    Where threads that wait for each other at every layer share their cores with others, all of them stand still, so
    text has fewer beside an image, and vision's have a lower priority: on 2 cores a stream keeps 0.55 of its pace with
    1 + 2 (p99 gap 2.0 times its pace alone, 2.1 s for the image); with 2 + 1 of one priority it kept 0.45, with gaps of
    10 to 16 times its pace and 2.7 to 3.2 s; with 2 + 2 it kept 0.6 (p99 2.3, 3.1 to 3.7 s)."""

    text: int
    text_beside_vision: int
    vision: int

    @classmethod
    def choose(cls, asked: int, cores: int, weights: int) -> Threads:
        """`asked` 0: as many as there are cores, but one for a model whose layers (`weights`: bytes of all) take less
        time than threads need to meet after each of them: on a busy machine that is seconds a token."""
        text = asked or (1 if weights < SMALL_MODEL else cores)
        beside = max(1, text // 2)
        return cls(text, beside, text + 1 - beside)


def kv_type_of(asked: str, weights: int, gpu_layers: int, head: tuple[int, int]) -> str:
    """The type of the KV cache's values, where `auto` is asked for. `weights`: bytes; `head`: values of one
    head's key, and of its value.

    On a CPU llama.cpp computes attention over f16 in three ways that round differently: for 64 rows of a batch and
    more, for fewer, and for one row beside 512 cells and more. Which one a row gets depends on what is computed with
    it. Over q8_0 there is one way, row by row: the same text, whatever was cached or runs beside it. Of the embedded
    model that takes 0.6 of the time a token, and 1.3 of it for a prompt of 100 tokens, 1.8 at 300, 2.5 at 1,000: too
    much where such a prompt takes seconds."""
    if asked != "auto":
        return asked
    can = not gpu_layers and all(width % KV_BLOCK == 0 for width in head)
    return "q8_0" if can and weights < SMALL_MODEL else "f16"


def usable_cores() -> int:
    """Cores that this process may run on."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@dataclass(frozen=True, slots=True)
class ModelSize:
    """The shape of a model, as far as memory depends on it."""

    layers: int
    kv_values: int
    """Values that one token adds to the KV cache in one layer, keys and values together."""
    vocabulary: int
    files: int
    """Bytes of weights and projector."""


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """Bytes that an engine will use; the vision tower's working memory comes on top while it encodes."""

    weights: int
    kv: int
    cells: int
    compute: int
    aside: int
    """The second context, for prompts with images beside streams: made when the first one comes."""
    images: int

    @classmethod
    def of(
        cls,
        model: ModelSize,
        *,
        cells: int,
        kv_type: str,
        outputs: int,
        batch: int,
        aside: tuple[int, int],
        image_cache_mb: int,
    ) -> MemoryPlan:
        """`aside`: the second context's cells and batch, (0, 0) without one."""
        per_token = int(model.layers * model.kv_values * KV_BYTES[kv_type])

        def compute(batch: int, cells: int, outputs: int) -> int:
            # an attention mask of 16 bits over the cells, and the rows of logits, twice: computed and copied out
            return batch * cells * 2 + 2 * outputs * model.vocabulary * 4

        # its cells twice, too: computed and on their way into the first context
        second = 2 * per_token * aside[0] + compute(aside[1], aside[0], 1) if aside[0] else 0
        return cls(model.files, per_token * cells, cells, compute(batch, cells, outputs), second, image_cache_mb << 20)

    @property
    def total(self) -> int:
        return self.weights + self.kv + self.compute + self.aside + self.images

    def describe(self) -> str:
        return (
            f"weights {_mb(self.weights)} + KV cache {_mb(self.kv)} ({self.cells} tokens of {_kb(self.kv, self.cells)})"
            f" + computing {_mb(self.compute)} + images beside streams up to {_mb(self.aside)}"
            f" + image cache up to {_mb(self.images)} = {_mb(self.total)}"
        )

    def require(self, available: int | None) -> None:
        """Raises ConfigError where the machine has less."""
        if available is not None and self.total > available:
            raise ConfigError(
                f"the engine needs {self.describe()}, and {_mb(available)} are available; "
                "a smaller engine.context or a smaller engine.kv_type needs less"
            )


def require_weights(file: Path, available: int | None) -> None:
    """Raises ConfigError where the machine has no room to read a model's weights into, whatever else it needs."""
    size = file.stat().st_size if file.is_file() else 0
    if available is not None and size > available:
        raise ConfigError(f"{file}: its weights take {_mb(size)}, and {_mb(available)} are available")


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes that can be used without swapping, by the kernel and by the control group; None: unknown."""
    found = []
    try:
        for line in (root / "proc/meminfo").read_text().splitlines():
            if line.startswith("MemAvailable:"):
                found.append(int(line.split()[1]) * 1024)
    except OSError:
        pass
    for limit in ("sys/fs/cgroup/memory.max", "sys/fs/cgroup/memory/memory.limit_in_bytes"):
        try:
            text = (root / limit).read_text().strip()
        except OSError:
            continue
        if text.isdigit():
            found.append(int(text))
    return min(found, default=None)


def _mb(n: int) -> str:
    return f"{n / (1 << 20):,.0f} MB"


def _kb(n: int, parts: int) -> str:
    return f"{n / parts / 1024:.1f} KB"
