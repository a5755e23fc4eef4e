"""Images become embeddings in the background; what was encoded stays, by content and size, bounded in bytes."""

from __future__ import annotations

import hashlib
import logging
import os
import threading
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from runtime.engine.background import Background, Then, in_background
from runtime.engine.request import Image
from runtime.errors import AIError, EngineError

log = logging.getLogger(__name__)

Floats = NDArray[np.float32]
Encode = Callable[[Image], Floats]
Done = Callable[[str, Floats | AIError], None]
"""Takes an image's key and its embeddings, or why there are none; called on the background thread."""

DISK_FACTOR = 8
"""The folder may hold this many times what memory may."""


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
    """Encodes in the background: images in order, each one once however many wait for it."""

    def __init__(self, encode: Encode, cache: EmbeddingCache, on_done: Done, background: Background) -> None:
        self._encode = encode
        self._cache = cache
        self._on_done = on_done
        self._background = background
        self._lock = threading.Lock()
        self._jobs: dict[str, _Job] = {}
        self._current: str | None = None
        self.encoded = 0
        """Images encoded so far (not those that the cache had)."""

    @property
    def n_cached(self) -> int:
        return len(self._cache)

    def fetch(self, image: Image) -> Floats | None:
        """The embeddings if they are at hand; None: `on_done` will be called."""
        with self._lock:
            rows = self._cache.get(image.key)
            if rows is not None:
                return rows
            job = self._jobs.get(image.key)
            if job is not None:
                job.wanted += 1
                return None
            self._jobs[image.key] = _Job(image)
        self._background.put(lambda: self._work(image.key))
        return None

    def forget(self, key: str) -> None:
        """One of those who fetched it no longer waits; an encoding that runs goes on, for the cache."""
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                return
            job.wanted -= 1
            if job.wanted <= 0 and key != self._current:
                del self._jobs[key]

    def _work(self, key: str) -> Then | None:
        with self._lock:
            job = self._jobs.get(key)
            if job is None:
                return None  # forgotten, or asked for again and done since
            self._current = key
        result = self._embeddings(job.image)
        with self._lock:
            self._current = None
            self._jobs.pop(key, None)
            if not isinstance(result, AIError):
                self._cache.put(key, result)
        return lambda: self._on_done(key, result)

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
