"""What a call is taught to follow from: its tool's definition and number, the question's words, what it copies."""

from __future__ import annotations

import json
import random
import re
from dataclasses import replace

import pytest

from runtime.engine.request import Text
from tests.models.conftest import RECIPE

if not (RECIPE / "matching.py").is_file():
    pytest.skip("the recipe is not in this copy of the project", allow_module_level=True)

import calling
import data
from calling import usual
from chats import Call, Chat, Turn, parts
from encoded import BESIDE, COPYING, LOOKING, MATCHING, MEASURING, MOST_SLOTS, MOST_TOOLS, RECOGNISING, Encoded
from made import NO_WORK, SORTS, is_told, made_up, sorts_of
from matching import note_more, note_request, note_tools, point_call, point_choice, point_extracted
from skills import SKILLS
from wordings import FILLERS


def test_what_a_call_copies_points_to_the_same_characters() -> None:
    copied = ended = 0
    for i in range(40):
        chat = data.calling_chat(random.Random(i))
        made = Encoded()
        for part in parts(chat):
            if isinstance(part, Text):
                made.add(part.text, [(ord(c), (k, k + 1)) for k, c in enumerate(part.text)], 0.0)
                if part.text.startswith('\n{"name": "') and "arguments" in part.text and part.text.endswith("}\n"):
                    point_call(made)
        copying = {place: source[0] for place, head, source in made.pointed if head == COPYING}
        for place, head, source in made.pointed:
            if head == MATCHING:
                assert "".join(chr(made.ids[s]) for s in source).startswith('"name": "')
                continue
            assert source[0] < place
            if head == BESIDE:
                continue  # below
            if head == RECOGNISING:
                assert [made.ids[place]] == [made.ids[s] for s in source]
                continue
            if head == MEASURING:  # at what stands behind what is copied next
                assert source == [copying[place] + 1]
                continue
            assert head == COPYING
            if made.ids[place + 1] == made.ids[source[0]]:
                copied += 1
            else:  # where the copy ends, at what would come next
                assert source == [copying[place - 1] + 1]
                assert chr(made.ids[place + 1]) in '",}'
                ended += 1
    assert copied > 500
    assert ended > 50


def test_what_a_request_tells_is_taken_from_it_by_its_keys() -> None:
    n_values = 0
    for i in range(200):
        rng = random.Random(i)
        asked, said = calling.extract(rng, rng.choice(("en", "pt")))
        told = json.loads(said)
        assert asked.rindex("{") > 0
        assert re.findall(r'"([^"]+)": …', asked) == list(told)
        made = Encoded()
        for text in ("user\n" + asked, "assistant\n", said):
            made.add(text, [(ord(c), (k, k + 1)) for k, c in enumerate(text)], 0.0)
        point_extracted(made)
        copying = [(place, source[0]) for place, head, source in made.pointed if head == COPYING]
        began = made.texts[-1][1][0][0]
        copied = {place + 1 - began for place, source in copying if made.ids[place + 1] == made.ids[source]}
        for key, value in told.items():
            where = said.index(f'"{key}"') + 1
            assert copied >= set(range(where, where + len(key)))
            written = value if isinstance(value, str) else json.dumps(value)
            assert not (isinstance(value, str) and value.isdecimal() and value[0] != "0")
            if len(re.findall(rf"(?<!\w){re.escape(written)}(?!\w)", asked[: asked.rindex("{")])) == 1:
                at = said.index(written, where + len(key) + 2)
                assert copied >= set(range(at, at + len(written)))
                n_values += 1
        assert {"argument", "following", "copied"} <= made.noted.keys()
    assert n_values > 200


@pytest.mark.parametrize(("joint", "factors"), [("e", [3.0, 1.0]), ("or", [1.0, 1.0])])
def test_where_a_copy_ends_before_what_joins_two_requests_counts_for_more(joint: str, factors: list[float]) -> None:
    asked = f"Note a tea {joint} b cup."
    text = '\n{"name": "note", "arguments": {"what": "a tea"}}\n'
    tools = '{"name": "note", "description": "A note", "parameters": {"properties": {"what": {"type": "string"}}}}\n'
    made = Encoded()
    for said in ("system\n" + tools, "user\n" + asked, text):
        made.add(said, [(ord(c), (k, k + 1)) for k, c in enumerate(said)], 1.0)
    point_call(made)
    start = len(made.ids) - len(text)
    ends = [start + text.index('"}}') + k for k in range(2)]
    assert [made.factors.get(place, 1.0) for place in ends] == factors
    asked_from = len("system\n" + tools)
    ending = [source for place, _, source in made.pointed if place == ends[0] - 1 and asked_from <= source[0] < start]
    assert ["".join(chr(made.ids[s]) for s in source) for source in ending] == [" ", joint[0]]


