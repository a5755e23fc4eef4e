"""Where the recipe's lessons in attention point: to the tokens of the shape that is spoken of, to what is copied."""

from __future__ import annotations

import json
import math

import pytest
from PIL import Image

from tests.models.conftest import RECIPE

if not (RECIPE / "pointing.py").is_file():
    pytest.skip("the recipe is not in this copy of the project", allow_module_level=True)

from chats import Chat
from encoded import (
    BESIDE,
    COPYING,
    LOOKING,
    MATCHING,
    MEASURING,
    MOST_PIECE,
    NAMING,
    NO_LETTER,
    RECOGNISING,
    TASKS,
    WRITTEN,
    Encoded,
    task_of,
)
from lexicon import COLOURS, KINDS
from naming import note_names, note_numbers, point_verdict
from pointing import cells_of, note_letters, note_pictures, point_images, point_list, point_shapes, point_words
from scenes import Scene, Shape

RED = Shape("circle", "red", (0, 0, 27, 27))
BLUE = Shape("square", "blue", (84, 0, 111, 55))
PICTURE = (3, 4, 2)
"""The first of its 4 x 2 tokens is the fourth of all."""


def said(text: str, *pictures: tuple[int, int, int]) -> Encoded:
    """An answer behind pictures; every character is a token."""
    made = Encoded(ids=[0] * 20, weights=[0.0] * 20, pictures=list(pictures))
    made.add(text, [(ord(c), (i, i + 1)) for i, c in enumerate(text)], 1.0)
    return made


def looked_at(made: Encoded, head: int) -> dict[str, list[int]]:
    """What is looked at by those who write the words of the answer, joined where they follow each other."""
    found: dict[str, list[int]] = {}
    word, last, source = "", -2, list[int]()
    for place, which, cells in [*sorted(p for p in made.pointed if p[1] == head), (-9, 0, [])]:
        if place != last + 1 or cells != source:
            if word:
                found[word] = source
            word = ""
        word, last, source = word + chr(made.ids[place + 1] if place >= 0 else 32), place, cells
        assert place < 0 or which == head
    return found


def scene(*shapes: Shape) -> Scene:
    return Scene(Image.new("RGB", (112, 56)), shapes)


def test_a_box_is_the_tokens_that_it_covers_most() -> None:
    assert cells_of(RED.box, PICTURE) == [3]
    assert cells_of(BLUE.box, PICTURE) == [6, 10]
    assert cells_of((20, 0, 83, 27), PICTURE) == [4, 5]


def test_names_point_to_their_shapes() -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), "What is it?")
    made = said("The image shows a red circle and a blue square.", PICTURE)
    point_shapes(made, chat, "describe")
    assert looked_at(made, LOOKING) == {"red circle": [3], "blue square": [6, 10]}


def test_a_name_in_two_pictures_points_to_the_one_that_is_told_of() -> None:
    chat = Chat()
    chat.ask(scene(RED), scene(RED, BLUE), "What is it?")
    made = said("The second image shows a red circle and a blue square.", PICTURE, (11, 4, 2))
    point_shapes(made, chat, "two images")
    assert looked_at(made, LOOKING) == {"red circle": [11], "blue square": [14, 18]}


def test_a_name_in_two_pictures_points_nowhere_where_words_do_not_say_which() -> None:
    chat = Chat()
    chat.ask(scene(RED), scene(RED, BLUE), "What is it?")
    made = said("I see a red circle.", PICTURE, (11, 4, 2))
    point_shapes(made, chat, "describe")
    assert not made.pointed


def test_which_image_shows_it_is_told_by_the_shape() -> None:
    chat = Chat()
    chat.ask(scene(RED), scene(RED, BLUE), "Which image shows a blue square?")
    made = Encoded(ids=[0] * 20, weights=[0.0] * 20, pictures=[PICTURE, (11, 4, 2)])
    for text in ("user\nWhich image shows a blue square?", "assistant\n", "The second image shows a blue square."):
        made.add(text, [(ord(c), (i, i + 1)) for i, c in enumerate(text)], 1.0)
    point_shapes(made, chat, "two images")
    assert looked_at(made, LOOKING) == {"second": [14, 18], "blue square": [14, 18]}


