"""The published schema: the one that is checked, and schemathesis finds nothing against it."""

from __future__ import annotations

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.ai.schema import SCHEMAS
from tests.node import Node, project, running


@pytest.fixture(scope="module")
def small(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    """A node whose context ends every answer soon."""
    root = project(tmp_path_factory.mktemp("openapi"), hello="def fetch(request): return 'hello'")
    with running(root, env={"BEIRA_ENGINE_CONTEXT": "256"}) as node:
        yield node


def test_the_document(small: Node) -> None:
    published = small.get("/v1/openapi.json").json()
    schemas = published["components"]["schemas"]
    assert {name: schemas[name] for name in SCHEMAS} == json.loads(json.dumps(SCHEMAS))
    assert published["info"]["version"]
    assert "security" not in published
    assert set(published["paths"]) == {"/v1/chat/completions", "/v1/models", "/v1/models/{model}"}
    for operations in published["paths"].values():
        for operation in operations.values():
            error = operation["responses"]["default"]["content"]["application/json"]
            assert error["schema"] == {"$ref": "#/components/schemas/Error"}


def test_schemathesis_finds_nothing(small: Node, tmp_path: Path) -> None:
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{small.url}/v1/openapi.json"),
        *("--max-examples", "10", "--generation-deterministic", "--no-color"),
        "--continue-on-failure",
        # a schema cannot say all: what one field asks of another, and whether an image is one
        *("--exclude-checks", "positive_data_acceptance"),
    ]
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 selected / 3 total" in done.stdout
    assert "No issues found" in done.stdout
