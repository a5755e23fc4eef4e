"""Where the node's log goes: a stream that never waits for its reader, and tells what it had to drop."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import stat
import sys
import threading
from collections.abc import Callable

KEPT = 256 * 1024
"""Bytes that wait for a reader who is behind; what comes beyond is dropped and counted."""
_PIECE = 4096
"""A pipe that takes anything takes so much (PIPE_BUF)."""


class LogStream:
    """Stands for a standard stream; made for `logging.StreamHandler` and `print`. Safe from any thread.

    A closed descriptor, a full disk, a reader that is gone or stuck: none of them raises, and none holds up anyone.
    """

    def __init__(self, fd: int, kept: int = KEPT) -> None:
        self._fd = fd
        self._kept = kept
        self._own = contextlib.ExitStack()
        self._send = _sender(fd, self._own)
        self._lock = threading.Lock()
        self._pending = bytearray()
        self._dropped = 0
        self._flusher: threading.Thread | None = None

    def write(self, text: str) -> int:
        data = text.encode("utf-8", "backslashreplace")
        with self._lock:
            if not self._pending:
                data = self._push(data)
            if len(self._pending) + len(data) > self._kept:
                self._dropped += data.count(b"\n") or 1
            elif data:
                self._pending += data
                self._wait()
        return len(text)

    def flush(self) -> None:
        """What can go has gone; the rest goes when it is read."""

    def close(self) -> None:
        """Let go of what it opened for itself; the descriptor stays its owner's."""
        with self._lock:
            self._send = len
            self._own.close()

    def _push(self, data: bytes) -> bytes:
        """Write what is taken at once; what was not."""
        try:
            while data:
                data = data[self._send(data) :]
        except BlockingIOError:
            return data
        except (OSError, ValueError):  # nobody will ever read it
            return b""
        return b""

    def _wait(self) -> None:
        """Have a thread do the waiting, as long as there is something to write."""
        if self._flusher is None:
            self._flusher = threading.Thread(target=self._flush, name="beira-log", daemon=True)
            self._flusher.start()

    def _flush(self) -> None:
        poll = select.poll()
        poll.register(self._fd, select.POLLOUT)
        while True:
            with contextlib.suppress(OSError):
                poll.poll()
            with self._lock:
                self._pending[:] = self._push(bytes(self._pending))
                if not self._pending:
                    if not self._dropped:
                        self._flusher = None
                        return
                    lines, self._dropped = self._dropped, 0
                    self._pending += f"beira: {lines} lines of the log were dropped: its reader was behind\n".encode()


def standard_output() -> LogStream:
    return LogStream(1 if sys.stdout is not None else -1)


def standard_error() -> LogStream:
    """Of this process; where it was started without one, its number is somebody else's by now."""
    return LogStream(2 if sys.stderr is not None else -1)


def _sender(fd: int, own: contextlib.ExitStack) -> Callable[[bytes], int]:
    """Writes to `fd`, or raises BlockingIOError: the descriptor's own flags are shared with other processes."""
    try:
        mode = os.fstat(fd).st_mode
        if stat.S_ISSOCK(mode):
            link = own.enter_context(socket.socket(fileno=os.dup(fd)))
            return lambda data: link.send(data, socket.MSG_DONTWAIT)
        if stat.S_ISREG(mode):
            return lambda data: os.write(fd, data)
        with contextlib.suppress(OSError):
            flags = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC
            again = os.open(f"/proc/self/fd/{fd}", flags)
            own.callback(os.close, again)
            return lambda data: os.write(again, data)
    except OSError:
        return len
    poll = select.poll()
    poll.register(fd, select.POLLOUT)

    def write(data: bytes) -> int:
        if not poll.poll(0):
            raise BlockingIOError
        return os.write(fd, data[:_PIECE])

    return write
