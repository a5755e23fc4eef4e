"""Pages that every isolate writes to are copied at the fork, all at once.

A fork shares its pages until either side writes, and then a page is copied, at 3 us: most of that is the fault. Of a
zygote's 4,000 pages an isolate writes to some 400, always the same. At the fork itself a copy costs 0.7 us, and the
kernel makes one there of a page that a device may be writing to. Such are the buffers of an io_uring, so those pages
are registered as its buffers (io_uring_register(2)), and no request is ever made of it. Where a kernel or a container
has no io_uring, pages are copied one by one, and nothing else is different.
"""

from __future__ import annotations

import array
import ctypes
import mmap
import os
import struct
import sys

_SETUP, _REGISTER = 425, 427  # the same numbers on every architecture
_BUFFERS, _MOST = 0, 1 << 14
_PRESENT, _OF_A_FILE, _EXCLUSIVE = 1 << 63, 1 << 61, 1 << 56
"""Of an entry of /proc/PID/pagemap."""
_SIZE = mmap.PAGESIZE
Range = tuple[int, int]
"""First address and size."""


class Memory:
    """What this process has mapped to write; made before the fork whose pages are looked at."""

    def __init__(self) -> None:
        self._maps: list[tuple[int, array.array[int]]] = []
        if sys.platform == "linux":
            with open("/proc/self/maps") as file:
                for line in file:
                    span, access, *_ = line.split(" ", 2)
                    first, last = (int(part, 16) for part in span.split("-"))
                    if access == "rw-p":
                        self._maps.append((first, array.array("Q", bytes((last - first) // _SIZE * 8))))
        self._own: set[int] = set()

    def look(self, pid: int) -> None:
        """Add the pages that `pid`, a living fork of this process, shares with none: those that it has written to, or
        this process has since. Raises OSError.
        """
        fd = os.open(f"/proc/{pid}/pagemap", os.O_RDONLY | os.O_CLOEXEC)
        try:
            for first, entries in self._maps:
                os.preadv(fd, [entries], first // _SIZE * 8)
        finally:
            os.close(fd)
        for first, entries in self._maps:
            for number, entry in enumerate(entries):
                if entry & _PRESENT and entry & _EXCLUSIVE and not entry & _OF_A_FILE:
                    self._own.add(first + number * _SIZE)

    def ranges(self) -> list[Range]:
        """Of pages that follow each other one."""
        found: list[Range] = []
        for at in sorted(self._own):
            if found and sum(found[-1]) == at:
                found[-1] = found[-1][0], found[-1][1] + _SIZE
            else:
                found.append((at, _SIZE))
        return found


def copy_at_fork(ranges: list[Range]) -> int:
    """From now on, as long as the descriptor lives that is returned; -1 where this is not to be had."""
    libc = ctypes.CDLL(None)
    ring: int = libc.syscall(_SETUP, 1, ctypes.create_string_buffer(120)) if sys.platform == "linux" else -1
    if ring < 0:
        return -1
    ranges = ranges[:_MOST]
    vectors = b"".join(struct.pack("QQ", *each) for each in ranges)
    if not ranges or libc.syscall(_REGISTER, ring, _BUFFERS, vectors, len(ranges)) < 0:
        os.close(ring)
        return -1
    return ring
