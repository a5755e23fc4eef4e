"""Who goes first where CPU or memory is short.

An isolate that has had much CPU time goes behind those that have had little; where memory ends, the kernel is to end
isolates before their zygote, whose end is that of all of them, and both before the host.
"""

from __future__ import annotations

import asyncio
import contextlib
import os

HEAVY_CPU_MS = 100
"""CPU time after which an isolate goes behind; most end long before."""
BEHIND = 15
"""Of nice(1): a thirtieth of the usual share, and all of it where nobody else wants it."""
ZYGOTE, ISOLATE = 250, 500
"""Of 1000, as proc_pid_oom_score_adj(5) has it; an isolate begins with its zygote's."""
_RETRY_S = 0.2
"""Of others than root the kernel takes ten changes of a session a second."""


class Session:
    """A zygote and its isolates: one session, to which Linux gives one share where it groups by session (sched(7))."""

    def __init__(self, pid: int) -> None:
        self._pid = pid
        self._heavy: set[int] = set()
        self._is_behind = False
        self._retry: asyncio.TimerHandle | None = None

    def put_behind(self, number: int, pid: int) -> None:
        """The isolate `number`, the process `pid`, and the whole session beside others until it is forgotten."""
        for thread in _threads(pid):
            with contextlib.suppress(OSError):  # it is gone, or a container's root may not
                os.setpriority(os.PRIO_PROCESS, thread, BEHIND)
        self._heavy.add(number)
        self._follow()

    def forget(self, number: int) -> None:
        if number in self._heavy:
            self._heavy.discard(number)
            self._follow()

    def close(self) -> None:
        if self._retry is not None:
            self._retry.cancel()

    def _follow(self) -> None:
        """Have the kernel know whether one of them is heavy."""
        self.close()
        if self._is_behind == bool(self._heavy):
            return
        try:
            with open(f"/proc/{self._pid}/autogroup", "w") as file:
                file.write(str(BEHIND if self._heavy else 0))
            self._is_behind = bool(self._heavy)
        except BlockingIOError:
            self._retry = asyncio.get_running_loop().call_later(_RETRY_S, self._follow)
        except OSError:
            return  # no such thing here: priorities count among all


def end_sooner(pid: int, score: int) -> None:
    """Where memory ends, by so much; never later than before, which is root's to say."""
    try:
        fd = os.open(f"/proc/{pid}/oom_score_adj", os.O_WRONLY | os.O_CLOEXEC)
    except OSError:
        return  # it is gone, or there is no such thing here
    try:
        os.write(fd, b"%d" % score)
    except OSError:
        pass
    finally:
        os.close(fd)


def _threads(pid: int) -> list[int]:
    try:
        return [int(name) for name in os.listdir(f"/proc/{pid}/task")]
    except OSError:
        return [pid]
