"""Who sends the host many messages at once is read in turn."""

from __future__ import annotations

MANY_S = 64 * 5e-6
"""What may come in one read without waiting, as `wire.Decoder.toll_s` counts: a body in tiny pieces stays below."""
PAUSE = 4
"""Seconds until the next is read, for each second that the messages cost; to take them costs the loop about one."""


class Turns:
    """Of one host: all who send many have a part of its loop together.

    Each isolate waits for at most one turn, so the wait is bounded by how many do.
    """

    def __init__(self) -> None:
        self._free_at = 0.0

    def wait_s(self, now: float, toll_s: float) -> float:
        """How long from `now` until who has just sent so much may be read again."""
        self._free_at = max(self._free_at, now) + PAUSE * toll_s
        return self._free_at - now
