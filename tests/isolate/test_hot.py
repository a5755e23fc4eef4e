"""Pages that are copied at the fork: found where a fork has written to them, and copied there is what both had."""

from __future__ import annotations

import ctypes
import mmap
import os
import resource
import socket
import sys
from collections.abc import Callable, Iterator

import pytest

from runtime.isolate import hot

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="Linux")
PAGES = 64
SIZE = mmap.PAGESIZE


@pytest.fixture
def memory() -> Iterator[mmap.mmap]:
    """Pages of this process alone, all of them written to."""
    with mmap.mmap(-1, PAGES * SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS) as found:
        write(found, range(PAGES), b"a")
        yield found


def write(memory: mmap.mmap, pages: range, byte: bytes) -> None:
    for page in pages:
        memory[page * SIZE : page * SIZE + 1] = byte


def address(memory: mmap.mmap) -> int:
    return ctypes.addressof(ctypes.c_char.from_buffer(memory))


class Fork:
    """A child that runs `work`, tells its bytes, and lives until it is let go."""

    def __init__(self, work: Callable[[], bytes]) -> None:
        self._ours, theirs = socket.socketpair()
        self.pid = os.fork()
        if self.pid == 0:
            self._ours.close()
            try:
                theirs.send(work())
                theirs.recv(1)
            finally:
                os._exit(0)
        theirs.close()
        self.said = self._ours.recv(4096)

    def let_go(self) -> None:
        self._ours.close()
        os.waitpid(self.pid, 0)


def faults() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt


def test_the_pages_that_a_fork_has_written_to_are_found(memory: mmap.mmap) -> None:
    found = hot.Memory()

    def work() -> bytes:
        write(memory, range(10, 20), b"b")
        return b"."

    child = Fork(work)
    write(memory, range(30, 35), b"c")  # here, since the fork
    try:
        found.look(child.pid)
    finally:
        child.let_go()
    first = address(memory)
    pages = {at // SIZE for begin, size in found.ranges() for at in range(begin - first, begin - first + size, SIZE)}
    assert pages & set(range(PAGES)) == {*range(10, 20), *range(30, 35)}


def test_ranges_are_of_pages_that_follow_each_other(memory: mmap.mmap) -> None:
    found = hot.Memory()
    child = Fork(lambda: (write(memory, range(8, 16), b"b"), b".")[1])
    try:
        found.look(child.pid)
    finally:
        child.let_go()
    assert (address(memory) + 8 * SIZE, 8 * SIZE) in found.ranges()
    assert found.ranges() == sorted(found.ranges())


def test_what_is_copied_at_the_fork_costs_no_fault_and_is_nobody_elses(memory: mmap.mmap) -> None:
    ring = hot.copy_at_fork([(address(memory), 32 * SIZE)])
    if ring < 0:
        pytest.skip("no io_uring here")

    def work() -> bytes:
        counts = []
        for pages in (range(32, 34), range(32), range(34, 64)):  # at first Python's own pages are copied
            before = faults()
            write(memory, pages, b"b")
            counts.append(faults() - before)
        return bytes(counts[1:])

    try:
        child = Fork(work)
        write(memory, range(32, 34), b"c")
        before = faults()
        write(memory, range(32), b"c")
        here = faults() - before
        child.let_go()
    finally:
        os.close(ring)
    copied, shared = child.said
    assert copied < 16 < 30 <= shared
    assert here < 16
    assert memory[0:1] == b"c"  # the child's own writes are not seen here
    assert memory[40 * SIZE : 40 * SIZE + 1] == b"a"


def test_a_fork_sees_what_was_there_at_the_fork(memory: mmap.mmap) -> None:
    ring = hot.copy_at_fork([(address(memory), 4 * SIZE)])
    write(memory, range(4), b"x")
    child = Fork(lambda: memory[0:1])
    write(memory, range(4), b"y")
    child.let_go()
    if ring >= 0:
        os.close(ring)
    assert child.said == b"x"


def test_nothing_to_copy_needs_no_descriptor() -> None:
    before = len(os.listdir("/proc/self/fd"))
    assert hot.copy_at_fork([]) == -1
    assert len(os.listdir("/proc/self/fd")) == before
