"""What people ask of a picture beside what the bars are about; no wording of these is held out."""

from __future__ import annotations

import random

from answers import SIDES, Question, colour_name, colour_told, judged, kind_told, pairs_of, related, seen, sentence
from lexicon import COLOURS, KINDS, UNKNOWN, a_kind, a_shape, kinds_name, the_shape
from questions import COUNT_ALL, IS_THERE, READ, READ_NUMBER, READ_WORD, pick
from scenes import Scene, Shape

COLOUR_OF_ONE = {
    "en": ("What color is the shape?", "What color is it?", "What is the color of the shape?", "Which color does the shape have?", "What colour is this?",
           "Name the color."),
    "pt": ("De que cor é a forma?", "Qual é a cor da forma?", "Que cor tem a forma?", "De que cor é?", "Qual é a cor?"),
}
KIND_OF_ONE = {
    "en": ("What shape is it?", "What shape is this?", "Which shape do you see?", "What shape is in the image?", "Which shape is shown?", "Name the shape."),
    "pt": ("Que forma é esta?", "Que forma é?", "Qual forma você vê?", "Que forma há na imagem?", "Diga que forma é esta."),
}
IS_COLOURED = {
    "en": ("Is {the} {colour}?", "Is {the} {colour} or not?", "Is the color of {the} {colour}?", "Would you say that {the} is {colour}?"),
    "pt": ("{The} é {colour}?", "É {colour} {the}?", "A cor d{the} é {colour}?", "{The} é {colour} ou não?"),
}
IS_OF_KIND = {
    "en": ("Is this {a}?", "Is it {a}?", "Is the shape {a}?", "Is that {a}?"),
    "pt": ("Isto é {a}?", "É {a}?", "A forma é {a}?", "Isso é {a}?"),
}
ARE_THERE = {
    "en": ("Are there any {some}?", "Are there {some}?", "Are there {some} in the image?", "Do you see any {some}?"),
    "pt": ("Há {some}?", "Há {some} na imagem?", "Existem {some}?", "Você vê {some}?"),
}
WHAT_IS_AT = {
    "en": {"left": ("What is on the left?", "Which shape is on the left?"), "right": ("What is on the right?", "Which shape is on the right?"),
           "above": ("What is at the top?", "Which shape is above?"), "below": ("What is at the bottom?", "Which shape is below?")},
    "pt": {"left": ("O que está à esquerda?", "Que forma está à esquerda?"), "right": ("O que está à direita?", "Que forma está à direita?"),
           "above": ("O que está em cima?", "Que forma está acima?"), "below": ("O que está embaixo?", "Que forma está abaixo?")},
}
NEXT_TO = {
    "en": ("What is next to {the}?", "What is beside {the}?", "Which shape is next to {the}?"),
    "pt": ("O que está ao lado d{the}?", "Que forma está ao lado d{the}?", "O que há ao lado d{the}?"),
}
HAS_TEXT = {
    "en": ("Is there any text in the image?", "Is there any text?", "Do you see any text?", "Is something written in the image?"),
    "pt": ("Há algum texto na imagem?", "Há texto?", "Você vê algum texto?", "Há algo escrito na imagem?"),
}
ODD = {
    "en": ("What is the background color?", "What color is the background?", "Who drew this?", "Is this a photo?", "How old is this picture?", "Why was this drawn?", "Is it beautiful?",
           "How large is the image?", "Who is in the picture?", "Is there a person in the image?"),
    "pt": ("Qual é a cor do fundo?", "De que cor é o fundo?", "Quem desenhou isto?", "Isto é uma foto?", "Quando isto foi desenhado?", "É bonito?", "Qual é o tamanho da imagem?",
           "Quem está na imagem?", "Há uma pessoa na imagem?"),
}



