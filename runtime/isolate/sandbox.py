"""The walls around zygote and isolates: what the kernel takes from them before a function's first line runs."""

from __future__ import annotations

import ctypes
import os
import signal
import site
import struct
import sys
from dataclasses import dataclass
from pathlib import Path

from runtime.isolate.landlock import Landlock, places
from runtime.isolate.seccomp import Filter

_PR_SET_PDEATHSIG = 1
_PR_CAPBSET_DROP = 24
_PR_SET_NO_NEW_PRIVS = 38
_CAPABILITY_VERSION = 0x20080522
_LIBC = ctypes.CDLL(None, use_errno=True)
_SYSTEM = (
    "/usr", "/lib", "/lib64", "/bin", "/etc/ld.so.cache", "/etc/localtime", "/etc/timezone", "/etc/mime.types",
    "/etc/ssl", "/etc/pki", "/etc/fonts", "/dev/urandom", "/dev/random", "/proc/cpuinfo", "/proc/meminfo",
    "/sys/devices/system/cpu",
)  # fmt: skip
"""What interpreter and packages read beside their own files; nothing in it is of this host's or its users' making."""


@dataclass(frozen=True, slots=True)
class Layers:
    """Which walls this kernel gives, and which not: told at start."""

    present: tuple[str, ...]
    absent: tuple[str, ...]

    def __str__(self) -> str:
        line = ", ".join(self.present) or "none"
        return f"{line}; not on this kernel: {', '.join(self.absent)}" if self.absent else line


def available() -> Layers:
    """What `Sandbox` will put up on this machine; safe to ask anywhere."""
    landlock, calls = Landlock(), Filter()
    walls = {
        "rlimits": True,
        "no_new_privs": sys.platform == "linux",
        "no capabilities": sys.platform == "linux",
        "seccomp (no network, no processes)": calls.is_available,
        "landlock (files)": landlock.version >= 1,
        "landlock (signals)": landlock.closes_signals,
    }
    return Layers(
        tuple(name for name, is_there in walls.items() if is_there),
        tuple(name for name, is_there in walls.items() if not is_there),
    )


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

    def confine_zygote(self) -> None:
        """Before the function's module is imported: its top level is the function's code too."""
        if sys.platform != "linux":
            return
        _drop_capabilities()
        _LIBC.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
        if self._landlock.version:
            self._landlock.restrict([*self._readable, *places([], [str(self._temp)])])
        if self._calls.is_available:
            self._calls.confine_zygote()

    def confine_isolate(self, folder: str) -> None:
        """After the fork: of the temporary folders only its own, of the processes only itself."""
        if self._landlock.version:
            self._landlock.restrict([*self._readable, *places([], [folder])])
        if self._calls.is_available:
            self._calls.confine_isolate(os.getpid())


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
    own = Path(__file__).resolve().parents[1]
    root = str(own.parent)
    # in a checkout this package's parent is on the path too: the rest of it, with its .env, is not for functions
    paths = {path for path in (*sys.path, *site.getsitepackages()) if path and (path != root or "-packages" in path)}
    wanted = {*paths, sys.prefix, sys.base_prefix, str(own), *code, *_SYSTEM}
    return _outermost(sorted({os.path.realpath(path) for path in wanted}))


def _outermost(paths: list[str]) -> list[str]:
    """Of sorted paths those that are not below another one: each rule costs every isolate some microseconds."""
    kept: list[str] = []
    for path in paths:
        if not (kept and path.startswith(kept[-1] + "/")):
            kept.append(path)
    return kept


def _drop_capabilities() -> None:
    """Root's own powers, where the host has them: what is left of root is its name."""
    if os.geteuid() != 0:
        return
    for number in range(64):
        if _LIBC.prctl(_PR_CAPBSET_DROP, number, 0, 0, 0) != 0:
            break
    header = struct.pack("Ii", _CAPABILITY_VERSION, 0)
    if _LIBC.capset(header, bytes(24)) != 0:
        raise OSError(ctypes.get_errno(), "capset")
