"""Where the recipe's lessons in attention point: to the tokens of the shape that is spoken of, to what is copied."""

from __future__ import annotations

import json
import math
import random
import re

import pytest
from PIL import Image

from runtime.engine.request import Text
from tests.models.conftest import RECIPE

if not (RECIPE / "pointing.py").is_file():
    pytest.skip("the recipe is not in this copy of the project", allow_module_level=True)

import data
from calling import usual
from chats import Call, Chat, Turn, parts
from made import NO_WORK, SORTS, made_up, sorts_of
from pointing import (
    BESIDE,
    COPYING,
    LOOKING,
    MATCHING,
    MEASURING,
    RECOGNISING,
    Encoded,
    cells_of,
    note_request,
    note_tools,
    point_call,
    point_choice,
    point_list,
    point_shapes,
    point_verdict,
    point_words,
)
from scenes import Scene, Shape
from skills import SKILLS

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


def test_a_direction_points_to_both() -> None:
    chat = Chat()
    chat.ask(scene(RED, BLUE), "Where is the red circle?")
    made = said("The red circle is to the left of the blue square.", PICTURE)
    point_shapes(made, chat, "relation left")
    assert looked_at(made, BESIDE) == {" is to the left of": [6, 10]}
    assert looked_at(made, LOOKING) == {"red circle is to the left of": [3], "blue square": [6, 10]}


