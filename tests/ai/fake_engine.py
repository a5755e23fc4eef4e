"""A fake engine, written by hand: it says what it is told to, from a thread of its own, and remembers what it got."""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from runtime.engine.request import (
    Event,
    Failed,
    Finished,
    Image,
    Markup,
    Part,
    Piece,
    SamplingParams,
    Sink,
    Started,
    Text,
    TokenMask,
)
from runtime.errors import AIError


@dataclass(frozen=True)
class FakePrompt:
    parts: tuple[Part, ...]
    n_tokens: int


@dataclass(frozen=True)
class FakeVocabulary:
    pieces: tuple[bytes, ...] = (b"a", b"four")
    ends: frozenset[int] = frozenset({0})
    markup: Mapping[str, int] = field(default_factory=dict)


class FakeTicket:
    def __init__(self) -> None:
        self.is_cancelled = threading.Event()

    def cancel(self) -> None:
        self.is_cancelled.set()


END = Finished(0, "stop", None, 3)


@dataclass
class FakeEngine:
    """`says` are the pieces of every choice; `is_stuck` goes silent after them until it is cancelled."""

    says: Sequence[str] = ("Hello", ".")
    end: Finished = END
    error: AIError | None = None
    cached: int = 0
    context: int = 1000
    has_vision: bool = True
    is_stuck: bool = False
    error_last: AIError | None = None
    name: str = "fake"
    prompts: list[FakePrompt] = field(default_factory=list)
    params: list[SamplingParams] = field(default_factory=list)
    tickets: list[FakeTicket] = field(default_factory=list)
    is_closed: bool = False

    def prepare(self, parts: Sequence[Part]) -> FakePrompt:
        return FakePrompt(tuple(parts), sum(map(_tokens, parts)))

    def submit(
        self,
        prompt: FakePrompt,
        params: SamplingParams,
        sink: Sink,
        *,
        n: int = 1,
        caller: str = "",
        mask: Callable[[], TokenMask] | None = None,
    ) -> FakeTicket:
        self.prompts.append(prompt)
        self.params.append(params)
        ticket = FakeTicket()
        self.tickets.append(ticket)
        threading.Thread(target=self._speak, args=(sink, n, ticket), daemon=True).start()
        return ticket

    def _speak(self, sink: Sink, n: int, ticket: FakeTicket) -> None:
        if self.error is not None:
            return sink([Failed(self.error)])
        sink([Started(self.cached)])
        for text in self.says:
            sink([Piece(i, text) for i in range(n)])
        if self.error_last is not None:
            return sink([Failed(self.error_last)])
        if self.is_stuck:
            ticket.is_cancelled.wait(30)
            return None
        end = self.end
        ends: list[Event] = [Finished(i, end.reason, end.stop, end.completion_tokens) for i in range(n)]
        return sink(ends)

    def markup(self, name: str) -> int | None:
        return 7 if name == "<tool_call>" else 8

    def vocabulary(self) -> FakeVocabulary:
        return FakeVocabulary()

    def close(self) -> None:
        self.is_closed = True


def _tokens(part: Part) -> int:
    if isinstance(part, Text):
        return len(part.text)
    return 1 if isinstance(part, Markup) else part.width * part.height // 784


def written(parts: Sequence[Part]) -> str:
    """Parts as one text: markup between bars, so that it can be told from text that only looks like it."""
    return "".join(
        f"|{p.name}|" if isinstance(p, Markup) else "|image|" if isinstance(p, Image) else p.text for p in parts
    )
