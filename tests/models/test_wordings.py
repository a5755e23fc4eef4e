"""Requests whose words vary: what must stay, whatever is left out or stands around; and questions in words alone."""

from __future__ import annotations

import random
import re

import pytest

from tests.models.conftest import RECIPE

if not (RECIPE / "told.py").is_file():
    pytest.skip("the recipe is not in this copy of the project", allow_module_level=True)

import answers
import calling
import data
import lexicon
import made
import meanings
import saying
import skills
import told
import wordings

NUMBERS = ("none nenhum nenhuma", "one um uma", "two dois duas", "three três", "four quatro")


def test_a_blurred_wording_keeps_its_values_and_what_tells_what_is_asked_for() -> None:
    rng, changed = random.Random(1), 0
    for skill in skills.SKILLS:
        for language, rows in (("en", wordings.ENGLISH), ("pt", wordings.PORTUGUESE)):
            ways = rows[skill.names[0]]
            for way in ways:
                text = wordings.blurred(rng, way, ways, language)
                changed += text != way
                assert re.findall(r"\{\d\}", text) == re.findall(r"\{\d\}", way)
                kept = {w for w in meanings.content(way) if w in meanings.ROW_OF}
                assert kept <= set(meanings.content(text)), (way, text)
    assert changed > 100


def test_a_blurred_wording_is_never_one_that_is_held_out() -> None:
    rng, light = random.Random(1), next(s for s in skills.SKILLS if s.names[0] == "set_light")
    wording = "Please turn the {0} light {1}."
    ways = (*light.english[:-1], *wordings.ENGLISH["set_light"])
    assert wording in ways
    texts = {wordings.blurred(rng, wording, ways, "en") for _ in range(300)}
    assert len(texts) > 3
    assert light.english[-1] == "Turn the {0} light {1}."
    assert light.english[-1] not in texts


def test_a_wording_without_telling_words_stays_as_it_is() -> None:
    way = "I would like {0} {1}."
    assert wordings.blurred(random.Random(1), way, (way,), "en") == way


@pytest.mark.parametrize(
    ("english", "portuguese"),
    [
        ("track", "rastreie"),
        ("package", "pacote"),
        ("car", "carro"),
        ("rent", "alugue"),
        ("word", "palavra"),
        ("phone", "telefone"),
        ("translate", "tradução"),
        ("reservation", "reserve"),
    ],
)
def test_words_that_mean_the_same_share_a_row(english: str, portuguese: str) -> None:
    assert meanings.ROW_OF[english] == meanings.ROW_OF[portuguese]


def test_what_is_done_is_asked_for_by_its_noun_too() -> None:
    assert set(meanings.DEEDS) <= {english[0] for english, _ in meanings.VERBS}
    asked = {row for i in range(2000) for row in made.made_up(random.Random(i)).portuguese}
    for _, article, noun in meanings.DEEDS.values():
        assert any(noun in row.lower() for row in asked), noun
        assert not any(re.search(rf"d{'o' if article == 'a' else 'a'} {noun}\b", row) for row in asked), noun


def test_a_tool_may_be_named_by_what_its_work_is_done_with() -> None:
    assert set(meanings.INSTRUMENTS) <= {english[0] for english, _ in meanings.VERBS}
    same = meanings.meanings()
    for verb, thing in meanings.INSTRUMENTS.items():
        assert {thing, verb.split()[0]} <= same[thing], "as a request's word, it has the meaning of that work alone"
        assert meanings.ROW_OF[thing] == meanings.ROW_OF[verb.split()[0]]
    made_up = (made.made_up(random.Random(i)) for i in range(3000))
    named = [skill for skill in made_up if skill.names[0] in meanings.INSTRUMENTS.values() and not skill.is_odd]
    assert 30 < len(named) < 300
    for skill in named:
        (verb, *_), _ = meanings.VERBS[skill.sorts[0] - len(skills.SKILLS)]
        assert meanings.INSTRUMENTS[verb] == skill.names[0]


