"""llama.cpp's log in `logging`: faults are seen by default, its chatter only on request."""

from __future__ import annotations

import logging

log = logging.getLogger("runtime.engine.llama")

# ggml.h's order; the bindings' own comment on it is out of date
_LEVELS = {1: logging.DEBUG, 2: logging.DEBUG, 3: logging.WARNING, 4: logging.ERROR}
# llama.cpp warns about what is our choice, not a fault: a context below the trained one, a small image bound,
# the entries that an abort we asked for takes back
_EXPECTED = (
    b"n_ctx_seq",
    b"Qwen-VL models require",
    b"problems with accuracy",
    b"more info: https",
    b"removing memory module",
    b"failed to compute graph, compute status: 1",
    b"graph_compute_async failed with error 1",
    b"failed to decode, ret = 2",
)


def report(level: int, text: bytes) -> None:
    """One line or a part of one, with ggml's level."""
    grade = _LEVELS.get(level, logging.DEBUG)
    if grade > logging.DEBUG and any(known in text for known in _EXPECTED):
        grade = logging.DEBUG
    if log.isEnabledFor(grade) and text.strip(b".\n "):
        log.log(grade, "%s", text.decode("utf-8", "replace").strip())
