"""The zygote's fork: what the standard library wants done around it for threads' sake is done only where there are any.

Those hooks (of `threading`, `logging`, `concurrent.futures`: locks that another thread may hold, threads that are gone)
took 0.4 ms and 140 copied pages of each isolate. None can be taken back once it is registered, so the zygote begins
with `BOOT`, which holds them back while its own modules are loaded. Hooks that a function registers run as everywhere.
"""

from __future__ import annotations

import _thread
import os
import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

Hooks = Mapping[str, Callable[[], object]]
"""As given to `os.register_at_fork`: before, after_in_parent, after_in_child."""
BOOT = (
    "import os, sys; sys.path[0] = os.getcwd(); "
    "held, register = [], os.register_at_fork; os.register_at_fork = lambda **hooks: held.append(hooks); "
    "from runtime.isolate import zygote; zygote.preload(); os.register_at_fork = register; zygote.main(held)"
)


_random: Any = random.seed.__self__  # type: ignore[attr-defined]
_seed = super(random.Random, _random).seed  # in C: it uses fewer pages


def fork(held: Sequence[Hooks]) -> int:
    """As os.fork() does, with the `held` hooks where they are needed. Raises OSError."""
    if _thread._count() == 0:
        pid = os.fork()
        if pid == 0:
            _seed()
            _random.gauss_next = None
        return pid
    _run(reversed(held), "before")
    try:
        pid = os.fork()
    except OSError:
        _run(held, "after_in_parent")
        raise
    _run(held, "after_in_child" if pid == 0 else "after_in_parent")
    return pid


def _run(hooks: Iterable[Hooks], name: str) -> None:
    for each in hooks:
        if name in each:
            each[name]()
