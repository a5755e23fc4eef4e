"""Conversations about pictures: questions whose answers follow from what was drawn."""

from __future__ import annotations

import json
import random
from collections.abc import Callable

import everyday
from answers import SIDE_NAMES, SIDES, Question, boxes, colour_told, description, judged, kind_told, pairs_of, related, seen, sentence
from chats import Chat
from lexicon import COLOURS, COLOURS_PT, KINDS, KINDS_PT, NUMBERS, ORDINALS, a_shape, kinds_name, the_shape
from questions import (
    COLOUR_OF,
    COUNT_ALL,
    COUNT_MORE,
    COUNT_SOME,
    DESCRIBE,
    DESCRIBE_MORE,
    IS_THERE,
    JSON_COUNT,
    JSON_ONE,
    KIND_OF,
    LOCATE,
    LOCATE_ALL,
    LOCATE_MORE,
    ONE_OF_TWO,
    READ,
    READ_NUMBER,
    READ_WORD,
    pick,
)  # fmt: skip
from scenes import Scene


def describe(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    more = not held_out and rng.random() < 0.2
    return rng.choice(DESCRIBE_MORE[language]) if more else pick(rng, DESCRIBE, language, held_out), description(scene, language), "describe"


def colour_of(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    ones = [s for s in scene.shapes if sum(t.kind == s.kind for t in scene.shapes) == 1]
    if not ones:
        return None
    s = rng.choice(ones)
    the = the_shape(s.kind, None, language)
    return pick(rng, COLOUR_OF, language, held_out).format(the=the), colour_told(s, language) + ".", "colour"


def kind_of(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    ones = [s for s in scene.shapes if sum(t.colour == s.colour for t in scene.shapes) == 1]
    if not ones:
        return None
    s = rng.choice(ones)
    colour = s.colour if language == "en" else COLOURS_PT[s.colour][1]
    return pick(rng, KIND_OF, language, held_out).format(colour=colour), kind_told(s, language) + ".", "kind"


def count_all(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    n = len(scene.shapes)
    number = NUMBERS["en"][n] if language == "en" else ("nenhuma", "uma", "duas", "três", "quatro")[n]
    said = f"{seen(scene, language)}; {'shapes' if language == 'en' else 'formas'}: {number}."
    more = not held_out and rng.random() < 0.25
    return rng.choice(COUNT_MORE[language]) if more else pick(rng, COUNT_ALL, language, held_out), said, "count"


def count_some(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    kind = rng.choice(scene.shapes).kind if rng.random() < 0.75 else rng.choice(KINDS)
    n = sum(s.kind == kind for s in scene.shapes)
    wording = pick(rng, COUNT_SOME, language, held_out)
    some = kinds_name(kind, language)
    if language == "en":
        return wording.format(some=some), f"{seen(scene, language)}; {some}: {NUMBERS['en'][n] if n else 'none'}.", "count"
    f = KINDS_PT[kind][1]
    number = {0: "nenhuma" if f else "nenhum", 1: "uma" if f else "um", 2: "duas" if f else "dois"}.get(n) or NUMBERS["pt"][n]
    said = f"{seen(scene, language)}; {some}: {number}."
    return wording.format(some=some, os="as" if f else "os", os2="as" if f else "os"), said, "count"


def is_there(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    here = {(s.kind, s.colour) for s in scene.shapes}
    if rng.random() < 0.5:
        kind, colour = rng.choice(sorted(here))
    elif rng.random() < 0.6:  # something half right
        s = rng.choice(scene.shapes)
        kind, colour = (s.kind, rng.choice(COLOURS)) if rng.random() < 0.5 else (rng.choice(KINDS), s.colour)
    else:
        kind, colour = rng.choice(KINDS), rng.choice(COLOURS)
    a = a_shape(kind, colour, language)
    said = seen(scene, language) + judged(a, (kind, colour) in here, language)
    return pick(rng, IS_THERE, language, held_out).format(a=a), said, "yes/no"


def relation(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    if not held_out and len(scene.shapes) == 2 and rng.random() < 0.3:
        return everyday.beside(rng, scene, language, held_out)
    pairs = pairs_of(scene)
    if not pairs:
        return None
    a, b, side = rng.choice(pairs)
    the_a, the_b = (the_shape(s.kind, s.colour, language) for s in (a, b))
    said = related(a, b, side, language)
    if rng.random() < (0.5 if held_out else 0.7) and len(scene.shapes) == 2:
        return f"Where is {the_a}?" if language == "en" else f"Onde está {the_a}?", said + ".", f"relation {side}"
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}
    asked = side if rng.random() < 0.5 else opposite[side]
    said += judged(SIDE_NAMES[language][asked], asked == side, language)
    if language == "en":
        return f"Is {the_a} {SIDES['en'][asked]} {the_b}?", said, f"relation {side}"
    return f"{sentence(the_a)} está {SIDES['pt'][asked]}{the_b}?", said, f"relation {side}"


def locate(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    if rng.random() < (0.12 if held_out else 0.18):
        more = not held_out and rng.random() < 0.35
        return rng.choice(LOCATE_MORE[language]) if more else pick(rng, LOCATE_ALL, language, held_out), boxes(list(scene.shapes), language), "ground"
    s = rng.choice(scene.shapes)
    the = the_shape(s.kind, s.colour, language)
    return pick(rng, LOCATE, language, held_out).format(the=the), boxes([s], language), "ground"


def json_one(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    if len(scene.shapes) == 1 and rng.random() < 0.7:
        s = scene.shapes[0]
        return pick(rng, JSON_ONE, language, held_out), json.dumps({"color": s.colour, "shape": s.kind}), "json"
    return pick(rng, JSON_COUNT, language, held_out), json.dumps({"count": len(scene.shapes)}), "json"


def read(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    assert scene.text is not None
    is_number = scene.text.isdigit()
    if rng.random() < 0.25:
        said = f"The image says {scene.text}." if language == "en" else f"A imagem diz {scene.text}."
        return pick(rng, READ, language, held_out), said, "read"
    wording = pick(rng, READ_NUMBER if is_number else READ_WORD, language, held_out)
    if language == "en":
        return wording, f"The {'number' if is_number else 'word'} is {scene.text}.", "read"
    return wording, f"{'O número' if is_number else 'A palavra'} é {scene.text}.", "read"


Asker = Callable[[random.Random, Scene, str, bool], Question | None]
ASKERS: tuple[tuple[Asker, float, float], ...] = (
    (describe, 3.5, 3), (colour_of, 1.5, 1.2), (kind_of, 2, 1.2), (count_all, 1, 1), (count_some, 2, 3), (is_there, 3, 3), (relation, 2, 5),
    (locate, 2.5, 2.5), (json_one, 1.2, 1.2), (everyday.is_coloured, 0, 1.2), (everyday.is_kind_there, 0, 0.8), (everyday.has_no_text, 0, 1),
    (everyday.odd, 0, 0.2),
)  # fmt: skip
"""How often each is asked in evaluation, and in training: there more often what takes longer to learn."""


def question(rng: random.Random, scene: Scene, language: str, held_out: bool, asker: Asker | None = None) -> Question:
    """A question that `scene` can answer."""
    if scene.text is not None:
        if not held_out and rng.random() < 0.12:
            return everyday.of_text(rng, scene, language)
        return (describe if rng.random() < 0.15 else read)(rng, scene, language, held_out)
    if not held_out and asker is None and len(scene.shapes) == 1 and rng.random() < 0.25:
        asker = rng.choice((everyday.of_one, everyday.is_coloured))
    while True:
        chosen = asker or rng.choices([a for a, *_ in ASKERS], [evaluated if held_out else trained for _, evaluated, trained in ASKERS])[0]
        if made := chosen(rng, scene, language, held_out):
            return made
        asker = None


def ask_about(rng: random.Random, chat: Chat, scene: Scene, made: Question) -> None:
    """The turn that shows the picture: it comes before the question, or after."""
    content = (scene, made[0]) if rng.random() < 0.75 else (made[0], scene)
    chat.ask(*content)
    chat.answer(made[1], made[2])


def ask_about_two(rng: random.Random, chat: Chat, scenes: tuple[Scene, Scene], held_out: bool) -> None:
    """Two pictures in one message."""
    language, r = chat.language, rng.random()
    which = rng.randint(0, 1)
    name = ORDINALS[language][which]
    said = [description(s, language) for s in scenes]
    if language == "en":
        firsts = [d.replace("The image", f"The {o} image", 1) for d, o in zip(said, ORDINALS["en"], strict=True)]
    else:
        firsts = [d.replace("A imagem", f"A {o} imagem", 1) for d, o in zip(said, ORDINALS["pt"], strict=True)]
    if r < 0.45:
        asked = rng.choice(ONE_OF_TWO[language]).format(name)
        answer = firsts[which]
    elif r < 0.7:
        asked = "Describe both images." if language == "en" else "Descreva as duas imagens."
        answer = " ".join(firsts)
    else:
        s = rng.choice(scenes[which].shapes) if scenes[which].shapes else None
        if s is None or any((t.kind, t.colour) == (s.kind, s.colour) for t in scenes[1 - which].shapes):
            asked = f"Describe the {name} image." if language == "en" else f"Descreva a {name} imagem."
            answer = firsts[which]
        else:
            a = a_shape(s.kind, s.colour, language)
            asked = f"Which image shows {a}?" if language == "en" else f"Qual imagem mostra {a}?"
            answer = f"The {name} image shows {a}." if language == "en" else f"A {name} imagem mostra {a}."
    chat.ask(*scenes, asked) if rng.random() < 0.75 else chat.ask(asked, *scenes)
    chat.answer(answer, "two images")


def ask_about_two_again(rng: random.Random, chat: Chat, scenes: tuple[Scene, Scene], held_out: bool) -> None:
    """Another question about the two pictures above."""
    which = rng.randint(0, 1)
    made = question(rng, scenes[which], chat.language, held_out, describe)
    name = ORDINALS[chat.language][which]
    if chat.language == "en":
        chat.ask(f"And what is in the {name} image?")
        chat.answer(made[1].replace("The image", f"The {name} image", 1), "two images")
    else:
        chat.ask(f"E o que há na {name} imagem?")
        chat.answer(made[1].replace("A imagem", f"A {name} imagem", 1), "two images")
