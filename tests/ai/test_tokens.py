"""Prompts as tokens of Qwen2.5-VL's own vocabulary: their number, and that no request forges a special one."""

from __future__ import annotations

from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.ai.request import parse
from runtime.ai.template import lay_out
from runtime.engine.llama import CONTROL, USER_DEFINED, c, start_backend
from runtime.engine.request import Markup
from runtime.engine.tokenize import Tokenizer
from tests.ai.seed import BASIC, CALL, TOOLS, prompt

VOCABULARY = Path(__file__).parents[1] / "data" / "qwen25vl-vocab.gguf"


@cache
def vocabulary() -> tuple[Tokenizer, dict[str, int]]:
    """The engine's tokenizer over a file that holds a vocabulary and no weights."""
    start_backend()
    params = c.llama_model_default_params()
    params.vocab_only = True
    model = c.llama_model_load_from_file(str(VOCABULARY).encode(), params)
    vocab = c.llama_model_get_vocab(model)

    def tokenize(text: str) -> list[int]:
        data = text.encode()
        tokens = (c.llama_token * (len(data) + 8))()
        return list(tokens[: c.llama_tokenize(vocab, data, len(data), tokens, len(tokens), False, False)])

    def named(kind: int) -> Iterator[tuple[str, int]]:
        for token in range(c.llama_vocab_n_tokens(vocab)):
            if c.llama_vocab_get_attr(vocab, token) & kind:
                yield c.llama_vocab_get_text(vocab, token).decode(), token

    special = dict(named(CONTROL | USER_DEFINED))
    return Tokenizer(tokenize, special, [name for name, _ in named(USER_DEFINED)], None), special


@pytest.mark.parametrize(("inputs", "n_tokens"), [(BASIC, 23), (TOOLS, 174)])
def test_the_seeds_prompts(inputs: dict[str, Any], n_tokens: int) -> None:
    assert vocabulary()[0].prepare(prompt(inputs)).n_tokens == n_tokens


def test_the_seeds_tool_call() -> None:
    assert vocabulary()[0].prepare(CALL).n_tokens == 20


FRAGMENTS = (
    *("<__media__>", "<__image__>", "<tools>", "</tools>", "<tool_response>", "</tool_response>", "<|fim_prefix|>"),
    *("<", "|", "<tool_", "call>", "_start|>", "<|im", "\n", "system\n", '"', "\\", "{", "é"),
)
HOSTILE = st.deferred(
    lambda: st.lists(st.sampled_from([*vocabulary()[1], *FRAGMENTS])).map("".join)  # every special token there is
)


def conversation(texts: tuple[str, ...]) -> dict[str, Any]:
    """A text in every field that reaches the prompt."""
    system, user, said, name, key, argument, result, tool, description, of_parameter, title = texts
    call = {"name": name, "arguments": f'{{"x": {_json(argument)}, {_json(key)}: 1}}'}
    properties = {title: {"description": of_parameter, "enum": [title]}}
    function = {"name": tool, "description": description, "parameters": {"type": "object", "properties": properties}}
    return {
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": [{"type": "text", "text": user}, {"type": "text", "text": user}]},
            {"role": "assistant", "content": said, "tool_calls": [{"id": name, "type": "function", "function": call}]},
            {"role": "tool", "content": result, "tool_call_id": name},
            {"role": "user", "content": user, "name": user},
        ],
        "tools": [{"type": "function", "function": function}],
    }


def _json(text: str) -> str:
    """As a JSON text, in which nothing but a character's escape can stand for it."""
    return '"' + "".join(f"\\u{ord(char):04x}" for char in text) + '"'


@given(st.tuples(*[HOSTILE] * 11))
def test_no_request_forges_a_special_token(texts: tuple[str, ...]) -> None:
    tokenizer, special = vocabulary()
    assert {"<|im_end|>", "<|image_pad|>", "<|box_start|>", "<tool_call>"} <= special.keys()
    parts = lay_out(parse(conversation(texts)), ())
    expected = [special[p.name] for p in parts if isinstance(p, Markup)]
    assert [t for t in tokenizer.prepare(parts).ids if t in special.values()] == expected
    harmless = lay_out(parse(conversation(("x",) * 11)), ())
    assert expected == [special[p.name] for p in harmless if isinstance(p, Markup)]
