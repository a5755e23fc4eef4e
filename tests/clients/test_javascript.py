"""The npm packages `openai` and `ai` against a real node: the scripts in `js/`, run by Node's own test runner."""

from __future__ import annotations

import base64
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.node import DEADLINE_S, Node, picture

SCRIPTS = Path(__file__).parent / "js"
NODE = shutil.which("node")
pytestmark = [
    pytest.mark.skipif(NODE is None, reason="node is not installed"),
    pytest.mark.skipif(
        not (SCRIPTS / "node_modules").is_dir(), reason="npm packages are not installed: npm ci in tests/clients/js"
    ),
]


@pytest.mark.parametrize("script", ["openai", "ai-sdk"])
def test_a_client(node: Node, script: str) -> None:
    assert NODE is not None
    environ = os.environ | {"BEIRA_URL": node.url, "PICTURE": base64.b64encode(picture()).decode()}
    done = subprocess.run(
        [NODE, "--test", "--test-reporter=tap", f"{script}.test.mjs"],
        cwd=SCRIPTS,
        env=environ,
        capture_output=True,
        text=True,
        timeout=DEADLINE_S,
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert "# fail 0" in done.stdout
    assert "# pass 0" not in done.stdout
