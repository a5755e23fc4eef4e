"""Text from tokens as they come: whole characters only, stop strings never shown, log-probabilities alongside."""

from __future__ import annotations

import codecs
from collections import deque
from dataclasses import dataclass

from runtime.engine.request import TokenLogprob


@dataclass(frozen=True, slots=True)
class Emission:
    """What may be shown now; `stop` is the stop string that has been met, with which the text ends."""

    text: str = ""
    logprobs: tuple[TokenLogprob, ...] = ()
    stop: str | None = None


class Detokenizer:
    """One sequence's text. Holds back half characters, and what may yet become a stop string."""

    def __init__(self, stops: tuple[str, ...] = ()) -> None:
        self._stops = tuple(s for s in stops if s)
        self._longest = max(map(len, self._stops), default=0)
        self._decoder = codecs.getincrementaldecoder("utf-8")("replace")
        self._held = ""
        self._shown = 0
        """Characters shown so far."""
        self._logprobs: deque[tuple[int, TokenLogprob]] = deque()
        """Each with the number of characters at which its token begins."""

    def push(self, piece: bytes, logprob: TokenLogprob | None = None) -> Emission:
        """The next token's bytes."""
        if logprob is not None:
            self._logprobs.append((self._shown + len(self._held), logprob))
        self._held += self._decoder.decode(piece)
        return self._release(final=False)

    def finish(self) -> Emission:
        """No token follows: what was held back, half a character as U+FFFD."""
        self._held += self._decoder.decode(b"", True)
        return self._release(final=True)

    def _release(self, *, final: bool) -> Emission:
        if not self._stops:
            return self._show(len(self._held), final=final)
        match = self._first_stop()
        if match is not None:
            start, stop = match
            return self._show(start, final=True, stop=stop)
        return self._show(len(self._held) if final else self._safe(), final=final)

    def _show(self, n: int, *, final: bool, stop: str | None = None) -> Emission:
        text, self._held = self._held[:n], "" if stop is not None else self._held[n:]
        self._shown += n
        if not self._logprobs:
            return Emission(text, (), stop)
        logprobs = []
        # a token goes with its first shown character; the last ones, with nothing to wait for, go at the end
        while self._logprobs and (self._logprobs[0][0] < self._shown or (final and stop is None)):
            logprobs.append(self._logprobs.popleft()[1])
        return Emission(text, tuple(logprobs), stop)

    def _first_stop(self) -> tuple[int, str] | None:
        """Start and text of the stop string that is complete first; of several at once, the one that begins first."""
        found = [(start + len(stop), start, stop) for stop in self._stops if (start := self._held.find(stop)) >= 0]
        if not found:
            return None
        _, start, stop = min(found)
        return start, stop

    def _safe(self) -> int:
        """How many held characters cannot be the beginning of a stop string."""
        for start in range(max(0, len(self._held) - self._longest + 1), len(self._held)):
            tail = self._held[start:]
            if any(stop.startswith(tail) for stop in self._stops):
                return start
        return len(self._held)
