"""The shapes that go out: the answer and its chunks, field for field as contract.md orders them."""

from __future__ import annotations

import secrets
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any

import orjson

from runtime.ai.tool_calls import Arguments, Broken, Closed, Content, Found, Opened, ToolCallParser
from runtime.engine.request import Event, Failed, Finished, Piece, Started, TokenLogprob

LOWEST_LOGPROB = -9999.0
"""JSON has no minus infinity."""
Json = dict[str, Any]


@dataclass(slots=True)
class _Call:
    id: str
    name: str
    arguments: list[str] = field(default_factory=list)
    is_whole: bool = False


class Choice:
    """One choice as it grows: events in, deltas out, and the message that they add up to."""

    def __init__(
        self, index: int, parser: ToolCallParser | None, *, has_logprobs: bool, is_stream: bool = False
    ) -> None:
        self.index = index
        self.completion_tokens = 0
        self._parser = parser
        self._content: list[str] = []
        self._calls: dict[int, _Call] = {}
        self._end: Finished | None = None
        self._logprobs: list[Json] | None = [] if has_logprobs and is_stream else None
        """Those that have not been sent yet."""
        self._encoded: bytearray | None = bytearray() if has_logprobs and not is_stream else None
        """Of a whole answer all of them, as they came: a hundred thousand objects would be collected, and encoded at
        its end, in one turn of the loop.
        """

    @property
    def is_finished(self) -> bool:
        return self._end is not None

    def push(self, piece: Piece) -> list[Json]:
        """What to send for it: a choice's delta each."""
        if self._logprobs is not None:
            self._logprobs.extend(map(_logprob, piece.logprobs))
        if self._encoded is not None:
            for token in piece.logprobs:
                self._encoded += b"," if self._encoded else b""
                self._encoded += orjson.dumps(_logprob(token))
        return self._deltas(self._parser.push(piece.text) if self._parser else [Content(piece.text)])

    def finish(self, end: Finished) -> list[Json]:
        """What is left to send, the last delta included."""
        left = self._deltas(self._parser.finish()) if self._parser is not None else []
        self._end = end
        self.completion_tokens = end.completion_tokens
        return [*left, {**self._delta({}), "finish_reason": self._finish_reason(), "stop_reason": end.stop}]

    def opening(self) -> Json:
        """The first delta."""
        return self._delta({"role": "assistant", "content": ""})

    def result(self) -> Json:
        """The finished choice, for orjson: its log-probabilities are JSON already."""
        assert self._end is not None
        content = "".join(self._content)
        calls = [
            {"id": c.id, "type": "function", "function": {"name": c.name, "arguments": "".join(c.arguments)}}
            for c in self._calls.values()
        ]
        return {
            "index": self.index,
            "message": {
                "role": "assistant",
                "reasoning_content": None,
                "content": None if calls and not content else content,
                "tool_calls": calls,
            },
            "logprobs": None if self._encoded is None else {"content": orjson.Fragment(b"[" + self._encoded + b"]")},
            "finish_reason": self._finish_reason(),
            "stop_reason": self._end.stop,
        }

    def _finish_reason(self) -> str:
        assert self._end is not None
        return "tool_calls" if self._end.reason == "stop" and self._calls else self._end.reason

    def _deltas(self, found: list[Found]) -> list[Json]:
        return [self._delta(delta) for item in found if (delta := self._take(item))]

    def _take(self, item: Found) -> Json | None:
        match item:
            case Content(text):
                self._content.append(text)
                return {"content": text} if text else None
            case Opened(index, name):
                call = self._calls[index] = _Call(f"chatcmpl-tool-{secrets.token_hex(16)}", name)
                function = {"name": name}
                return {"tool_calls": [{"index": index, "id": call.id, "type": "function", "function": function}]}
            case Arguments(index, text):
                self._calls[index].arguments.append(text)
                return {"tool_calls": [{"index": index, "function": {"arguments": text}}]}
            case Closed(index):
                self._calls[index].is_whole = True
                return None
            case Broken(index, raw, rest):
                # what was sent stays sent; a whole answer shows it as the text that it is
                del self._calls[index]
                self._content.append(raw)
                return {"content": rest} if rest else None

    def _delta(self, delta: Json) -> Json:
        """With the log-probabilities that have not been sent yet."""
        logprobs = None
        if self._logprobs:
            logprobs, self._logprobs = {"content": self._logprobs}, []
        return {"index": self.index, "delta": delta, "logprobs": logprobs, "finish_reason": None}


class Answer:
    """One answer: `take` every event of the engine, then read `result`; or send the chunks that `take` yields."""

    def __init__(
        self, model: str, choices: list[Choice], *, prompt_tokens: int, should_report_usage: bool = False
    ) -> None:
        self._id = f"chatcmpl-{secrets.token_hex(16)}"
        self._created = int(time.time())
        self._model = model
        self._choices = choices
        self._prompt_tokens = prompt_tokens
        self._cached_tokens = 0
        self._should_report_usage = should_report_usage

    @property
    def is_finished(self) -> bool:
        return all(c.is_finished for c in self._choices)

    def opening(self) -> Iterator[Json]:
        """The chunks that come first."""
        return (self._chunk([choice.opening()]) for choice in self._choices)

    def take(self, event: Event) -> list[Json]:
        """The chunks that an event makes; raises the error of `Failed`."""
        match event:
            case Piece(index):
                return [self._chunk([c]) for c in self._choices[index].push(event)]
            case Finished(index):
                return [self._chunk([c]) for c in self._choices[index].finish(event)]
            case Failed(error):
                raise error
            case Started(cached_tokens):
                self._cached_tokens = cached_tokens
                return []

    def closing(self) -> Iterator[Json]:
        """The chunks that come last."""
        if self._should_report_usage:
            yield {**self._chunk([]), "usage": self._usage()}

    def result(self) -> Json:
        """The whole answer, for orjson."""
        return {
            "id": self._id,
            "object": "chat.completion",
            "created": self._created,
            "model": self._model,
            "choices": [c.result() for c in self._choices],
            "usage": self._usage(),
            "prompt_logprobs": None,
        }

    def _chunk(self, choices: list[Json]) -> Json:
        return {
            "id": self._id,
            "object": "chat.completion.chunk",
            "created": self._created,
            "model": self._model,
            "choices": choices,
        }

    def _usage(self) -> Json:
        completion = sum(c.completion_tokens for c in self._choices)
        return {
            "prompt_tokens": self._prompt_tokens,
            "total_tokens": self._prompt_tokens + completion,
            "completion_tokens": completion,
            "prompt_tokens_details": {"cached_tokens": self._cached_tokens} if self._cached_tokens else None,
        }


def _logprob(token: TokenLogprob) -> Json:
    return {
        **_token(token.token, token.logprob),
        "top_logprobs": [_token(text, logprob) for text, logprob in token.top],
    }


def _token(text: bytes, logprob: float) -> Json:
    return {
        "token": text.decode("utf-8", "replace"),
        "logprob": max(logprob, LOWEST_LOGPROB),
        "bytes": list(text),
    }
