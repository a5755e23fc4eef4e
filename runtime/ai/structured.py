"""Constrained decoding: JSON answers and forced or strict tool calls, as token masks that the engine applies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Protocol

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from runtime.ai.checks import refuse
from runtime.ai.forms import Json, checked, dumped, line, refusal
from runtime.ai.request import ChatRequest, Tool
from runtime.ai.template import CALL, END_CALL
from runtime.engine.request import Part, Prompt, Text, TokenMask
from runtime.engine.sequence import TokenisedPrompt
from runtime.errors import EngineError

MakeMask = Callable[[], TokenMask]
_ANY_OBJECT: Json = {"type": "object"}
_NO_ARGUMENTS: Json = {"type": "object", "properties": {}, "additionalProperties": False}
_CONTROL = b"\xff"
"""How llguidance is told that a token is one of the vocabulary's special ones."""


class Vocabulary(Protocol):
    """Tokens for a grammar; `runtime.engine.engine.Vocabulary` is one."""

    @property
    def pieces(self) -> Sequence[bytes]: ...
    @property
    def ends(self) -> frozenset[int]: ...
    @property
    def markup(self) -> Mapping[str, int]: ...


class Tokens(Protocol):
    """The part of an engine that knows tokens."""

    def prepare(self, parts: Sequence[Part]) -> Prompt: ...
    def vocabulary(self) -> Vocabulary: ...


def is_constrained(request: ChatRequest) -> bool:
    """Whether the answer has a form to keep; most have none, and need no grammar."""
    if request.response_format.type != "text":
        return True
    return request.can_call_tools and (request.tool_choice == "required" or any(t.is_strict for t in request.tools))


class Grammars:
    """Constraints compiled for one engine's vocabulary. Thread-safe; slow, so not for the event loop."""

    def __init__(self, engine: Tokens) -> None:
        self._engine = engine
        self._lock = threading.Lock()
        self._made: LLTokenizer | None = None

    def load(self) -> Grammars:
        """What every grammar needs, made now: for a real vocabulary it holds the interpreter's lock for 80 ms."""
        self._tokenizer()
        return self

    def mask(self, request: ChatRequest) -> MakeMask:
        """Makes one mask a choice, for a constrained request. Raises InvalidRequest naming what is unsupported."""
        grammar = _grammar(request)
        first = LLMatcher(self._tokenizer(), grammar, log_level=0)
        first.compute_bitmask()  # a form that nothing can have shows only here
        ahead = first.deep_copy()
        if forced := ahead.compute_ff_tokens():
            ahead.consume_token(forced[0])  # one that is forced on without an end, here
        if ahead.is_error():
            raise refusal(_where(request), ahead.get_error())
        return lambda: Mask(first.deep_copy())

    def _tokenizer(self) -> LLTokenizer:
        with self._lock:
            if self._made is None:
                wrapper = _Tokenizer(self._engine)
                self._made = LLTokenizer(TokenizerWrapper(wrapper), eos_token=wrapper.ends)
            return self._made


class Mask:
    """Which tokens the grammar allows next: see `engine.request.TokenMask`."""

    def __init__(self, matcher: LLMatcher) -> None:
        self._matcher = matcher

    def fill(self, bits: memoryview) -> None:
        allowed = self._matcher.compute_bitmask()
        if self._matcher.is_error():
            raise EngineError(f"the answer's form cannot be kept: {line(self._matcher.get_error())}")
        bits[:] = allowed[: len(bits)]  # llguidance's mask is padded to whole words

    def accept(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            raise EngineError(f"the answer's form was broken: {line(self._matcher.get_error())}")


class _Tokenizer:
    """What llguidance needs of a tokenizer; it forces text as the tokens that the model would use for it."""

    bos_token_id = None
    special_token_ids = ()

    def __init__(self, engine: Tokens) -> None:
        vocabulary = engine.vocabulary()
        self._engine = engine
        self.ends = sorted(vocabulary.ends)
        self.eos_token_id = self.ends[-1]
        self.tokens = list(vocabulary.pieces)
        for name, token in vocabulary.markup.items():
            self.tokens[token] = _CONTROL + name.encode()

    def __call__(self, text: bytes) -> list[int]:
        prompt = self._engine.prepare((Text(text.decode("utf-8", "replace")),))
        assert isinstance(prompt, TokenisedPrompt)
        return list(prompt.ids)


def _grammar(request: ChatRequest) -> str:
    """Lark, as llguidance reads it."""
    schema = _answer_schema(request)
    tools = _callable(request)
    if not tools:
        assert schema is not None
        return f"start: %json {dumped(schema)}\n"
    is_required = request.tool_choice == "required"
    if is_required:
        start = _calls(request)
    elif schema is not None:
        start = f"answer | {_calls(request)}\nanswer: %json {dumped(schema)}"
    else:
        start = "(TEXT call)* TEXT" if request.is_parallel else "TEXT call?"
    lines = [f"start: {start}", "call: " + " | ".join(f"call{i}" for i in range(len(tools)))]
    for i, tool in enumerate(tools):
        head = f'\n{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "arguments": '
        lines.append(f"call{i}: {CALL} {_quote(head)} arguments{i} {_quote('}' + chr(10))} {END_CALL}")
        lines.append(
            f"arguments{i}: %json {dumped(_parameters(request, tool, is_bound=is_required or tool.is_strict))}"
        )
    lines.append(r"TEXT: /(.|\n)*/")
    return "\n".join(lines) + "\n"


def _calls(request: ChatRequest) -> str:
    is_one = request.forced_tool is not None or not request.is_parallel
    return "call" if is_one else r'call ("\n" call)*'


def _callable(request: ChatRequest) -> tuple[Tool, ...]:
    if not request.can_call_tools:
        return ()
    forced = request.forced_tool
    return request.tools if forced is None else tuple(t for t in request.tools if t.name == forced)[:1]


def _answer_schema(request: ChatRequest) -> Json | None:
    form = request.response_format
    if form.type == "text":
        return None
    if form.schema is None:
        return _ANY_OBJECT
    return checked(form.schema, "response_format.json_schema.schema")


def _parameters(request: ChatRequest, tool: Tool, *, is_bound: bool) -> Json:
    """The schema of a tool's arguments; any object where nobody asked for more."""
    if not is_bound:
        return _ANY_OBJECT
    if tool.parameters is None:
        return _NO_ARGUMENTS
    path = f"tools[{request.tools.index(tool)}].function.parameters"
    if tool.parameters.get("type", "object") != "object":
        raise refuse(f"{path}.type", 'must be "object"', tool.parameters["type"])
    return checked({"type": "object", **tool.parameters}, path)


def _where(request: ChatRequest) -> str:
    return "tools" if _callable(request) else "response_format"


def _quote(text: str) -> str:
    # escaped: the grammar's own reader takes no control characters
    return json.dumps(text)
