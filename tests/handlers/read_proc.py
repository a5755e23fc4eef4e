"""Reads what /proc tells of every process: environments, arguments, descriptors, memory."""

import glob

from _attack import tried


def read(path):
    with open(path, "rb") as file:
        return file.read(4096) or 1 / 0


def fetch(request):
    managed = {}
    for pid in ["self", "thread-self", *range(1, 70_000)]:
        if len(managed) > 20:
            break
        names = ("environ", "cmdline", "maps") if isinstance(pid, str) or glob.glob(f"/proc/{pid}") else ()
        managed |= tried(**{f"{pid}/{name}": lambda path=f"/proc/{pid}/{name}": read(path) for name in names})
    return {"managed": managed}
