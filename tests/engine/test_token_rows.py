"""Rows of the token embedding: what llama.cpp computes from them is what it computes from the tokens."""

from __future__ import annotations

import numpy as np
import pytest

from runtime.engine.batch import EmbeddingBatch, TextBatch
from runtime.engine.engine import Engine
from runtime.engine.llama import AbortFlag, Context, Model
from runtime.engine.token_rows import TokenRows
from tests.engine.helpers import PROJECTOR_FILE, TEXT_FILE, chat, generate, picture, small_engine

TOKENS = [5, 99, 7, 7, 400, 12]


def test_logits_are_the_same_to_the_last_bit() -> None:
    model = Model(TEXT_FILE, gpu_layers=0)
    context = Context(model, cells=256, batch=64, sequences=2, outputs=4, threads=1, kv_type="f16", abort=AbortFlag())
    try:
        text, rows = TextBatch(64), EmbeddingBatch()
        text.add(0, TOKENS, 0, outputs=2)
        assert rows.add_text(1, TokenRows(TEXT_FILE, model.n_vocab, model.n_embd).of(TOKENS), 0, outputs=2) == 6
        found = []
        for batch in (text, rows):
            assert context.decode(batch) == 0
            found.append([context.logits(i).copy() for i in (4, 5)])
        np.testing.assert_array_equal(found[0], found[1])
    finally:
        context.close()
        model.close()


@pytest.mark.parametrize("n_vocab", [1, 10**6])
def test_another_shape_is_refused(n_vocab: int) -> None:
    with pytest.raises(KeyError, match="expected"):
        TokenRows(TEXT_FILE, n_vocab, 256)


def test_a_file_without_them_is_refused() -> None:
    with pytest.raises(KeyError, match="no token_embd"):
        TokenRows(PROJECTOR_FILE, 1, 1)


def test_without_them_text_and_images_are_computed_apart(engine: Engine) -> None:
    other = small_engine()
    other._runner._rows = None
    parts = chat(picture("circle", "red"), "What is in this image?")
    try:
        assert generate(other, parts).text() == generate(engine, parts).text()
    finally:
        other.close()
