"""Conversations about pictures: questions whose answers follow from what was drawn."""

from __future__ import annotations

import json
import random
from collections.abc import Callable, Mapping

from chats import Chat
from lexicon import (
    COLOURS,
    COLOURS_PT,
    KINDS,
    KINDS_PT,
    NUMBERS,
    ORDINALS,
    a_shape,
    kind_name,
    listed,
    shape_name,
    the_shape,
)  # fmt: skip
from scenes import Scene, Shape

Question = tuple[str, str, str]
"""Question, answer, task."""

# the last wording of each row is for evaluation only
DESCRIBE = {
    "en": ("What is in this image?", "Describe the image.", "What do you see?", "What is in the picture?", "Describe this picture.",
           "What does the image show?", "What can you see in this image?", "What's in this image?", "Describe what the image shows.",
           "Describe what is in the picture.", "What do you see in the picture?", "Tell me what you see.", "Describe the picture.",
           "Describe what you see.", "What is shown here?", "Describe what you see in the picture."),
    "pt": ("O que há nesta imagem?", "Descreva a imagem.", "O que você vê?", "O que tem na imagem?", "Descreva esta imagem.",
           "O que a imagem mostra?", "O que há na imagem?", "Descreva o que a imagem mostra.", "Descreva o que há na imagem.",
           "O que você vê na imagem?", "Diga o que você vê.", "Descreva o que você vê.", "Descreva o que você vê na imagem."),
}  # fmt: skip
COLOUR_OF = {
    "en": ("What color is {the}?", "What colour is {the}?", "Which color is {the}?", "What is the color of {the}?", "What color does {the} have?",
           "Say the color of {the}.", "Tell me what color {the} is.", "Name the color of {the}.", "Tell me the color of {the}."),
    "pt": ("Qual é a cor d{the}?", "De que cor é {the}?", "Que cor tem {the}?", "Qual a cor d{the}?", "Diga de que cor é {the}.", "Diga qual é a cor d{the}.",
           "Diga a cor d{the}."),
}
KIND_OF = {
    "en": ("What shape is {colour}?", "Which shape is {colour}?", "What is the {colour} shape?", "What shape is the {colour} one?",
           "Which kind of shape is {colour}?", "What kind of shape is {colour}?", "What is the {colour} one?",
           "What kind of shape is the {colour} one?"),
    "pt": ("Qual forma é {colour}?", "Que forma é {colour}?", "Qual é a forma {colour}?", "Que forma é a {colour}?", "Que tipo de forma é {colour}?",
           "Que tipo de forma é a {colour}?"),
}
COUNT_ALL = {
    "en": ("How many shapes are there?", "How many shapes are in the image?", "Count the shapes.", "Count all shapes.", "How many shapes can you see?",
           "How many shapes does the image show?", "How many shapes do you see?"),
    "pt": ("Quantas formas há?", "Quantas formas há na imagem?", "Conte as formas.", "Quantas formas a imagem mostra?", "Quantas formas existem?",
           "Diga quantas formas há.", "Quantas formas você pode ver?", "Quantas formas tem a imagem?", "Quantas formas você vê?"),
}
COUNT_SOME = {
    "en": ("How many {some} are there?", "How many {some} are in the image?", "Count the {some}.", "Count all {some}.", "How many {some} can you see?",
           "How many {some} does the image show?", "How many {some} do you see?"),
    "pt": ("Quant{os} {some} há?", "Quant{os} {some} há na imagem?", "Conte {os2} {some}.", "Quant{os} {some} a imagem mostra?", "Quant{os} {some} existem?",
           "Diga quant{os} {some} há.", "Quant{os} {some} você pode ver?", "Quant{os} {some} tem a imagem?", "Quant{os} {some} você vê?"),
}
IS_THERE = {
    "en": ("Is there {a}?", "Is there {a} in the image?", "Do you see {a}?", "Can you see {a}?", "Do you see {a} in the image?",
           "Does the image show {a}?", "Is {a} in the image?", "Can you find {a}?", "Can you see {a} in the image?"),
    "pt": ("Há {a}?", "Há {a} na imagem?", "Você vê {a}?", "Existe {a}?", "Você vê {a} na imagem?", "A imagem mostra {a}?", "Existe {a} na imagem?"),
}
SIDES = {
    "en": {"left": "to the left of", "right": "to the right of", "above": "above", "below": "below"},
    "pt": {"left": "à esquerda d", "right": "à direita d", "above": "acima d", "below": "abaixo d"},
}
LOCATE = {
    "en": ("Locate {the}.", "Find {the}.", "Locate {the} in the image.", "Detect {the}.", "Give the bounding box of {the}.",
           "Locate {the}, output its bbox coordinates using JSON format.", "Give the box of {the} as JSON.", "Where is {the}? Give its box.",
           "Find {the} and output its box.", "Find {the} and give its box as JSON."),
    "pt": ("Localize {the}.", "Encontre {the}.", "Localize {the} na imagem.", "Dê a caixa d{the}.", "Dê a caixa d{the} em JSON.", "Encontre {the} e dê sua caixa.",
           "Encontre {the} e dê a caixa em JSON."),
}  # fmt: skip
LOCATE_ALL = {
    "en": ("Locate all shapes.", "Find all shapes.", "Locate each shape.", "Find every shape.", "Detect all shapes.", "Give the boxes of all shapes.",
           "Give the bounding box of each shape as JSON.", "Where are the shapes? Give their boxes.", "Find all shapes and give their boxes.",
           "Detect each shape in the image.", "Locate every shape in the image."),
    "pt": ("Localize todas as formas.", "Encontre todas as formas.", "Localize cada forma.", "Encontre cada forma da imagem.", "Detecte todas as formas.",
           "Dê as caixas de todas as formas.", "Dê a caixa de cada forma em JSON.", "Onde estão as formas? Dê as caixas.",
           "Encontre todas as formas e dê as caixas.", "Localize todas as formas da imagem."),
}
READ_NUMBER = {
    "en": ("What number is in the image?", "Read the number.", "What number is this?", "Which number do you see?", "What is the number?", "Read the number in the image.",
           "What number does the picture show?", "What is the number in the picture?"),
    "pt": ("Que número há na imagem?", "Leia o número.", "Que número é este?", "Qual é o número?", "Que número você vê?", "Qual número há na imagem?", "Qual número você vê na imagem?"),
}
READ_WORD = {
    "en": ("What word is in the image?", "Read the word.", "What word is this?", "Which word do you see?", "What is the word?", "Read the word in the image.",
           "What word does the picture show?", "What is the word in the picture?"),
    "pt": ("Que palavra há na imagem?", "Leia a palavra.", "Que palavra é esta?", "Qual é a palavra?", "Que palavra você vê?", "Qual palavra há na imagem?",
           "Qual palavra você vê na imagem?"),
}
READ = {
    "en": ("Read the text.", "What does it say?", "What is written in the image?", "What is written here?", "What does the image say?",
           "Which text is this?", "What text is in the image?"),
    "pt": ("Leia o texto.", "O que está escrito?", "O que está escrito na imagem?", "O que diz a imagem?", "Que texto é este?", "Que texto há na imagem?"),
}
JSON_ONE = {
    "en": ('Answer in JSON with the keys "color" and "shape".', 'Describe the image as JSON with "color" and "shape".',
           'What is in this image? Reply with JSON: {"color": …, "shape": …}.', 'Give a JSON object with the keys "color" and "shape".'),
    "pt": ('Responda em JSON com as chaves "color" e "shape".', 'Descreva a imagem em JSON com "color" e "shape".',
           'Dê um objeto JSON com as chaves "color" e "shape".'),
}  # fmt: skip
JSON_COUNT = {
    "en": ('How many shapes are there? Answer in JSON with the key "count".', 'Count the shapes. Reply with JSON: {"count": …}.',
           'Count the shapes and answer as JSON with the key "count".', 'Give JSON with the "count" of shapes.',
           'Give the number of shapes as JSON with the key "count".'),
    "pt": ('Quantas formas há? Responda em JSON com a chave "count".', 'Conte as formas. Responda em JSON: {"count": …}.',
           'Conte as formas e responda em JSON com a chave "count".', 'Dê o número de formas em JSON com a chave "count".'),
}  # fmt: skip
ONE_OF_TWO = {
    "en": ("What is in the {} image?", "What does the {} image show?", "What do you see in the {} image?", "What is in the {} picture?"),
    "pt": ("O que há na {} imagem?", "O que a {} imagem mostra?", "O que você vê na {} imagem?"),
}
SIDE_NAMES = {
    "en": {"left": "left", "right": "right", "above": "above", "below": "below"},
    "pt": {"left": "esquerda", "right": "direita", "above": "acima", "below": "abaixo"},
}
YES, NO = {"en": "yes", "pt": "sim"}, {"en": "no", "pt": "não"}


