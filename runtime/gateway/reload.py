"""Development: which functions were touched on disk, as it happens."""

from __future__ import annotations

import asyncio
import contextlib
from pathlib import Path

import watchfiles

SHARED = "_"
"""Stands for every function: a helper, or the project's settings, changed."""
AGAIN_S = 1.0
"""How long after its failure a watcher begins anew."""
_SETTINGS = ("beira.toml", ".env")


class Changes:
    """Names of the functions whose files changed, one set a burst of saves; SHARED where all may be concerned.

    Watches from the moment it is made, so that nothing saved while the functions are loading is missed.
    """

    def __init__(self, root: Path) -> None:
        self._queue: asyncio.Queue[set[str]] = asyncio.Queue()
        self._stop = asyncio.Event()
        self._watchers = [
            asyncio.create_task(self._watch(root / "functions", is_functions=True)),
            asyncio.create_task(self._watch(root, is_functions=False)),
        ]

    def __aiter__(self) -> Changes:
        return self

    async def __anext__(self) -> set[str]:
        touched = await self._queue.get()
        while not self._queue.empty():
            touched |= self._queue.get_nowait()
        return touched

    async def aclose(self) -> None:
        """Stop watching."""
        self._stop.set()
        for task in self._watchers:
            task.cancel()
        await asyncio.gather(*self._watchers, return_exceptions=True)

    async def _watch(self, folder: Path, *, is_functions: bool) -> None:
        """For as long as it is wanted: a file whose name is no text ends the watcher that meets it, for one."""
        while True:
            with contextlib.suppress(Exception):
                await self._watch_once(folder, is_functions=is_functions)
            await asyncio.sleep(AGAIN_S)
            if await asyncio.to_thread(folder.exists):
                await self._queue.put({SHARED})

    async def _watch_once(self, folder: Path, *, is_functions: bool) -> None:
        bursts = watchfiles.awatch(
            folder, recursive=is_functions, stop_event=self._stop, debounce=120, step=30, rust_timeout=500
        )
        async for burst in bursts:
            names = (_name(folder, Path(path), is_functions) for _, path in burst)
            touched = {name for name in names if name is not None}
            if touched:
                await self._queue.put(touched)


def _name(folder: Path, path: Path, is_functions: bool) -> str | None:
    """The function that a changed file belongs to; None: it concerns nobody."""
    try:
        first = path.relative_to(folder).parts[0]
    except (ValueError, IndexError):
        return None
    if not is_functions:
        return SHARED if first in _SETTINGS else None
    return SHARED if first.startswith("_") else first.removesuffix(".py")
