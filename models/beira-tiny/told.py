"""Questions about what was told in words: what an answer follows from when it lists, counts and compares, without a picture."""

from __future__ import annotations

import random

import PIL.Image

import seeing
from answers import Question
from lexicon import COLOURS, KINDS
from scenes import Scene, Shape

_NOTHING = PIL.Image.new("RGB", (1, 1))
_TELLING = {
    "en": ("I have {}.", "I drew {}.", "The image shows {}.", "There we have {}.", "My friend drew {}."),
    "pt": ("Há {}.", "Eu tenho {}.", "A imagem mostra {}.", "Desenhei {}.", "Temos {}."),
}


def question(rng: random.Random, language: str) -> Question:
    """What is there, a question about it, and the answer that a picture of it would get."""
    shapes: list[Shape] = []
    for _ in range(rng.choices((1, 2, 3, 4), (1, 3, 4, 4))[0]):
        kind, colour = rng.choice(KINDS), rng.choice(COLOURS)
        if shapes and rng.random() < 0.35:  # else most counts would be one
            kind = rng.choice(shapes).kind
        x, y = rng.randrange(200), rng.randrange(200)
        if (kind, colour) not in {(s.kind, s.colour) for s in shapes}:
            shapes.append(Shape(kind, colour, (x, y, x + 20, y + 20)))
    scene = Scene(_NOTHING, tuple(shapes))
    asker = rng.choices((seeing.count_some, seeing.count_all, seeing.is_there, seeing.relation), (5, 1, 3, 2))[0]
    while (made := asker(rng, scene, language, False)) is None or ";" not in made[1]:
        asker = seeing.count_some
    asked, said, task = made
    told = said.split(";")[0]
    statement = told + "." if asker is seeing.relation else rng.choice(_TELLING[language]).format(told.split(" ", 2 if language == "en" else 1)[-1])
    return f"{statement} {asked}" if rng.random() < 0.75 else f"{asked} {statement}", said, f"told {task}"
