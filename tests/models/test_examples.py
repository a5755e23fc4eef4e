"""The embedded model's data: seeded, true, apart from what evaluation asks, prepared as the runtime prepares it."""

from __future__ import annotations

import io
import json
import random
import re
from typing import Any

import jsonschema_rs
import numpy as np
import PIL.Image
import pytest

from runtime.ai.media import decode, fit_of
from runtime.ai.request import ImageSource, parse
from tests.models.conftest import RECIPE

if not (RECIPE / "data.py").is_file():
    pytest.skip("the recipe is not in this copy of the project", allow_module_level=True)

import calling
import data
import examples
import questions
import scenes
import wordings
from chats import Chat, parts, request


def chats(count: int, *, held_out: bool = False) -> list[Chat]:
    made: list[Chat] = []
    for i in range(count):
        rng = random.Random(i)
        made.append(data.seeing_chat(rng, data.cells_for(rng), held_out))
        made.append(data.listing_chat(rng, data.cells_for(rng, 0.5, is_even=True), held_out))
        made.append(data.placing_chat(rng, data.cells_for(rng), held_out))
        made.append(data.saying_chat(rng, held_out))
        made.append(data.calling_chat(rng, held_out))
        if not held_out:
            made.append(data.repeating_chat(rng))
    return made


def shown(chat: Chat) -> tuple[Any, ...]:
    return parts(chat), [s.picture.tobytes() for s in chat.scenes]


def test_the_same_seed_makes_the_same_conversations() -> None:
    first, second = chats(12), chats(12)
    assert [shown(c) for c in first] == [shown(c) for c in second]
    assert len({repr(parts(c)) for c in first}) > 30


def test_every_conversation_is_a_request_that_the_runtime_takes() -> None:
    for chat in chats(25):
        answers = [i for i, t in enumerate(chat.turns) if t.role == "assistant"]
        for i in answers:
            parse(request(chat, i))
        assert answers
        assert chat.turns[-1].role == "assistant"


def test_pictures_are_prepared_as_the_runtime_prepares_them() -> None:
    for i in range(40):
        rng = random.Random(i)
        picture = data.scene(rng, data.cells_for(rng), held_out=False).picture
        buffer = io.BytesIO()
        picture.save(buffer, "PNG")
        source = ImageSource("", "p")
        image = decode(buffer.getvalue(), fit_of(source, 1024), "p")
        theirs = np.frombuffer(image.rgb, np.uint8).reshape(image.height, image.width, 3)
        assert np.array_equal(scenes.pixels(picture), theirs), picture.size


def test_pictures_have_up_to_448_pixels_a_side() -> None:
    cells = [data.cells_for(random.Random(i)) for i in range(6000)]
    assert {max(c) for c in cells} == set(range(2, 17))
    assert max(a * b for a, b in cells) > 200
    assert all(min(c) >= 2 and max(c) <= 3 * min(c) for c in cells)


def test_shapes_are_told_row_by_row() -> None:
    for i in range(40):
        scene = scenes.draw_shapes(random.Random(i), (196, 168), 4)
        for k, one in enumerate(scene.shapes):
            for later in scene.shapes[k + 1 :]:
                assert one.box[1] < later.box[1] + 28
                if one.box[1] == later.box[1]:
                    assert one.box[0] < later.box[0]


def test_boxes_are_where_the_shapes_are() -> None:
    for i in range(40):
        rng = random.Random(i)
        (shape,) = scenes.draw_shapes(rng, (140, 112), 1).shapes
        rng = random.Random(i)
        scene = scenes.draw_shapes(rng, (140, 112), 1)
        middle = np.asarray(scene.picture, int)[round(shape.centre[1]), round(shape.centre[0])]
        x1, y1, x2, y2 = shape.box
        assert 0 <= x1 < x2 <= 140
        assert 0 <= y1 < y2 <= 112
        far = np.abs(np.asarray(scene.picture, int) - middle).sum(-1) < 12
        inside = far[max(0, y1 - 1) : y2 + 2, max(0, x1 - 1) : x2 + 2].sum()
        assert inside >= 0.97 * far.sum(), (i, shape)


