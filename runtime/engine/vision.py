"""Images become embeddings on a thread of their own; what was encoded stays, by content and size, bounded in bytes."""

from __future__ import annotations

import hashlib
import logging
import os
import sys
import threading
import time
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.engine.request import Image
from runtime.errors import AIError, EngineError

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Encode = Callable[[Image], Floats]
Done = Callable[[str, Floats | AIError], None]
"""Takes an image's key and its embeddings, or why there are none; called on the encoding thread."""

DISK_FACTOR = 8
"""The folder may hold this many times what memory may."""
NICE = 10
"""How far encoding stands behind everything else on the node."""


class EmbeddingCache:
    """Embeddings by image key: the least recently used leave memory first, the oldest files the folder.

    `get` and `put` under one lock; `read` and `write` touch files only."""

    def __init__(self, max_bytes: int, folder: Path | None = None, *, model: str = "") -> None:
        """`model` tells one projector's files from another's."""
        self._max_bytes = max_bytes
        self._folder = folder
        self._model = model
        self._bytes = 0
        self._entries: OrderedDict[str, Floats] = OrderedDict()

    def __len__(self) -> int:
        return len(self._entries)

    def get(self, key: str) -> Floats | None:
        rows = self._entries.get(key)
        if rows is not None:
            self._entries.move_to_end(key)
        return rows

    def put(self, key: str, rows: Floats) -> None:
        if key in self._entries or rows.nbytes > self._max_bytes:
            return
        self._entries[key] = rows
        self._bytes += rows.nbytes
        while self._bytes > self._max_bytes:
            _, oldest = self._entries.popitem(last=False)
            self._bytes -= oldest.nbytes

    def read(self, key: str) -> Floats | None:
        """From the folder, if there is one; touches nothing in memory."""
        return None if self._folder is None else self._read(self._file(self._folder, key))

    def write(self, key: str, rows: Floats) -> None:
        """Into the folder, if there is one; a full disk costs the entry, not the request."""
        if self._folder is None:
            return
        try:
            self._write(self._folder, key, rows)
        except OSError as e:
            log.warning("%s: cannot keep an image's embeddings: %s", self._folder, e)

    def _file(self, folder: Path, key: str) -> Path:
        name = hashlib.sha256(f"{self._model}\n{key}".encode("utf-8", "surrogatepass")).hexdigest()
        return folder / f"{name}.npy"

    def _read(self, file: Path) -> Floats | None:
        try:
            rows = np.load(file, allow_pickle=False)
        except FileNotFoundError:
            return None
        except (OSError, ValueError, EOFError) as e:
            log.warning("%s: not an embedding, removed: %s", file, e)
            file.unlink(missing_ok=True)
            return None
        return np.asarray(rows, dtype=np.float32) if rows.ndim == 2 else None

    def _write(self, folder: Path, key: str, rows: Floats) -> None:
        folder.mkdir(parents=True, exist_ok=True)
        file = self._file(folder, key)
        partial = file.with_suffix(f".{os.getpid()}.{id(self):x}.part")
        try:
            with partial.open("wb") as out:
                np.save(out, rows, allow_pickle=False)
            partial.replace(file)
        finally:
            partial.unlink(missing_ok=True)
        self._trim(folder)

    def _trim(self, folder: Path) -> None:
        files = sorted(((f.stat().st_mtime, f.stat().st_size, f) for f in folder.glob("*.npy")), reverse=True)
        room = self._max_bytes * DISK_FACTOR
        for _, size, file in files:
            room -= size
            if room < 0:
                file.unlink(missing_ok=True)


@dataclass(eq=False, slots=True)
class _Job:
    image: Image
    wanted: int = 1
    """How many wait for it; nobody: it is not begun."""


class ImageEncoder:
    """The encoding thread: one image at a time, in order, each one once however many wait for it."""

    def __init__(self, encode: Encode, cache: EmbeddingCache, on_done: Done, *, name: str) -> None:
        self._encode = encode
        self._cache = cache
        self._on_done = on_done
        self._condition = threading.Condition()
        self._jobs: OrderedDict[str, _Job] = OrderedDict()
        self._current: str | None = None
        self._began: float | None = None
        self._is_closing = False
        self._at_end: deque[Callable[[], None]] = deque()
        self.encoded = 0
        """Images encoded so far (not those that the cache had)."""
        self._thread = threading.Thread(target=self._work, name=f"beira-vision-{name}", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        return self._current is not None

    @property
    def current_s(self) -> float:
        """How long the image in work has taken so far; 0 without one."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    @property
    def n_cached(self) -> int:
        return len(self._cache)

    def fetch(self, image: Image) -> Floats | None:
        """The embeddings if they are at hand; None: `on_done` will be called."""
        with self._condition:
            rows = self._cache.get(image.key)
            if rows is not None:
                return rows
            job = self._jobs.get(image.key)
            if job is not None:
                job.wanted += 1
            else:
                self._jobs[image.key] = _Job(image)
                self._condition.notify()
            return None

    def forget(self, key: str) -> None:
        """One of those who fetched it no longer waits; an encoding that runs goes on, for the cache."""
        with self._condition:
            job = self._jobs.get(key)
            if job is None:
                return
            job.wanted -= 1
            if job.wanted <= 0 and key != self._current:
                del self._jobs[key]

    def close(self, at_end: Callable[[], None], *, timeout: float) -> None:
        """Stop after the image in work, then call `at_end`, on the encoding thread: it may outlive this call, as an
        encoding cannot be stopped. Waits for it up to `timeout` seconds."""
        with self._condition:
            self._is_closing = True
            self._at_end.append(at_end)
            self._condition.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            result = self._embeddings(job.image)
            with self._condition:
                self._current = self._began = None
                self._jobs.pop(job.image.key, None)
                if not isinstance(result, AIError):
                    self._cache.put(job.image.key, result)
                is_closing = self._is_closing
            if not is_closing:
                self._on_done(job.image.key, result)
        while self._at_end:
            self._at_end.popleft()()

    def _next(self) -> _Job | None:
        with self._condition:
            self._condition.wait_for(lambda: self._jobs or self._is_closing)
            if self._is_closing:
                return None
            self._current, job = next(iter(self._jobs.items()))
            self._began = time.monotonic()
            return job

    def _embeddings(self, image: Image) -> Floats | AIError:
        try:
            rows = self._cache.read(image.key)
            if rows is None:
                rows = in_background(lambda: self._encode(image))
                self.encoded += 1
                self._cache.write(image.key, rows)
            return rows
        except AIError as e:
            return e
        except Exception as e:
            log.exception("an image of %d x %d was not encoded", image.width, image.height)
            return EngineError(f"an image was not encoded: {e}")


def in_background(work: Callable[[], Floats]) -> Floats:
    """Do it on a thread of its own and behind all others, and wait for it.

    The compute threads that it starts inherit its priority and end with it: OpenMP counts those that wait for more
    work against the cores, and no longer lets text's spin between two layers (a token took 56 ms instead of 36)."""

    results: list[Floats | BaseException] = []

    def run() -> None:
        if sys.platform == "linux":  # elsewhere a priority is the process's
            nice = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, nice + NICE))
        try:
            results.append(work())
        except BaseException as e:
            results.append(e)

    thread = threading.Thread(target=run, name=f"{threading.current_thread().name}-encode", daemon=True)
    thread.start()
    thread.join()
    (result,) = results
    if isinstance(result, BaseException):
        raise result
    return result
