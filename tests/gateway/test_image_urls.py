"""Images by URL, from the request to the answer: fetched by the host, under its address rules."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import web
from tests.node import Node, picture, project, running


class Pictures(web.Handler):
    def do_GET(self) -> None:
        if self.path == "/moved":
            self.answer(b"", 302, location="/red.png")
        elif self.path == "/round":
            self.answer(b"", 302, location="/round")
        elif self.path == "/away":
            self.answer(b"", 302, location="http://169.254.169.254/red.png")
        elif self.path == "/red.png":
            self.answer(picture())
        elif self.path == "/text":
            self.answer(b"no picture")
        else:
            self.answer(b"", 404)


@pytest.fixture(scope="module")
def pictures() -> Iterator[str]:
    with web.serving(Pictures) as url:
        yield url


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    root = project(
        tmp_path_factory.mktemp("pictures"),
        toml='[outbound]\nallow = ["127.0.0.1"]',
        hello="def fetch(request): return 1",
    )
    with running(root) as node:
        yield node


def ask(node: Node, url: str) -> tuple[int, str]:
    """The status, and the answer or the error."""
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is in this image?"}]
    answer = node.post("/v1/chat/completions", json={"messages": [{"role": "user", "content": content}]})
    body = answer.json()
    if answer.status_code == 200:
        return 200, body["choices"][0]["message"]["content"]
    assert body["error"]["code"] == "invalid_image"
    assert body["error"]["param"] == "messages[0].content[0].image_url.url"
    return answer.status_code, body["error"]["message"]


@pytest.mark.parametrize("path", ["/red.png", "/moved"])
def test_an_image_is_fetched_and_seen(node: Node, pictures: str, path: str) -> None:
    assert ask(node, pictures + path) == (200, "The image shows a red circle.")


@pytest.mark.parametrize("path", ["/round", "/away", "/text", "/nothing"])
def test_what_cannot_be_fetched_is_named(node: Node, pictures: str, path: str) -> None:
    status, message = ask(node, pictures + path)
    assert status == 400
    assert "image_url.url" in message


def test_without_an_allow_list_only_public_addresses_are_fetched(tmp_path: Path, pictures: str) -> None:
    with running(project(tmp_path, hello="def fetch(request): return 'hello'")) as node:
        for url in (f"{pictures}/red.png", "http://169.254.169.254/a.png", "http://[::1]:80/a.png"):
            assert ask(node, url)[0] == 400
