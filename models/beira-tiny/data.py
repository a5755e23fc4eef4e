"""The training examples: a seeded, endless mix of conversations. Example n of a seed is always the same.

Pictures of one batch share a size in tokens, so that the vision tower sees them as one tensor.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from typing import Any

import calling
import saying
import seeing
import skills
import told
from chats import Call, Chat
from lexicon import SYSTEMS, SYSTEMS_HELD_OUT, UNKNOWN
from made import NO_WORK, made_up, sorts_of
from scenes import MIN_CELLS, Scene, draw_shapes, draw_text, picture_size

Cells = tuple[int, int]


def cells_for(rng: random.Random, large: float = 0.06, *, is_even: bool = False) -> Cells:
    """Columns and rows of tokens of a batch's pictures: mostly 56 to 224 pixels, seldom up to 448; aspects to 1:3. Large ones have
    both sides evenly long or short if `is_even`, else seldom both long."""
    while True:
        top = 16 if rng.random() < large else 8
        low = 8 if top == 16 else 2
        if top == 16 and is_even:
            columns, rows = rng.randint(4, top), rng.randint(4, top)
        else:
            columns = rng.randint(2, top) if rng.random() < 0.5 else rng.randint(3, 6)
            rows = rng.randint(2, top) if rng.random() < 0.5 else rng.randint(3, 6)
        if max(columns, rows) >= low and max(columns, rows) <= 3 * min(columns, rows) and columns * rows <= (256 if top == 16 else 42):
            return columns, rows


def scene(rng: random.Random, cells: Cells, held_out: bool, text: float = 0.4, count: int | None = None) -> Scene:
    """A picture that fills `cells` once padded."""
    size = picture_size(rng, cells, held_out)
    if rng.random() < text and count is None:
        return draw_text(rng, size, held_out)
    if cells[0] * cells[1] <= MIN_CELLS:
        count = count or rng.choice((1, 1, 2))
    often = (3, 4, 3, 2) if held_out else (2, 3, 4, 4) if cells[0] * cells[1] <= 42 else (4, 3, 4, 4)
    return draw_shapes(rng, size, count or rng.choices((1, 2, 3, 4), often)[0], held_out)


def asking(rng: random.Random) -> tuple[str | Mapping[str, Any], Sequence[int], Sequence[Call]]:
    """A request alone, with the call that would answer it, or now and then a tool, and which kinds of work it is about: what is
    asked for needs far more requests than calls."""
    language = "en" if rng.random() < 0.42 else "pt"
    if rng.random() < 0.12:
        return saying.no_work(rng, language), (NO_WORK,), ()
    skill = rng.choice(skills.SKILLS) if rng.random() < 0.6 else made_up(rng)
    tool = calling.define(rng, skill, False)
    if rng.random() < 0.25:
        return tool.definition, sorts_of(skill), ()
    asked, call = calling.ask(rng, tool, language, False)
    return asked, sorts_of(skill), [call]


def _chat(rng: random.Random, held_out: bool, english: float = 0.48) -> Chat:
    r = rng.random()
    chat = Chat(language="en" if rng.random() < english else "pt")
    if r > 0.45:
        chat.system = SYSTEMS[0] if r < 0.62 else rng.choice(SYSTEMS_HELD_OUT if held_out and r < 0.8 else SYSTEMS)
    return chat


def seeing_chat(rng: random.Random, cells: Cells, held_out: bool = False) -> Chat:
    """One picture or two, several questions, sometimes with talk in between."""
    chat = _chat(rng, held_out)
    if rng.random() < (0.18 if chat.language == "en" else 0.25):
        both = scene(rng, cells, held_out, text=0.1), scene(rng, cells, held_out, text=0.1)
        seeing.ask_about_two(rng, chat, both, held_out)
        if rng.random() < 0.5:
            seeing.ask_about_two_again(rng, chat, both, held_out)
        return chat
    seen = scene(rng, cells, held_out, text=0.4 if held_out else 0.27)
    if rng.random() < 0.1:
        saying.converse(rng, chat, 1, held_out)
    first = seeing.describe if seen.text is None and rng.random() < 0.2 else None
    seeing.ask_about(rng, chat, seen, seeing.question(rng, seen, chat.language, held_out, first))
    is_read = seen.text is not None
    for i in range(rng.choice((0, 1, 2, 3) if is_read else (1, 2, 3, 4))):
        if rng.random() < (0.5 if is_read else 0.25):  # words that are said later are not what is read
            saying.converse(rng, chat, 1, held_out)
        else:
            asked, said, task = seeing.question(rng, seen, chat.language, held_out)
            chat.ask(asked)
            chat.answer(said, task if i == 0 else "later " + task)
    return chat


def reading_chat(rng: random.Random, cells: Cells, held_out: bool = False) -> Chat:
    """One picture with a text, which is asked for at once: reading needs far more pictures than answers."""
    chat, seen = _chat(rng, held_out), scene(rng, cells, held_out, text=1.0)
    seeing.ask_about(rng, chat, seen, seeing.question(rng, seen, chat.language, held_out))
    return chat


def listing_chat(rng: random.Random, cells: Cells, held_out: bool = False) -> Chat:
    """One picture of shapes, which are asked for at once: what is told in order needs more pictures than answers, too."""
    chat, seen = _chat(rng, held_out), scene(rng, cells, held_out, text=0.0)
    seeing.ask_about(rng, chat, seen, seeing.describe(rng, seen, chat.language, held_out))
    return chat


def placing_chat(rng: random.Random, cells: Cells, held_out: bool = False) -> Chat:
    """One picture of shapes, asked only where they are: boxes and directions are few among what is asked of pictures, and learned
    last."""
    chat, seen = _chat(rng, held_out), scene(rng, cells, held_out, text=0.0)
    for i in range(3):
        made = seeing.relation(rng, seen, chat.language, held_out) if rng.random() < 0.5 else None
        made = made or seeing.locate(rng, seen, chat.language, held_out)
        if i == 0:
            seeing.ask_about(rng, chat, seen, made)
        else:
            chat.ask(made[0])
            chat.answer(made[1], made[2])
    return chat


def saying_chat(rng: random.Random, held_out: bool = False) -> Chat:
    chat = _chat(rng, held_out)
    saying.converse(rng, chat, rng.choice((1, 2, 3, 4, 5)), held_out)
    if not held_out and rng.random() < 0.5:
        for _ in range(rng.choice((1, 2, 3))):
            asked, said, task = told.question(rng, chat.language)
            chat.ask(asked)
            chat.answer(said, task)
    if rng.random() < 0.25:  # what a tool would be for, without one
        skill = rng.choice(skills.SKILLS) if rng.random() < 0.6 else made_up(rng)
        asked, _ = calling.ask(rng, calling.define(rng, skill, held_out), chat.language, held_out)
        chat.ask(asked)
        chat.answer(UNKNOWN[chat.language], "unknown")
    return chat


def repeating_chat(rng: random.Random) -> Chat:
    """Words, names, places, codes, to be said again or spelled: what calls' arguments copy, piece by piece, for a hundredth of the tokens.
    And what requests tell, to be given by its keys, and numbers to be added, which are as short."""
    chat = _chat(rng, False)
    for _ in range(rng.choice((1, 2))):
        r = rng.random()
        if r < 0.25:
            asked, said, task = (saying.spell if r < 0.15 else saying.add)(rng, chat.language, False)
        elif r < 0.7:
            (asked, said), task = calling.extract(rng, chat.language), "extract"
        else:
            copied = [saying.code(rng) if rng.random() < 0.25 else rng.choice((saying.phrase, saying.name, saying.city))(rng, False) for _ in range(rng.choice((1, 1, 2)))]
            said, task = " ".join(copied), "repeat"
            asked = saying.wording(rng, saying.REPEAT, chat.language, False).format(t=said)
        chat.ask(asked)
        chat.answer(said, task)
    return chat


def recalling_chat(rng: random.Random, held_out: bool = False) -> Chat:
    """Something to find again among words, half the time among very many."""
    chat = _chat(rng, held_out)
    asked, said, task = saying.recall(rng, chat.language, held_out, rng.randint(200, 430) if rng.random() < 0.5 else rng.randint(20, 120))
    chat.ask(asked)
    chat.answer(said, task)
    return chat


def calling_chat(rng: random.Random, held_out: bool = False) -> Chat:
    chat = _chat(rng, held_out, 0.42)  # requests in Portuguese, of tools that are told in English, take longer
    if chat.system is None and rng.random() < 0.5:
        chat.system = SYSTEMS[1]
    calling.converse(rng, chat, rng.choice((2, 3, 4, 5, 6)), held_out)
    return chat


def choosing_chat(rng: random.Random) -> Chat:
    """Many requests of the same tools, of which only what they choose is learned: calls are few for what their tokens cost."""
    chat = _chat(rng, False, 0.42)
    calling.converse(rng, chat, rng.randint(12, 18), False, has_results=False)
    return chat
