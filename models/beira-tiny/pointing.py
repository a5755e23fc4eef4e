"""Where an answer's words come from: shapes and letters in pictures, names, keys and values in the prompt.

One head of one layer is shown, in training, where to look for each (`Network.attending`): that the box of the red circle is
read from the red circle's tokens, or a copied word from where it stands, is a step that examples alone teach very slowly.
"""

from __future__ import annotations

import itertools
import json
import math
import re
from collections.abc import Iterable
from dataclasses import dataclass, field

from chats import Chat
from lexicon import COLOURS, COLOURS_PT, KINDS, KINDS_PT, ORDINALS, kind_name, kinds_name, shape_name, the_shape
from scenes import CELL, Box, Shape

LOOKING, BESIDE, MATCHING, COPYING, MEASURING, RECOGNISING, NAMING = range(7)
"""Heads of the pointed layers: at the shape that is spoken of, at the one that it is compared with, at what an answer's verdict
follows from, at what is copied, and once more at the shape, for its box (a head's 32 values have to hold all that they tell);
that one, in calls, at what stands behind what is copied next.
The last two are of the layer before: at a question's words, or what means the same, in the tools' definitions, and at the
name of the shape that is spoken of; at the name of the one that it is compared with."""
DIRECTIONS = ("left", "right", "above", "below")
MOST_TOOLS, MOST_SLOTS, MOST_SHAPES, MOST_LETTERS = 4, 3, 4, 7
"""Definitions, arguments of one, a picture's shapes and letters that the aids tell apart."""
Picture = tuple[int, int, int]
"""Of a chat's picture: the place of its first token, columns, rows."""
Span = tuple[int, int]
Pieces = list[tuple[int, Span]]
"""Tokens and the characters that each of them is."""
Said = tuple[str, list[tuple[int, Span]]]
"""A text and its tokens' places, with the characters that each of them is."""


@dataclass(slots=True)
class Encoded:
    """A chat: ids, weights, (place, columns, rows) of its pictures, `boxed` as a batch has it; `noted`: by aid, (place, class).

    `pointed`: (place, head, places of the source); `texts`: all of them, in order; `recognised`: of the last question's words
    that a single tool's definition has, which tool's; `factors`: of the weights of those tokens on which an answer's truth hangs.
    """

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    noted: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    boxed: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    pointed: list[tuple[int, int, list[int]]] = field(default_factory=list)
    texts: list[Said] = field(default_factory=list)
    recognised: dict[int, int] = field(default_factory=dict)
    factors: dict[int, float] = field(default_factory=dict)

    def add(self, text: str, pieces: Pieces, weight: float) -> None:
        """`pieces` of `text` at the end."""
        self.texts.append((text, [(len(self.ids) + i, span) for i, (_, span) in enumerate(pieces)]))
        self.ids += [token for token, _ in pieces]
        self.weights += [weight] * len(pieces)

    @property
    def question(self) -> Said:
        """What the user said last."""
        return next((said for said in reversed(self.texts) if said[0].startswith("user\n")), ("", []))

    def before(self, span: Span) -> list[int]:
        """Where a token of the last text's `span` comes next."""
        return [place - 1 for place in places(self.texts[-1][1], span)]

    def note(self, aid: str, places: Iterable[int], value: int) -> None:
        """Have the aid asked at `places`, where the answer is `value`."""
        self.noted.setdefault(aid, []).extend((place, value) for place in places)

    def decide(self, span: Span, factor: float) -> None:
        """Have the tokens of the last text's `span` count for more."""
        self.factors |= dict.fromkeys(places(self.texts[-1][1], span), factor)

    def point(self, span: Span, head: int, source: list[int]) -> None:
        """Have `head` look at `source` wherever a token of the last text's `span` comes next."""
        self.pointed += [(place, head, source) for place in self.before(span)]


def places(pieces: list[tuple[int, Span]], span: Span) -> list[int]:
    """Of the tokens that have characters in `span`."""
    return [place for place, (a, b) in pieces if a < span[1] and b > span[0]]


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
                spans += [ordinal.span()] if ordinal else []
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
        made.point(between, BESIDE, cells_of(second.box, picture))
        made.point(between, MEASURING, cells_of(first.box, picture))
        made.decide(between, 3.0)
        made.decide((b, b + len(shape_name(second.kind, second.colour, chat.language))), 2.0)  # or it is the first once more
        made.boxed += [(place, first.box) for place in made.before(between)]
        name = shape_name(first.kind, first.colour, chat.language)
        note_about(made, between, mentioned(made, name, between[0]), first.kind, first.colour)
        if source := mentioned(made, shape_name(second.kind, second.colour, chat.language), between[0]):
            made.note("beside", made.before(between), pair_of(second.kind, second.colour))
            made.point(between, NAMING, source)
        made.note("side", made.before(between), DIRECTIONS.index(task.rsplit(maxsplit=1)[1]))
    for scene, picture in zip(chat.scenes, made.pictures, strict=False):
        if scene.text and (at := text.find(scene.text)) >= 0:
            for i, box in enumerate(scene.letters):
                made.point((at + i, at + i + 1), LOOKING, cells_of(box, picture))
            for i in range(len(scene.text) + 1):  # the last time, that none is left
                made.note("turn", made.before((at + i, at + i + 1)), min(i, MOST_LETTERS - 1))


