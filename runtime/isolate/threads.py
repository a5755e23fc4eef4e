"""The bound on an isolate's threads: the kernel asks the host before it makes one.

RLIMIT_NPROC counts all that a user runs, and a control group is not every host's to write. So a seccomp filter hands
each clone of a thread to the host (seccomp_unotify(2)), which lets the kernel go on or has it answer EAGAIN.
"""

from __future__ import annotations

import asyncio
import contextlib
import errno
import fcntl
import os
import select
import struct

MOST = 32 + (os.cpu_count() or 1)
"""Of one process: enough for a pool of Python's own and the threads of a numeric library."""
_RECV, _SEND = 0xC0502100, 0xC0182101
_CONTINUE = 1
_AT_ONCE = 16
_PAUSE_S = 0.01


class ThreadGuard:
    """Answers for one zygote and its isolates. Who makes threads in a flood waits for its turn."""

    def __init__(self, listener: int, most: int = MOST) -> None:
        self._fd = listener
        self._most = most
        self._loop = asyncio.get_running_loop()
        self._pause: asyncio.TimerHandle | None = None
        self._loop.add_reader(listener, self._readable)

    def _readable(self) -> None:
        for _ in range(_AT_ONCE):
            if not self._answer():
                return
        self._loop.remove_reader(self._fd)
        self._pause = self._loop.call_later(_PAUSE_S, self._resume)

    def _resume(self) -> None:
        self._pause = None
        self._loop.add_reader(self._fd, self._readable)

    def _answer(self) -> bool:
        """One question; whether there may be more. Who asked may be gone by now."""
        question = bytearray(80)
        if not _is_asked(self._fd):
            return False
        try:
            fcntl.ioctl(self._fd, _RECV, question)
        except OSError:
            return False
        number, thread = struct.unpack_from("QI", question)
        is_allowed = _threads(thread) < self._most
        answer = struct.pack("QqiI", number, 0, 0 if is_allowed else -errno.EAGAIN, _CONTINUE if is_allowed else 0)
        with contextlib.suppress(OSError):
            fcntl.ioctl(self._fd, _SEND, bytearray(answer))
        return True

    def close(self) -> None:
        """From now on there are no new threads."""
        if self._pause is not None:
            self._pause.cancel()
        self._loop.remove_reader(self._fd)
        os.close(self._fd)


def _is_asked(fd: int) -> bool:
    """Receiving would wait where nothing is asked."""
    poll = select.poll()
    poll.register(fd, select.POLLIN)
    return bool(poll.poll(0))


def _threads(thread: int) -> int:
    """How many the process of `thread` has; none where it is gone."""
    try:
        with open(f"/proc/{thread}/stat", "rb") as file:
            return int(file.read().rpartition(b")")[2].split()[17])
    except OSError:
        return 0
