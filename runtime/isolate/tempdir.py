"""Temporary folders: one for a pool, in it one for each isolate, gone with its owner whatever is in it."""

from __future__ import annotations

import asyncio
import contextlib
import os
import subprocess
import tempfile
from pathlib import Path

SPARE = 32
"""Empty folders kept for the isolates to come: a rename costs a twentieth of making and removing one."""
_REMOVE = ("sh", "-c", 'rm -rf -- "$1" || { chmod -R u+rwx -- "$1"; rm -rf -- "$1"; }', "sh")
"""For folders within folders beyond Python's recursion, and such as their own maker cannot read."""


class TempRoot:
    """Made by the host, and removed by it; an isolate only ever knows its own."""

    def __init__(self, name: str) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=f"beira-{os.getpid()}-{name}-"))
        self._spare: list[str] = []

    def add(self, number: int) -> None:
        folder = f"{self.path}/{number}"
        if self._spare:
            os.rename(self._spare.pop(), folder)
        else:
            os.mkdir(folder, 0o700)

    async def remove(self, number: int) -> None:
        """Most isolates leave it empty. What a function made of it may be too deep for Python's own recursion."""
        folder = f"{self.path}/{number}"
        try:
            if len(self._spare) < SPARE and _is_as_made(folder):
                spare = f"{self.path}/spare-{number}"
                os.rename(folder, spare)
                self._spare.append(spare)
            else:
                os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError:
            process = await asyncio.create_subprocess_exec(
                *_REMOVE, folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            await process.wait()

    def close(self) -> None:
        _remove_tree(self.path)


def _is_as_made(folder: str) -> bool:
    """Whether it is empty, and still ours alone."""
    state = os.lstat(folder)
    with os.scandir(folder) as entries:
        if any(entries):
            return False
    attributes = os.listxattr(folder) if hasattr(os, "listxattr") else []
    return state.st_mode == 0o40700 and state.st_uid == os.geteuid() and not attributes


def sweep() -> None:
    """Remove what hosts have left that were killed. Another host may be at the same work."""
    for folder in Path(tempfile.gettempdir()).glob("beira-*-*"):
        owner = folder.name.split("-")[1]
        if not owner.isdigit() or _is_running(int(owner)):
            continue
        with contextlib.suppress(OSError):
            if folder.lstat().st_uid == os.geteuid():
                _remove_tree(folder)


def _is_running(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except (ProcessLookupError, OverflowError):
        return False
    except OSError:
        return True
    return True


def _remove_tree(folder: Path) -> None:
    subprocess.run((*_REMOVE, str(folder)), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
