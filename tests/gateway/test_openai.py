"""The OpenAI-compatible face, through the `openai` client and by hand."""

from __future__ import annotations

import base64
from pathlib import Path

import openai
import pytest

from tests.node import Node, picture, project, running

QUESTION = [{"role": "user", "content": "What is the capital of France?"}]


@pytest.fixture
def client(node: Node) -> openai.OpenAI:
    return openai.OpenAI(base_url=f"{node.url}/v1", api_key="none", max_retries=0, timeout=30)


def test_plain(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(model="beira-tiny", messages=QUESTION)  # type: ignore[arg-type]
    assert "Paris" in (answer.choices[0].message.content or "")
    assert answer.choices[0].finish_reason == "stop"
    assert answer.usage is not None
    assert answer.usage.total_tokens == answer.usage.prompt_tokens + answer.usage.completion_tokens
    assert answer.id.startswith("chatcmpl-")


def test_streamed(client: openai.OpenAI) -> None:
    stream = client.chat.completions.create(
        model="beira-tiny",
        messages=QUESTION,  # type: ignore[arg-type]
        stream=True,
        stream_options={"include_usage": True},
    )
    chunks = list(stream)
    assert "Paris" in "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert chunks[-1].choices == []
    assert chunks[-1].usage is not None
    assert len({c.id for c in chunks}) == 1


def test_with_an_image(client: openai.OpenAI) -> None:
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is in this image?"}]
    answer = client.chat.completions.create(model="beira-tiny", messages=[{"role": "user", "content": content}])  # type: ignore[list-item]
    assert "red circle" in (answer.choices[0].message.content or "")


def test_models_are_listed(client: openai.OpenAI) -> None:
    models = {m.id: m for m in client.models.list()}
    assert {"beira-tiny", "qwen-qwen25-vl-3b-instruct-awq"} <= set(models)
    assert client.models.retrieve("beira-tiny").object == "model"
    with pytest.raises(openai.NotFoundError):
        client.models.retrieve("nobody")


@pytest.mark.parametrize(
    ("arguments", "error", "param"),
    [
        ({"messages": "hello"}, openai.BadRequestError, "messages"),
        ({"messages": []}, openai.BadRequestError, "messages"),
        ({"messages": QUESTION, "temperature": 3}, openai.BadRequestError, "temperature"),
        ({"messages": QUESTION, "max_tokens": 0}, openai.BadRequestError, "max_tokens"),
        ({"messages": QUESTION, "model": "nobody"}, openai.NotFoundError, "model"),
    ],
)
def test_bad_requests_are_typed_exceptions(
    client: openai.OpenAI, arguments: dict[str, object], error: type[openai.APIStatusError], param: str
) -> None:
    with pytest.raises(error) as caught:
        client.chat.completions.create(**({"model": "beira-tiny"} | arguments))  # type: ignore[call-overload]
    assert caught.value.type == "invalid_request_error"
    assert (caught.value.param or "").startswith(param)


@pytest.mark.parametrize(
    ("content", "kind", "status", "says"),
    [
        (b'{"messages": [', "application/json", 400, "no JSON"),
        (b"[]", "application/json", 400, "must be a JSON object, got list"),
        (b"\xff\xfe", "application/json", 400, "no JSON"),
        (b"{}", "text/plain", 400, "content-type: must be application/json"),
        (b"{}", "application/json", 400, "messages"),
    ],
)
def test_bodies_that_are_no_request(node: Node, content: bytes, kind: str, status: int, says: str) -> None:
    answer = node.post("/v1/chat/completions", content=content, headers={"content-type": kind})
    assert answer.status_code == status
    error = answer.json()["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert says in error["message"]


def test_other_paths_and_methods(node: Node) -> None:
    assert node.get("/v1/chat/completions").status_code == 405
    assert node.get("/v1/embeddings").status_code == 404
    assert node.get("/v1").status_code == 404


def test_a_stand_in_is_named(node: Node) -> None:
    body = {"model": "qwen-qwen25-vl-3b-instruct-awq", "messages": QUESTION}
    answer = node.post("/v1/chat/completions", json=body)
    assert answer.headers["x-beira-stand-in"] == "beira-tiny"
    assert answer.json()["model"] == "qwen-qwen25-vl-3b-instruct-awq"


def test_keys_protect_the_face_where_they_are_set(tmp_path: Path) -> None:
    root = project(tmp_path, hello="def fetch(request): return 'hello'")
    with running(root, env={"BEIRA_API_KEYS": "one,two"}) as node:
        assert node.get("/v1/models").status_code == 401
        wrong = node.get("/v1/models", headers={"authorization": "Bearer three"})
        assert (wrong.status_code, wrong.json()["error"]["code"]) == (401, "invalid_api_key")
        assert node.get("/v1/models", headers={"authorization": "Bearer two"}).status_code == 200
        assert node.get("/hello").text == "hello"
