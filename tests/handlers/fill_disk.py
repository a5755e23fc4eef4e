"""Takes the disk in ways that no single file's size shows: files without a name, sparse and allocated ones, links."""

import os
import tempfile
import time

MB = 2**20
LIMIT_MB = 128
SLACK_MB = 16


def unnamed(folder, held):
    held.append(os.open(folder, os.O_TMPFILE | os.O_RDWR, 0o600))
    os.write(held[-1], bytes(MB))
    return MB


def deleted(folder, held):
    held.append(os.open(f"{folder}/x", os.O_CREAT | os.O_RDWR, 0o600))
    os.unlink(f"{folder}/x")
    os.write(held[-1], bytes(MB))
    return MB


def allocated(folder, held):
    with open(f"{folder}/{time.monotonic_ns()}", "wb") as file:
        os.posix_fallocate(file.fileno(), 0, MB)
    return MB


def by_map(folder, held):
    import mmap

    with open(f"{folder}/{time.monotonic_ns()}", "w+b") as file:
        file.truncate(MB)
        with mmap.mmap(file.fileno(), MB) as memory:
            memory[:] = bytes(MB)
    return MB


def fetch(request):
    """It means to hold 240 MB, a little at a time, and to stay; the folder may hold no more than the memory limit."""
    folder, held, taken = tempfile.gettempdir(), [], 0
    way = {"unnamed": unnamed, "deleted": deleted, "allocated": allocated, "map": by_map}[request.url.query["way"]]
    with open(f"{folder}/sparse", "wb") as file:
        os.truncate(file.fileno(), 100 * MB)
        os.link(f"{folder}/sparse", f"{folder}/linked")
    try:
        for _ in range(240):
            taken += way(folder, held)
            time.sleep(0.01)
    except OSError:
        pass
    time.sleep(1)
    managed = {"held": f"{taken // MB} MB"} if taken > (LIMIT_MB + SLACK_MB) * MB else {}
    return {"managed": managed}
