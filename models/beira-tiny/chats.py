"""A conversation as the recipe makes it, and its two forms: parts of the runtime's own layout, and a request for AI.run."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import PIL.Image

from runtime.ai.request import ChatRequest, ImageSource, Message, PastCall, Tool
from runtime.ai.template import lay_out
from runtime.engine.request import Image, Part
from scenes import Scene


@dataclass(frozen=True, slots=True)
class Call:
    """A tool call that the assistant makes."""

    name: str
    arguments: Mapping[str, Any]


@dataclass(slots=True)
class Turn:
    """One message. `task` is set on the assistant's: what its answer is an example of."""

    role: str
    content: Sequence[str | Scene] = ()
    calls: Sequence[Call] = ()
    task: str = ""
    sorts: Sequence[int] = ()
    """Of a question that a tool could be for: which kinds of work it asks for."""

    @property
    def text(self) -> str:
        return "".join(p for p in self.content if isinstance(p, str))


@dataclass(slots=True)
class Chat:
    """A conversation with its answers; `system` None leaves the system message out."""

    turns: list[Turn] = field(default_factory=list)
    tools: Sequence[Mapping[str, Any]] = ()
    sorts: Sequence[Sequence[int]] = ()
    """Which kinds of work each of the tools does."""
    system: str | None = None
    language: str = "en"

    def ask(self, *content: str | Scene, sorts: Sequence[int] = ()) -> None:
        self.turns.append(Turn("user", content, sorts=sorts))

    def answer(self, text: str, task: str) -> None:
        self.turns.append(Turn("assistant", (text,), task=task))

    def call(self, calls: Sequence[Call], task: str) -> None:
        self.turns.append(Turn("assistant", (), calls, task))

    def result(self, text: str) -> None:
        self.turns.append(Turn("tool", (text,)))

    @property
    def scenes(self) -> list[Scene]:
        return [p for t in self.turns for p in t.content if isinstance(p, Scene)]


def parts(chat: Chat) -> list[Part]:
    """The whole conversation, answers included, as the runtime lays it out (it ends by opening the assistant's turn)."""
    messages = [Message("system", (chat.system,))] if chat.system is not None else []
    images = []
    for turn in chat.turns:
        content: list[str | ImageSource] = []
        for part in turn.content:
            content.append(part if isinstance(part, str) else ImageSource("", ""))
            if isinstance(part, Scene):
                images.append(Image(part.picture.width, part.picture.height, b"", ""))
        calls = tuple(PastCall(c.name, c.arguments) for c in turn.calls)
        messages.append(Message(turn.role, tuple(content), calls))  # type: ignore[arg-type]
    functions = [t["function"] for t in chat.tools]
    tools = tuple(Tool(f["name"], f.get("description"), f.get("parameters")) for f in functions)
    return lay_out(ChatRequest(tuple(messages), tools=tools), images)


def request(chat: Chat, upto: int) -> dict[str, Any]:
    """The request for AI.run that asks for the answer at turn `upto`."""
    messages: list[dict[str, Any]] = [{"role": "system", "content": chat.system}] if chat.system is not None else []
    for i, turn in enumerate(chat.turns[:upto]):
        message: dict[str, Any] = {"role": turn.role}
        if turn.calls:
            message["content"] = None
            message["tool_calls"] = [
                {"id": f"call_{i}_{j}", "type": "function",
                 "function": {"name": c.name, "arguments": json.dumps(c.arguments, ensure_ascii=False)}}
                for j, c in enumerate(turn.calls)
            ]  # fmt: skip
        else:
            message["content"] = [_content(p) for p in turn.content] if turn.role == "user" else turn.text
        if turn.role == "tool":
            message["tool_call_id"] = "call"
        messages.append(message)
    asked: dict[str, Any] = {"messages": messages}
    if chat.tools:
        asked["tools"] = list(chat.tools)
    return asked


def _content(part: str | Scene) -> dict[str, Any]:
    if isinstance(part, str):
        return {"type": "text", "text": part}
    return {"type": "image_url", "image_url": {"url": data_url(part.picture)}}


def data_url(picture: PIL.Image.Image) -> str:
    buffer = io.BytesIO()
    picture.save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