def test_a_list_points_to_what_is_still_to_come() -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), "What is it?")
    made = said("I see a red circle and a blue square.", PICTURE)
    point_list(made, chat)
    first = made.texts[-1][1][0][0]
    assert looked_at(made, BESIDE) == {" a": [3, 6, 10], " and a": [6, 10], ".": [first]}
    assert looked_at(made, LOOKING) == {" a": [3], " and a": [6, 10]}


def test_a_list_that_leaves_something_out_points_nowhere() -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), "What is it?")
    made = said("The red circle is to the left of the blue square.", PICTURE)
    point_list(made, chat)
    assert not made.pointed


def test_coordinates_point_to_the_shape_that_they_bound() -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), "Locate the blue square.")
    made = said(json.dumps([{"bbox_2d": list(BLUE.box), "label": "blue square"}]), PICTURE)
    point_shapes(made, chat, "ground")
    assert looked_at(made, LOOKING) == {"84, 0, 111, 55]": [6, 10], "blue square": [6, 10]}
    assert looked_at(made, MEASURING) == {"84": [6, 10], "0": [6], "111": [6, 10], "55": [10]}
    places = sorted({place for place, *_ in made.boxed})
    assert "".join(chr(made.ids[place + 1]) for place in places) == "84011155"
    asked = [[v for v in box if not math.isnan(v)] for _, box in sorted(made.boxed, key=lambda b: b[0])]
    assert asked == [[84], [84], [0], [111], [111], [111], [55], [55]]


def spoken(asked: str, answer: str) -> Encoded:
    """A question behind a picture, and its answer."""
    made = Encoded(ids=[0] * 20, weights=[0.0] * 20, pictures=[PICTURE])
    for text in ("user\n" + asked, "assistant\n", answer):
        made.add(text, [(ord(c), (i, i + 1)) for i, c in enumerate(text)], 1.0)
    return made


def pair(kind: str, colour: str) -> int:
    return KINDS.index(kind) * len(COLOURS) + COLOURS.index(colour)


def told(made: Encoded, places: list[int]) -> str:
    return "".join(chr(made.ids[p]) for p in places)


@pytest.mark.parametrize(("asked", "is_named"), [("Locate the blue square.", True), ("Locate all shapes.", False)])
def test_a_box_knows_which_shape_was_asked_for_and_which_edge_comes_next(asked: str, is_named: bool) -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), asked)
    made = spoken(asked, json.dumps([{"bbox_2d": list(BLUE.box), "label": "blue square"}]))
    point_shapes(made, chat, "ground")
    named = {word: told(made, source) for word, source in looked_at(made, RECOGNISING).items()}
    assert named == ({"84, 0, 111, 55]": "blue square"} if is_named else {})
    assert {value for _, value in made.noted.get("about", ())} == ({pair("square", "blue")} if is_named else set())
    edges = "".join(f"{chr(made.ids[place + 1])}{edge} " for place, edge in made.noted["edge"])
    assert edges == "80 40 01 12 12 12 53 53 "


@pytest.mark.parametrize(
    ("task", "asked", "answer", "word", "aid", "value", "named"),
    [
        (
            "colour",
            "What color is the circle?",
            "The circle is red.",
            " red",
            "asked kind",
            KINDS.index("circle"),
            "circlecircle",
        ),
        (
            "kind",
            "Which shape is blue?",
            "The blue shape is a square.",
            " square",
            "asked colour",
            COLOURS.index("blue"),
            "blueblue",
        ),
        (
            "count",
            "How many squares?",
            "I see a red circle and a blue square; squares: one.",
            ": one",
            "asked kind",
            KINDS.index("square"),
            "squares",
        ),
        ("yes/no", "Is there a red star?", "I see a red circle; a red star: no.", ": no", "about", None, "a red star"),
    ],
)
def test_what_is_told_of_a_shape_knows_which_was_asked_for(
    task: str, asked: str, answer: str, word: str, aid: str, value: int | None, named: str
) -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), asked)
    made = spoken(asked, answer)
    point_shapes(made, chat, task)
    point_verdict(made, "en")
    assert {w: told(made, source) for w, source in looked_at(made, RECOGNISING).items()} == {word: named}
    expected = pair("star", "red") if value is None else value
    noted = {name: {v for _, v in noted} for name, noted in made.noted.items() if name.startswith(("about", "asked"))}
    assert noted == {aid: {expected}}


