"""What an isolate does between its fork and its invocation.

Every Python object that is used is written to, and a page that the fork shares is then copied, at 3 us. So this is one
function, of things that were looked up before the fork, and the zygote rehearses it: what Python notes down where it
runs a line for the first time takes as many pages again.
"""

from __future__ import annotations

import ctypes
import sys
from _signal import SIG_DFL, SIGCHLD, set_wakeup_fd, signal  # type: ignore[import-not-found]  # without their enums
from collections.abc import Callable
from os import _exit, close, closerange, dup, dup2, environ, getpid, getppid
from resource import RLIMIT_CPU, RLIMIT_NOFILE, getrlimit, setrlimit
from struct import pack_into

from runtime.isolate.limits import Bounds
from runtime.isolate.loop import Loop, new_pair
from runtime.isolate.sandbox import Sandbox

SOCKET = 3
"""The descriptor of an isolate's socket. Its loop has two more, beside the standard three."""
FIRST_FREE = 6
_LAST = 1 << 16
_PR_SET_PDEATHSIG, _SIGKILL = 1, 9
_NO_SUCH_FLAG = 1 << 30
_LIBC = ctypes.CDLL(None)
_prctl = getattr(_LIBC, "prctl", None)
_syscall = _LIBC.syscall


class Entry:
    """Of the isolates of one zygote."""

    def __init__(self, sandbox: Sandbox, loop: Loop) -> None:
        self._become = sandbox.become
        self._restrict, self._seccomp = sandbox.numbers
        program = sandbox.program
        self._lines, self._ids, self._program = program.lines, program.ids, program.head
        self._wakes, self._woken = loop.descriptors
        self._reseed: Callable[[], object] | None = None
        """`random` is reseeded at the fork."""

    def loaded(self) -> None:
        """The function's module is there."""
        module = sys.modules.get("numpy.random")
        self._reseed = getattr(module, "seed", None)

    def rehearse(self, times: int = 16) -> None:
        """In the zygote, so that nothing of it changes."""
        for _ in range(times):
            fd = dup(SOCKET)
            bounds = ((RLIMIT_CPU, getrlimit(RLIMIT_CPU)), (RLIMIT_NOFILE, getrlimit(RLIMIT_NOFILE)))
            self._enter(fd, -1, getppid(), bounds, "", _NO_SUCH_FLAG, _LAST)
            close(fd)
        del environ["TMPDIR"]

    def enter(self, fd: int, rules: int, parent: int, bounds: Bounds, folder: str, uid: int | None) -> None:
        """Leave all of the zygote's behind but the loaded function: the isolate is the owner of `fd`, under the file
        rules `rules` and the limits `bounds`, ends with `parent`, writes to `folder` and is the user `uid`.
        """
        if uid is not None:
            self._become(uid)
        if not self._enter(fd, rules, parent, bounds, folder, 0, FIRST_FREE):
            raise OSError("the isolate is not confined")

    def _enter(self, fd: int, rules: int, parent: int, bounds: Bounds, folder: str, flags: int, first: int) -> bool:
        set_wakeup_fd(-1)
        signal(SIGCHLD, SIG_DFL)
        is_confined = True
        if _prctl is not None:
            _prctl(_PR_SET_PDEATHSIG, _SIGKILL, 0, 0, 0)
        if self._restrict:
            is_confined = _syscall(self._restrict, rules, 0) == 0
        if self._seccomp:
            for at in self._ids:
                pack_into("I", self._lines, at, getpid())
            is_confined = _syscall(self._seccomp, 1, flags, self._program) == 0 and is_confined
        dup2(fd, SOCKET, False)
        wakes, woken = new_pair()
        dup2(wakes, self._wakes, False)
        dup2(woken, self._woken, False)
        close(wakes)
        close(woken)
        closerange(first, _LAST)
        for kind, bound in bounds:
            setrlimit(kind, bound)
        environ["TMPDIR"] = folder
        if self._reseed is not None:
            self._reseed()
        if getppid() != parent:
            _exit(0)
        return is_confined