def beside(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    """Of two shapes, what is on one side, or where one is whose colour is not told."""
    pairs = pairs_of(scene)
    if not pairs or len(scene.shapes) != 2:
        return None
    a, b, side = rng.choice(pairs)
    return _at_side(rng, a, b, side, language), related(a, b, side, language) + ".", f"relation {side}"


def _at_side(rng: random.Random, a: Shape, b: Shape, side: str, language: str) -> str:
    """A question to which `a` and its side of `b` is the answer."""
    r, the_b = rng.random(), the_shape(b.kind, b.colour if a.kind == b.kind or rng.random() < 0.7 else None, language)
    if r < 0.3 and a.kind != b.kind:
        the_a = the_shape(a.kind, None, language)
        return f"Where is {the_a}?" if language == "en" else f"Onde está {the_a}?"
    if r < 0.6:
        return f"What is {SIDES['en'][side]} {the_b}?" if language == "en" else f"O que está {SIDES['pt'][side]}{the_b}?"
    if r < 0.75:
        return rng.choice(NEXT_TO[language]).format(the=the_b)
    return rng.choice(WHAT_IS_AT[language][side])


def of_one(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    """The colour or the kind of a shape that is alone, which the question does not name."""
    if len(scene.shapes) != 1:
        return None
    if rng.random() < 0.6:
        return rng.choice(COLOUR_OF_ONE[language]), colour_told(scene.shapes[0], language) + ".", "colour"
    return rng.choice(KIND_OF_ONE[language]), kind_told(scene.shapes[0], language) + ".", "kind"


def is_coloured(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    """Whether the only shape of its kind has a colour, or one that is alone is of a kind."""
    if len(scene.shapes) == 1 and rng.random() < 0.4:
        s = scene.shapes[0]
        kind = s.kind if rng.random() < 0.5 else rng.choice(KINDS)
        a = a_kind(kind, language)
        return rng.choice(IS_OF_KIND[language]).format(a=a), kind_told(s, language) + judged(a, kind == s.kind, language), "kind"
    ones = [s for s in scene.shapes if sum(t.kind == s.kind for t in scene.shapes) == 1]
    if not ones:
        return None
    s = rng.choice(ones)
    the, r = the_shape(s.kind, None, language), rng.random()
    asked = s.colour if r < 0.5 else rng.choice(scene.shapes).colour if r < 0.7 else rng.choice(COLOURS)
    colour = colour_name(asked, s.kind, language)
    said = colour_told(s, language) + judged(colour, asked == s.colour, language)
    return rng.choice(IS_COLOURED[language]).format(the=the, The=sentence(the), colour=colour), said, "colour"


def is_kind_there(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    """Whether there is a shape of some kind, whatever its colour."""
    kind = rng.choice(scene.shapes).kind if rng.random() < 0.5 else rng.choice(KINDS)
    a = a_kind(kind, language)
    said = seen(scene, language) + judged(a, any(s.kind == kind for s in scene.shapes), language)
    if rng.random() < 0.5:
        return pick(rng, IS_THERE, language, False).format(a=a), said, "yes/no"
    return rng.choice(ARE_THERE[language]).format(some=kinds_name(kind, language)), said, "yes/no"


def has_no_text(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    """What is read where nothing is."""
    said = seen(scene, language) + ("; text: none." if language == "en" else "; texto: nenhum.")
    return pick(rng, rng.choice((HAS_TEXT, READ, READ_WORD, READ_NUMBER)), language, False), said, "no text"


def odd(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    """What it was never taught to see."""
    return rng.choice(ODD[language]), UNKNOWN[language], "unknown"


def of_text(rng: random.Random, scene: Scene, language: str) -> Question:
    """Of a text what is asked of shapes."""
    r = rng.random()
    if r < 0.35:
        said = seen(scene, language) + ("; shapes: none." if language == "en" else "; formas: nenhuma.")
        return pick(rng, COUNT_ALL, language, False), said, "count"
    if r < 0.8:
        kind, colour = rng.choice(KINDS), rng.choice(COLOURS) if rng.random() < 0.6 else None
        a = a_kind(kind, language) if colour is None else a_shape(kind, colour, language)
        return pick(rng, IS_THERE, language, False).format(a=a), seen(scene, language) + judged(a, False, language), "yes/no"
    said = f"The image says {scene.text}." if language == "en" else f"A imagem diz {scene.text}."
    return rng.choice(HAS_TEXT[language]), said, "read"


ASKERS = (of_one, is_coloured, is_kind_there, beside, has_no_text)
"""What evaluation asks as `everyday`: of pictures that training never had, in its words."""