@pytest.mark.parametrize(
    ("text", "language", "verdict", "sources"),
    [
        ("I see a red circle and a blue square; a blue square: yes.", "en", "yes", ["blue square"]),
        ("I see a red circle and a blue square; a blue circle: no.", "en", "no", []),
        ("I see a star, a red circle and a green star; stars: two.", "en", "two", ["I", "star", "star"]),
        ("Vejo um coração azul; corações: um.", "pt", "um", ["V", "coração"]),
        ("Vejo um coração azul e uma cruz preta; formas: duas.", "pt", "duas", ["V", "coração", "cruz"]),
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


def test_what_a_call_copies_points_to_the_same_characters() -> None:
    copied = 0
    for i in range(40):
        chat = data.calling_chat(random.Random(i))
        made = Encoded()
        for part in parts(chat):
            if isinstance(part, Text):
                made.add(part.text, [(ord(c), (k, k + 1)) for k, c in enumerate(part.text)], 0.0)
                if part.text.startswith('\n{"name": "') and "arguments" in part.text and part.text.endswith("}\n"):
                    point_call(made)
        for place, head, source in made.pointed:
            if head == MATCHING:
                assert "".join(chr(made.ids[s]) for s in source).startswith('"name": "')
                continue
            assert source[0] < place
            if head == RECOGNISING:
                assert [made.ids[place]] == [made.ids[s] for s in source]
                continue
            assert head == COPYING
            assert [made.ids[place + 1]] == [made.ids[s] for s in source]
            copied += 1
    assert copied > 500


def test_the_choice_of_a_tool_points_to_its_definition_and_none_to_the_beginning() -> None:
    told = (("clock", "The time"), ("play", "A song"))
    tools = "".join(f'{{"name": "{name}", "description": "{about}", "parameters": {{}}}}\n' for name, about in told)
    made = said("")
    made.texts = [(tools, [(i, (i, i + 1)) for i in range(len(tools))])]
    made.ids += [0] * (200 - len(made.ids))
    point_choice(made, Turn("assistant", (), [Call("play", {"song": "x"}), Call("clock", {})]))
    point_choice(made, Turn("assistant", ("I don't know.",), task="no call"))
    (_, _, called), (_, _, nothing) = made.pointed
    assert [(place, head) for place, head, _ in made.pointed] == [(199, MATCHING)] * 2
    assert "".join(tools[i] for i in called) == '"name": "play", "description": "A song", '
    assert nothing == [0]
    assert made.factors.keys() == {200}


def asked_of(chat: Chat) -> Encoded:
    """Its first question and the definitions before it, noted; every character is a token."""
    made = Encoded()
    for part in parts(chat):
        if isinstance(part, Text):
            if part.text.startswith("assistant"):
                made.add("assistant\n", [(ord(c), (k, k + 1)) for k, c in enumerate("assistant\n")], 0.0)
                break
            made.add(part.text, [(ord(c), (k, k + 1)) for k, c in enumerate(part.text)], 0.0)
    note_tools(made, chat)
    note_request(made, chat, *chat.turns[:2])
    return made


def recognised(made: Encoded) -> dict[str, str]:
    """What the last letters of the question's words are shown, by the words."""
    told = "".join(map(chr, made.ids))
    return {
        re.split(r"[\W\d_]", told[: place + 1])[-1]: "".join(told[p] for p in source)
        for place, head, source in made.pointed
        if head == RECOGNISING and source != [0]
    }


def test_questions_and_definitions_tell_what_work_they_are_about() -> None:
    weather, timer = SKILLS[0], SKILLS[2]
    sorts = [sorts_of(s) for s in (weather, timer)]
    chat = Chat(tools=[usual(s).definition for s in (weather, timer)], sorts=sorts)
    chat.ask("Set a timer for 5 minutes.", sorts=sorts[1])
    chat.call([Call("set_timer", {"minutes": 5})], "call")
    made = asked_of(chat)
    told = "".join(map(chr, made.ids))
    asked = told.index("minutes.")
    assert [sort for _, sort in made.noted["sort"]] == [*sorts[0], *sorts[1], *sorts[1], *sorts[1]]
    places = [place for place, _ in made.noted["sort"]]
    assert told[: places[0] + 1].endswith('"Get the current weather for a location", ')
    assert told[: places[1] + 1].endswith('"Start a timer", ')
    assert places[2:] == [asked + len("minutes.") - 1, len(told) - 1]
    assert recognised(made)["timer"] == "timertimer"  # of its name and its description
    assert recognised(made)["Set"] == "set"
    assert "minutes" not in recognised(made)  # which is a key's name


def test_every_token_of_a_definition_tells_which_it_is() -> None:
    chat = Chat(tools=[usual(s).definition for s in SKILLS[:3]], sorts=[()] * 3)
    chat.ask("Hello")
    chat.answer("Hello! How can I help you?", "no call")
    made = asked_of(chat)
    told = "".join(map(chr, made.ids))
    for i, skill in enumerate(SKILLS[:3]):
        line = "".join(told[place] for place, which in made.noted["tool"] if which == i)
        assert json.loads(line)["function"]["name"] == skill.names[0]
    assert recognised(made) == {}


def test_arguments_are_told_apart_where_a_question_has_each_of_them_once() -> None:
    flight = SKILLS[7]
    chat = Chat(tools=[usual(flight).definition], sorts=[()])
    chat.ask("Book a flight from New York to Rome.")
    chat.call([Call("book_flight", {"origin": "New York", "destination": "Rome"})], "call")
    made = asked_of(chat)
    told = "".join(map(chr, made.ids))
    slots = dict(made.noted["slot"])
    asked = told.index("Book a flight from")
    assert "".join(told[p] for p in slots if slots[p] in (1, 2)) == "New York"
    assert [slots[asked + len("Book a flight from New York to ") + i] for i in range(5)] == [3, 4, 4, 4, 0]
    chat.turns[0] = Turn("user", ("Book a flight from Rome to Rome.",))
    chat.turns[1] = Turn("assistant", (), [Call("book_flight", {"origin": "Rome", "destination": "Rome"})])
    assert "slot" not in asked_of(chat).noted


def test_a_call_looks_at_the_words_that_only_its_tool_has() -> None:
    told = (("find_car", "Find a car"), ("find_boat", "Find a boat"))
    functions = [{"name": name, "description": about, "parameters": {}} for name, about in told]
    chat = Chat(tools=[{"type": "function", "function": f} for f in functions], sorts=[(), ()])
    chat.ask("Find the boat of Ana.")
    chat.call([Call("find_boat", {"name": "Ana"})], "call")
    made = asked_of(chat)
    point_choice(made, chat.turns[1])
    text = "".join(map(chr, made.ids))
    boat = text.index("boat of Ana") + len("boat") - 1
    assert made.recognised == {boat: 1}
    assert made.noted["whose"] == [(boat, 1)]
    assert [(place, source) for place, head, source in made.pointed if head == LOOKING] == [(len(text) - 1, [boat])]


def test_words_are_recognised_in_another_language_and_by_other_names() -> None:
    function = {"name": "remove_car", "description": "Delete a car", "parameters": {}}
    chat = Chat(tools=[{"type": "function", "function": function}], sorts=[()])
    chat.ask("Apague o carro de Ana.")
    chat.answer("Não sei.", "no call")
    assert recognised(asked_of(chat)) == {"Apague": "removeDelete", "carro": "carcar"}


def test_sorts_are_all_told_apart() -> None:
    made = {sort for s in SKILLS for sort in sorts_of(s)} | {NO_WORK}
    made |= {sort for i in range(5000) for sort in sorts_of(made_up(random.Random(i)))}
    assert made == set(range(SORTS))


def test_what_is_like_a_skill_does_the_same_to_something_else() -> None:
    found = 0
    for i in range(300):
        one = made_up(random.Random(i))
        other = made_up(random.Random(1000 + i), one)
        if one.verb:
            assert one.sorts[0] == other.sorts[0]
            found += other.sorts[1:] != one.sorts[1:]
        assert other.verb  # which a request names together with what it is done to
    assert found > 100
