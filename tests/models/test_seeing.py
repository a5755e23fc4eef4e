"""Questions about pictures: evaluation's own wordings are never trained, answers are true of the picture."""

from __future__ import annotations

import random
import re

import pytest

from tests.models.conftest import RECIPE

if not (RECIPE / "data.py").is_file():
    pytest.skip("the recipe is not in this copy of the project", allow_module_level=True)

import data
import everyday
import questions
import scenes
import seeing
from lexicon import COLOURS_PT, KINDS, KINDS_PT, kinds_name, shape_name

LANGUAGES = ("en", "pt")


def drawn(count: int, seed: int) -> scenes.Scene:
    return scenes.draw_shapes(random.Random(seed), (196, 168), count)


def matching(wording: str) -> re.Pattern[str]:
    """Of the questions that a wording makes."""
    return re.compile(re.sub(r"\\\{\w+\\\}", ".+", re.escape(wording)), re.IGNORECASE)


def test_no_held_out_wording_is_trained() -> None:
    tables = (
        questions.DESCRIBE, questions.COLOUR_OF, questions.KIND_OF, questions.COUNT_ALL, questions.COUNT_SOME,
        questions.IS_THERE, questions.LOCATE, questions.LOCATE_ALL, questions.READ_NUMBER, questions.READ_WORD,
        questions.READ, questions.JSON_ONE, questions.JSON_COUNT,
    )  # fmt: skip
    held_out = [matching(table[language][-1]) for table in tables for language in LANGUAGES]
    asked = set()
    for seed in range(1500):
        rng = random.Random(seed)
        asked |= {t.text for t in data.seeing_chat(rng, data.cells_for(rng)).turns if t.role == "user"}
    assert len(asked) > 2000
    assert [a for a in asked if any(p.fullmatch(a) for p in held_out)] == []


def test_everyday_wordings_are_not_asked_where_a_bar_is() -> None:
    tables = (
        everyday.COLOUR_OF_ONE, everyday.KIND_OF_ONE, questions.DESCRIBE_MORE, questions.COUNT_MORE,
        questions.LOCATE_MORE, everyday.HAS_TEXT, everyday.ODD,
    )  # fmt: skip
    alone = {wording for table in tables for row in table.values() for wording in row}
    asked = set()
    for seed in range(300):
        rng = random.Random(seed)
        scene = data.scene(rng, (5, 5), held_out=True)
        asked |= {seeing.question(rng, scene, language, True)[0] for language in LANGUAGES}
    assert asked
    assert not asked & alone


def kinds_of(text: str, language: str) -> list[str]:
    names = {k if language == "en" else KINDS_PT[k][0]: k for k in KINDS}
    return [names[w] for w in re.findall(r"\w+", text.lower()) if w in names]


@pytest.mark.parametrize("language", LANGUAGES)
def test_a_colour_or_kind_that_is_asked_for_is_judged_by_the_shape(language: str) -> None:
    verdicts = set()
    for seed in range(300):
        scene = drawn(1 + seed % 3, seed)
        made = everyday.is_coloured(random.Random(seed), scene, language, False)
        if made is None:
            continue
        asked, said, task = made
        is_true = said.endswith((": yes.", ": sim."))
        verdicts.add((task, is_true))
        (shape,) = [
            s for s in scene.shapes if kinds_of(said.split(";")[0], language) == [s.kind]
        ]  # the only one of its kind
        if task == "kind":
            assert (kinds_of(asked, language) == [shape.kind]) == is_true, made
        else:
            colours = {shape.colour} if language == "en" else {*COLOURS_PT[shape.colour][:2]}
            words = re.findall(r"\w+", asked.lower())
            assert bool(colours & set(words)) == is_true, made
    assert verdicts == {("colour", True), ("colour", False), ("kind", True), ("kind", False)}


@pytest.mark.parametrize("language", LANGUAGES)
def test_whether_a_kind_is_there(language: str) -> None:
    for seed in range(200):
        scene = drawn(1 + seed % 4, seed)
        asked, said, _ = everyday.is_kind_there(random.Random(seed), scene, language, False)
        verdict = re.fullmatch(r".+; (.+): (?:yes|no|sim|não)\.", said)
        assert verdict is not None
        (kind,) = kinds_of(verdict[1], language)
        assert kinds_of(asked, language) == [kind] or kinds_name(kind, language) in asked
        assert said.endswith((": yes.", ": sim.")) == any(s.kind == kind for s in scene.shapes)


@pytest.mark.parametrize("language", LANGUAGES)
def test_of_two_shapes_the_one_that_is_asked_about_is_told(language: str) -> None:
    """The answer's first shape is on the side that it tells; one that the question tells the place by is the second."""
    for seed in range(200):
        scene = drawn(2, seed)
        made = seeing.relation(random.Random(seed), scene, language, False)
        if made is None:
            continue
        asked, said, task = made
        at = sorted(scene.shapes, key=lambda s: said.lower().find(shape_name(s.kind, s.colour, language)))
        side = task.removeprefix("relation ")
        across, down = (b - a for a, b in zip(at[0].centre, at[1].centre, strict=True))
        assert {"left": across > 0, "right": across < 0, "above": down > 0, "below": down < 0}[side], made
        if asked.startswith(("What is to", "What is above", "What is below", "What is next", "O que está ao lado")):
            assert at[1].kind in kinds_of(asked, language), made


@pytest.mark.parametrize("language", LANGUAGES)
def test_where_no_text_is_none_is_read(language: str) -> None:
    _, said, _ = everyday.has_no_text(random.Random(1), drawn(2, 3), language, False)
    assert said.endswith(("; text: none.", "; texto: nenhum."))
    text = scenes.draw_text(random.Random(2), (140, 84))
    for seed in range(40):
        _, said, task = everyday.of_text(random.Random(seed), text, language)
        assert str(text.text) in said
        assert task == "read" or said.endswith((": none.", ": nenhuma.", ": no.", ": não."))
