"""The chat layout: Qwen's ChatML with Qwen2.5's tool section, as parts for the engine.

Only this module makes `Markup`. Everything that a request says goes into `Text`, which never becomes a special token.
Neighbouring texts are joined into one part, since a tokenizer counts "." and "\\n\\n" differently when they are apart.
"""

from __future__ import annotations

import json
from collections.abc import Sequence

from runtime.ai.request import ChatRequest, Message, PastCall, Tool
from runtime.engine.request import Image, Markup, Part, Text

DEFAULT_SYSTEM = "You are a helpful assistant."
"""What Qwen2.5-VL's own template says where a request has no system message."""
CALL, END_CALL = "<tool_call>", "</tool_call>"
_START, _END = "<|im_start|>", "<|im_end|>"
_TOOLS_HEAD = (
    "\n\n# Tools\n\nYou may call one or more functions to assist with the user query.\n\n"
    "You are provided with function signatures within <tools></tools> XML tags:\n<tools>"
)
_TOOLS_MIDDLE = "\n</tools>\n\nFor each function call, return a json object with function name and arguments within "
_TOOLS_SHAPE = '\n{"name": <function-name>, "arguments": <args-json-object>}\n'


def lay_out(request: ChatRequest, images: Sequence[Image]) -> list[Part]:
    """The prompt, up to where the assistant begins to speak. `images` are those of `request.images`, in order."""
    page = _Page(images)
    messages = request.messages
    tools = request.tools if request.can_call_tools else ()
    if messages[0].role == "system" or tools:
        first, messages = (messages[0], messages[1:]) if messages[0].role == "system" else (None, messages)
        page.open("system")
        page.content(first) if first else page.text(DEFAULT_SYSTEM)
        if tools:
            _lay_out_tools(page, tools)
        page.close()
    else:
        page.turn("system", DEFAULT_SYSTEM)
    for i, message in enumerate(messages):
        if message.role == "tool":
            is_first = i == 0 or messages[i - 1].role != "tool"
            is_last = i + 1 == len(messages) or messages[i + 1].role != "tool"
            _lay_out_result(page, message, is_first, is_last)
        else:
            _lay_out_message(page, message)
    page.open("assistant")
    return page.parts()


class _Page:
    """Parts being written, texts joined."""

    def __init__(self, images: Sequence[Image]) -> None:
        self._parts: list[Part] = []
        self._texts: list[str] = []
        self._images = iter(images)

    def text(self, text: str) -> None:
        self._texts.append(text)

    def markup(self, name: str) -> None:
        self._add(Markup(name))

    def parts(self) -> list[Part]:
        self._join()
        return self._parts

    def content(self, message: Message) -> None:
        for part in message.content:
            if isinstance(part, str):
                self.text(part)
            else:
                self._add(next(self._images))

    def open(self, role: str, break_: str = "\n") -> None:
        self.markup(_START)
        self.text(role + break_)

    def close(self) -> None:
        self.markup(_END)
        self.text("\n")

    def turn(self, role: str, text: str) -> None:
        self.open(role)
        self.text(text)
        self.close()

    def _add(self, part: Part) -> None:
        self._join()
        self._parts.append(part)

    def _join(self) -> None:
        text = "".join(self._texts)
        self._texts.clear()
        if text:
            self._parts.append(Text(text))


def _lay_out_tools(page: _Page, tools: Sequence[Tool]) -> None:
    page.text(_TOOLS_HEAD)
    for tool in tools:
        page.text("\n" + _dump(_definition(tool)))
    page.text(_TOOLS_MIDDLE)
    page.markup(CALL)
    page.markup(END_CALL)
    page.text(" XML tags:\n")
    page.markup(CALL)
    page.text(_TOOLS_SHAPE)
    page.markup(END_CALL)


def _definition(tool: Tool) -> dict[str, object]:
    function: dict[str, object] = {"name": tool.name}
    if tool.description is not None:
        function["description"] = tool.description
    if tool.parameters is not None:
        function["parameters"] = tool.parameters
    return {"type": "function", "function": function}


def _lay_out_message(page: _Page, message: Message) -> None:
    if not message.tool_calls:
        page.open(message.role)
        page.content(message)
        page.close()
        return
    page.open(message.role, "")
    if any(message.content):
        page.text("\n")
        page.content(message)
    for call in message.tool_calls:
        page.text("\n")
        _lay_out_call(page, call)
    page.close()


def _lay_out_call(page: _Page, call: PastCall) -> None:
    page.markup(CALL)
    page.text(f'\n{{"name": {_dump(call.name)}, "arguments": {_dump(call.arguments)}}}\n')
    page.markup(END_CALL)


def _lay_out_result(page: _Page, message: Message, is_first: bool, is_last: bool) -> None:
    """Results are a user turn; neighbouring ones share it."""
    if is_first:
        page.open("user", "")
    page.text("\n<tool_response>\n")
    page.content(message)
    page.text("\n</tool_response>")
    if is_last:
        page.close()


def _dump(value: object) -> str:
    return json.dumps(value, ensure_ascii=False)
