"""Beira: edge functions in Python with the model on the same node.

`from runtime import AI, Response` gives editors and type checkers what a function's module has as globals anyway.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from runtime.isolate.api import (
        AI,
        URL,
        AIError,
        Azion,
        Context,
        Env,
        File,
        FormData,
        Headers,
        Request,
        Response,
        ScheduledEvent,
        WorkerEntrypoint,
        console,
        fetch,
    )

__all__ = [
    "AI",
    "URL",
    "AIError",
    "Azion",
    "Context",
    "Env",
    "File",
    "FormData",
    "Headers",
    "Request",
    "Response",
    "ScheduledEvent",
    "WorkerEntrypoint",
    "console",
    "fetch",
]


def __getattr__(name: str) -> Any:
    """Load the handler's API at its first use: `import runtime.errors` alone must stay light."""
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from runtime.isolate import api

    return getattr(api, name)
