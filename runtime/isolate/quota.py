"""The bound on temporary folders where the host may mount nothing: it looks, and ends who holds too much."""

from __future__ import annotations

import asyncio
import contextlib
import os
import stat
from collections.abc import Callable, Iterable
from dataclasses import dataclass

EVERY_S = 0.25
DEPTH = 128
"""The most folders within folders."""


@dataclass(frozen=True, slots=True)
class Holding:
    """An isolate's folder, and the process that may hold files of it without a name."""

    number: int
    pid: int
    folder: str


class FolderWatch:
    """Looks at what `holdings` gives, again and again, and tells `on_excess(number)`."""

    def __init__(
        self, holdings: Callable[[], Iterable[Holding]], on_excess: Callable[[int], None], *, quota: int, files: int
    ) -> None:
        """`quota` in bytes."""
        self._holdings = holdings
        self._on_excess = on_excess
        self._quota = quota
        self._files = files
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            begin = loop.time()
            for each in list(self._holdings()):
                if await asyncio.to_thread(exceeds, each, self._quota, self._files):
                    self._on_excess(each.number)
            await asyncio.sleep(max(EVERY_S, 4 * (loop.time() - begin)))

    def close(self) -> None:
        self._task.cancel()


def exceeds(holding: Holding, quota: int, files: int) -> bool:
    """Whether it holds more bytes on the disk, or more files and folders, than it may."""
    count = _Count(quota, files)
    try:
        fd = os.open(holding.folder, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return False
    try:
        count.below(fd, 0)
        count.unnamed(holding.pid, os.fstat(fd).st_dev)
    except _Excess:
        return True
    finally:
        os.close(fd)
    return False


class _Excess(Exception):
    pass


class _Count:
    def __init__(self, quota: int, files: int) -> None:
        self._quota = quota
        self._files = files
        self._seen: set[int] = set()

    def below(self, fd: int, depth: int) -> None:
        """What the folder `fd` holds; its entries come and go meanwhile."""
        with os.scandir(fd) as entries:
            for entry in entries:
                with contextlib.suppress(FileNotFoundError):
                    state = entry.stat(follow_symlinks=False)
                    self._add(state)
                    if stat.S_ISDIR(state.st_mode):
                        if depth == DEPTH:
                            raise _Excess
                        self._enter(fd, entry.name, depth)

    def _enter(self, parent: int, name: str, depth: int) -> None:
        try:
            fd = os.open(name, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW, dir_fd=parent)
        except PermissionError:  # made so that it cannot be listed
            os.chmod(name, 0o700, dir_fd=parent)
            return self._enter(parent, name, depth)
        except OSError:
            return None
        try:
            self.below(fd, depth + 1)
        finally:
            os.close(fd)

    def unnamed(self, pid: int, device: int) -> None:
        """Files that are open and have no name any more."""
        for name in _open_files(pid):
            with contextlib.suppress(OSError):
                state = os.stat(f"/proc/{pid}/fd/{name}")
                if stat.S_ISREG(state.st_mode) and state.st_dev == device and not state.st_nlink:
                    self._add(state)

    def _add(self, state: os.stat_result) -> None:
        if state.st_ino in self._seen:
            return
        self._seen.add(state.st_ino)
        self._quota -= state.st_blocks * 512
        self._files -= 1
        if self._quota < 0 or self._files < 0:
            raise _Excess


def _open_files(pid: int) -> list[str]:
    try:
        return os.listdir(f"/proc/{pid}/fd")
    except OSError:
        return []
