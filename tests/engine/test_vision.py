"""The encoding thread and its cache, with an encoder written by hand."""

from __future__ import annotations

import os
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from runtime.engine.background import NICE, Background, in_background
from runtime.engine.request import Image
from runtime.engine.vision import EmbeddingCache, Floats, ImageEncoder
from runtime.errors import AIError, EngineError
from tests.engine.helpers import PATIENCE, wait_for


def image(key: str) -> Image:
    return Image(1, 1, b"abc", key)


def rows(value: float = 1.0, n: int = 4) -> Floats:
    return np.full((n, 2), value, dtype=np.float32)


class Desk:
    """Encodes one image when it is let; remembers what was done."""

    def __init__(self, cache: EmbeddingCache | None = None) -> None:
        self.encoded: list[str] = []
        self.done: dict[str, Floats | AIError] = {}
        self.gate = threading.Semaphore(0)
        self.background = Background(name="test")
        self.encoder = ImageEncoder(self._encode, cache or EmbeddingCache(1 << 20), self._on_done, self.background)

    def _encode(self, image: Image) -> Floats:
        assert self.gate.acquire(timeout=PATIENCE)
        self.encoded.append(image.key)
        if image.key == "bad":
            raise ValueError("no picture")
        return rows()

    def _on_done(self, key: str, result: Floats | AIError) -> None:
        self.done[key] = result

    def let(self, n: int = 1) -> None:
        self.gate.release(n)

    def close(self) -> None:
        self.let(100)
        self.background.close(lambda: None, timeout=PATIENCE)


@pytest.fixture
def desk() -> Iterator[Desk]:
    made = Desk()
    yield made
    made.close()


def test_the_encoder_tells_how_long_it_has_been_at_an_image(desk: Desk) -> None:
    assert desk.background.current_s == 0.0
    desk.encoder.fetch(image("a"))
    wait_for(lambda: desk.background.current_s > 0.05, "the image is in work")
    desk.let()
    wait_for(lambda: "a" in desk.done, "the image is done")
    wait_for(lambda: desk.background.current_s == 0.0, "nothing is in work")


def test_whoever_is_told_finds_it_no_longer_busy(desk: Desk) -> None:
    seen: list[bool] = []
    desk.encoder._on_done = lambda key, result: seen.append(desk.background.is_busy)
    desk.let()
    desk.encoder.fetch(image("a"))
    wait_for(lambda: bool(seen), "told")
    assert seen == [False], "its prompt is computed by all threads"


def test_what_ends_something_begun_comes_first(desk: Desk) -> None:
    order: list[str] = []
    desk.encoder._on_done = lambda key, result: order.append(key)
    for key in "ab":
        desk.encoder.fetch(image(key))
    wait_for(lambda: desk.background.current_s > 0, "a is in work")
    for name in ("first", "second"):
        desk.background.put(lambda name=name: order.append(name), first=True)
    desk.let(2)
    wait_for(lambda: len(order) == 4, "all")
    assert order == ["a", "first", "second", "b"]


def test_one_image_asked_for_twice_is_encoded_once(desk: Desk) -> None:
    assert desk.encoder.fetch(image("a")) is None
    assert desk.encoder.fetch(image("a")) is None
    desk.let(2)
    wait_for(lambda: "a" in desk.done, "done")
    assert desk.encoded == ["a"]
    assert desk.encoder.fetch(image("a")) is not None


def test_an_image_that_nobody_wants_any_more_is_not_begun(desk: Desk) -> None:
    desk.encoder.fetch(image("a"))
    wait_for(lambda: desk.background.current_s > 0, "busy")
    for _ in range(2):
        desk.encoder.fetch(image("b"))
    desk.encoder.fetch(image("c"))
    desk.encoder.forget("a")
    desk.encoder.forget("b")
    desk.encoder.forget("c")
    desk.let(5)
    wait_for(lambda: {"a", "b"} <= desk.done.keys(), "done")
    wait_for(lambda: not desk.background.is_busy, "idle")
    assert desk.encoded == ["a", "b"], "one still waits for b, nobody for c; a was in work already"


@pytest.mark.skipif(sys.platform != "linux", reason="elsewhere a priority is the process's")
def test_encoding_stands_behind_everything_else_and_its_threads_end_with_it() -> None:
    before = os.getpriority(os.PRIO_PROCESS, 0)
    seen: list[tuple[int, int]] = []

    def work() -> Floats:
        seen.append((threading.get_native_id(), os.getpriority(os.PRIO_PROCESS, 0)))
        return rows()

    for _ in range(2):
        in_background(work)
    assert [nice for _, nice in seen] == [min(19, before + NICE)] * 2
    assert os.getpriority(os.PRIO_PROCESS, 0) == before
    wait_for(lambda: not any(Path(f"/proc/self/task/{tid}").exists() for tid, _ in seen), "gone")


def test_a_fault_is_told_and_the_next_image_is_encoded(desk: Desk) -> None:
    desk.encoder.fetch(image("bad"))
    desk.encoder.fetch(image("good"))
    desk.let(2)
    wait_for(lambda: len(desk.done) == 2, "both")
    assert isinstance(desk.done["bad"], EngineError)
    assert "no picture" in str(desk.done["bad"])
    assert desk.encoder.fetch(image("good")) is not None


def test_close_does_not_wait_for_an_image_in_work() -> None:
    desk, ended = Desk(), threading.Event()
    desk.encoder.fetch(image("a"))
    wait_for(lambda: desk.background.current_s > 0, "busy")
    desk.background.close(ended.set, timeout=0)
    assert not ended.is_set(), "what the encoding uses must not be freed yet"
    desk.let()
    assert ended.wait(PATIENCE)
    assert not desk.done, "nobody is told after a close"


def test_the_cache_is_bounded_and_forgets_the_oldest() -> None:
    cache = EmbeddingCache(rows().nbytes * 2)
    cache.put("a", rows())
    cache.put("b", rows())
    assert cache.get("a") is not None
    cache.put("c", rows())
    assert cache.get("b") is None
    assert cache.get("a") is not None
    cache.put("large", rows(n=100))
    assert cache.get("large") is None
    assert len(cache) == 2


def test_files_are_kept_for_one_model_and_survive_damage(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = EmbeddingCache(1 << 20, tmp_path / "images", model="one")
    cache.write("a", rows(3.0))
    again = EmbeddingCache(1 << 20, tmp_path / "images", model="one").read("a")
    assert again is not None
    assert (again == 3.0).all()
    assert EmbeddingCache(1 << 20, tmp_path / "images", model="two").read("a") is None
    (file,) = (tmp_path / "images").iterdir()
    file.write_bytes(b"half a fi")
    assert cache.read("a") is None
    assert "not an embedding" in caplog.text
    assert not list((tmp_path / "images").iterdir())


def test_the_folder_is_bounded(tmp_path: Path) -> None:
    cache = EmbeddingCache(rows().nbytes, tmp_path)
    for i in range(20):
        cache.write(str(i), rows())
    assert 1 <= len(list(tmp_path.iterdir())) <= 8


def test_a_folder_that_cannot_be_written_costs_nothing_else(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / "file").write_text("")
    EmbeddingCache(1 << 20, tmp_path / "file").write("a", rows())
    assert "cannot keep" in caplog.text
