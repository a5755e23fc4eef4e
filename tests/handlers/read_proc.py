"""Reads what /proc tells of every process: environments, arguments, descriptors, memory."""

import os

from _attack import tried
from _targets import CANARY_PID


def read(path):
    with open(path, "rb") as file:
        return file.read(4096) or 1 / 0


def fetch(request):
    managed = tried(**{pid: lambda pid=pid: read(f"/proc/{pid}/maps") for pid in ("self", "thread-self")})
    for pid in [CANARY_PID, os.getppid(), *range(1, 2000)]:
        managed |= tried(
            **{
                f"{pid}/{name}": lambda path=f"/proc/{pid}/{name}": read(path)
                for name in ("environ", "cmdline", "maps")
            }
        )
    return {"managed": dict(list(managed.items())[:20])}
