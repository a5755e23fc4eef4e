"""The samples in functions/, as a newcomer meets them: with curl's requests, and in a browser."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest

from tests import browser
from tests.node import ROOT, Node, picture, running, until


@pytest.fixture(scope="module")
def samples(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    root = tmp_path_factory.mktemp("samples")
    (root / "functions").symlink_to(ROOT / "functions")
    with running(root) as node:
        yield node


def test_every_sample_is_short() -> None:
    lengths = {f.name: len(f.read_text("utf-8").splitlines()) for f in (ROOT / "functions").glob("*.py")}
    assert set(lengths) == {"index.py", "hello.py", "chat.py", "describe.py"}
    assert max(lengths.values()) < 30, lengths


def test_hello(samples: Node) -> None:
    assert samples.get("/hello").text == "Hello, world!\n"
    assert samples.get("/hello", params={"name": "Ana"}).text == "Hello, Ana!\n"


def test_chat_streams_token_by_token(samples: Node) -> None:
    body = '{"prompt": "What is the capital of France?"}'
    with samples.client.stream("POST", "/chat", content=body) as answer:
        pieces = list(answer.iter_text())
    assert "".join(pieces) == "The capital of France is Paris.\n"
    assert len(pieces) > 3
    assert answer.headers["x-beira-stand-in"] == "beira-tiny"


def test_chat_says_what_it_takes(samples: Node) -> None:
    assert samples.get("/chat").status_code == 405
    assert samples.post("/chat", content=b"not json").status_code == 400
    assert samples.post("/chat", content=b"[1]").status_code == 400


@pytest.mark.parametrize("kind", ["PNG", "JPEG", "WEBP"])
def test_describe_sees(samples: Node, kind: str) -> None:
    file = (f"red.{kind}", picture(kind=kind), f"image/{kind.lower()}")
    answer = samples.post("/describe", files={"image": file})
    assert answer.text == "The image shows a red circle.\n"
    plain = samples.post("/describe", content=picture((30, 60, 220)), headers={"content-type": "image/png"})
    assert plain.text == "The image shows a blue circle.\n"


def test_describe_says_what_is_wrong_with_a_picture(samples: Node) -> None:
    cut = picture()[:200]
    answer = samples.post("/describe", files={"image": ("cut.png", cut, "image/png")})
    assert answer.status_code == 400
    assert "truncated" in answer.json()["error"]
    assert samples.post("/describe", content=b"").status_code == 400


@pytest.mark.skipif(not browser.is_installed(), reason="Chromium and its driver are not installed")
def test_the_page_links_the_others_and_asks_the_model(samples: Node, tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    file.write_bytes(picture())
    with browser.browser(tmp_path) as page:
        page.open(samples.url + "/")
        assert page.text("h1") == "Beira"
        page.click("#f button")
        until(lambda: page.text("#o") == "The capital of France is Paris.")
        page.type("input[type=file]", str(file))
        page.click("form[action='/describe'] button")
        until(lambda: "red circle" in page.text("body"))
        page.open(samples.url + "/")
        page.click("a[href^='/hello']")
        until(lambda: page.text("body") == "Hello, you!")
