"""Where an answer's words come from: shapes and letters in pictures, names, keys and values in the prompt.

One head of one layer is shown, in training, where to look for each (`Network.attending`): that the box of the red circle is
read from the red circle's tokens, or a copied word from where it stands, is a step that examples alone teach very slowly.
"""

from __future__ import annotations

import itertools
import json
import math
import re

from chats import Chat
from encoded import (
    BESIDE,
    COPYING,
    LOOKING,
    MEASURING,
    MOST_COPIED,
    MOST_LETTERS,
    MOST_PIECE,
    NAMING,
    NO_LETTER,
    OTHER_LETTER,
    RECOGNISING,
    WRITTEN,
    Encoded,
    Picture,
    Said,
    Span,
    places,
)
from lexicon import COLOURS_PT, KINDS_PT, ORDINALS, kind_name, shape_name, the_shape
from naming import mentioned, note_about, pair_of, stated
from scenes import CELL, Box, Shape

DIRECTIONS = ("left", "right", "above", "below")


def point_shapes(made: Encoded, chat: Chat, task: str) -> None:
    """What of the pictures the last answer's words, boxes and letters are about."""
    text = made.texts[-1][0]
    shown = [(s, i) for i, scene in enumerate(chat.scenes[: len(made.pictures)]) for s in scene.shapes]
    about = _about(text, chat.language) if task == "two images" else {}
    named: list[tuple[int, Shape, Picture]] = []
    for s, i in shown:
        picture = made.pictures[i]
        if not about and sum((t.kind, t.colour) == (s.kind, s.colour) for t, _ in shown) > 1:
            continue  # of which picture, the words do not say
        name = shape_name(s.kind, s.colour, chat.language)
        spans = [m.span() for m in re.finditer(re.escape(name), text)]
        if about:
            within = about.get(i, (0, 0))
            spans = [span for span in spans if within[0] <= span[0] < within[1]]
            if spans and re.search(r"Which image|Qual imagem", made.question[0]):
                ordinal = re.compile("|".join(ORDINALS[chat.language])).search(text)
                if ordinal:
                    spans.append(ordinal.span())
                    note_about(made, ordinal.span(), mentioned(made, name, ordinal.start()), s.kind, s.colour)
        named += [(start, s, picture) for start, _ in spans]
        if task.endswith("ground"):
            bounds = [(m.start() + 1, m.end()) for m in re.finditer(re.escape(json.dumps(list(s.box))), text)]
            spans += bounds
            for span in bounds:
                point_bounds(made, s, span, picture)
                note_about(made, span, mentioned(made, name, span[0]), s.kind, s.colour)
        told = stated(text)
        if len(made.pictures) == 1 and _is_asked_for(s, told + ".", task, chat.language):
            spans.append(last := (told.rindex(" "), len(told)))
            if task.endswith("colour"):
                note_about(made, last, mentioned(made, kind_name(s.kind, chat.language), last[0]), s.kind, None)
            else:
                called = s.colour if chat.language == "en" else COLOURS_PT[s.colour][1]
                note_about(made, last, mentioned(made, called, last[0]), None, s.colour)
        for span in spans:
            made.point(span, LOOKING, cells_of(s.box, picture))
    if "relation" in task and len(named) == 2:
        (a, first, picture), (b, second, _) = sorted(named, key=lambda n: n[0])
        between = a + len(shape_name(first.kind, first.colour, chat.language)), text.rindex(" ", 0, b - 1)
        made.point(between, LOOKING, cells_of(first.box, picture))
        made.point(between, MEASURING, cells_of(first.box, picture))
        made.decide(between, 3.0)
        made.decide((b, b + len(shape_name(second.kind, second.colour, chat.language))), 2.0)  # or it is the first once more
        made.boxed += [(place, first.box) for place in made.before(between)]
        both = between[0], b + len(shape_name(second.kind, second.colour, chat.language))
        made.point(both, BESIDE, cells_of(second.box, picture))
        note_both(made, both, first, second, chat.language)
        made.note("side", made.before(between), DIRECTIONS.index(task.rsplit(maxsplit=1)[1]))
    for scene, picture in zip(chat.scenes, made.pictures, strict=False):
        if scene.text and (at := text.find(scene.text)) >= 0:
            for i, box in enumerate(scene.letters):
                made.point((at + i, at + i + 1), LOOKING, cells_of(box, picture))
            for i in range(len(scene.text) + 1):  # the last time, that none is left
                made.note("turn", made.before((at + i, at + i + 1)), min(i, MOST_LETTERS - 1))