def test_the_choice_of_a_tool_points_to_its_definition_and_none_to_the_beginning() -> None:
    told = (("clock", "The time"), ("play", "A song"))
    tools = "".join(f'{{"name": "{name}", "description": "{about}", "parameters": {{}}}}\n' for name, about in told)
    made = Encoded(ids=[0] * 200, texts=[(tools, [(i, (i, i + 1)) for i in range(len(tools))])])
    point_choice(made, Turn("assistant", (), [Call("play", {"song": "x"}), Call("clock", {})]))
    point_choice(made, Turn("assistant", ("I don't know.",), task="no call"))
    assert made.noted["chosen"] == [(199, 1), (199, MOST_TOOLS)]
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


def test_behind_a_tools_result_nothing_is_chosen() -> None:
    made = Encoded(ids=[0] * 10)
    point_choice(made, Turn("assistant", ("It rains.",), task="result"))
    assert "chosen" not in made.noted
    assert [source for _, _, source in made.pointed] == [[0]]


def called_twice() -> tuple[Encoded, str]:
    """A flight from A to B, and one of C to D: definition, question, both calls, every character a token."""
    flight = usual(SKILLS[7])
    first, second = flight.call(["Rome", "Oslo"]), flight.call(["Lima", "Bern"])
    chat = Chat(tools=[flight.definition], sorts=[()])
    chat.ask("Book a flight from Rome to Oslo and book a flight from Lima to Bern.")
    chat.call([first, second], "parallel calls")
    made = asked_of(chat)
    for n, call in enumerate((first, second)):
        text = f'\n{{"name": "{call.name}", "arguments": {json.dumps(dict(call.arguments))}}}\n'
        made.add(text, [(ord(c), (k, k + 1)) for k, c in enumerate(text)], 1.0)
        point_call(made, n)
        note_more(made, n == 0)
    return made, "".join(map(chr, made.ids))


def test_what_a_call_copies_from_the_request_counts_for_more() -> None:
    made, told = called_twice()
    first = told.index('{"name"', told.index("Lima"))  # behind the question
    heavy = "".join(told[p] if p in made.factors and told[p].isalpha() else " " for p in range(first, len(told)))
    assert heavy.split() == ["b", "Rome", "Oslo", "b", "Lima", "Bern"]  # which tool it is, and the values
    at = told.index("Oslo", first)
    assert [made.factors.get(at + i) for i in range(-1, 4)] == [None, 2.0, 2.0, 2.0, 2.0]


def test_of_two_calls_every_token_knows_of_which_it_is() -> None:
    made, told = called_twice()
    parts_ = ["".join(told[place] for place, part in made.noted["part"] if part == n) for n in range(2)]
    assert parts_ == ["RomeOslo", "LimaBern"]
    for n, values in enumerate((("Rome", "Oslo"), ("Lima", "Bern"))):
        written = "".join(told[place + 1] for place, nth in made.noted["nth call"] if nth == n)
        assert written.startswith('\n{"name": "book_flight')
        assert written.endswith(f'origin": "{values[0]}destination": "{values[1]}')
    ends = [place for place, _ in made.noted["more"]]
    assert [is_more for _, is_more in made.noted["more"]] == [1, 0]
    assert [told[: end + 1].rsplit('"', 2)[1] for end in ends] == ["Oslo", "Bern"]


def test_of_a_call_every_token_knows_of_which_argument_it_is_and_its_end_what_follows() -> None:
    made, told = called_twice()
    for slot, said in enumerate(('origin": "Romeorigin": "Lima', 'destination": "Oslodestination": "Bern')):
        assert "".join(told[place + 1] for place, argument in made.noted["argument"] if argument == slot) == said
    ends = [(told[place - 3 : place + 1], following) for place, following in made.noted["following"]]
    assert ends == [("Rome", 1), ("Oslo", MOST_SLOTS), ("Lima", 1), ("Bern", MOST_SLOTS)]


def test_arguments_that_nobody_told_are_not_counted() -> None:
    """Or a value's number would be another's where a tool takes a unit before it."""
    properties = {"unit": {"enum": ["cm"]}, "size": {"type": "integer"}, "paint": {"type": "string"}}
    function = {"name": "paint", "description": "Paint", "parameters": {"type": "object", "properties": properties}}
    chat = Chat(tools=[{"type": "function", "function": function}], sorts=[()])
    chat.ask("Paint 7 with oil.")
    chat.call([Call("paint", {"unit": "cm", "size": 7, "paint": "oil"})], "call")
    made = asked_of(chat)
    text = '\n{"name": "paint", "arguments": {"unit": "cm", "size": 7, "paint": "oil"}}\n'
    made.add(text, [(ord(c), (k, k + 1)) for k, c in enumerate(text)], 1.0)
    point_call(made)
    told = "".join(map(chr, made.ids))
    assert [(told[p], slot) for p, slot in made.noted["slot"] if slot] == [("7", 1), ("o", 3), ("i", 4), ("l", 4)]
    arguments = made.noted["argument"]
    said = {n: "".join(told[p + 1] for p, which in arguments if which == n) for n in (0, 1, MOST_SLOTS)}
    assert said == {0: 'size": 7', 1: 'paint": "oil', MOST_SLOTS: 'unit": "cm'}


