"""Work that streams must not wait for: one job after the other on a thread, behind everything else on the node."""

from __future__ import annotations

import os
import sys
import threading
import time
from collections import deque
from collections.abc import Callable
from typing import TypeVar

Result = TypeVar("Result")
Then = Callable[[], None]
Job = Callable[[], Then | None]
"""Computes, and returns what tells those who wait for it: done once the job is no longer in work."""

NICE = 10
"""How far such work stands behind everything else."""


class Background:
    """Does one job at a time, so that their compute threads never are more than one's. Jobs do not raise."""

    def __init__(self, *, name: str) -> None:
        self._condition = threading.Condition()
        self._first: deque[Job] = deque()
        self._jobs: deque[Job] = deque()
        self._began: float | None = None
        self._is_closing = False
        self._at_end: deque[Then] = deque()
        self._thread = threading.Thread(target=self._work, name=f"beira-background-{name}", daemon=True)
        self._thread.start()

    @property
    def is_busy(self) -> bool:
        """A job is in work or waits. In this order: it is in work before it no longer waits."""
        return bool(self._first) or bool(self._jobs) or self._began is not None

    @property
    def current_s(self) -> float:
        """How long the job in work has taken so far; 0 without one."""
        began = self._began
        return 0.0 if began is None else time.monotonic() - began

    def put(self, job: Job, *, first: bool = False) -> None:
        """`first`: before all that are not."""
        with self._condition:
            (self._first if first else self._jobs).append(job)
            self._condition.notify()

    def close(self, at_end: Then, *, timeout: float) -> None:
        """Stop after the job in work, of which nobody is told, then call `at_end`, on this thread: it may outlive this
        call, as an encoding cannot be stopped. Waits for it up to `timeout` seconds."""
        with self._condition:
            self._is_closing = True
            self._at_end.append(at_end)
            self._condition.notify()
        self._thread.join(timeout)

    def _work(self) -> None:
        while (job := self._next()) is not None:
            then = job()
            self._began = None
            if then is not None and not self._is_closing:
                then()
        while self._at_end:
            self._at_end.popleft()()

    def _next(self) -> Job | None:
        with self._condition:
            self._condition.wait_for(lambda: self._first or self._jobs or self._is_closing)
            if self._is_closing:
                return None
            self._began = time.monotonic()
            return (self._first or self._jobs).popleft()


def in_background(work: Callable[[], Result]) -> Result:
    """Do it on a thread of its own and behind all others, and wait for it.

    The compute threads that it starts inherit its priority and end with it: OpenMP counts those that wait for more
    work against the cores, and no longer lets text's spin between two layers (a token took 56 ms instead of 36)."""

    results: list[Result] = []
    errors: list[BaseException] = []

    def run() -> None:
        if sys.platform == "linux":  # elsewhere a priority is the process's
            nice = os.getpriority(os.PRIO_PROCESS, 0)
            os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), min(19, nice + NICE))
        try:
            results.append(work())
        except BaseException as e:
            errors.append(e)

    thread = threading.Thread(target=run, name=f"{threading.current_thread().name}-job", daemon=True)
    thread.start()
    thread.join()
    if errors:
        raise errors[0]
    return results[0]