def test_a_direction_points_to_both() -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), "Where is the red circle?")
    made = said("The red circle is to the left of the blue square.", PICTURE)
    point_shapes(made, chat, "relation left")
    assert looked_at(made, BESIDE) == {" is to the left of the blue square": [6, 10]}
    assert looked_at(made, LOOKING) == {"red circle is to the left of": [3], "blue square": [6, 10]}
    weighed = {3.0: "", 2.0: ""}
    for place, factor in sorted(made.factors.items()):
        weighed[factor] += chr(made.ids[place])
    assert weighed == {3.0: " is to the left of", 2.0: "blue square"}


@pytest.mark.parametrize(
    ("asked", "is_compared"),
    [("Is the red circle to the left of the blue square?", True), ("Where is the red circle?", False)],
)
def test_a_direction_knows_which_two_were_asked_for(asked: str, is_compared: bool) -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), asked)
    made = spoken(asked, "The red circle is to the left of the blue square.")
    point_shapes(made, chat, "relation left")
    both = " is to the left of the blue square"
    named = {
        head: {word: told(made, source) for word, source in looked_at(made, head).items()}
        for head in (RECOGNISING, NAMING)
    }
    assert named == {RECOGNISING: {both: "red circle" * 2}, NAMING: {both: "blue square"} if is_compared else {}}
    noted = {aid: {value for _, value in made.noted.get(aid, ())} for aid in ("about", "beside", "other")}
    blue = {pair("square", "blue")}
    assert noted == {"about": {pair("circle", "red")}, "beside": blue if is_compared else set(), "other": blue}


@pytest.mark.parametrize(
    ("language", "asked", "answer", "ends"),
    [
        (
            "en",
            "Is there a red star?",
            "I see an orange star; a red star: no.",
            [("star", "red"), ("star", "orange"), ("star", "red")],
        ),
        (
            "pt",
            "Onde está a cruz preta?",
            "A cruz preta está acima do coração azul.",
            [("cross", "black")] * 2 + [("heart", "blue")],
        ),
        ("en", "How many stars?", "I see a heart; stars: none.", []),
    ],
)
def test_a_name_is_known_where_it_ends(language: str, asked: str, answer: str, ends: list[tuple[str, str]]) -> None:
    made = spoken(asked, answer)
    note_names(made, language)
    noted = made.noted.get("named", [])
    assert [value for _, value in noted] == [pair(*end) for end in ends]
    assert all(not chr(made.ids[place + 1]).isalpha() and chr(made.ids[place]).isalpha() for place, _ in noted)


@pytest.mark.parametrize(
    ("text", "language", "verdict", "sources"),
    [
        ("I see a red circle and a blue square; a blue square: yes.", "en", "yes", ["blue square"]),
        ("I see a red circle and a blue square; a blue circle: no.", "en", "no", []),
        ("The red circle is to the left of the blue square; left: yes.", "en", "yes", ["left"]),
        ("The red circle is to the left of the blue square; above: no.", "en", "no", []),
    ],
)
def test_a_verdict_points_to_what_it_follows_from(text: str, language: str, verdict: str, sources: list[str]) -> None:
    made = said(text)
    point_verdict(made, language)
    start = made.texts[-1][1][0][0]
    wanted, at = [], 0
    for word in sources:
        at = text.index(word, at)
        wanted += range(start + at, start + at + len(word))
        at += len(word)
    assert {k: sorted(v) for k, v in looked_at(made, MATCHING).items()} == {f": {verdict}": wanted or [start]}
    assert "".join(chr(made.ids[place]) for place in sorted(made.factors)) == f" {verdict}"