def note_both(made: Encoded, span: Span, first: Shape, second: Shape, language: str) -> None:
    """That `span`, from behind the first one's name to the end of the other's, is about both, the other seldom as the question says;
    else it is the one that the first is not."""
    note_about(made, span, mentioned(made, shape_name(first.kind, first.colour, language), span[0]), first.kind, first.colour)
    made.note("other", made.before(span), pair_of(second.kind, second.colour))
    if source := mentioned(made, shape_name(second.kind, second.colour, language), span[0]):
        made.note("beside", made.before(span), pair_of(second.kind, second.colour))
        made.point(span, NAMING, source)


def point_images(made: Encoded, language: str) -> None:
    """Which of two pictures each part of the last answer tells of, as it says itself, or else the question."""
    text, pieces = made.texts[-1]
    name = re.compile("|".join(ORDINALS[language]))
    asked = name.search(made.question[0])
    for image, (start, end) in _about(text, language).items():
        said = start, start + len(ORDINALS[language][image])
        made.note("image", made.before((said[1], end)), image)
        made.point((said[1], end), RECOGNISING, places(pieces, said))
        if asked and asked[0] == ORDINALS[language][image]:
            made.point(said, COPYING, places(made.question[1], asked.span()))


def note_pictures(made: Encoded) -> None:
    """Which of several pictures each of their tokens is of."""
    for i, (place, columns, rows) in enumerate(made.pictures if len(made.pictures) > 1 else ()):
        made.note("picture", range(place, place + columns * rows), i)


def point_bounds(made: Encoded, s: Shape, bounds: Span, picture: Picture) -> None:
    """Each of the box's coordinates, which stand in `bounds`, at the tokens in which that edge is seen."""
    for k, number in enumerate(re.compile(r"\d+").finditer(made.texts[-1][0], *bounds)):
        made.point(number.span(), MEASURING, cells_of(_edge(s.box, k), picture))
        made.boxed += [(place, tuple(v if i == k else math.nan for i, v in enumerate(s.box))) for place in made.before(number.span())]
        made.note("edge", made.before(number.span()), k)
    made.decide(bounds, 2.0)


def _edge(box: Box, k: int) -> Box:
    """The box's pixels along the edge whose coordinate is its `k`th."""
    x1, y1, x2, y2 = box
    inner = max(x1, x2 - 1), max(y1, y2 - 1)
    return ((x1, y1, x1 + 1, y2), (x1, y1, x2, y1 + 1), (inner[0], y1, inner[0] + 1, y2), (x1, inner[1], x2, inner[1] + 1))[k]


def point_list(made: Encoded, chat: Chat) -> None:
    """In an answer that lists all that a picture shows: between two shapes, at the one that comes next, and, what decides
    whether one comes, at all that are still to come."""
    text, pieces = made.texts[-1]
    about = _about(text, chat.language)
    for i, scene in enumerate(chat.scenes[: len(made.pictures)]):
        start, end = about.get(i, (0, 0)) if about else (0, len(text))
        begun = re.compile(r"(shows|mostra|I see|Vejo)(?= )").search(text, start, end)
        names = [text.find(shape_name(s.kind, s.colour, chat.language), start, end) for s in scene.shapes]
        if not begun or not names or -1 in names or (not about and len(made.pictures) > 1):
            continue
        at = begun.end()
        for n, (s, name) in enumerate(zip(scene.shapes, names, strict=True)):
            made.point((at, name - 1), LOOKING, cells_of(s.box, made.pictures[i]))
            made.note("turn", made.before((at, name - 1)), n)
            made.point((at, name - 1), BESIDE, [p for other in scene.shapes[n:] for p in cells_of(other.box, made.pictures[i])])
            at = name + len(shape_name(s.kind, s.colour, chat.language))
            made.decide((at, at + 1), 2.0)
        made.point((at, at + 1), BESIDE, [pieces[0][0]])
        made.note("turn", made.before((at, at + 1)), len(names))


def _about(text: str, language: str) -> dict[int, Span]:
    """Of an answer about two pictures, which characters are about which."""
    found = list(re.finditer("|".join(ORDINALS[language]), text))
    bounds = itertools.pairwise([*(m.start() for m in found), len(text)])
    return {ORDINALS[language].index(m.group()): span for m, span in zip(found, bounds, strict=True)}


