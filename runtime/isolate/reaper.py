"""Ends what a killed host leaves: zygotes, and what they started, that took care to outlive it.

The kernel ends a zygote with its host, but forgets to where the zygote has changed its user, which it may; and code of
the function's can be deaf to the end of its socket. So a process that never runs any of it waits for the host's end.
"""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time

TRIES, PAUSE_S = 3, 0.1
"""A signal to a group reaches all of it at once; again, in case the kernel was slow to tell of a death."""


class Reaper:
    """Of one host: started by it, gone with it. Knows the sessions of its zygotes."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-I", "-S", __file__],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            env={},
            cwd="/",
            start_new_session=True,
        )

    def add(self, session: int) -> None:
        """A zygote has begun."""
        self._say(f"+{session}\n")

    def remove(self, session: int) -> None:
        """It is gone with all that it had started."""
        self._say(f"-{session}\n")

    def close(self) -> None:
        """Nothing is left to be ended."""
        assert self._process.stdin is not None
        with contextlib.suppress(OSError):
            self._process.stdin.close()
        self._process.wait()

    def _say(self, line: str) -> None:
        assert self._process.stdin is not None
        with contextlib.suppress(OSError, ValueError):  # it was killed: the host does without
            os.write(self._process.stdin.fileno(), line.encode("ascii"))


def main() -> None:
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    sessions: set[int] = set()
    for line in sys.stdin:
        (sessions.add if line[0] == "+" else sessions.discard)(int(line[1:]))
    for _ in range(TRIES if sessions else 0):
        for session in sessions:
            with contextlib.suppress(OSError):
                os.killpg(session, signal.SIGKILL)
        time.sleep(PAUSE_S)


if __name__ == "__main__":
    main()