def test_where_a_value_begins_its_type_is_looked_at_and_where_it_ends_the_next_key() -> None:
    made, told = called_twice()
    asked_from = told.index("user\n")
    looked: dict[str, set[str]] = {}
    for place, head, source in made.pointed:
        if head == BESIDE:
            assert source[-1] < asked_from
            looked.setdefault("".join(told[s] for s in source), set()).add(told[place + 1])
    assert looked == {"string": set('": '), "destination": set('", '), "}": set('"}\n')}


def test_a_property_is_found_by_its_name_and_its_type_is_its_own() -> None:
    """Not where another one's schema has the same word, nor the next one's type."""
    tools = (
        '{"name": "paint", "description": "Paint", "parameters": {"type": "object", "properties": '
        '{"unit": {"enum": ["cm"]}, "size": {"type": "integer"}, "type": {"type": "string"}}}}\n'
    )
    made = Encoded()
    text = '\n{"name": "paint", "arguments": {"unit": "cm", "size": 7, "type": "oil"}}\n'
    for said in (tools, "user\nPaint 7 with oil.", text):
        made.add(said, [(ord(c), (k, k + 1)) for k, c in enumerate(said)], 1.0)
    point_call(made)
    told, began = "".join(map(chr, made.ids)), len(made.ids) - len(text)
    starts = {key: began + text.index(f'"{key}": ') + len(key) + 2 for key in ("unit", "size", "type")}
    looked = {place: source for place, head, source in made.pointed if head == BESIDE}
    assert starts["unit"] not in looked
    assert "".join(told[s] for s in looked[starts["size"]]) == "integer"
    assert "".join(told[s] for s in looked[starts["type"]]) == "string"
    copied = {place: source for place, head, source in made.pointed if head == COPYING}
    assert copied[began + text.index('type": "oil') - 1][0] == tools.index('"type": {') + 1


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


def test_a_sort_is_asked_of_a_request_that_tells_it() -> None:
    for i in range(200):
        skill = made_up(random.Random(i))
        verb, *noun = skill.sorts
        assert is_told(NO_WORK, "Hello")
        assert all(is_told(verb, row) for row in skill.english if skill.verb and row.lower().startswith(skill.verb))
        assert not is_told(verb, "1234")
        assert not any(is_told(n, "1234") for n in noun)
    assert is_told(sorts_of(SKILLS[0])[0], "1234")


def test_a_key_that_says_nothing_is_described_in_training() -> None:
    rng = random.Random(1)
    n_odd = 0
    for skill in SKILLS * 20:
        made = calling.define(rng, skill, False)
        properties = made.definition["function"]["parameters"]["properties"]
        for key, parameter in zip(made.keys, skill.parameters, strict=True):
            if key not in parameter.names:
                n_odd += 1
                assert "description" in properties[key], properties
    assert n_odd > 50


def test_a_made_up_tool_of_a_known_ones_name_is_asked_for_in_its_own_words() -> None:
    rng = random.Random(1)
    flight = replace(made_up(rng), names=SKILLS[7].names[:1])
    assert flight.names == ("book_flight",)
    tool = calling.define(rng, flight, False)
    own = {w.lower() for row in flight.english for w in re.findall(r"\w+", row)} | set(FILLERS["en"])
    for _ in range(100):
        asked, call = calling.ask(rng, tool, "en", False)
        for value in map(str, call.arguments.values()):
            assert value in asked
            asked = asked.replace(value, " ", 1)
        assert {w.lower() for w in re.findall(r"\w+", asked)} <= own, asked


def test_a_made_up_tool_is_never_asked_for_in_words_that_are_held_out() -> None:
    """Seeds that chanced on one before this was seen to: "Telefone para {0}." in most of them."""
    held_out = {row for s in SKILLS for row in (s.english[-1], s.portuguese[-1])}
    held_out |= {row for s in calling.SKILLS_HELD_OUT for row in (*s.english, *s.portuguese)}
    for seed in (1797, 1809, 2392, 6733, 7557, 8179, 9719, 10252, 10787, 12551):
        skill = made_up(random.Random(seed))
        assert not held_out & {*skill.english, *skill.portuguese}


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
