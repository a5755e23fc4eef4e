"""Tool calls found in text while it is generated: markup never shows, arguments pass through as they come.

    Sure.<tool_call>
    {"name": "get_weather", "arguments": {"location": "London"}}
    </tool_call>

What turns out not to be a call after all is text: `Broken` gives it back. Nothing here raises.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

OPEN, CLOSE = "<tool_call>", "</tool_call>"
_HEAD = re.compile(r'\s*\{\s*"name"\s*:\s*("(?:[^"\\]|\\.)*")\s*,\s*"arguments"\s*:\s*(?=\{)')
MAX_HEAD = 4_096
"""Characters before the arguments; what is longer is no call."""


@dataclass(frozen=True, slots=True)
class Content:
    """Text for the reader."""

    text: str


@dataclass(frozen=True, slots=True)
class Opened:
    """A call whose name is known; its arguments follow."""

    index: int
    name: str


@dataclass(frozen=True, slots=True)
class Arguments:
    """More of a call's arguments, verbatim."""

    index: int
    text: str


@dataclass(frozen=True, slots=True)
class Closed:
    """The call is whole: its arguments are a JSON object."""

    index: int


@dataclass(frozen=True, slots=True)
class Broken:
    """What `Opened` announced is no call. `raw` is all its text, markup included; `rest` what was not yet passed on."""

    index: int
    raw: str
    rest: str


Found = Content | Opened | Arguments | Closed | Broken


class ToolCallParser:
    """One choice's text in, what it says out. With `limit` calls found, further ones are dropped."""

    def __init__(self, limit: int | None = None) -> None:
        self._limit = limit
        self._text = ""
        """Not yet decided: whitespace, what may become markup, or a whole call so far."""
        self._n_calls = 0
        self._n_opened = 0
        """Calls announced, broken ones included: their numbers are not used again."""
        self._call: _Call | None = None

    def push(self, text: str) -> list[Found]:
        """More of the text."""
        self._text += text
        found: list[Found] = []
        while self._step(found):
            pass
        return found

    def finish(self) -> list[Found]:
        """The text has ended; a call that lacks nothing but its end tag is whole."""
        found: list[Found] = []
        if self._call is not None:
            self._end_call(self._text, found)
            self._text = ""
        elif self._text and (self._text.strip() or not self._n_calls):
            found.append(Content(self._text))
            self._text = ""
        return found

    def _step(self, found: list[Found]) -> bool:
        """Decide as much of the text as can be; True where more may be decided at once."""
        return self._inside(found) if self._call is not None else self._outside(found)

    def _outside(self, found: list[Found]) -> bool:
        start = self._text.find(OPEN)
        if start >= 0:
            before = self._text[:start].rstrip()
            if before:
                found.append(Content(before))
            self._call = _Call(self._n_opened, self._text[len(before) : start] + OPEN)
            self._text = self._text[start + len(OPEN) :]
            return True
        # whitespace waits for what follows: before a call it is no content
        keep = len(self._text) - _partial(self._text, OPEN)
        keep = len(self._text[:keep].rstrip())
        if keep:
            found.append(Content(self._text[:keep]))
            self._text = self._text[keep:]
        return False

    def _inside(self, found: list[Found]) -> bool:
        assert self._call is not None
        end = self._text.find(CLOSE)
        if end >= 0:
            body, self._text = self._text[:end], self._text[end + len(CLOSE) :]
            found.extend(self._call.push(body) if not self._is_dropped else ())
            if self._call.is_in_string:
                found.extend(self._call.push(CLOSE))
            else:
                self._end_call("", found, CLOSE)
            return True
        if not self._is_dropped:
            ready = len(self._text) - _partial(self._text, CLOSE)
            found.extend(self._call.push(self._text[:ready]))
            self._text = self._text[ready:]
        return False

    def _end_call(self, body: str, found: list[Found], tag: str = "") -> None:
        assert self._call is not None
        if not self._is_dropped:
            found.extend(self._call.push(body))
            found.extend(self._call.finish(tag))
            self._n_calls += self._call.is_whole
            self._n_opened += self._call.is_open
        self._call = None

    @property
    def _is_dropped(self) -> bool:
        return self._limit is not None and self._n_calls >= self._limit


class _Call:
    """One call between its tags."""

    def __init__(self, index: int, opening: str) -> None:
        self._index = index
        self._opening = opening
        self._raw = ""
        self._passed = 0
        """Characters of `_raw` that were passed on, or belong to the head."""
        self.is_open = False
        self._head = _ObjectScanner()
        self._arguments = _ObjectScanner()
        self.is_whole = False

    @property
    def is_in_string(self) -> bool:
        """An end tag here is part of a name or an argument."""
        return (self._arguments if self.is_open else self._head).is_in_string

    def push(self, text: str) -> list[Found]:
        self._raw += text
        found: list[Found] = []
        if not self.is_open:
            self._head.scan(text)
        if not self.is_open and len(self._raw) <= MAX_HEAD and (head := _HEAD.match(self._raw)):
            name = _loads(head[1])
            if isinstance(name, str):
                self.is_open = True
                self._passed = head.end()
                found.append(Opened(self._index, name))
        if self.is_open and not self._arguments.is_done:
            new = self._raw[self._passed :]
            taken = new[: self._arguments.scan(new)]
            self._passed += len(taken)
            if taken:
                found.append(Arguments(self._index, taken))
        return found

    def finish(self, tag: str) -> list[Found]:
        call = _loads(self._raw)
        if isinstance(call, dict) and isinstance(call.get("name"), str):
            arguments = call.get("arguments", {})
            if isinstance(arguments, dict):
                self.is_whole = True
                if self.is_open:
                    return [Closed(self._index)]
                # not the usual order or shape: whole at once
                self.is_open = True
                text = json.dumps(arguments, ensure_ascii=False)
                return [Opened(self._index, call["name"]), Arguments(self._index, text), Closed(self._index)]
        raw = self._opening + self._raw + tag
        if self.is_open:
            return [Broken(self._index, raw, self._raw[self._passed :] + tag)]
        return [Content(raw)]


class _ObjectScanner:
    """Finds where a JSON object ends, given its text in pieces."""

    def __init__(self) -> None:
        self._depth = 0
        self._is_escaped = False
        self.is_in_string = False
        self.is_done = False

    def scan(self, text: str) -> int:
        """How many characters of `text` belong to the object."""
        for i, char in enumerate(text):
            if self._is_escaped:
                self._is_escaped = False
            elif self.is_in_string:
                self._is_escaped = char == "\\"
                # JSON has no line break in a string: one that was left open ends with its line
                self.is_in_string = char not in '"\n'
            elif char == '"':
                self.is_in_string = True
            elif char in "{[":
                self._depth += 1
            elif char in "}]":
                self._depth -= 1
                if not self._depth:
                    self.is_done = True
                    return i + 1
        return len(text)


def _loads(text: str) -> Any:
    try:
        return json.loads(text, parse_constant=_no_constant)
    except (ValueError, RecursionError):
        return None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _partial(text: str, tag: str) -> int:
    """The length of the longest end of `text` that begins `tag`."""
    return next((n for n in range(min(len(text), len(tag) - 1), 0, -1) if tag.startswith(text[-n:])), 0)
