"""How much memory this node has left: what the machine and its control group give, asked once a second at most."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable
from pathlib import Path

EVERY_S = 1.0
_MEMINFO = Path("/proc/meminfo")
_GROUPS = Path("/sys/fs/cgroup")


class Memory:
    """Says when new work must be shed, before the kernel begins to kill."""

    def __init__(
        self,
        floor_mb: int,
        available: Callable[[], int | None] | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """`available` gives bytes, None where it cannot be known: then nothing is ever shed."""
        self._floor = floor_mb * 2**20
        self._available = available or available_bytes
        self._clock = clock
        self._until = float("-inf")
        self._is_low = False

    @property
    def is_low(self) -> bool:
        now = self._clock()
        if now >= self._until:
            self._until = now + EVERY_S
            left = self._available()
            self._is_low = left is not None and left < self._floor
        return self._is_low


def available_bytes() -> int | None:
    """What can still be allocated without pushing out anything that is in use; None on systems without /proc."""
    return min((left for left in (_machine(), _group()) if left is not None), default=None)


def _machine() -> int | None:
    try:
        for line in _MEMINFO.read_text("ascii").splitlines():
            if line.startswith("MemAvailable:"):
                return int(line.split()[1]) * 1024
    except (OSError, ValueError):
        pass
    return None


def _group() -> int | None:
    """Of this process's own control group and those around it, version 2 or 1; None where none has a limit."""
    try:
        lines = [line.split(":", 2) for line in Path("/proc/self/cgroup").read_text("utf-8").splitlines()]
    except OSError:
        return None
    for _, controllers, path in lines:
        if controllers == "memory":
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
            return _least(_GROUPS / "memory", path, names)
        if not controllers and (_GROUPS / "cgroup.controllers").exists():
            return _least(_GROUPS, path, ("memory.max", "memory.current", "inactive_file"))
    return None


def _least(root: Path, path: str, names: tuple[str, str, str]) -> int | None:
    """Of the group at `path` below `root` and of all around it."""
    found, folder = [], root / path.strip("/")
    while True:
        with contextlib.suppress(OSError, ValueError):
            found.append(_left(folder, *names))
        if folder == root:
            return min(found, default=None)
        folder = folder.parent


def _left(folder: Path, limit: str, use: str, droppable: str) -> int:
    """Raises ValueError where the limit is `max`, OSError where the group cannot be seen."""
    bound, used = (int((folder / name).read_text("ascii")) for name in (limit, use))
    stat = dict(line.split() for line in (folder / "memory.stat").read_text("ascii").splitlines())
    return bound - used + int(stat.get(droppable, 0))
