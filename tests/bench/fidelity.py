"""How far a projector's embeddings may turn before answers change: where the optimiser's bound on cosine is from.

usage: python tests/bench/fidelity.py [EXAMPLES]
The embedded model answers its evaluation's questions about pictures with its projector as it is, with the optimised
one, and with noise added to every embedding until it has a given cosine similarity to what it was.
"""

from __future__ import annotations

import asyncio
import shutil
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "models" / "beira-tiny"
sys.path[:0] = [str(ROOT), str(RECIPE)]

import evaluate  # noqa: E402

from runtime.engine.fidelity import cosines, drawing, write_best  # noqa: E402
from runtime.engine.llama import Floats, Model  # noqa: E402
from runtime.engine.projector import Projector  # noqa: E402

TASKS = ["describe", "colour", "kind", "count", "relation", "yes/no", "read", "ground"]
LEVELS = (0.999, 0.99, 0.98, 0.95, 0.9, 0.8, 0.5)


def turned(rows: Floats, cosine: float) -> Floats:
    """Each row with noise at right angles to it, as long as it was."""
    noise = np.random.default_rng(0).standard_normal(rows.shape)
    unit = rows / np.linalg.norm(rows, axis=1, keepdims=True)
    noise -= (noise * unit).sum(axis=1, keepdims=True) * unit
    noise /= np.linalg.norm(noise, axis=1, keepdims=True)
    made = (cosine * unit + np.sqrt(1 - cosine**2) * noise) * np.linalg.norm(rows, axis=1, keepdims=True)
    return made.astype(np.float32)


def answers(folder: Path, count: int) -> tuple[list[Any], float]:
    """What is said, and the score. One at a time: what is asked at once decides where in the KV cache answers lie, and
    sums round by their order."""
    answered = asyncio.run(evaluate.evaluate(folder, TASKS, range(count), True, at_once=1))
    return [message["content"] for _, message, _ in answered], sum(s for _, _, s in answered) / len(answered)


def main(count: int) -> None:
    encode = Projector.encode
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copy(RECIPE / "beira-tiny.gguf", folder)
        written = write_best(
            RECIPE / "beira-tiny.gguf", RECIPE / "beira-tiny-mmproj.gguf", folder / "beira-tiny-mmproj.gguf"
        )
        print(written.describe())
        model = Model(RECIPE / "beira-tiny.gguf", gpu_layers=0)
        rows = []
        for path in (RECIPE, folder):
            projector = Projector(path / "beira-tiny-mmproj.gguf", model, threads=1, max_tokens=1024, use_gpu=False)
            rows.append(encode(projector, 448, 448, drawing(448)))
            projector.close()
        model.close()
        cosine = cosines(*rows)
        expected, score = answers(RECIPE, count)
        print(f"{len(expected)} answers, score {score:.3f}")
        said, score = answers(folder, count)
        changed = sum(a != b for a, b in zip(expected, said, strict=True))
        print(
            f"optimised (cosine {cosine.mean():.5f}, lowest {cosine.min():.5f}): {changed} changed, score {score:.3f}"
        )
    for level in LEVELS:
        Projector.encode = lambda self, *given, c=level: turned(encode(self, *given), c)  # type: ignore[method-assign, misc]
        said, score = answers(RECIPE, count)
        changed = sum(a != b for a, b in zip(expected, said, strict=True))
        print(f"noise to a cosine of {level}: {changed} changed, score {score:.3f}", flush=True)


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 20)
