"""Which shapes an answer speaks of, by the names in it and in its question, how many there were, and what its verdict follows from."""

from __future__ import annotations

import re

from encoded import MATCHING, MOST_SHAPES, RECOGNISING, Encoded, Span, places
from lexicon import COLOURS, KINDS, ORDINALS, kind_name, kinds_name, shape_name


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


def note_numbers(made: Encoded, language: str) -> None:
    """At each kind of shape that the last text names before its verdict, how many of it, and how many shapes, there were so far: from the
    last one on, how many there are is known. In every picture's list anew."""
    text, pieces = made.texts[-1]
    kinds: list[str] = []
    for found in _COUNTED[language].finditer(stated(text)):
        if not (kind := found[1]):
            kinds.clear()
            continue
        kinds.append(kind)
        last = places(pieces, found.span())[-1:]
        made.note("nth", last, min(kinds.count(kind), MOST_SHAPES) - 1)
        made.note("nth of all", last, min(len(kinds), MOST_SHAPES) - 1)


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


def point_verdict(made: Encoded, language: str) -> None:
    """What the last answer's verdict follows from: `…; stars: two.` from the stars that it named, `…; left: no.` from nothing.

    Where nothing fits, the head looks at the answer's first token.
    """
    text, pieces = made.texts[-1]
    found = re.fullmatch(r"(.+); (.+): (\w+)\.", text)
    if not found:
        return
    before, asked, _ = found.groups()
    is_count = asked in _PLURALS[language] or asked in ("shapes", "formas")
    named, verdict = places(pieces, found.span(2)), (found.end(2), found.end(3))
    if asked in _PLURALS[language]:
        note_about(made, verdict, named, _PLURALS[language][asked], None)
        patterns = [rf"\b{kind_name(_PLURALS[language][asked], language)}\b"]
    elif is_count:
        patterns = [rf"\b{kind_name(kind, language)}\b" for kind in KINDS]
    else:
        name = asked.split(" ", 1)[-1]
        patterns = [rf"\b{re.escape(name)}\b"]
        if name in _NAMES[language]:
            note_about(made, verdict, named, *_NAMES[language][name])
    source = sorted(place for p in patterns for m in re.finditer(p, before) for place in places(pieces, m.span()))
    if is_count:
        source = source[-1:]  # it knows how many there were (`note_numbers`)
    made.point(verdict, MATCHING, source or [pieces[0][0]])
    made.decide((found.start(3) - 1, found.end(3)), 5.0)  # the space too: `yes` has it as a token of its own, ` no` has not


_PLURALS = {language: {kinds_name(k, language): k for k in KINDS} for language in ("en", "pt")}
_NAMES = {language: {shape_name(k, c, language): (k, c) for k in KINDS for c in COLOURS} for language in ("en", "pt")}
_NAME = {language: re.compile(r"\b(" + "|".join(names) + r")\b") for language, names in _NAMES.items()}
_COUNTED = {
    language: re.compile(r"\b(?:(" + "|".join(kind_name(k, language) for k in KINDS) + ")|" + "|".join(ORDINALS[language]) + r")\b") for language in ("en", "pt")
}