def test_letters_have_their_numbers_where_they_are_seen() -> None:
    pytest.importorskip("torch", reason="the extra `model` is not installed")
    pytest.importorskip("tokenizers", reason="the extra `model` is not installed")
    import batches

    for i in range(40):
        scene = scenes.draw_text(random.Random(i), (140, 84))
        assert scene.text
        lettered, spelled, ordered = (a.reshape(3, 5, -1) for a in batches.truth(scene, 5, 3)[4:])
        for n, box in enumerate(scene.letters):
            column, row = ((box[0] + box[2]) // 2 // 28, (box[1] + box[3]) // 2 // 28)
            assert lettered[row, column, n] == 1, (scene.text, n)
            assert batches.LETTERS[spelled[row, column, n]] == scene.text[n]
        assert not lettered[..., len(scene.text) :].any()
        assert (lettered.astype(bool) == (spelled >= 0)).all()
        for theirs, numbered in zip(ordered.reshape(15, -1), spelled.reshape(15, -1), strict=True):
            assert [v for v in theirs if v >= 0] == [v for v in numbered if v >= 0][: len(theirs)]


def test_shapes_are_ranked_as_they_are_told() -> None:
    pytest.importorskip("torch", reason="the extra `model` is not installed")
    pytest.importorskip("tokenizers", reason="the extra `model` is not installed")
    import batches

    for i in range(20):
        scene = scenes.draw_shapes(random.Random(i), (168, 168), 4)
        _, _, has, ranked, *_ = batches.truth(scene, 6, 6)
        for n, shape in enumerate(scene.shapes):
            x, y = (round(v) // 28 for v in shape.centre)
            assert has[6 * y + x]
            assert ranked[6 * y + x] == n


def test_evaluation_asks_what_training_never_had() -> None:
    trained = [s for c in chats(60) for s in c.scenes if len(s.shapes) > 1]
    assert trained
    assert not any(scenes.is_combination_held_out([(t.kind, t.colour) for t in s.shapes]) for s in trained)
    wordings = {t.text for c in chats(60) for t in c.turns if t.role == "user"}
    for rows in (questions.DESCRIBE, questions.COUNT_ALL, questions.READ_WORD):
        for language in ("en", "pt"):
            assert rows[language][-1] not in wordings
    names = {n for s in calling.SKILLS for n in s.names}
    assert not names & {n for s in calling.SKILLS_HELD_OUT for n in s.names}


def test_more_wordings_are_of_skills_and_none_of_them_is_held_out() -> None:
    for more, language in ((wordings.ENGLISH, "english"), (wordings.PORTUGUESE, "portuguese")):
        assert set(more) == {s.names[0] for s in calling.SKILLS}
        for skill in calling.SKILLS:
            *known, held_out = getattr(skill, language)
            rows = more[skill.names[0]]
            assert held_out.lower() not in {row.lower() for row in (*known, *rows)}, held_out
            for row in rows:
                assert sorted(re.findall(r"{.}", row)) == [f"{{{i}}}" for i in range(len(skill.parameters))], row


@pytest.mark.parametrize("is_held_out", [False, True])
def test_what_calls_are_given_stands_in_the_request_as_it_is(is_held_out: bool) -> None:
    """Also where the second of two requests begins with a name. What is required and nobody told is the definition's
    first choice, which evaluation never asks for; every call keeps its definition, in its order."""
    found = untold = left_out = 0
    for i in range(400):
        chat = data.calling_chat(random.Random(i), is_held_out)
        forms = {t["function"]["name"]: t["function"]["parameters"] for t in chat.tools}
        for asked, answer in zip(chat.turns, chat.turns[1:], strict=False):
            for call in answer.calls:
                form = forms[call.name]
                assert jsonschema_rs.is_valid(form, dict(call.arguments)), (form, call)
                assert list(call.arguments) == [key for key in form["properties"] if key in call.arguments]
                left_out += len(call.arguments) < len(form["properties"])
                for key, value in call.arguments.items():
                    if str(value) not in asked.text:
                        assert value == calling.untold_value(form["properties"][key]), (asked.text, call)
                        untold += 1
            found += len(answer.calls) > 1
    assert found > 100
    if is_held_out:
        assert untold == left_out == 0
    else:
        assert min(untold, left_out) > 40


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("I see a red star, a blue heart and a black cross; a red star: yes.", 1.0),
        ("I see a black cross, a red star and a blue heart; a red star: yes.", 1.0),
        ("I see a black cross, a red star and a blue heart; a red star: no.", 0.0),
        ("I see a black cross, a red star and a red heart; a red star: yes.", 0.0),
        ("I see a black cross and a red star; a red star: yes.", 0.0),
    ],
)
def test_the_order_of_what_is_listed_is_free(said: str, score: float) -> None:
    chat = Chat()
    chat.ask("Is there a red star?")
    chat.answer("I see a red star, a blue heart and a black cross; a red star: yes.", "yes/no")
    assert examples.score(examples.Example("yes/no", chat, 1), {"content": said}) == score


def test_a_box_that_is_not_there_counts_against_those_that_are() -> None:
    boxes = [{"bbox_2d": [0, 0, 10, 10], "label": "red star"}, {"bbox_2d": [20, 0, 30, 10], "label": "blue heart"}]
    chat = Chat()
    chat.ask("Locate the red star.")
    chat.answer(json.dumps(boxes[:1]), "ground")
    one = examples.Example("ground", chat, 1)
    assert examples.score(one, {"content": json.dumps(boxes[:1])}) == 1.0
    assert examples.score(one, {"content": json.dumps(boxes)}) == 0.5
    assert examples.score(one, {"content": json.dumps(boxes[1:])}) == 0.0
    assert examples.score(one, {"content": "{}"}) == examples.score(one, {"content": "no"}) == 0.0


@pytest.mark.parametrize("task", examples.TASKS)
@pytest.mark.parametrize("language", ["en", "pt"])
def test_the_right_answer_is_judged_right_and_another_wrong(task: str, language: str) -> None:
    one = examples.example(task, language, 1)
    parse(request(one.chat, one.at))
    calls = [
        {"function": {"name": c.name, "arguments": json.dumps(c.arguments, ensure_ascii=False)}}
        for c in one.wanted.calls
    ]
    right = {"content": one.wanted.text or None, "tool_calls": calls}
    assert examples.score(one, right) == pytest.approx(1.0)
    assert examples.score(one, {"content": "Something else.", "tool_calls": []}) == 0


@pytest.mark.parametrize(
    ("said", "score"),
    [
        ("The word is LAKE.", 1),
        ("The image shows the word LAKE.", 1),
        ("The word is LARE.", 0),
        ("The word is LAKES.", 0),
        ("I don't know.", 0),
    ],
)
def test_of_what_is_read_the_sentence_is_free(said: str, score: float) -> None:
    scene = scenes.Scene(PIL.Image.new("RGB", (56, 56)), (), "LAKE", ((0, 0, 9, 9),) * 4)
    chat = Chat()
    chat.ask(scene, "What text is in the image?")
    chat.answer("The image says LAKE.", "read")
    assert examples.score(examples.Example("read", chat, 1), {"content": said}) == score
