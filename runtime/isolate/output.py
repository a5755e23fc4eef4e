"""What a function prints or logs: to the host with the request's id within an invocation, to fd 1 and 2 before it."""

from __future__ import annotations

import io
import logging
import os
import sys
import threading

from runtime.isolate import binding

_LEVELS = ((logging.ERROR, "error"), (logging.WARNING, "warning"), (logging.INFO, "info"))


class LineStream(io.TextIOBase):
    """Stands for sys.stdout and sys.stderr: every line written becomes one Log."""

    def __init__(self, level: str, fd: int) -> None:
        self._level = level
        self._fd = fd
        self._pending = ""
        self._lock = threading.RLock()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return "utf-8"

    def writable(self) -> bool:
        return True

    def fileno(self) -> int:
        return self._fd

    def write(self, text: str) -> int:
        if not isinstance(text, str):
            raise TypeError(f"write() argument must be str, not {type(text).__name__}")
        with self._lock:
            self._pending += text
            if "\n" in text or len(self._pending) > 64 * 1024:
                lines, newline, rest = self._pending.rpartition("\n")
                self._pending = rest if newline else ""
                self._emit(lines if newline else rest)
        return len(text)

    def finish(self) -> None:
        """Write a last line that has no end."""
        with self._lock:
            text, self._pending = self._pending, ""
            if text:
                self._emit(text)

    def _emit(self, text: str) -> None:
        connection = binding.bound()
        if connection is not None:
            connection.log(self._level, text)
            return
        data = (text + "\n").encode("utf-8", "replace")
        while data:
            data = data[os.write(self._fd, data) :]


class LineHandler(logging.Handler):
    """Sends the records of `logging` to the host with their level."""

    def emit(self, record: logging.LogRecord) -> None:
        try:
            text = self.format(record)
        except Exception:
            self.handleError(record)
            return
        connection = binding.bound()
        if connection is None:
            sys.stderr.write(f"{record.levelname}: {text}\n")
        else:
            connection.log(next((name for at, name in _LEVELS if record.levelno >= at), "debug"), text)


def install() -> tuple[LineStream, LineStream]:
    """Put them in place, before a function's module can keep a reference to what was there."""
    streams = LineStream("info", 1), LineStream("error", 2)
    sys.stdout, sys.stderr = streams
    root = logging.getLogger()
    root.addHandler(LineHandler())
    root.setLevel(logging.INFO)
    return streams
