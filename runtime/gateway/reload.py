"""Development: which functions were touched on disk, as it happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import watchfiles

SHARED = "_"
"""Stands for every function: a helper, or the project's settings, changed."""
_SETTINGS = ("beira.toml", ".env")


async def changes(root: Path) -> AsyncIterator[set[str]]:
    """Names of the functions whose files changed, one set a burst of saves; SHARED where all may be concerned."""
    folder = root / "functions"
    queue: asyncio.Queue[set[str]] = asyncio.Queue()
    watchers = [
        asyncio.create_task(_watch(folder, queue, recursive=True)),
        asyncio.create_task(_watch(root, queue, recursive=False)),
    ]
    try:
        while True:
            yield await queue.get()
    finally:
        for task in watchers:
            task.cancel()
        await asyncio.gather(*watchers, return_exceptions=True)


async def _watch(folder: Path, queue: asyncio.Queue[set[str]], *, recursive: bool) -> None:
    async for burst in watchfiles.awatch(folder, recursive=recursive, debounce=120, step=30, rust_timeout=1000):
        touched = {_name(folder, Path(path), recursive) for _, path in burst} - {None}
        if touched:
            await queue.put({name for name in touched if name is not None})


def _name(folder: Path, path: Path, is_functions: bool) -> str | None:
    """The function that a changed file belongs to; None: it concerns nobody."""
    try:
        first = path.relative_to(folder).parts[0]
    except (ValueError, IndexError):
        return None
    if not is_functions:
        return SHARED if first in _SETTINGS else None
    return SHARED if first.startswith("_") else first.removesuffix(".py")