def pick(rng: random.Random, rows: Mapping[str, tuple[str, ...]], language: str, held_out: bool) -> str:
    """A wording; the last one is for evaluation only, where it is half of the cases."""
    wordings = rows[language]
    return wordings[-1] if held_out and rng.random() < 0.5 else rng.choice(wordings[:-1])


def of(article_and_name: str, language: str) -> str:
    return article_and_name


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


def describe(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    return pick(rng, DESCRIBE, language, held_out), description(scene, language), "describe"


def colour_of(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    ones = [s for s in scene.shapes if sum(t.kind == s.kind for t in scene.shapes) == 1]
    if not ones:
        return None
    s = rng.choice(ones)
    the = the_shape(s.kind, None, language)
    colour = s.colour if language == "en" else COLOURS_PT[s.colour][KINDS_PT[s.kind][1]]
    verb = "is" if language == "en" else "é"
    return pick(rng, COLOUR_OF, language, held_out).format(the=the), f"{sentence(the)} {verb} {colour}.", "colour"


def kind_of(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    ones = [s for s in scene.shapes if sum(t.colour == s.colour for t in scene.shapes) == 1]
    if not ones:
        return None
    s = rng.choice(ones)
    colour = s.colour if language == "en" else COLOURS_PT[s.colour][1]
    name = kind_name(s.kind, language)
    said = f"The {colour} shape is a {name}." if language == "en" else f"A forma {colour} é {'uma' if KINDS_PT[s.kind][1] else 'um'} {name}."
    return pick(rng, KIND_OF, language, held_out).format(colour=colour), said, "kind"


def seen(scene: Scene, language: str) -> str:
    """What answers begin with that follow from all that is there: `I see a red circle and a blue square`."""
    return ("I see " if language == "en" else "Vejo ") + listed([a_shape(s.kind, s.colour, language) for s in scene.shapes], language)


def judged(asked: str, is_true: bool, language: str) -> str:
    """How such an answer ends: what was asked about stands right before the verdict, and what it follows from not far away."""
    return f"; {asked}: {YES[language] if is_true else NO[language]}."


def count_all(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    n = len(scene.shapes)
    number = NUMBERS["en"][n] if language == "en" else ("nenhuma", "uma", "duas", "três", "quatro")[n]
    said = f"{seen(scene, language)}; {'shapes' if language == 'en' else 'formas'}: {number}."
    return pick(rng, COUNT_ALL, language, held_out), said, "count"


def count_some(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    kind = rng.choice(scene.shapes).kind if rng.random() < 0.75 else rng.choice(KINDS)
    n = sum(s.kind == kind for s in scene.shapes)
    wording = pick(rng, COUNT_SOME, language, held_out)
    if language == "en":
        some = {"cross": "crosses"}.get(kind, kind + "s")
        return wording.format(some=some), f"{seen(scene, language)}; {some}: {NUMBERS['en'][n] if n else 'none'}.", "count"
    _, f, some = KINDS_PT[kind]
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


def _side(a: Shape, b: Shape) -> str | None:
    """Where `a` is as seen from `b`, where one direction is clear."""
    dx, dy = a.centre[0] - b.centre[0], a.centre[1] - b.centre[1]
    if abs(dx) > 1.4 * abs(dy):
        return "left" if dx < 0 else "right"
    if abs(dy) > 1.4 * abs(dx):
        return "above" if dy < 0 else "below"
    return None


def relation(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question | None:
    pairs = [(a, b, side) for a in scene.shapes for b in scene.shapes if a is not b and (side := _side(a, b))]
    if not pairs:
        return None
    a, b, side = rng.choice(pairs)
    the_a, the_b = (the_shape(s.kind, s.colour, language) for s in (a, b))
    if language == "en":
        said = f"{sentence(the_a)} is {SIDES['en'][side]} {the_b}"
    else:
        said = f"{sentence(the_a)} está {SIDES['pt'][side]}{the_b}"
    if rng.random() < (0.5 if held_out else 0.7) and len(scene.shapes) == 2:
        return f"Where is {the_a}?" if language == "en" else f"Onde está {the_a}?", said + ".", f"relation {side}"
    opposite = {"left": "right", "right": "left", "above": "below", "below": "above"}
    asked = side if rng.random() < 0.5 else opposite[side]
    said += judged(SIDE_NAMES[language][asked], asked == side, language)
    if language == "en":
        return f"Is {the_a} {SIDES['en'][asked]} {the_b}?", said, f"relation {side}"
    return f"{sentence(the_a)} está {SIDES['pt'][asked]}{the_b}?", said, f"relation {side}"


def boxes(shapes: list[Shape], language: str) -> str:
    """Qwen's grounding answer."""
    found = [{"bbox_2d": list(s.box), "label": shape_name(s.kind, s.colour, language)} for s in shapes]
    return json.dumps(found, ensure_ascii=False)


def locate(rng: random.Random, scene: Scene, language: str, held_out: bool) -> Question:
    if rng.random() < (0.12 if held_out else 0.18):
        return pick(rng, LOCATE_ALL, language, held_out), boxes(list(scene.shapes), language), "ground"
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
    (describe, 3.5, 3), (colour_of, 1.5, 1.2), (kind_of, 2, 1.2), (count_all, 1, 1), (count_some, 2, 3), (is_there, 3, 3), (relation, 2, 3.5),
    (locate, 2.5, 2.5), (json_one, 1.2, 1.2),
)  # fmt: skip
"""How often each is asked in evaluation, and in training: there more often what takes longer to learn."""


def question(rng: random.Random, scene: Scene, language: str, held_out: bool, asker: Asker | None = None) -> Question:
    """A question that `scene` can answer."""
    if scene.text is not None:
        return (describe if rng.random() < 0.15 else read)(rng, scene, language, held_out)
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
