"""A chat request, checked and made into frozen data: what the rest of the room works on."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

from runtime.ai.checks import check, check_json, dotted, refuse, shown
from runtime.engine.request import SamplingParams
from runtime.errors import InvalidRequest

Role = Literal["system", "user", "assistant", "tool"]


@dataclass(frozen=True, slots=True)
class ImageSource:
    """An image as the request names it; `path` is where, for errors."""

    url: str
    path: str
    detail: str = "auto"
    min_pixels: int | None = None
    max_pixels: int | None = None


@dataclass(frozen=True, slots=True)
class PastCall:
    """A tool call of an earlier turn. `arguments` is parsed JSON: the layout writes it the model's own way."""

    name: str
    arguments: Any


@dataclass(frozen=True, slots=True)
class Message:
    """One turn; neighbouring texts are not joined."""

    role: Role
    content: tuple[str | ImageSource, ...] = ()
    tool_calls: tuple[PastCall, ...] = ()


@dataclass(frozen=True, slots=True)
class Tool:
    """A function that the model may call."""

    name: str
    description: str | None = None
    parameters: Mapping[str, Any] | None = None
    is_strict: bool = False


@dataclass(frozen=True, slots=True)
class ResponseFormat:
    """What the answer's text must be; `schema` only for json_schema."""

    type: Literal["text", "json_object", "json_schema"] = "text"
    schema: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class ChatRequest:
    """One call of `AI.run`, or one of `/v1/chat/completions`."""

    messages: tuple[Message, ...]
    model: str | None = None
    tools: tuple[Tool, ...] = ()
    tool_choice: Literal["none", "auto", "required"] = "auto"
    forced_tool: str | None = None
    """The one tool that must be called; `tool_choice` is then "required"."""
    is_parallel: bool = True
    """Whether the answer may hold more than one tool call."""
    is_stream: bool = False
    should_report_usage: bool = False
    n: int = 1
    max_tokens: int | None = None
    sampling: Mapping[str, float] = field(default_factory=dict)
    """Only what the request sets, by `SamplingParams`' names."""
    stop: tuple[str, ...] = ()
    seed: int | None = None
    ignore_eos: bool = False
    logprobs: int | None = None
    logit_bias: tuple[tuple[int, float], ...] = ()
    response_format: ResponseFormat = ResponseFormat()

    @property
    def images(self) -> tuple[ImageSource, ...]:
        """In the order of the prompt."""
        return tuple(part for m in self.messages for part in m.content if isinstance(part, ImageSource))

    @property
    def can_call_tools(self) -> bool:
        """Whether tool calls are looked for in the answer."""
        return bool(self.tools) and self.tool_choice != "none"

    def params(self, defaults: Mapping[str, float], max_tokens: int | None) -> SamplingParams:
        """For the engine: the request's values over the model's defaults; no more than `max_tokens`."""
        values = {**defaults, **self.sampling}
        return SamplingParams(
            temperature=float(values.get("temperature", 1)),
            top_p=float(values.get("top_p", 1)),
            top_k=max(0, int(values.get("top_k", 0))),
            min_p=float(values.get("min_p", 0)),
            repetition_penalty=float(values.get("repetition_penalty", 1)),
            presence_penalty=float(values.get("presence_penalty", 0)),
            frequency_penalty=float(values.get("frequency_penalty", 0)),
            logit_bias=self.logit_bias,
            seed=self.seed,
            max_tokens=max_tokens,
            stop=self.stop,
            ignore_eos=self.ignore_eos,
            logprobs=self.logprobs,
        )


_SAMPLING = (
    "temperature",
    "top_p",
    "top_k",
    "min_p",
    "repetition_penalty",
    "presence_penalty",
    "frequency_penalty",
)


