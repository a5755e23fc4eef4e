"""What the kernel enforces for one process: CPU time, memory, file sizes and descriptors."""

from __future__ import annotations

import os
import resource
import sys
from dataclasses import dataclass

Bounds = tuple[tuple[int, tuple[int, int]], ...]
"""Kinds of limit, and each one's soft and hard value."""
_FILES = 256
_SIGNALS = 1024
_ADDRESSES = 32 * 2**30
"""Bytes of address space. What is only read counts as no data, but its page tables are memory: 1/512 of this."""
_RESERVE = 8 * 2**20
"""Bytes above the memory limit that a handler does not get: they let the isolate report that it was exceeded."""


@dataclass(frozen=True, slots=True)
class ProcessLimits:
    """The part of `config.Limits` that a process carries."""

    cpu_ms: int
    memory_mb: int
    startup_cpu_ms: int


class DataSize:
    """How much private memory this process has mapped; opened before the sandbox closes /proc."""

    def __init__(self) -> None:
        try:
            self._fd = os.open("/proc/self/statm", os.O_RDONLY | os.O_CLOEXEC)
        except OSError:  # no /proc: memory is limited by the machine only
            self._fd = -1

    def read(self) -> int:
        """Bytes as RLIMIT_DATA counts them; 0 where the system does not tell."""
        if self._fd < 0:
            return 0
        return int(os.pread(self._fd, 256, 0).split()[5]) * resource.getpagesize()


def limit_zygote(limits: ProcessLimits, used: int) -> None:
    """Before the module is imported. The hard limit leaves room for isolates: they begin with all of its memory."""
    _lower(resource.RLIMIT_CORE, 0, 0)
    if sys.platform == "linux":
        _lower(resource.RLIMIT_MEMLOCK, 0, 0)
        _lower(resource.RLIMIT_SIGPENDING, _SIGNALS, _SIGNALS)  # timers count too: a user has so many, not a process
    _lower(resource.RLIMIT_FSIZE, limits.memory_mb * 2**20, limits.memory_mb * 2**20)
    _lower(resource.RLIMIT_NOFILE, _FILES * 4, _FILES * 4)
    if used:
        most = limits.memory_mb * 2**20
        _lower(resource.RLIMIT_DATA, used + most, used + 2 * most + _RESERVE)
    _lower(resource.RLIMIT_AS, _ADDRESSES, _ADDRESSES)


def limit_data(limits: ProcessLimits, used: int) -> None:
    """In the zygote, once the module is there: isolates inherit it."""
    if used:
        most = used + limits.memory_mb * 2**20
        _lower(resource.RLIMIT_DATA, most, most + _RESERVE)


def of_isolate(limits: ProcessLimits) -> Bounds:
    """What is set after the fork. CPU has whole seconds here; the host counts milliseconds and is the first to act."""
    seconds = -(-limits.cpu_ms // 1000)
    return (
        (resource.RLIMIT_CPU, _lowered(resource.RLIMIT_CPU, seconds, seconds + 1)),
        (resource.RLIMIT_NOFILE, _lowered(resource.RLIMIT_NOFILE, _FILES, _FILES)),
    )


def release_reserve() -> None:
    """Memory is exhausted: make the last bytes usable, to say so."""
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))


def _lower(kind: int, soft: int, hard: int) -> None:
    resource.setrlimit(kind, _lowered(kind, soft, hard))


def _lowered(kind: int, soft: int, hard: int) -> tuple[int, int]:
    """Never above what is set already: only root could."""
    _, most = resource.getrlimit(kind)
    return (soft, hard) if most == resource.RLIM_INFINITY else (min(soft, most), min(hard, most))
