"""How what a picture shows is told."""

from __future__ import annotations

import json

from lexicon import COLOURS_PT, KINDS_PT, a_kind, a_shape, listed, shape_name, the_shape
from scenes import Scene, Shape

Question = tuple[str, str, str]
"""Question, answer, task."""
SIDES = {
    "en": {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"},
    "pt": {"left": "à esquerda d", "right": "à direita d", "above": "acima d", "below": "abaixo d"},
}
SIDE_NAMES = {
    "en": {"left": "left", "right": "right", "above": "above", "below": "below"},
    "pt": {"left": "esquerda", "right": "direita", "above": "acima", "below": "abaixo"},
}
YES, NO = {"en": "yes", "pt": "sim"}, {"en": "no", "pt": "não"}


def sentence(text: str) -> str:
    return text[0].upper() + text[1:]


def description(scene: Scene, language: str) -> str:
    """What the answer to "What is in this image?" is."""
    if scene.text is not None:
        is_number = scene.text.isdigit()
        if language == "en":
            return f"The image shows the {'number' if is_number else 'word'} {scene.text}."
        return f"A imagem mostra {'o número' if is_number else 'a palavra'} {scene.text}."
    names = listed([a_shape(s.kind, s.colour, language) for s in scene.shapes], language)
    return ("The image shows " if language == "en" else "A imagem mostra ") + names + "."


def seen(scene: Scene, language: str) -> str:
    """What answers begin with that follow from all that is there: `I see a red circle and a blue square`."""
    if scene.text is not None:
        return description(scene, language).replace("The image shows", "I see").replace("A imagem mostra", "Vejo").removesuffix(".")
    return ("I see " if language == "en" else "Vejo ") + listed([a_shape(s.kind, s.colour, language) for s in scene.shapes], language)


def judged(asked: str, is_true: bool, language: str) -> str:
    """How such an answer ends: what was asked about stands right before the verdict, and what it follows from not far away."""
    return f"; {asked}: {YES[language] if is_true else NO[language]}."


def colour_name(colour: str, kind: str, language: str) -> str:
    """As it is said of a shape of that kind: `red`, `vermelha`."""
    return colour if language == "en" else COLOURS_PT[colour][KINDS_PT[kind][1]]


def colour_told(s: Shape, language: str) -> str:
    """`The circle is red`."""
    return f"{sentence(the_shape(s.kind, None, language))} {'is' if language == 'en' else 'é'} {colour_name(s.colour, s.kind, language)}"


def kind_told(s: Shape, language: str) -> str:
    """`The red shape is a circle`."""
    named = f"The {s.colour} shape is" if language == "en" else f"A forma {COLOURS_PT[s.colour][1]} é"
    return f"{named} {a_kind(s.kind, language)}"


def related(a: Shape, b: Shape, side: str, language: str) -> str:
    """`The red circle is to the left of the blue square`."""
    the_a, the_b = (the_shape(s.kind, s.colour, language) for s in (a, b))
    return f"{sentence(the_a)} {'is' if language == 'en' else 'está'} {SIDES[language][side]}{' ' if language == 'en' else ''}{the_b}"


def boxes(shapes: list[Shape], language: str) -> str:
    """Qwen's grounding answer."""
    found = [{"bbox_2d": list(s.box), "label": shape_name(s.kind, s.colour, language)} for s in shapes]
    return json.dumps(found, ensure_ascii=False)


def side_of(a: Shape, b: Shape) -> str | None:
    """Where `a` is as seen from `b`, where one direction is clear."""
    dx, dy = a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]
    if abs(dx) > 1.4 * abs(dy):
        return "left" if dx < 0 else "right"
    if abs(dy) > 1.4 * abs(dx):
        return "above" if dy < 0 else "below"
    return None


def pairs_of(scene: Scene) -> list[tuple[Shape, Shape, str]]:
    """Two of the shapes, and on which side of the second the first is."""
    return [(a, b, side) for a in scene.shapes for b in scene.shapes if a is not b and (side := side_of(a, b))]
