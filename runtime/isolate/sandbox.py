"""The walls around zygote and isolates: what the kernel takes from them before a function's first line runs."""

from __future__ import annotations

import ctypes
import os
import signal
import sys
from dataclasses import dataclass

_PR_SET_PDEATHSIG = 1
_PR_SET_NO_NEW_PRIVS = 38


@dataclass(frozen=True, slots=True)
class Layers:
    """Which walls stand: told at start."""

    names: tuple[str, ...]
    absent: tuple[str, ...]


def die_with_parent(parent: int) -> None:
    """End this process when the process `parent`, which started it, ends."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, int(signal.SIGKILL), 0, 0, 0)
    if os.getppid() != parent:
        os._exit(0)


def confine() -> Layers:
    """No new privileges; the other layers are to come."""
    if sys.platform != "linux":
        return Layers((), ("no_new_privs", "landlock", "seccomp"))
    ctypes.CDLL(None).prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)
    return Layers(("no_new_privs",), ("landlock", "seccomp"))
