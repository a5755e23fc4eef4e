"""The walls around zygote and isolates: what the kernel takes from them before a function's first line runs."""

from __future__ import annotations

import ctypes
import os
import signal
import site
import struct
import sys
from pathlib import Path

from runtime.isolate.landlock import RESTRICT, Landlock, places
from runtime.isolate.seccomp import Filter, Program

_PR_SET_PDEATHSIG = 1
_PR_SET_KEEPCAPS = 8
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_SETGID, _SETUID = 1 << 6, 1 << 7
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/mime.types",
    "/etc/ssl", "/etc/pki", "/etc/fonts", "/dev/urandom", "/dev/random", "/proc/cpuinfo", "/proc/meminfo",
    "/sys/devices/system/cpu",
)  # fmt: skip
"""What interpreter and packages read beside their own files; nothing in it is of this host's or its users' making."""


def die_with_parent(parent: int) -> None:
    """End this process when the process `parent`, which started it, ends."""
    if sys.platform == "linux":
        _LIBC.prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


class Sandbox:
    """Confines first the zygote, then each isolate further. A wall that the kernel lacks is left out."""

    def __init__(self, *, code: Path, own: Path, temp: Path) -> None:
        """`code` is the folder of the project's functions, `own` this one's file or folder in it."""
        self._temp = temp
        self._landlock = Landlock()
        self._calls = Filter()
        self._readable = (
            places(_readable(_shared(code, own)), ["/dev/null"], [str(code)]) if self._landlock.version else []
        )

    def gain_nothing(self) -> None:
        """No program that is started from here has more powers than this process. Only so may it confine itself."""
        if sys.platform == "linux":
            _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)

    def confine_zygote(self, uids: range | None = None) -> int:
        """Before the function's module is imported: its top level is the function's code too.

        With `uids` it becomes the first of them, and keeps of root's powers the one to become another of these.
        Returns the descriptor at which the host is asked about threads, or -1.
        """
        if sys.platform != "linux":
            return -1
        _drop_bounds()
        if uids is None:
            _set_capabilities(0)
        else:
            _LIBC.prctl(_PR_SET_KEEPCAPS, 1, 0, 0, 0)
            os.setgroups([])
            os.setresgid(uids.start, uids.start, uids.start)
            os.setresuid(uids.start, uids.start, uids.start)
            _set_capabilities(_SETGID | _SETUID)
        self.gain_nothing()
        if self._landlock.version:
            ruleset = self._landlock.ruleset([*self._readable, *places([], [str(self._temp)])])
            self._landlock.restrict(ruleset)
            os.close(ruleset)
        asks = self._calls.ask_for_threads() if self._calls.can_ask else -1
        if self._calls.is_available:
            self._calls.confine_zygote(uids)
        return asks

    def become(self, uid: int) -> None:
        """An isolate's user: no other process has it. The saved id stays the zygote's, whose end must end this one."""
        os.setresgid(uid, uid, uid)
        os.setresuid(uid, uid, os.getuid())
        _set_capabilities(0)

    def prepare_isolate(self, folder: str) -> int:
        """In the zygote: the descriptor of an isolate's file rules, or -1. Of the temporary folders they open its own.

        There they cost a twentieth of what they cost after the fork, where every page is written for the first time.
        """
        if not self._landlock.version:
            return -1
        own = places([], [folder])
        try:
            return self._landlock.ruleset([*self._readable, *own])
        finally:
            for place in own:
                os.close(place.fd)

    @property
    def numbers(self) -> tuple[int, int]:
        """Of the system calls that confine an isolate, by file rules and by a program; 0 where there are none."""
        return RESTRICT if self._landlock.version else 0, self._calls.number if self._calls.is_available else 0

    @property
    def program(self) -> Program:
        """That program: an isolate can fork nothing, and of the processes it signals only itself."""
        return self._calls.for_isolates


def _shared(code: Path, own: Path) -> list[str]:
    """Of the folder of functions: this one, and what is no other function."""
    entries = [] if own.parent != code else [entry for entry in code.iterdir() if not _is_function(entry)]
    return [str(path) for path in (own, *entries)]


def _is_function(path: Path) -> bool:
    if path.name.startswith("_"):
        return False
    return path.suffix == ".py" or (path / "__init__.py").exists()


def _readable(code: list[str]) -> list[str]:
    """The interpreter, installed packages, this package, and the function's `code`."""
    return _outermost(sorted({os.path.realpath(path) for path in (*interpreter(), *code, *_SYSTEM)}))


def interpreter() -> list[str]:
    """The interpreter with its packages, and this package."""
    own = Path(__file__).resolve().parents[1]
    root = str(own.parent)
    # in a checkout this package's parent is on the path too: the rest of it, with its .env, is not for functions
    paths = {path for path in (*sys.path, *site.getsitepackages()) if path and (path != root or "-packages" in path)}
    return sorted({*paths, sys.prefix, sys.base_prefix, str(own)})


def _outermost(paths: list[str]) -> list[str]:
    """Of sorted paths those that are not below another one: each rule costs every isolate some microseconds."""
    kept: list[str] = []
    for path in paths:
        if not (kept and path.startswith(kept[-1] + "/")):
            kept.append(path)
    return kept


def _drop_bounds() -> None:
    """What no program started from here could ever have again; only who has powers can do this."""
    if os.geteuid() == 0:
        for number in range(64):
            if _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
                break


def _set_capabilities(kept: int) -> None:
    """Root's own powers, where the host has them: without any, what is left of root is its name."""
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    if _LIBC.capset(header, struct.pack("6I", kept, kept, 0, 0, 0, 0)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