def test_what_is_told_in_words_is_counted_and_compared_truly() -> None:
    seen = set()
    for i in range(300):
        language = ("en", "pt")[i % 2]
        asked, said, task = told.question(random.Random(i), language)
        begun, verdict = said.rstrip(".").split("; ")
        what, truth = verdict.split(": ")
        seen.add(task.split()[1])
        if "relation" in task:
            assert begun + "." in asked
            continue
        listed = begun.split(" ", 2 if language == "en" else 1)[-1]
        assert listed in asked
        items = re.split(", | and | e ", listed)
        assert len(set(items)) == len(items)
        if "count" in task:
            n = len(items) if what in ("shapes", "formas") else sum(what[:4] in item for item in items)
            assert truth in NUMBERS[n].split(), (asked, said)
        else:
            assert truth == (answers.YES if what in items else answers.NO)[language]
    assert seen == {"count", "yes/no", "relation"}


def test_what_stands_before_a_request_leaves_values_as_they_are() -> None:
    rng = random.Random(1)
    for _ in range(50):
        far = "Bergen fica longe de Faro?"
        assert saying.opened(rng, far, "pt", ["Bergen", "Faro"]).endswith(far)
        assert saying.opened(rng, "I want tea.", "en").endswith("I want tea.")
    assert any(saying.opened(rng, "Soletre rio", "pt").endswith(" soletre rio") for _ in range(50))


def test_no_wording_held_out_comes_of_what_stands_before_a_request() -> None:
    rows = [ways[-1] for table in (saying.SPELL, saying.REPEAT) for ways in table.values()]
    held = [re.compile(re.escape(row).replace(r"\{t\}", r"\S+"), re.IGNORECASE) for row in rows]
    for i in range(4000):
        asked, _, task = saying.question(random.Random(i), ("en", "pt")[i % 2], False)
        assert task not in ("spell", "repeat") or not any(one.fullmatch(asked) for one in held), asked


def test_made_up_words_have_any_part_behind_any_other_and_are_none_that_is_held_out() -> None:
    held_out = {word.lower() for word in (*lexicon.WORDS_HELD_OUT, *lexicon.NAMES_HELD_OUT, *lexicon.CITIES_HELD_OUT)}
    made = [saying.crossed(random.Random(i)) for i in range(4000)]
    assert not held_out & set(made)
    assert all(3 <= len(word) <= 9 for word in made)
    known = [word for word in made if word in saying.CROSSED]
    assert len(known) < len(made) // 10
    pairs = {word[i : i + 2] for word in saying.CROSSED for i in range(len(word) - 1)}
    assert len({word[i : i + 2] for word in made for i in range(len(word) - 1)} - pairs) > len(pairs) // 4


def test_a_number_is_quoted_where_the_definition_asks_for_a_string() -> None:
    found = 0
    for i in range(300):
        chat = data.calling_chat(random.Random(i))
        functions = [t["function"] for t in chat.tools]
        types = {
            f["name"]: {k: v.get("type", "string") for k, v in f["parameters"]["properties"].items()} for f in functions
        }  # an enum without a type is of strings
        for call in (c for turn in chat.turns for c in turn.calls):
            for key, value in call.arguments.items():
                assert isinstance(value, str) == (types[call.name][key] == "string"), call
                found += isinstance(value, str) and value.isdigit()
    assert found > 20


def test_held_out_requests_are_neither_blurred_nor_opened() -> None:
    every_skill = (*skills.SKILLS, *skills.SKILLS_HELD_OUT)
    ways = [row for s in every_skill for rows in (s.english, s.portuguese) for row in rows]
    every = re.compile("|".join(re.sub(r"\\\{\d\\\}", ".+", re.escape(way)) for way in ways))
    asked = 0
    for i in range(60):
        chat = calling.Chat(language=("en", "pt")[i % 2])
        calling.converse(random.Random(i), chat, 3, True)
        for before, turn in zip(chat.turns, chat.turns[1:], strict=False):
            if turn.task == "call" and before.role == "user":
                asked += 1
                assert every.fullmatch(before.text), before.text
    assert asked > 30


def test_a_word_that_stands_alone_in_a_row_has_that_rows_meaning() -> None:
    """Not that of a phrase with it: to call was to cancel, by `call off`."""
    said = [(word, row) for row in reversed(range(meanings.ROWS)) for word in meanings.said(row)]
    alone = {word: row for word, row in said if re.fullmatch(meanings.WORD, word) and word not in meanings.EMPTY}
    odd = {w for w, row in alone.items() if meanings.ROW_OF[w.lower()] != row}
    assert odd == {"ligue", "telefone", "give"}, "`ligue` is asked before `para`, more often than to turn something on"
