"""Which walls stand around a function's processes here: told at start."""

from __future__ import annotations

import sys
from dataclasses import dataclass

from runtime.isolate.landlock import Landlock
from runtime.isolate.privileges import Privileges
from runtime.isolate.seccomp import Filter


@dataclass(frozen=True, slots=True)
class Layers:
    """Which walls this kernel gives, and which not: told at start."""

    present: tuple[str, ...]
    absent: tuple[str, ...]

    def __str__(self) -> str:
        line = ", ".join(self.present) or "none"
        return f"{line}; not here: {', '.join(self.absent)}" if self.absent else line


def available(powers: Privileges | None = None) -> Layers:
    """What `Sandbox` will put up on this machine, and what a host with such powers adds; safe to ask anywhere."""
    powers = powers or Privileges()
    landlock, calls = Landlock(), Filter()
    walls = {
        "rlimits": True,
        "no_new_privs": sys.platform == "linux",
        "no capabilities": sys.platform == "linux",
        "seccomp (no network, no processes)": calls.is_available,
        "landlock (files)": landlock.version >= 1,
        "landlock (signals)": landlock.closes_signals,
        "a bound on threads": calls.can_ask,
        "a user of its own": powers.has_uids,
        "a file system of its own": powers.can_mount,
        "a control group": powers.groups.are_there,
    }
    return Layers(
        tuple(name for name, is_there in walls.items() if is_there),
        tuple(
            f"{name} ({powers.absent[name]})" if name in powers.absent else name
            for name, is_there in walls.items()
            if not is_there
        ),
    )
