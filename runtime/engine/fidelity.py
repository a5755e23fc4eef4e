"""The fastest optimised projector that keeps its source's embeddings, measured on a picture drawn here."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from runtime.engine.llama import Floats, Model
from runtime.engine.optimize import MIXES, optimize
from runtime.engine.projector import Projector

SIDE = 448
MAX_TOKENS = 1024
ENOUGH = 0.95
"""Cosine similarity that every embedding must have; a mix with less gives way to a finer one. Of the embedded
model's score on pictures, 0.975, noise that leaves 0.98 cost nothing, 0.95 0.01, 0.9 0.08 and 0.8 0.27
(`tests/bench/fidelity.py 10`, 160 answers asked one at a time). The projector that is chosen for it keeps 1.00000, and
all 160 answers. Random weights, whose errors nothing evens out over 32 layers, keep 0.96 with the first mix at the 3b
shape."""
NEARLY, SOON = 1.1, 0.25
"""Of the fastest mix's time, and in seconds: what a finer one may take. Small models gain nothing by being coarse, and
the embedded one encodes 140 x 140 pixels in 5.5 to 5.8 ms with any mix."""
SHORT, OFTEN, SELDOM = 1.0, 5, 2
"""Seconds: what takes less is timed often, what takes more seldom, and the shortest counts."""


@dataclass(frozen=True, slots=True)
class Fidelity:
    """`mean` and `lowest`: cosine similarity of one embedding (one image token) to the source's."""

    kinds: Mapping[str, str]
    """What the optimised file was made of."""
    mean: float
    lowest: float
    seconds_before: float
    """Of CPU time, as `seconds_after`."""
    seconds_after: float

    def describe(self) -> str:
        kinds = ", ".join(f"{name} {kind}" for name, kind in self.kinds.items()) or "padded alone"
        return (
            f"{kinds}; "
            f"a picture encoded in {self.seconds_after:.1f} s of one core instead of {self.seconds_before:.1f} s; "
            f"cosine similarity of embeddings {self.mean:.5f} on average, {self.lowest:.5f} at the lowest"
        )


def write_best(text: Path, source: Path, target: Path, *, side: int = SIDE, enough: float = ENOUGH) -> Fidelity:
    """Write `target` from the projector `source` of the model `text`, of the mix that `best` chooses. Raises
    ConfigError, EngineError, OSError."""
    trial = target.with_name(f"{target.name}.{os.getpid()}.trial")
    model = Model(text, gpu_layers=0)
    try:
        before, seconds_before = _encode(model, source, side)
        tried: list[Fidelity] = []
        for kinds in MIXES:
            if kinds is MIXES[-1] and best(tried, enough) is not tried[-1]:
                break  # one that is faster than the finest of the others keeps enough; this one is slower still
            optimize(source, trial, kinds)
            after, seconds_after = _encode(model, trial, side)
            cosine = cosines(before, after)
            tried.append(Fidelity(kinds, float(cosine.mean()), float(cosine.min()), seconds_before, seconds_after))
        found = best(tried, enough)
        if found is not tried[-1]:
            optimize(source, trial, found.kinds)
        trial.replace(target)
        return found
    finally:
        model.close()
        trial.unlink(missing_ok=True)


def best(tried: Sequence[Fidelity], enough: float) -> Fidelity:
    """Of mixes, the coarsest first: the finest that is soon done, or nearly as fast as the fastest one that keeps
    `enough`. Where none keeps it, the finest."""
    kept = [one for one in tried if one.lowest >= enough]
    if not kept:
        return tried[-1]
    fastest = min(one.seconds_after for one in kept)
    return [one for one in kept if one.seconds_after <= max(NEARLY * fastest, SOON)][-1]


def cosines(left: Floats, right: Floats) -> Floats:
    """Row by row."""
    lengths = np.linalg.norm(left, axis=1) * np.linalg.norm(right, axis=1)
    result: Floats = (left * right).sum(axis=1) / lengths
    return result


def drawing(side: int) -> bytes:
    """A picture with flat areas, edges and gradients: RGB, `side` x `side` pixels."""
    y, x = np.mgrid[0:side, 0:side] / side
    circle = (x - 0.3) ** 2 + (y - 0.35) ** 2 < 0.04
    stripes = (x + y) * 24 % 2 < 1
    pixels = np.stack([x, y, 1 - x], axis=-1)
    pixels[circle] = (0.85, 0.1, 0.1)
    pixels[(y > 0.7) & stripes] = 1
    pixels[(x > 0.6) & (y < 0.4)] = (0.1, 0.25, 0.8)
    return (pixels * 255).astype(np.uint8).tobytes()


def _encode(model: Model, path: Path, side: int) -> tuple[Floats, float]:
    """By one thread, and timed by what it used: beside whatever else the machine does, mixes are told apart."""
    projector = Projector(path, model, threads=1, max_tokens=MAX_TOKENS, use_gpu=False)
    try:
        seconds: list[float] = []
        while len(seconds) < (SELDOM if min(seconds, default=0.0) > SHORT else OFTEN):
            began = time.thread_time()
            rows = projector.encode(side, side, drawing(side))
            seconds.append(time.thread_time() - began)
        return rows, min(seconds)
    finally:
        projector.close()