COUNTED = (
    ("en", "I see a star, a red circle and a green star; stars: two.", "two", "star", [0, 0, 1], [0, 1, 2]),
    ("en", "I see a star; hearts: none.", "none", "", [0], [0]),
    ("pt", "Vejo um coração azul; corações: um.", "um", "coração", [0], [0]),
    ("pt", "Vejo uma cruz azul e uma cruz preta; formas: duas.", "duas", "cruz", [0, 1], [0, 1]),
)


@pytest.mark.parametrize(("language", "text", "verdict", "last", "nth", "nth_of_all"), COUNTED)
def test_a_count_points_to_the_last_one_which_knows_its_number(
    language: str, text: str, verdict: str, last: str, nth: list[int], nth_of_all: list[int]
) -> None:
    made = said(text)
    point_verdict(made, language)
    note_numbers(made, language)
    start = made.texts[-1][1][0][0]
    end = start + text.rindex(last, 0, text.index(";")) + len(last) - 1 if last else start
    assert looked_at(made, MATCHING) == {f": {verdict}": [end]}
    assert [value for _, value in made.noted["nth"]] == nth
    assert [value for _, value in made.noted["nth of all"]] == nth_of_all
    if last:
        assert made.noted["nth"][-1][0] == end


def test_every_pictures_list_is_counted_anew() -> None:
    made = said(
        "The first image shows a red star and a blue star. The second image shows a white star and a red heart."
    )
    note_numbers(made, "en")
    assert [value for _, value in made.noted["nth"]] == [0, 1, 0, 0]
    assert [value for _, value in made.noted["nth of all"]] == [0, 1, 0, 1]


@pytest.mark.parametrize(
    ("asked", "is_named"), [("Describe the second image.", True), ("Which image shows a blue square?", False)]
)
def test_of_two_pictures_an_answer_knows_which_it_tells_of(asked: str, is_named: bool) -> None:
    made = spoken(asked, "The second image shows a blue square.")
    made.pictures = [PICTURE, (12, 2, 1)]
    point_images(made, "en")
    note_pictures(made)
    told_of = " image shows a blue square."
    assert {w: told(made, source) for w, source in looked_at(made, RECOGNISING).items()} == {told_of: "second"}
    assert {value for _, value in made.noted["image"]} == {1}
    assert {w: told(made, source) for w, source in looked_at(made, COPYING).items()} == (
        {"second": "second"} if is_named else {}
    )
    assert made.noted["picture"] == [*((place, 0) for place in range(3, 11)), (12, 1), (13, 1)]


def test_which_image_shows_a_shape_is_asked_of_that_shape() -> None:
    chat = Chat()
    chat.ask(scene(RED), scene(BLUE), "Which image shows a blue square?")
    made = spoken("Which image shows a blue square?", "The second image shows a blue square.")
    made.pictures = [PICTURE, (12, 4, 2)]
    point_shapes(made, chat, "two images")
    assert {w: told(made, source) for w, source in looked_at(made, RECOGNISING).items()} == {"second": "blue square"}
    assert {value for _, value in made.noted["about"]} == {pair("square", "blue")}


def test_a_sentence_without_a_verdict_points_nowhere() -> None:
    made = said("The red circle is to the left of the blue square.")
    point_verdict(made, "en")
    assert not made.pointed
    assert not made.factors


@pytest.mark.parametrize(
    ("asked", "text", "source"),
    [
        ("user\nRepeat: Lisbon, dear", "Lisbon, dear", "Lisbon, dear"),
        ("user\nSpell the word cat.", "c-a-t", "cat"),
        ("user\nOdd words. The code is K9z. More. What is the code?", "The code is K9z.", "The code is K9z."),
        ("user\nWhat is the capital of Spain?", "The capital of Spain is Madrid.", ""),
    ],
)
def test_words_point_to_where_they_stand_in_the_question(asked: str, text: str, source: str) -> None:
    made = said(asked)
    made.add(text, [(ord(c), (i, i + 1)) for i, c in enumerate(text)], 1.0)
    point_words(made)
    assert all(len(places) == 1 and head == COPYING for _, head, places in made.pointed)
    assert [chr(made.ids[places[0]]) for _, _, places in made.pointed] == list(source)
    assert [chr(made.ids[place + 1]) for place, _, _ in made.pointed] == list(source)


