"""The benchmarks, which nothing else runs, find what they need in the environment that tests have."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

BENCHES = sorted(p for p in (Path(__file__).parent / "bench").glob("*.py") if p.stem != "__init__")
LOAD = "import runpy, sys; runpy.run_path(sys.argv[1], run_name='loaded')"


@pytest.mark.parametrize("bench", BENCHES, ids=lambda p: p.stem)
def test_a_benchmark_loads(bench: Path) -> None:
    root = Path(__file__).parents[1]
    if "beira-tiny" in bench.read_text("utf-8") and not (root / "models" / "beira-tiny" / "evaluate.py").is_file():
        pytest.skip("the recipe is not in this copy of the project")
    done = subprocess.run(
        [sys.executable, "-c", LOAD, str(bench)],
        cwd=root,
        env={"PYTHONPATH": str(root)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
