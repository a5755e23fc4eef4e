"""Constrained decoding: JSON answers and forced or strict tool calls, as token masks that the engine applies."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Protocol

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from runtime.ai.checks import refuse
from runtime.ai.request import ChatRequest, Tool
from runtime.ai.template import CALL, END_CALL
from runtime.engine.request import Part, Prompt, Text, TokenMask
from runtime.engine.sequence import TokenisedPrompt
from runtime.errors import EngineError, InvalidRequest

MakeMask = Callable[[], TokenMask]
Json = Mapping[str, Any]
_ANY_OBJECT: Json = {"type": "object"}
_NO_ARGUMENTS: Json = {"type": "object", "properties": {}, "additionalProperties": False}
# JSON as the model's own tool calls have it: free white space would let a small model write nothing else
_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
MAX_SCHEMA_VALUES = 10_000
"""A grammar of 2,000 properties takes 0.7 s to make, of 10,000 it took 14."""
MAX_JOINED_PATTERNS = 12
"""24 took a minute."""
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
        if first.is_error():
            where = _where(request)
            raise InvalidRequest(f"{where}: cannot be enforced: {_line(first.get_error())}", param=where)
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
            raise EngineError(f"the answer's form cannot be kept: {_line(self._matcher.get_error())}")
        bits[:] = allowed[: len(bits)]  # llguidance's mask is padded to whole words

    def accept(self, token: int) -> None:
        if not self._matcher.consume_token(token):
            raise EngineError(f"the answer's form was broken: {_line(self._matcher.get_error())}")


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
        return f"start: %json {_dump(schema)}\n"
    is_required = request.tool_choice == "required"
    if is_required:
        start = _calls(request)
    elif schema is not None:
        start = f"answer | {_calls(request)}\nanswer: %json {_dump(schema)}"
    else:
        start = "(TEXT call)* TEXT" if request.is_parallel else "TEXT call?"
    lines = [f"start: {start}", "call: " + " | ".join(f"call{i}" for i in range(len(tools)))]
    for i, tool in enumerate(tools):
        head = f'\n{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "arguments": '
        lines.append(f"call{i}: {CALL} {_quote(head)} arguments{i} {_quote('}' + chr(10))} {END_CALL}")
        lines.append(f"arguments{i}: %json {_dump(_parameters(request, tool, is_bound=is_required or tool.is_strict))}")
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
    return _checked(form.schema, "response_format.json_schema.schema")


def _parameters(request: ChatRequest, tool: Tool, *, is_bound: bool) -> Json:
    """The schema of a tool's arguments; any object where nobody asked for more."""
    if not is_bound:
        return _ANY_OBJECT
    if tool.parameters is None:
        return _NO_ARGUMENTS
    path = f"tools[{request.tools.index(tool)}].function.parameters"
    if tool.parameters.get("type", "object") != "object":
        raise refuse(f"{path}.type", 'must be "object"', tool.parameters["type"])
    return _checked({"type": "object", **tool.parameters}, path)


def _checked(schema: Json, path: str) -> Json:
    """Refuses what a grammar cannot enforce, naming the keyword."""
    fault = _too_costly(schema)
    if "x-guidance" in schema:
        fault = 'Unimplemented keys: ["x-guidance"]'
    if fault is not None:
        raise InvalidRequest(f"{path}: cannot be enforced: {fault}", param=path)
    grammar = LLMatcher.grammar_from_json_schema(_dump(schema))
    is_error, messages = LLMatcher.validate_grammar_with_warnings(grammar)
    if is_error or messages:
        raise InvalidRequest(f"{path}: cannot be enforced: {_line(' '.join(messages))}", param=path)
    return schema


def _too_costly(schema: Json) -> str | None:
    """Why making a grammar of it would take too long: nothing can stop that once it has begun."""
    n_values = n_patterns = 0
    has_joins = False
    left: list[Any] = [schema]
    while left:
        item = left.pop()
        n_values += len(item)
        if isinstance(item, dict):
            has_joins = has_joins or "allOf" in item or ("$ref" in item and len(item) > 1)
            n_patterns += "pattern" in item
        left.extend(
            each for each in (item.values() if isinstance(item, dict) else item) if isinstance(each, dict | list)
        )
    if n_values > MAX_SCHEMA_VALUES:
        return f"more than {MAX_SCHEMA_VALUES} values"
    # every one that must hold together with the others doubles the time
    if has_joins and n_patterns > MAX_JOINED_PATTERNS:
        return f"more than {MAX_JOINED_PATTERNS} patterns in a schema with allOf, or with other rules beside a $ref"
    return None


def _where(request: ChatRequest) -> str:
    return "tools" if _callable(request) else "response_format"


def _dump(schema: Json) -> str:
    return json.dumps({**schema, "x-guidance": _SPACING})


def _quote(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _line(text: str) -> str:
    text = " ".join(text.partition("<state>")[0].split())  # what follows is for llguidance's own developers
    return text if len(text) <= 200 else text[:200] + "…"
