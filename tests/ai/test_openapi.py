"""The published schema against what is really checked and what really goes out."""

from __future__ import annotations

import json
from typing import Any

import jsonschema_rs
import pytest

from runtime.ai.openapi import document
from runtime.ai.service import Service
from runtime.engine.request import Finished
from runtime.errors import InvalidRequest
from tests.ai.fake_engine import FakeEngine
from tests.ai.seed import BASIC, IMAGE, TOOLS
from tests.ai.test_bad_requests import BAD, GOOD
from tests.ai.test_service import CALL, HI, answer, serve, stream

DOCUMENT = document("1.0", needs_key=True)


def validator(name: str) -> Any:
    return jsonschema_rs.Draft202012Validator({**DOCUMENT, "$ref": f"#/components/schemas/{name}"})


def test_it_is_json_and_all_its_references_exist() -> None:
    assert json.loads(json.dumps(DOCUMENT)) == DOCUMENT
    for name in DOCUMENT["components"]["schemas"]:
        validator(name)


@pytest.mark.parametrize("inputs", [BASIC, TOOLS, IMAGE, *GOOD])
def test_good_requests_conform(inputs: dict[str, Any]) -> None:
    validator("ChatRequest").validate(inputs)


def test_most_bad_requests_do_not() -> None:
    # the rest break what a schema cannot say: Unicode, finite numbers, one field because of another
    refused = sum(not validator("ChatRequest").is_valid(inputs) for inputs, _ in BAD if _is_json(inputs))
    assert refused > 90


def _is_json(value: Any) -> bool:
    try:
        text = json.dumps(value, allow_nan=False, ensure_ascii=False)
        text.encode()
    except (TypeError, ValueError):
        return False
    return bool(json.loads(text) == value)


ENGINES = [
    (lambda: FakeEngine(cached=3), {**HI, "n": 2}),
    (lambda: FakeEngine(CALL), {**HI, "tools": TOOLS["tools"]}),
    (lambda: FakeEngine(end=Finished(0, "stop", "x", 1)), {**HI, "stop": "x", "logprobs": True}),
]


@pytest.mark.parametrize(("make", "inputs"), ENGINES)
def test_answers_and_chunks_conform(make: Any, inputs: dict[str, Any]) -> None:
    validator("ChatCompletion").validate(answer(make(), inputs))
    chunks = stream(make(), {**inputs, "stream_options": {"include_usage": True}})
    for chunk in chunks:
        validator("ChatCompletionChunk").validate(chunk)


def test_models_and_errors_conform() -> None:
    async def body(service: Service) -> None:
        validator("ModelList").validate({"object": "list", "data": service.models()})

    serve(FakeEngine(), body)
    validator("Error").validate(InvalidRequest("x", param="y").body())
