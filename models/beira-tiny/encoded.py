"""A conversation as tokens, with what training asks of each: what the aids are to know there, where heads are to look."""

from __future__ import annotations

import bisect
from collections.abc import Iterable
from dataclasses import dataclass, field

LOOKING, BESIDE, MATCHING, COPYING, MEASURING, RECOGNISING, NAMING = range(7)
"""Heads of the pointed layers: at the shape that is spoken of, at the one that it is compared with, at what an answer's verdict
follows from, at what is copied, and once more at the shape, for its box (a head's 32 values have to hold all that they tell);
that one, in calls, at what stands behind what is copied next, and the one beside it at what tells of the definition whether an argument
follows, and of which type it is.
The last two are of the layer before: at a question's words, or what means the same, in the tools' definitions, and at the
name of the shape that is spoken of; at the name of the one that it is compared with."""
MOST_TOOLS, MOST_SLOTS, MOST_CALLS, MOST_SHAPES, MOST_LETTERS = 4, 3, 2, 4, 7
"""Definitions, arguments of one, an answer's calls, a picture's shapes and letters that the aids tell apart."""
MOST_COPIED = 16
"""Tokens of what is copied that they do."""
MOST_PIECE = 6
"""Letters of one of the tokenizer's pieces that they do."""
WRITTEN = "0123456789abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZáâãàçéêíóôõúÁÂÃÀÇÉÊÍÓÔÕÚ"
OTHER_LETTER, NO_LETTER = len(WRITTEN), len(WRITTEN) + 1
"""And which: those, any other, none."""
TASKS = (
    "describe", "colour", "kind", "count", "relation", "yes/no", "ground", "read", "json", "no text", "two images", "repeat", "spell", "sum", "capital",
    "greeting", "needle", "unknown",
)  # fmt: skip
"""What answers are examples of, as far as the aids tell it apart."""
LANGUAGES = ("en", "pt")
"""In which answers are."""
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
    that a single tool's definition has, which tool's; `defined`: the places of names and descriptions of tools, and whose they are;
    `defining`: of the words there, where they are; `factors`: of the weights of those tokens on which an answer's truth hangs.
    """

    ids: list[int] = field(default_factory=list)
    weights: list[float] = field(default_factory=list)
    pictures: list[Picture] = field(default_factory=list)
    noted: dict[str, list[tuple[int, int]]] = field(default_factory=dict)
    boxed: list[tuple[int, tuple[float, ...]]] = field(default_factory=list)
    pointed: list[tuple[int, int, list[int]]] = field(default_factory=list)
    texts: list[Said] = field(default_factory=list)
    recognised: dict[int, int] = field(default_factory=dict)
    defined: dict[int, int] = field(default_factory=dict)
    defining: dict[str, list[int]] = field(default_factory=dict)
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
    """Of the tokens that have characters in `span`; `pieces` in their order."""
    first = bisect.bisect_right(pieces, span[0], key=lambda piece: piece[1][1])
    end = bisect.bisect_left(pieces, span[1], first, key=lambda piece: piece[1][0])
    return [place for place, _ in pieces[first:end]]


def task_of(task: str, text: str) -> int | None:
    """What is asked, below 2 * len(TASKS), an answer with a verdict apart from one without."""
    name = task.removeprefix("later ").removeprefix("told ")
    return next((2 * i + (";" in text) for i, t in enumerate(TASKS) if name.startswith(t)), None)