def note_about(made: Encoded, span: Span, source: list[int], kind: str | None, colour: str | None) -> None:
    """That the last text's `span` is about a shape of this kind and colour, or of one of the two, as `source` says: what is to look at
    a shape, or at what was said of it, must know, a layer before, which one to look for."""
    if not source:
        return
    if kind and colour:
        made.note("about", made.before(span), pair_of(kind, colour))
    elif kind:
        made.note("asked kind", made.before(span), KINDS.index(kind))
    elif colour:
        made.note("asked colour", made.before(span), COLOURS.index(colour))
    made.point(span, RECOGNISING, source)


def note_names(made: Encoded, language: str) -> None:
    """Which shape each name in the question and in the last text is of, where it ends: what looks for one finds it there."""
    for text, pieces in (made.question, made.texts[-1]):
        for found in _NAME[language].finditer(text):
            made.note("named", places(pieces, found.span())[-1:], pair_of(*_NAMES[language][found.group()]))


def pair_of(kind: str, colour: str) -> int:
    return KINDS.index(kind) * len(COLOURS) + COLOURS.index(colour)


def mentioned(made: Encoded, name: str, end: int) -> list[int]:
    """Where the question, or the last text before `end`, has this name."""
    pattern = re.compile(rf"\b{re.escape(name)}\b")
    told, asked = made.texts[-1], made.question
    found = [p for m in pattern.finditer(asked[0]) for p in places(asked[1], m.span())]
    return found + [p for m in pattern.finditer(told[0], 0, end) for p in places(told[1], m.span())]


def stated(text: str) -> str:
    """What an answer says before its verdict, or all of it: `The circle is red`."""
    return text.split(";")[0].removesuffix(".")


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


def point_verdict(made: Encoded, language: str) -> None:
    """What the last answer's verdict follows from: `…; stars: two.` from the stars that it named, `…; left: no.` from nothing.

    Where nothing fits, the head looks at the answer's first token.
    """
    text, pieces = made.texts[-1]
    found = re.fullmatch(r"(.+); (.+): (\w+)\.", text)
    if not found:
        return
    before, asked, _ = found.groups()
    named, verdict = places(pieces, found.span(2)), (found.end(2), found.end(3))
    if asked in _PLURALS[language]:
        note_about(made, verdict, named, _PLURALS[language][asked], None)
        patterns = [rf"\b{kind_name(_PLURALS[language][asked], language)}\b"]
    elif asked in ("shapes", "formas"):
        patterns = [rf"\b{kind_name(kind, language)}\b" for kind in KINDS]
    else:
        name = asked.split(" ", 1)[-1]
        patterns = [rf"\b{re.escape(name)}\b"]
        if name in _NAMES[language]:
            note_about(made, verdict, named, *_NAMES[language][name])
    source = [place for p in patterns for m in re.finditer(p, before) for place in places(pieces, m.span())]
    if asked in _PLURALS[language] or asked in ("shapes", "formas"):
        source.append(pieces[0][0])  # beside what is always there, how much attention the others get says how many they are
    made.point(verdict, MATCHING, source or [pieces[0][0]])
    made.decide((found.start(3) - 1, found.end(3)), 5.0)  # the space too: `yes` has it as a token of its own, ` no` has not


_PLURALS = {language: {kinds_name(k, language): k for k in KINDS} for language in ("en", "pt")}
_NAMES = {language: {shape_name(k, c, language): (k, c) for k in KINDS for c in COLOURS} for language in ("en", "pt")}
_NAME = {language: re.compile(r"\b(" + "|".join(names) + r")\b") for language, names in _NAMES.items()}


def point_words(made: Encoded) -> None:
    """Where the last answer's words stand in the question, if it repeats, spells or recalls them."""
    text = made.texts[-1][0]
    asked = made.question
    if re.fullmatch(r"\w(-\w)+", text):
        at = asked[0].rfind(text.replace("-", ""))
        for i in range(len(text) // 2 + 1 if at >= 0 else 0):
            traced(made, (2 * i, 2 * i + 1), asked, at + i)
    elif (at := asked[0].rfind(text)) >= 0:
        traced(made, (0, len(text)), asked, at)


def point_told(made: Encoded) -> None:
    """Where what the last answer says before its verdict stands in the question, as far as it is the same."""
    text, asked = made.texts[-1][0].split(";")[0], made.question
    for start in (text.find(" ", 2) + 1, text.find(" ") + 1, 0):  # behind `I see`, behind `Vejo`, all of it
        if (at := asked[0].find(text[start:])) >= 0:
            traced(made, (start, len(text)), asked, at)
            return


def traced(made: Encoded, span: Span, source: Said, at: int) -> None:
    """Note for every token of the last text's `span` where its letters stand in `source`, from `at` on (0: nowhere)."""
    for place, (a, b) in made.texts[-1][1]:
        if at > 0 and span[0] <= a < span[1]:
            offset = at - span[0]
            made.pointed.append((place - 1, COPYING, places(source[1], (a + offset, min(b, span[1]) + offset))))


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
