"""File system walls: what a process may open, whoever it is. See landlock(7)."""

from __future__ import annotations

import contextlib
import ctypes
import os
import struct
import sys
from collections.abc import Iterable
from dataclasses import dataclass

_CREATE, _ADD, RESTRICT = 444, 445, 446  # the same numbers on every architecture
_GET_VERSION = 1
_PATH_BENEATH = 1

_WRITE_FILE, _READ_FILE, _READ_DIR = 1 << 1, 1 << 2, 1 << 3
_REMOVE_DIR, _REMOVE_FILE, _MAKE_DIR, _MAKE_REG, _MAKE_SYM = 1 << 4, 1 << 5, 1 << 7, 1 << 8, 1 << 12
_REFER, _TRUNCATE = 1 << 13, 1 << 14
_OF_VERSION = {1: (1 << 13) - 1, 2: (1 << 14) - 1, 3: (1 << 15) - 1, 4: (1 << 15) - 1}
_OF_LATER = (1 << 16) - 1
_READ = _READ_FILE | _READ_DIR
_OWN = _READ | _WRITE_FILE | _REMOVE_DIR | _REMOVE_FILE | _MAKE_DIR | _MAKE_REG | _MAKE_SYM | _REFER | _TRUNCATE
_OF_A_FILE = _READ_FILE | _WRITE_FILE | _TRUNCATE


@dataclass(frozen=True, slots=True)
class Place:
    """An open path (O_PATH) and what may be done with what is below it."""

    fd: int
    is_dir: bool
    rights: int


def places(readable: Iterable[str], writable: Iterable[str], listed: Iterable[str] = ()) -> list[Place]:
    """Those of the paths that exist, opened; of `listed` ones the names can be read, and no more."""
    found = []
    for paths, rights in ((readable, _READ), (writable, _OWN), (listed, _READ_DIR)):
        for path in paths:
            with contextlib.suppress(OSError):
                fd = os.open(path, os.O_PATH | os.O_CLOEXEC)
                found.append(Place(fd, os.path.isdir(path), rights))
    return found


class Landlock:
    """Rules for this process and all that it forks; each call takes away, none gives back."""

    def __init__(self) -> None:
        self.version = 0
        if sys.platform == "linux":
            self._libc = ctypes.CDLL(None, use_errno=True)
            self.version = max(0, self._libc.syscall(_CREATE, None, ctypes.c_size_t(0), _GET_VERSION))

    @property
    def closes_network(self) -> bool:
        return self.version >= 4

    @property
    def closes_signals(self) -> bool:
        return self.version >= 6

    def ruleset(self, allowed: Iterable[Place]) -> int:
        """The descriptor of rules by which only `allowed` can be opened; no TCP, no abstract socket and no signal to
        anyone outside.
        """
        handled = _OF_VERSION.get(self.version, _OF_LATER)
        attributes = struct.pack("QQQ", handled, 3, 3)
        size = 8 if self.version < 4 else 16 if self.version < 6 else 24
        ruleset = self._call(_CREATE, attributes, ctypes.c_size_t(size), 0)
        try:
            for place in allowed:
                rights = place.rights & (handled if place.is_dir else handled & _OF_A_FILE)
                self._call(_ADD, ruleset, _PATH_BENEATH, struct.pack("=Qi", rights, place.fd), 0)
        except BaseException:
            os.close(ruleset)
            raise
        return ruleset

    def restrict(self, ruleset: int) -> None:
        """From now on these rules hold, beside those that do."""
        self._call(RESTRICT, ruleset, 0)

    def _call(self, *arguments: object) -> int:
        done: int = self._libc.syscall(*arguments)
        if done < 0:
            raise OSError(ctypes.get_errno(), "landlock")
        return done
