"""Reads what a function's processes write to descriptor 1 or 2, past every Python object that stands for them."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

_PIECE = 16 * 1024
_PAUSE_S = 0.06


class Outlet:
    """The reading end of a pipe; `write(level, text)` is given whole lines. A flood is slowed down at its source."""

    def __init__(self, fd: int, level: str, write: Callable[[str, str], None]) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._level = level
        self._write = write
        self._rest = b""
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(fd, self._readable)

    def _readable(self) -> None:
        data = self._read()
        if not data:
            return
        head, newline, tail = (self._rest + data).rpartition(b"\n")
        if not newline and len(tail) > _PIECE:
            head, tail = tail, b""
        self._rest = tail
        self._emit(head)
        if len(data) == _PIECE:
            self._loop.remove_reader(self._fd)
            self._pause = self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._fd, self._readable)

    def _read(self) -> bytes:
        try:
            data = os.read(self._fd, _PIECE)
        except BlockingIOError:
            return b""
        if not data:
            self._loop.remove_reader(self._fd)
        return data

    def _emit(self, data: bytes) -> None:
        if data:
            self._write(self._level, data.decode("utf-8", "replace"))

    def close(self) -> None:
        """The processes are gone: read what they left, once, and close."""
        if self._pause is not None:
            self._pause.cancel()
        self._emit((self._rest + self._read()).rstrip(b"\n"))
        self._loop.remove_reader(self._fd)
        os.close(self._fd)