def parse(inputs: Any) -> ChatRequest:
    """The request that `inputs` describes. Raises InvalidRequest with path, rule and value."""
    data = dict(inputs) if isinstance(inputs, Mapping) else inputs
    check(data)
    data = {k: v for k, v in data.items() if v is not None}
    tools = tuple(_tool(t["function"]) for t in data.get("tools", ()))
    choice, forced = _tool_choice(data.get("tool_choice"), tools)
    return ChatRequest(
        messages=tuple(_message(m, i) for i, m in enumerate(data["messages"])),
        model=data.get("model"),
        tools=tools,
        tool_choice=choice,
        forced_tool=forced,
        is_parallel=data.get("parallel_tool_calls", True),
        is_stream=data.get("stream", False),
        should_report_usage=bool(data.get("stream_options", {}).get("include_usage")),
        n=int(data.get("n", 1)),
        max_tokens=_max_tokens(data),
        sampling={k: data[k] for k in _SAMPLING if k in data},
        stop=_stop(data.get("stop", ())),
        seed=None if "seed" not in data else int(data["seed"]),
        ignore_eos=data.get("ignore_eos", False),
        logprobs=_logprobs(data),
        logit_bias=tuple((int(k), float(v)) for k, v in data.get("logit_bias", {}).items()),
        response_format=_response_format(data.get("response_format")),
    )


def _message(data: Mapping[str, Any], index: int) -> Message:
    path: list[str | int] = ["messages", index]
    content = data.get("content")
    calls = data.get("tool_calls") or () if data["role"] == "assistant" else ()
    return Message(
        role="system" if data["role"] == "developer" else data["role"],
        content=_content(content, [*path, "content"]),
        tool_calls=tuple(
            _past_call(c["function"], [*path, "tool_calls", i, "function", "arguments"]) for i, c in enumerate(calls)
        ),
    )


def _content(content: Any, path: list[str | int]) -> tuple[str | ImageSource, ...]:
    if content is None:
        return ()
    if isinstance(content, str):
        return (content,)
    return tuple(part["text"] if part["type"] == "text" else _image(part, [*path, i]) for i, part in enumerate(content))


def _image(part: Mapping[str, Any], path: list[str | int]) -> ImageSource:
    data = part["image_url"]
    # OpenAI's clients put such settings within image_url, Qwen's beside it
    low, high = (_first(data.get(k), part.get(k)) for k in ("min_pixels", "max_pixels"))
    if low is not None and high is not None and low > high:
        raise refuse([*path, "image_url", "min_pixels"], f"must be at most max_pixels, {high}", low)
    return ImageSource(
        url=data["url"],
        path=dotted([*path, "image_url", "url"]),
        detail=data.get("detail") or "auto",
        min_pixels=low,
        max_pixels=high,
    )


def _first(*values: Any) -> int | None:
    return next((int(v) for v in values if v is not None), None)


def _past_call(function: Mapping[str, Any], path: list[str | int]) -> PastCall:
    text: str = function["arguments"]
    try:
        arguments = json.loads(text, parse_constant=_no_constant) if text.strip() else {}
        # an escape can spell what no text may hold, and a text can nest deeper than the request itself
        check_json(arguments)
    except (ValueError, RecursionError, InvalidRequest) as e:
        raise refuse(path, "must be JSON", text) from e
    return PastCall(function["name"], arguments)


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _tool(function: Mapping[str, Any]) -> Tool:
    return Tool(
        name=function["name"],
        description=function.get("description"),
        parameters=function.get("parameters"),
        is_strict=function.get("strict") or False,
    )


def _tool_choice(choice: Any, tools: tuple[Tool, ...]) -> tuple[Literal["none", "auto", "required"], str | None]:
    if choice is None or choice == "none":
        return ("auto" if choice is None else "none"), None
    if isinstance(choice, str):
        return ("required" if choice == "required" else "auto"), None
    name: str = choice["function"]["name"]
    if name not in {t.name for t in tools}:
        known = ", ".join(shown(t.name) for t in tools[:20])
        raise refuse("tool_choice.function.name", f"must be one of the tools, {known}", name)
    return "required", name


def _max_tokens(data: Mapping[str, Any]) -> int | None:
    value = data.get("max_completion_tokens", data.get("max_tokens"))
    return None if value is None else int(value)


def _stop(stop: Any) -> tuple[str, ...]:
    return (stop,) if isinstance(stop, str) else tuple(stop)


def _logprobs(data: Mapping[str, Any]) -> int | None:
    return int(data.get("top_logprobs", 0)) if data.get("logprobs") else None


def _response_format(data: Mapping[str, Any] | None) -> ResponseFormat:
    if data is None:
        return ResponseFormat()
    is_schema = data["type"] == "json_schema"
    return ResponseFormat(data["type"], data["json_schema"]["schema"] if is_schema else None)
