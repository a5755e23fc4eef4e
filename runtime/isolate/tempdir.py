"""Temporary folders: one for a pool, in it one for each isolate, gone with its owner whatever is in it."""

from __future__ import annotations

import asyncio
import contextlib
import heapq
import os
import subprocess
import tempfile
from pathlib import Path

from runtime.isolate import privileges
from runtime.isolate.privileges import Privileges

SPARE = 32
"""Empty folders kept for the isolates to come, as they are."""
FILES = 16 * 1024
"""The most files and folders of an isolate."""
_REMOVE = ("sh", "-c", 'rm -rf -- "$1" || { [ -h "$1" ] || chmod -R u+rwx -- "$1"; rm -rf -- "$1"; }', "sh")
"""For folders within folders beyond Python's recursion, and such as their own maker cannot read."""


class TempRoot:
    """Made by the host, and removed by it; an isolate only ever knows its own folder.

    A folder goes by a number, its place, and so does its user where isolates have one of their own: a place is an
    isolate's alone until it is given back.
    """

    def __init__(self, name: str, powers: Privileges, *, quota_mb: int) -> None:
        self.path = Path(tempfile.mkdtemp(prefix=f"beira-{os.getpid()}-{name}-"))
        self.uids = powers.take_uids()
        self._powers = powers
        self.quota_mb = quota_mb
        if self.uids is not None:
            self.path.chmod(0o711)
        self._spare: list[int] = []
        self._free: list[int] = []
        """Places whose folders are gone."""
        self._last = 0
        self.lack: OSError | None = None
        """Why the last folder that was wanted could not be made: the disk is full, say."""

    @property
    def is_bounded(self) -> bool:
        """The kernel refuses what would be more than the quota."""
        return self._powers.can_mount

    def take(self) -> int:
        """A place with an empty folder; where none can be made, without one: most isolates never write a file."""
        if self._spare:
            return self._spare.pop()
        while True:
            if self._free:
                place = heapq.heappop(self._free)
            else:
                self._last += 1
                place = self._last
            try:
                self._make(place)
            except FileExistsError:
                continue  # what somebody has left there could not be removed: nobody is to have it
            except OSError as e:
                self.lack = e
            else:
                self.lack = None
            return place

    def folder(self, place: int) -> str:
        return f"{self.path}/{place}"

    async def give_back(self, place: int) -> None:
        """Its isolate is gone. Most leave the folder empty; what others made may be too deep for Python's recursion."""
        folder = self.folder(place)
        if len(self._spare) < SPARE and self._is_as_made(place):
            self._spare.append(place)
            return
        if self._powers.can_mount:
            await asyncio.to_thread(_unmount, folder)  # it may take a while to free what is there
        try:
            os.rmdir(folder)
        except FileNotFoundError:
            pass
        except OSError:
            process = await asyncio.create_subprocess_exec(
                *_REMOVE, folder, stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL
            )
            await process.wait()
        heapq.heappush(self._free, place)

    def close(self) -> None:
        if self._powers.can_mount:
            for place in range(1, self._last + 1):
                _unmount(self.folder(place))
        _remove_tree(self.path)
        self._powers.give_back(self.uids)

    def _make(self, place: int) -> None:
        folder, uid = self.folder(place), self._uid(place)
        os.mkdir(folder, 0o700)
        try:
            if self._powers.can_mount:
                privileges.mount(folder, megabytes=self.quota_mb, files=FILES, uid=uid)
            elif self.uids is not None:
                os.chown(folder, uid, uid, follow_symlinks=False)
        except OSError:
            os.rmdir(folder)
            raise

    def _uid(self, place: int) -> int:
        return os.geteuid() if self.uids is None else self.uids[place]

    def _is_as_made(self, place: int) -> bool:
        """Whether it is empty, and still its owner's alone."""
        folder = self.folder(place)
        try:
            state = os.lstat(folder)
            with os.scandir(folder) as entries:
                if any(entries):
                    return False
            attributes = os.listxattr(folder) if hasattr(os, "listxattr") else []
        except OSError:
            return False
        return state.st_mode == 0o40700 and state.st_uid == self._uid(place) and not attributes


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


def _unmount(folder: str) -> None:
    with contextlib.suppress(OSError):
        privileges.unmount(folder)


def _remove_tree(folder: Path) -> None:
    subprocess.run((*_REMOVE, str(folder)), stdin=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False)
