"""Temporary folders: one for a pool, in it one for each isolate, gone with its owner whatever is in it."""

from __future__ import annotations

import asyncio
import os
import shutil
import subprocess
import tempfile
from pathlib import Path


class TempRoot:
    """Made by the host, and removed by it; an isolate only ever knows its own."""

    def __init__(self, name: str) -> None:
        sweep()
        self.path = Path(tempfile.mkdtemp(prefix=f"beira-{os.getpid()}-{name}-"))

    def add(self, number: int) -> None:
        os.mkdir(self.path / str(number), 0o700)

    async def remove(self, number: int) -> None:
        """Most isolates leave it empty. What a function made of it may be too deep for Python's own recursion."""
        folder = self.path / str(number)
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            return
        except OSError:
            process = await asyncio.create_subprocess_exec(
                "rm", "-rf", "--", str(folder), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            await process.wait()

    def close(self) -> None:
        shutil.rmtree(self.path, ignore_errors=True)


def sweep() -> None:
    """Remove what hosts have left that were killed."""
    for folder in Path(tempfile.gettempdir()).glob("beira-*-*"):
        owner = folder.name.split("-")[1]
        if not (owner.isdigit() and folder.is_dir() and folder.stat().st_uid == os.geteuid()):
            continue
        try:
            os.kill(int(owner), 0)
        except ProcessLookupError:
            shutil.rmtree(folder, ignore_errors=True)
        except OSError:
            continue
