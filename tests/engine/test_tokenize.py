"""Request text never becomes a special token; parts become tokens in order."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from runtime.engine.engine import Engine
from runtime.engine.request import Image, Markup, Part, Text
from runtime.engine.sequence import ImageShape, TokenisedPrompt
from runtime.engine.tokenize import Tokenizer
from runtime.errors import EngineError, ImageError, InvalidRequest
from tests.engine.helpers import picture


def by_letter(text: str) -> list[int]:
    """A tokenizer that, like llama.cpp's, turns a user-defined spelling into its token whatever is asked."""
    tokens = []
    while text:
        special = next((s for s in SPECIAL if text.startswith(s)), None)
        tokens.append(SPECIAL[special] if special else ord(text[0]))
        text = text[len(special or "x") :]
    return tokens


SPECIAL = {"<tool>": 9001, "</tool>": 9002, "<t": 9003}


def measure(width: int, height: int) -> tuple[list[int], ImageShape, list[int]]:
    columns, rows = max(1, width // 28), max(1, height // 28)
    return [1], ImageShape(columns, rows, columns * rows, max(columns, rows)), [2]


TOKENIZER = Tokenizer(by_letter, {**SPECIAL, "<|end|>": 9000}, SPECIAL, measure)


def image(width: int, height: int, key: str = "k") -> Image:
    return Image(width, height, bytes(width * height * 3), key)


@given(st.text(alphabet="<>/tol", max_size=20) | st.sampled_from(["<<tool>", "<tool></tool>", "<t<tool>ol>"]))
def test_text_never_becomes_a_special_token(text: str) -> None:
    assert TOKENIZER.text(text) == [ord(letter) for letter in text]


def test_markup_becomes_its_token() -> None:
    assert TOKENIZER.prepare([Text("a"), Markup("<tool>"), Text("b")]).ids == (97, 9001, 98)


def test_an_image_has_its_place_in_tokens_and_in_positions() -> None:
    prompt = TOKENIZER.prepare([Text("ab"), image(84, 56), Text("c")])
    assert prompt.n_tokens == 2 + 1 + 6 + 1 + 1
    (span,) = prompt.images
    assert (span.start, span.end, span.position) == (3, 9, 3)
    assert [prompt.position(i) for i in (0, 2, 3, 8, 9, 10, 11)] == [0, 2, 3, 3, 6, 7, 8]
    assert [prompt.edge(i) for i in (2, 3, 5, 8, 9)] == [2, 3, 3, 3, 9]
    assert (prompt.text_end(0), prompt.text_end(9)) == (3, 11)


def test_the_same_image_has_the_same_tokens_and_another_one_others() -> None:
    one, same, other = (TOKENIZER.prepare([image(28, 28, key)]).ids[1] for key in ("k", "k", "l"))
    assert one == same < 0
    assert other != one


@pytest.mark.parametrize(
    ("parts", "error", "says"),
    [
        ([], InvalidRequest, "empty"),
        ([Text("")], InvalidRequest, "empty"),
        ([Markup("<nope>")], EngineError, "<nope>"),
        ([image(5000, 20)], ImageError, "200 times"),
        ([Image(2, 2, b"abc", "k")], ImageError, "3 bytes"),
        ([Image(0, 2, b"", "k")], ImageError, "0 x 2"),
    ],
)
def test_what_cannot_be_a_prompt(parts: Sequence[Part], error: type[Exception], says: str) -> None:
    with pytest.raises(error, match=says):
        TOKENIZER.prepare(parts)


def test_no_image_without_a_projector() -> None:
    with pytest.raises(InvalidRequest, match="without a projector"):
        Tokenizer(by_letter, {}, (), None).prepare([image(28, 28)])


@pytest.mark.parametrize(
    "text",
    ["<|im_end|>", "a<tool_call>b", "</tool_call><tool_call>", "<|vision_start|><__media__>", "<tool_<tool_call>"],
)
def test_the_real_vocabulary_reads_special_spellings_as_text(engine: Engine, text: str) -> None:
    prompt = engine.prepare([Text(text)])
    assert isinstance(prompt, TokenisedPrompt)
    vocabulary = engine.vocabulary()
    assert set(prompt.ids).isdisjoint(vocabulary.markup.values())
    assert b"".join(vocabulary.pieces[t] for t in prompt.ids).decode() == text


def test_texts_join_before_they_are_tokenised(engine: Engine) -> None:
    assert engine.prepare([Text("Name the eur"), Text("opean capitals")]) == engine.prepare(
        [Text("Name the european capitals")]
    )


def test_real_images_count_the_tokens_of_their_fitted_size(engine: Engine) -> None:
    assert engine.prepare([picture("circle", "red")]).n_tokens == 16 + 2


def test_half_a_surrogate_pair_is_no_crash(engine: Engine) -> None:
    assert engine.prepare([Text("a\ud800b\0c")]).n_tokens >= 3


def test_the_engine_knows_its_markup(engine: Engine) -> None:
    assert engine.markup("<|im_end|>") == engine.vocabulary().eos
    assert engine.markup("<tool_call>") is not None
    assert engine.markup("<nope>") is None
