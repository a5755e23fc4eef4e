"""Who may ask `/v1`: keys, and pages of other origins."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime import config
from runtime.errors import ConfigError
from tests.node import Node, project, running

PAGE = "https://page.example"
BODY = {"messages": [{"role": "user", "content": "What is the capital of France?"}]}
PREFLIGHT = {
    "origin": PAGE,
    "access-control-request-method": "POST",
    "access-control-request-headers": "authorization,content-type,x-stainless-os",
}


@pytest.fixture(scope="module")
def guarded(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    root = project(tmp_path_factory.mktemp("access"), hello="def fetch(request): return 'hello'")
    env = {"BEIRA_API_KEYS": " one, zwölf ", "BEIRA_CORS_ORIGINS": f"http://localhost:3000,{PAGE}"}
    with running(root, env=env) as node:
        yield node


@pytest.mark.parametrize(
    "given",
    [None, "", "Bearer", "Bearer three", "Bearer on", "Bearer one,", "Bearer one two", "Basic one", "one"],
)
@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/v1/models"),
        ("GET", "/v1/models/beira-tiny"),
        ("GET", "/v1/openapi.json"),
        ("POST", "/v1/chat/completions"),
        ("GET", "/v1/nothing"),
    ],
)
def test_without_a_right_key_nothing_is_told(guarded: Node, method: str, path: str, given: str | None) -> None:
    headers = {} if given is None else {"authorization": given}
    answer = guarded.client.request(method, path, headers=headers)
    assert answer.status_code == 401
    assert answer.headers["www-authenticate"] == "Bearer"
    assert answer.headers["x-beira-request-id"]
    assert answer.json() == {
        "error": {
            "message": "the API key is missing or wrong: send 'Authorization: Bearer KEY'",
            "type": "authentication_error",
            "param": None,
            "code": "invalid_api_key",
        }
    }


@pytest.mark.parametrize("given", ["Bearer one", "bearer  one", "Bearer zwölf"])
def test_any_of_the_keys_opens(guarded: Node, given: str) -> None:
    headers = {"authorization": given.encode()}
    assert guarded.get("/v1/models", headers=headers).status_code == 200
    assert guarded.post("/v1/chat/completions", json=BODY, headers=headers).status_code == 200
    security = guarded.get("/v1/openapi.json", headers=headers).json()["security"]
    assert security == [{"key": []}]


def test_functions_need_no_key(guarded: Node) -> None:
    assert guarded.get("/hello").text == "hello"


def test_a_preflight_is_answered_without_a_key(guarded: Node) -> None:
    answer = guarded.client.options("/v1/chat/completions", headers=PREFLIGHT)
    assert (answer.status_code, answer.content) == (204, b"")
    assert answer.headers["access-control-allow-origin"] == PAGE
    assert answer.headers["access-control-allow-methods"] == "GET, POST"
    assert answer.headers["access-control-allow-headers"] == PREFLIGHT["access-control-request-headers"]
    assert answer.headers["vary"] == "origin"
    assert "access-control-allow-credentials" not in answer.headers


def test_an_allowed_page_may_read_answers_streams_and_errors(guarded: Node) -> None:
    headers = {"origin": PAGE, "authorization": "Bearer one"}
    answers = [
        guarded.post("/v1/chat/completions", json=BODY, headers=headers),
        guarded.post("/v1/chat/completions", json=BODY | {"stream": True}, headers=headers),
        guarded.post("/v1/chat/completions", json={}, headers=headers),
        guarded.get("/v1/models", headers={"origin": PAGE}),
    ]
    assert [a.status_code for a in answers] == [200, 200, 400, 401]
    assert {a.headers["access-control-allow-origin"] for a in answers} == {PAGE}
    assert all("x-beira-request-id" in a.headers["access-control-expose-headers"] for a in answers)


@pytest.mark.parametrize("origin", ["https://other.example", "http://page.example", f"{PAGE}:8443", "null"])
def test_another_page_may_not(guarded: Node, origin: str) -> None:
    asked = guarded.client.options("/v1/chat/completions", headers=PREFLIGHT | {"origin": origin})
    answer = guarded.get("/v1/models", headers={"origin": origin, "authorization": "Bearer one"})
    assert (asked.status_code, answer.status_code) == (401, 200)
    assert not any(name.startswith("access-control") for a in (asked, answer) for name in a.headers)


def test_functions_decide_for_themselves(guarded: Node) -> None:
    assert not any(n.startswith("access-control") for n in guarded.get("/hello", headers={"origin": PAGE}).headers)


def test_cors_is_off_unless_set(node: Node) -> None:
    asked = node.client.options("/v1/chat/completions", headers=PREFLIGHT)
    answer = node.get("/v1/models", headers={"origin": PAGE})
    assert (asked.status_code, answer.status_code) == (405, 200)
    assert not any(name.startswith("access-control") for a in (asked, answer) for name in a.headers)


def test_every_page_may_where_that_is_set(tmp_path: Path) -> None:
    root = project(tmp_path, hello="def fetch(request): return 'hello'")
    with running(root, env={"BEIRA_CORS_ORIGINS": "*"}) as node:
        answer = node.get("/v1/models", headers={"origin": PAGE})
        assert answer.headers["access-control-allow-origin"] == "*"
        asked = node.client.options("/v1/models", headers=PREFLIGHT | {"access-control-request-headers": "a(b"})
        assert asked.headers["access-control-allow-headers"] == "authorization, content-type"


@pytest.mark.parametrize(
    "text", ["page.example", "https://page.example/", "https://a.example/x", "https://*.a.example"]
)
def test_what_is_no_origin_is_refused(tmp_path: Path, text: str) -> None:
    with pytest.raises(ConfigError, match="BEIRA_CORS_ORIGINS: must be origins like"):
        config.load(project(tmp_path, hello=""), environ={"BEIRA_CORS_ORIGINS": text})


@pytest.mark.parametrize("name", ["BEIRA_API_KEYS", "BEIRA_CORS_ORIGINS"])
def test_commas_alone_do_not_open_the_door(tmp_path: Path, name: str) -> None:
    with pytest.raises(ConfigError, match=f"{name}: must be values separated by commas, got ', ,'"):
        config.load(project(tmp_path, hello=""), environ={name: " , ,"})
