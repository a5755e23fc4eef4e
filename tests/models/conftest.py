"""Makes the recipe's modules importable: they lie beside each other in a folder that is no package."""

from __future__ import annotations

import sys
from pathlib import Path

RECIPE = Path(__file__).parents[2] / "models" / "beira-tiny"
sys.path.insert(0, str(RECIPE))
