"""The machine beside a measurement: what others took of it meanwhile."""

from __future__ import annotations

import os
import time
from pathlib import Path

from tests.node import children

TICK = os.sysconf("SC_CLK_TCK")


class Watch:
    """Since its making: `share` is what processes that are not below this one took of all cores' time, 0 … 1."""

    def __init__(self) -> None:
        self._began, self._others = time.monotonic(), _others()

    @property
    def share(self) -> float:
        return (_others() - self._others) / ((time.monotonic() - self._began) * (os.cpu_count() or 1))


def _others() -> float:
    """CPU seconds so far."""
    user, nice, system, _, _, irq, soft, *_ = map(int, Path("/proc/stat").read_text().split("\n", 1)[0].split()[1:])
    ours = sum(_ticks(pid) for pid in (os.getpid(), *children(os.getpid())))
    return (user + nice + system + irq + soft - ours) / TICK


def _ticks(pid: int) -> int:
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return 0
    return sum(map(int, fields[11:15]))  # its own, and its dead children's