@pytest.mark.parametrize(
    ("text", "task", "word"),
    [("The circle is red.", "colour", "red"), ("The red shape is a circle.", "kind", "circle")],
)
def test_a_single_word_points_to_its_shape(text: str, task: str, word: str) -> None:
    chat = Chat()
    chat.ask(scene(BLUE, RED), "?")
    made = said(text, PICTURE)
    point_shapes(made, chat, task)
    assert looked_at(made, LOOKING) == {" " + word: [3]}


def test_letters_point_to_where_they_are_drawn() -> None:
    chat = Chat()
    chat.ask(Scene(Image.new("RGB", (112, 56)), (), "42", ((0, 0, 27, 27), (84, 28, 111, 55))), "Read.")
    made = said("The number is 42.", PICTURE)
    point_shapes(made, chat, "read")
    assert looked_at(made, LOOKING) == {"4": [3], "2": [10]}


@pytest.mark.parametrize(
    ("task", "text", "kind", "is_judged"),
    [
        ("later colour", "The star is red.", "colour", False),
        ("told relation left", "The red star is …; left: yes.", "relation", True),
    ],
)
def test_an_answer_is_of_a_kind_and_has_a_verdict_or_none(task: str, text: str, kind: str, is_judged: bool) -> None:
    assert task_of(task, text) == 2 * TASKS.index(kind) + is_judged
    assert task_of("call", "") is None


def test_a_piece_knows_its_letters_and_a_spelled_one_the_how_manieth_it_is() -> None:
    made = Encoded()
    made.add("user\nSpell café1", [(9, (0, 5)), (9, (5, 10)), (9, (10, 13)), (9, (13, 15)), (9, (15, 16))], 0.0)
    note_letters(made, made.texts[0])
    noted = [one for i in range(MOST_PIECE) for one in made.noted[f"letter {i}"]]
    written = [[kind for place, kind in noted if place == i] for i in range(5)]
    letters = ["".join(WRITTEN[k] for k in kinds if k < len(WRITTEN)) for kinds in written]
    assert letters == ["user", "Spell", "ca", "fé", "1"]
    assert [NO_LETTER in kinds for kinds in written] == [True] * 5
    text = "c-a-f-é-1"
    made.add(text, [(9, (k, k + 1)) for k in range(len(text))], 1.0)
    point_words(made)
    assert made.noted["within"] == [(4, 0), (6, 1), (8, 0), (10, 1), (12, 0)]


def test_what_is_copied_is_counted_on_both_sides_but_letters_of_a_spelled_word_are_not() -> None:
    made = Encoded()
    asked = "user\nRepeat: map map fig"
    made.add(asked, [(9, (0, 5)), (9, (5, 11)), (9, (11, 13)), *[(9, (k, k + 4)) for k in (13, 17, 21)]], 0.0)
    made.add("assistant\n", [(9, (0, 10))], 0.0)
    text = "map map fig"
    made.add(text, [(9, (0, 3)), (9, (3, 4)), (9, (4, 7)), (9, (7, 11))], 1.0)
    point_words(made)
    counted = dict(made.noted["copied"])
    assert counted == {3: 0, 4: 1, 5: 2, 6: 0, 7: 0, 8: 1, 9: 1}  # a space is of the token that has it in the question
    assert all(counted[place] == counted[source[0]] for place, _, source in made.pointed)
    spelled = Encoded()
    spelled.add("user\nSpell ab", [(9, (0, 5)), (9, (5, 10)), (9, (10, 13))], 0.0)
    spelled.add("a-b", [(9, (k, k + 1)) for k in range(3)], 1.0)
    point_words(spelled)
    assert "copied" not in spelled.noted
