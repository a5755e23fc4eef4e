"""Constrained decoding: JSON answers and tool calls, as token masks that the engine applies.

A call that the model chooses to make keeps its tool's definition, too: its name is one of the tools', its arguments are
those that the schema has. A schema that no grammar can keep, or only after long work, is left to the model there; where
the call is forced or strict the one is refused and the other is done.
"""

from __future__ import annotations

import contextlib
import json
import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from functools import lru_cache
from typing import Protocol

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper

from runtime.ai.checks import refuse
from runtime.ai.forms import LIGHT, Json, checked, dumped, line, refusal, work
from runtime.ai.request import ChatRequest, Tool
from runtime.ai.template import CALL, END_CALL
from runtime.engine.request import Part, Prompt, Text, TokenMask
from runtime.engine.sequence import TokenisedPrompt
from runtime.errors import EngineError, InvalidRequest

log = logging.getLogger(__name__)

MakeMask = Callable[[], TokenMask]
_ANY_OBJECT: Json = {"type": "object"}
_NO_ARGUMENTS: Json = {"type": "object", "properties": {}, "additionalProperties": False}
_KEPT = 16
"""Grammars that are not made anew: those of conversations that go on with the same tools."""
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
        self._compiled = lru_cache(_KEPT)(self._compile)

    def load(self) -> Grammars:
        """What every grammar needs, made now: for a real vocabulary it holds the interpreter's lock for 80 ms."""
        self._tokenizer()
        return self

    def mask(self, request: ChatRequest) -> MakeMask | None:
        """Makes one mask a choice, for a request that is constrained or may call tools; None where the vocabulary has
        no tokens that a call would begin and end with. Raises InvalidRequest naming what is unsupported."""
        if is_constrained(request):
            first = self._made_for(request, _grammar)
            return lambda: Mask(first.deep_copy())
        markup = self._engine.vocabulary().markup
        if CALL not in markup or END_CALL not in markup:
            return None
        call = self._made_for(request, _call_grammar)
        return lambda: CallMask(call, markup[CALL], markup[END_CALL])

    def _made_for(self, request: ChatRequest, grammar: Callable[[ChatRequest], str]) -> LLMatcher:
        try:
            return self._compiled(grammar(request))
        except _Unkept as e:
            loose = tuple(t if _is_bound(request, t) else replace(t, parameters={}) for t in request.tools)
            if loose == request.tools:
                raise refusal(_where(request), str(e)) from None
            return self._made_for(replace(request, tools=loose), grammar)

    def _compile(self, grammar: str) -> LLMatcher:
        """Raises _Unkept."""
        first = LLMatcher(self._tokenizer(), grammar, log_level=0)
        first.compute_bitmask()  # a form that nothing can have shows only here
        ahead = first.deep_copy()
        if forced := ahead.compute_ff_tokens():
            ahead.consume_token(forced[0])  # one that is forced on without an end, here
        if ahead.is_error():
            raise _Unkept(ahead.get_error())
        return first

    def _tokenizer(self) -> LLTokenizer:
        with self._lock:
            if self._made is None:
                wrapper = _Tokenizer(self._engine)
                self._made = LLTokenizer(TokenizerWrapper(wrapper), eos_token=wrapper.ends)
            return self._made


class _Unkept(Exception):
    """A grammar that nothing can keep; what llguidance says of it."""


class Mask:
    """Which tokens the grammar allows next: see `engine.request.TokenMask`."""

    is_open = False

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


class CallMask:
    """Text is free, a call in it is what the grammar of one call allows. Nobody has insisted on that: where the grammar
    fails on the way, the rest of the call is free, too."""

    def __init__(self, call: LLMatcher, opening: int, closing: int) -> None:
        """`call` is copied where one begins, with token `opening`; it ends with `closing`."""
        self._call, self._opening, self._closing = call, opening, closing
        self._begun: Mask | None = None

    @property
    def is_open(self) -> bool:
        return self._begun is None

    def fill(self, bits: memoryview) -> None:
        assert self._begun is not None
        try:
            self._begun.fill(bits)
        except EngineError as e:
            self._give_up(e)
            bits[:] = b"\xff" * len(bits)

    def accept(self, token: int) -> None:
        if self._begun is None and token == self._opening:
            self._begun = Mask(self._call.deep_copy())
        if self._begun is None:
            return
        try:
            self._begun.accept(token)
        except EngineError as e:
            self._give_up(e)
        if token == self._closing:
            self._begun = None

    def _give_up(self, error: EngineError) -> None:
        log.warning("a call is not held to its tool's definition: %s", error)
        self._begun = None


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
    if request.tool_choice == "required":
        start = _calls(request)
    elif schema is not None:
        start = f"answer | {_calls(request)}\nanswer: %json {dumped(schema)}"
    else:
        start = "(TEXT call)* TEXT" if request.is_parallel else "TEXT call?"
    return "\n".join([f"start: {start}", *_call_rules(request), r"TEXT: /(.|\n)*/"]) + "\n"


def _call_grammar(request: ChatRequest) -> str:
    """Of one call alone."""
    return "\n".join(["start: call", *_call_rules(request)]) + "\n"


def _call_rules(request: ChatRequest) -> list[str]:
    """What `call` is: one of the tools, with its arguments."""
    tools = _callable(request)
    lines, left = ["call: " + " | ".join(f"call{i}" for i in range(len(tools)))], LIGHT
    for i, tool in enumerate(tools):
        head = f'\n{{"name": {json.dumps(tool.name, ensure_ascii=False)}, "arguments": '
        lines.append(f"call{i}: {CALL} {_quote(head)} arguments{i} {_quote('}' + chr(10))} {END_CALL}")
        schema: Json = _ANY_OBJECT
        if _is_bound(request, tool):
            schema = _parameters(request, tool)
        elif (cost := work(tool.parameters or {})) <= left:
            left -= cost
            with contextlib.suppress(InvalidRequest):
                schema = _parameters(request, tool)
        lines.append(f"arguments{i}: %json {dumped(schema)}")
    return lines


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


def _is_bound(request: ChatRequest, tool: Tool) -> bool:
    """Whether its arguments must keep its schema."""
    return request.tool_choice == "required" or tool.is_strict


def _parameters(request: ChatRequest, tool: Tool) -> Json:
    """The schema of a tool's arguments. Raises InvalidRequest where no grammar can keep it."""
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
