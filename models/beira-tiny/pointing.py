"""Where an answer's words come from: shapes and letters in pictures, names, keys and values in the prompt.

One head of one layer is shown, in training, where to look for each (`Network.attending`): that the box of the red circle is
read from the red circle's tokens, or a copied word from where it stands, is a step that examples alone teach very slowly.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field

from chats import Chat
from lexicon import COLOURS_PT, KINDS_PT, kind_name, shape_name, the_shape
from scenes import CELL, Box, Shape

LOOKING, BESIDE, COPYING = 0, 1, 3
"""Heads of the pointed layer: at the shape that is spoken of, at the one that it is compared with, at what is copied."""
DIRECTIONS = ("left", "right", "above", "below")
Picture = tuple[int, int, int]
"""Of a chat's picture: the place of its first token, columns, rows."""
Span = tuple[int, int]
Pieces = list[tuple[int, Span]]
"""Tokens and the characters that each of them is."""
Said = tuple[str, list[tuple[int, Span]]]
"""A text and its tokens' places, with the characters that each of them is."""


@dataclass(slots=True)
class Encoded:
    """A chat: ids, weights, (place, columns, rows) of its pictures, and `measured`, `sides`, `boxed` as a batch has them.

    `pointed`: (place, head, places of the source); `texts`: all of them, in order.
    """

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    measured: list[tuple[int, int]] = field(default_factory=list)
    sides: list[tuple[int, int]] = field(default_factory=list)
    boxed: list[tuple[int, Box]] = field(default_factory=list)
    pointed: list[tuple[int, int, list[int]]] = field(default_factory=list)
    texts: list[Said] = field(default_factory=list)

    def add(self, text: str, pieces: Pieces, weight: float) -> None:
        """`pieces` of `text` at the end."""
        self.texts.append((text, [(len(self.ids) + i, span) for i, (_, span) in enumerate(pieces)]))
        self.ids += [token for token, _ in pieces]
        self.weights += [weight] * len(pieces)

    def before(self, span: Span) -> list[int]:
        """Where a token of the last text's `span` comes next."""
        return [place - 1 for place in places(self.texts[-1][1], span)]

    def point(self, span: Span, head: int, source: list[int]) -> None:
        """Have `head` look at `source` wherever a token of the last text's `span` comes next."""
        self.pointed += [(place, head, source) for place in self.before(span)]


def places(pieces: list[tuple[int, Span]], span: Span) -> list[int]:
    """Of the tokens that have characters in `span`."""
    return [place for place, (a, b) in pieces if a < span[1] and b > span[0]]


def point_shapes(made: Encoded, chat: Chat, task: str) -> None:
    """What of the pictures the last answer's words, boxes and letters are about."""
    text = made.texts[-1][0]
    shown = [(s, picture) for scene, picture in zip(chat.scenes, made.pictures, strict=False) for s in scene.shapes]
    named: list[tuple[int, Shape, Picture]] = []
    for s, picture in shown:
        if sum((t.kind, t.colour) == (s.kind, s.colour) for t, _ in shown) > 1:
            continue  # of which picture, the words do not say
        spans = [m.span() for m in re.finditer(re.escape(shape_name(s.kind, s.colour, chat.language)), text)]
        named += [(start, s, picture) for start, _ in spans]
        if task.endswith("ground"):
            bounds = [(m.start() + 1, m.end()) for m in re.finditer(re.escape(json.dumps(list(s.box))), text)]
            made.boxed += [(place, s.box) for span in bounds for place in made.before(span)]
            spans += bounds
        if len(made.pictures) == 1 and _is_asked_for(s, text, task, chat.language):
            spans.append((text.rindex(" "), len(text) - 1))
        for span in spans:
            made.point(span, LOOKING, cells_of(s.box, picture))
    if "relation" in task and len(named) == 2:
        (a, first, picture), (b, second, _) = sorted(named, key=lambda n: n[0])
        between = a + len(shape_name(first.kind, first.colour, chat.language)), b
        made.point(between, LOOKING, cells_of(first.box, picture))
        made.point(between, BESIDE, cells_of(second.box, picture))
        made.boxed += [(place, first.box) for place in made.before(between)]
        made.sides += [(place, DIRECTIONS.index(task.rsplit(maxsplit=1)[1])) for place in made.before(between)]
    for scene, picture in zip(chat.scenes, made.pictures, strict=False):
        if scene.text and (at := text.find(scene.text)) >= 0:
            for i, box in enumerate(scene.letters):
                made.point((at + i, at + i + 1), LOOKING, cells_of(box, picture))


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


def point_call(made: Encoded) -> None:
    """Where the name, keys and values of the call that was added last are copied from."""
    text = made.texts[-1][0]
    call = json.loads(text)
    tools = made.texts[0]
    asked = next(known for known in reversed(made.texts) if known[0].startswith("user\n"))
    start = tools[0].find(json.dumps(call["name"], ensure_ascii=False))
    properties = tools[0].find('"properties"', start)
    _copied(made, _quoted(text, call["name"], 0), tools, _quoted(tools[0], call["name"], start))
    at = text.index('"arguments"')
    for key, value in call["arguments"].items():
        span = _quoted(text, key, at)
        _copied(made, span, tools, _quoted(tools[0], key, properties))
        written = value if isinstance(value, str) else json.dumps(value)
        at = text.find(written, span[1])
        found = [m.span() for m in re.finditer(rf"(?<!\w){re.escape(written)}(?!\w)", asked[0])]
        if at >= 0 and len(found) == 1:
            _copied(made, (at, at + len(written)), asked, found[0])
        at = max(at, span[1])


def _quoted(text: str, word: str, start: int) -> Span:
    at = text.find(f'"{word}"', max(0, start)) + 1
    return at, at + len(word)


def _copied(made: Encoded, span: Span, source: Said, origin: Span) -> None:
    """Note that the last text's tokens of `span` are those of `origin`, one by one, where they are."""
    to, out_of = places(made.texts[-1][1], span), places(source[1], origin)
    if len(to) == len(out_of) and origin[0] > 0:
        made.pointed += [(place - 1, COPYING, [one]) for place, one in zip(to, out_of, strict=True)]
