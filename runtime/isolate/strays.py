"""What a zygote has that it may not have: processes that are no isolates, memory that all isolates would share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Collection
from pathlib import Path


def strays(session: int, isolates: Collection[int]) -> set[int]:
    """Processes of the zygote's session that are neither it nor among `isolates`."""
    found = set()
    for name in os.listdir("/proc") if os.path.isdir("/proc/self") else []:
        with contextlib.suppress(OSError, ValueError):
            if os.getsid(int(name)) != session or int(name) == session or int(name) in isolates:
                continue
            if not Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].startswith(" Z"):
                found.add(int(name))
    return found


def shares_memory(zygote: int) -> bool:
    """Whether it has mapped a file so that what its forks write there is seen by all of them."""
    try:
        with open(f"/proc/{zygote}/maps", "rb") as file:
            return any(line.split(b" ", 2)[1][1::2] == b"ws" for line in file)
    except OSError:
        return False  # no such thing here, or not this host's to see
