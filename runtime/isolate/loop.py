"""The isolate's event loop: made once in the zygote, run in every isolate."""

from __future__ import annotations

import asyncio
import selectors
import socket
import sys


class Loop(asyncio.SelectorEventLoop):
    """Waits by poll(2), which keeps nothing in the kernel that the processes of a fork would share."""

    def __init__(self) -> None:
        super().__init__(selectors.PollSelector())

    @property
    def descriptors(self) -> tuple[int, int]:
        """The pair by which other threads wake it."""
        return self._ssock.fileno(), self._csock.fileno()  # type: ignore[attr-defined]


if sys.platform == "linux":
    from _socket import socketpair  # what `socket` wraps: its objects would touch, and so copy, some pages more

    _FAMILY, _TYPE = int(socket.AF_UNIX), socket.SOCK_STREAM | socket.SOCK_NONBLOCK

    def new_pair() -> tuple[int, int]:
        """For `Loop.descriptors`, after a fork: theirs are the zygote's, and those of all its isolates."""
        ours, theirs = socketpair(_FAMILY, _TYPE)
        return ours.detach(), theirs.detach()

else:

    def new_pair() -> tuple[int, int]:
        pair = socket.socketpair()
        for each in pair:
            each.setblocking(False)
        return pair[0].detach(), pair[1].detach()
