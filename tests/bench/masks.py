"""What a token mask costs at a vocabulary of real size, by llguidance and, where it is installed, by xgrammar.

usage: python tests/bench/masks.py MODEL.gguf      its vocabulary is all that is used
Each library walks along the same valid answers: time to compile the schema, and to make the mask of each token.
"""

from __future__ import annotations

import importlib.util
import json
import statistics
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from llguidance import LLMatcher, LLTokenizer, TokenizerWrapper  # noqa: E402

from runtime.engine.llama import Model  # noqa: E402

Walk = Callable[[str, list[int]], Iterator[float]]
"""A schema and the tokens of an answer → seconds: of compiling, then of each mask."""
SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
TEXT = "A river runs below the old stone bridge, where a copper lamp burns in the window of a paper mill. " * 3
ANSWERS: tuple[tuple[str, dict[str, Any], Any], ...] = (
    ("free text", {"properties": {"text": {"type": "string"}}, "required": ["text"]}, {"text": TEXT}),
    (
        "numbers and words",
        {"properties": {"items": {"type": "array", "items": {"anyOf": [{"type": "number"}, {"enum": ["up", "down"]}]}}},
         "required": ["items"]},
        {"items": [12, 3.25, "up", -4, "down", 1000000, 0.5, "up"] * 6},
    ),
    (
        "objects",
        {"properties": {"list": {"type": "array", "items": {
            "type": "object", "additionalProperties": False, "required": ["name", "size", "kind", "tags"],
            "properties": {"name": {"type": "string", "maxLength": 40}, "size": {"type": "integer"},
                           "kind": {"enum": ["river", "stone"]},
                           "tags": {"type": "array", "items": {"type": "string", "pattern": "^[a-z]{1,12}$"}}}}}},
         "required": ["list"]},
        {"list": [{"name": "Rio Douro", "size": 897, "kind": "river", "tags": ["water", "iberia"]}] * 6},
    ),
)  # fmt: skip


class _Tokenizer:
    bos_token_id = None
    special_token_ids = ()

    def __init__(self, model: Model) -> None:
        self.eos_token_id = model.eos
        self.tokens = [model.piece(t) for t in range(model.n_vocab)]
        for name, token in model.markup.items():
            self.tokens[token] = b"\xff" + name.encode()
        self._model = model

    def __call__(self, text: bytes) -> list[int]:
        return self._model.tokenize(text.decode())


def with_llguidance(tokenizer: _Tokenizer) -> Walk:
    made = LLTokenizer(TokenizerWrapper(tokenizer), eos_token=tokenizer.eos_token_id)

    def walk(schema: str, tokens: list[int]) -> Iterator[float]:
        began = time.perf_counter()
        form = json.dumps({**json.loads(schema), "x-guidance": SPACING})  # as json.dumps and xgrammar have it
        matcher = LLMatcher(made, LLMatcher.grammar_from_json_schema(form), log_level=0)
        yield time.perf_counter() - began
        for token in tokens:
            began = time.perf_counter()
            matcher.compute_bitmask()
            yield time.perf_counter() - began
            assert matcher.consume_token(token), f"{token} is not allowed"

    return walk


def with_xgrammar(tokenizer: _Tokenizer) -> Walk:
    import xgrammar

    pieces = list(tokenizer.tokens)
    info = xgrammar.TokenizerInfo(pieces, vocab_type=xgrammar.VocabType.RAW, stop_token_ids=[tokenizer.eos_token_id])
    compiler = xgrammar.GrammarCompiler(info, max_threads=2, cache_enabled=False)
    mask = xgrammar.allocate_token_bitmask(1, info.vocab_size)

    def walk(schema: str, tokens: list[int]) -> Iterator[float]:
        began = time.perf_counter()
        compiled = compiler.compile_json_schema(schema, any_whitespace=False, separators=(", ", ": "))
        matcher = xgrammar.GrammarMatcher(compiled)
        yield time.perf_counter() - began
        for token in tokens:
            began = time.perf_counter()
            matcher.fill_next_token_bitmask(mask)
            yield time.perf_counter() - began
            assert matcher.accept_token(token), f"{token} is not allowed"

    return walk


def main(path: Path, rounds: int = 5) -> None:
    model = Model(path, gpu_layers=0)
    tokenizer = _Tokenizer(model)
    walks = {"llguidance": with_llguidance(tokenizer)}
    if importlib.util.find_spec("xgrammar"):
        walks["xgrammar"] = with_xgrammar(tokenizer)
    print(f"{model.n_vocab} tokens; median of {rounds} rounds in turn, in ms")
    print(f"{'':20}{'':12}{'compile':>9}{'mask p50':>10}{'p99':>9}{'worst':>9}")
    for name, schema, answer in ANSWERS:
        schema = {"type": "object", "additionalProperties": False, **schema}
        tokens = model.tokenize(json.dumps(answer))
        found: dict[str, list[list[float]]] = {library: [] for library in walks}
        for _ in range(rounds):
            for library, walk in walks.items():
                seconds = list(walk(json.dumps(schema), tokens))
                each = np.array(seconds[1:]) * 1000
                found[library].append([seconds[0] * 1000, *np.percentile(each, [50, 99]), each.max()])
        for library, rows in found.items():
            compiled, *masks = (statistics.median(column) for column in zip(*rows, strict=True))
            line = f"{compiled:9.2f} " + "".join(f"{ms:9.3f}" for ms in masks)
            print(f"{name:20}{library:12}{line}", flush=True)
    model.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]))
