"""The published schema: the one that is checked, and schemathesis finds nothing against it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import jsonschema_rs
import pytest

from runtime.ai.openapi import BEYOND
from runtime.ai.schema import SCHEMAS
from tests.gateway.acceptance import beyond
from tests.node import ROOT, Node, project, running


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


@pytest.mark.parametrize("examples", ["--generation-deterministic", "--seed=1", "--seed=2"])
def test_schemathesis_finds_nothing(small: Node, tmp_path: Path, examples: str) -> None:
    dropped = tmp_path / "dropped"
    command = [
        *(sys.executable, "-m", "schemathesis.cli", "run", f"{small.url}/v1/openapi.json"),
        *("--max-examples", "20", examples, "--no-color", "--continue-on-failure"),
    ]
    env = os.environ | {"SCHEMATHESIS_HOOKS": "tests.gateway.acceptance", "PYTHONPATH": str(ROOT)}
    env["BEYOND_LOG"] = str(dropped)
    done = subprocess.run(command, cwd=tmp_path, capture_output=True, text=True, timeout=110, env=env)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "3 selected / 3 total" in done.stdout
    assert "No issues found" in done.stdout
    # most of what the schema allows is answered; were it not, the exceptions would hide a fault
    assert not dropped.exists() or len(dropped.read_text("utf-8").splitlines()) < 100


USER = {"role": "user", "content": "Hi"}
NAMED = {"type": "function", "function": {"name": "g"}}


def shown(**image: Any) -> dict[str, Any]:
    return {"messages": [{**USER, "content": [{"type": "image_url", "image_url": image}]}]}


def called(arguments: str) -> dict[str, Any]:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return {"messages": [USER, {"role": "assistant", "tool_calls": [call]}]}


def tool(**parameters: Any) -> dict[str, Any]:
    return {"messages": [USER], "tools": [{"type": "function", "function": {"name": "f", "parameters": parameters}}]}


def form(**schema: Any) -> dict[str, Any]:
    return {
        "messages": [USER],
        "response_format": {"type": "json_schema", "json_schema": {"name": "x", "schema": schema}},
    }


def deep(levels: int) -> Any:
    value: Any = {}
    for _ in range(levels):
        value = {"a": value}
    return value


@pytest.mark.parametrize(
    "inputs",
    [
        {"messages": [{**USER, "content": "a b " * 300}]},
        shown(url="data:,x"),
        shown(url="data:,x", min_pixels=9, max_pixels=8),
        {**tool(), "tool_choice": NAMED},
        called("{oh"),
        form(uniqueItems=True),
        {**tool(type="string"), "tool_choice": "required"},
        {"messages": [USER], "logit_bias": {"999999": 1}},
        {"messages": [USER], "x": [0] * 50_001},
        {"messages": [USER], "x": deep(70)},
    ],
    ids=range(len(BEYOND)),
)
def test_what_is_beyond_the_schema_is_published(
    small: Node, inputs: dict[str, Any], request: pytest.FixtureRequest
) -> None:
    published = small.get("/v1/openapi.json").json()
    validator = jsonschema_rs.Draft202012Validator({**published, "$ref": "#/components/schemas/ChatRequest"})
    validator.validate(inputs)
    answer = small.post("/v1/chat/completions", json=inputs)
    assert answer.status_code == 400
    number = int(request.node.callspec.id)
    listed = published["paths"]["/v1/chat/completions"]["post"]["x-beyond-the-schema"]
    assert beyond(answer.json()["error"]) == listed[number]["reason"]