def note_letters(made: Encoded, said: Said) -> None:
    """Which letters each piece of a text's words has, one by one, and that no more do: a piece is a number, which does not say."""
    text, pieces = said
    for place, (a, b) in pieces:
        letters = text[a:b].strip()
        if letters.isalnum():
            for i in range(min(len(letters) + 1, MOST_PIECE)):
                made.note(f"letter {i}", [place], _letter(letters[i]) if i < len(letters) else NO_LETTER)


def _letter(letter: str) -> int:
    return WRITTEN.index(letter) if letter in WRITTEN else OTHER_LETTER


def point_words(made: Encoded) -> None:
    """Where the last answer's words stand in the question, if it repeats, spells or recalls them; of letters, the how manieth of their
    piece they are."""
    text = made.texts[-1][0]
    asked = made.question
    if re.fullmatch(r"\w(-\w)+", text):
        at = asked[0].rfind(text.replace("-", ""))
        for i in range(len(text) // 2 + 1 if at >= 0 else 0):
            traced(made, (2 * i, 2 * i + 1), asked, at + i, is_counted=False)
            for _, (a, b) in asked[1]:
                if a <= at + i < b:
                    begins = a + len(asked[0][a:b]) - len(asked[0][a:b].lstrip())
                    made.note("within", made.before((2 * i, 2 * i + 1)), min(at + i - begins, MOST_PIECE - 1))
    elif (at := asked[0].rfind(text)) >= 0:
        traced(made, (0, len(text)), asked, at)


def point_told(made: Encoded) -> None:
    """Where what the last answer says before its verdict stands in the question, as far as it is the same."""
    text, asked = made.texts[-1][0].split(";")[0], made.question
    for start in (text.find(" ", 2) + 1, text.find(" ") + 1, 0):  # behind `I see`, behind `Vejo`, all of it
        if (at := asked[0].find(text[start:])) >= 0:
            traced(made, (start, len(text)), asked, at)
            return


def traced(made: Encoded, span: Span, source: Said, at: int, *, is_counted: bool = True) -> None:
    """Note for every token of the last text's `span` where its letters stand in `source`, from `at` on (0: nowhere), and of both, if
    these are counted, the how manieth of what is copied it is: what comes next does not follow from what came before where a word is there twice."""
    if at <= 0:
        return
    offset = at - span[0]
    whole = places(source[1], (at, span[1] + offset))
    for place, (a, b) in made.texts[-1][1]:
        if span[0] <= a < span[1]:
            found = places(source[1], (a + offset, min(b, span[1]) + offset))
            made.pointed.append((place - 1, COPYING, found))
            if is_counted and found:
                made.note("copied", [place - 1], min(found[0] - whole[0], MOST_COPIED - 1))
    for i, place in enumerate(whole if is_counted else ()):
        made.note("copied", [place], min(i, MOST_COPIED - 1))


def _is_asked_for(s: Shape, text: str, task: str, language: str) -> bool:
    """Whether the last word of `The circle is red.` or `The red shape is a circle.` is about `s`."""
    masculine, feminine, *_ = COLOURS_PT[s.colour]
    colour = s.colour if language == "en" else feminine if KINDS_PT[s.kind][1] else masculine
    if task.endswith("colour"):
        return the_shape(s.kind, None, language) in text.lower() and text.endswith(f" {colour}.")
    called = colour if language == "en" else feminine
    return task.endswith("kind") and f" {called} " in text and text.endswith(f" {kind_name(s.kind, language)}.")


def cells_of(box: Box, picture: Picture) -> list[int]:
    """The places of the picture's tokens that `box` covers: at least a third of the best covered one's share."""
    place, columns, rows = picture
    shares = {}
    for r in range(max(0, box[1] // CELL), min(rows, box[3] // CELL + 1)):
        down = max(1, min(box[3], (r + 1) * CELL) - max(box[1], r * CELL))
        for c in range(max(0, box[0] // CELL), min(columns, box[2] // CELL + 1)):
            shares[place + r * columns + c] = down * max(1, min(box[2], (c + 1) * CELL) - max(box[0], c * CELL))
    return [p for p, share in shares.items() if share >= max(shares.values()) / 3]
