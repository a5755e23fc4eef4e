"""What a call follows from: which tool it is, whose words the question has, where name, keys and values are copied from.

A tool's name stands before the words that say what it is for, where it cannot know them. So every token of a definition is
asked for the tool's number, a question's words for that of the definition that has them, the call for it, and the name is
found by it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence
from typing import Any

from calling import AND
from chats import Call, Chat, Turn
from encoded import BESIDE, COPYING, LOOKING, MATCHING, MEASURING, MOST_CALLS, MOST_SLOTS, MOST_TOOLS, RECOGNISING, Encoded, Said, Span, places
from made import is_told
from meanings import EMPTY, ROW_OF, WORD, meanings
from pointing import traced

MEANINGS = meanings()
_DECODER, _TYPE = json.JSONDecoder(), re.compile(r'"type": "(\w+)"')
CALLED, NOT_CALLED = 5.0, 2.0
"""How much an answer's first token counts. A request in words that training never had looks like one that no tool is for:
with equal weights a quarter to a third of those that a tool is for was refused, and hardly one of the others called."""


def point_choice(made: Encoded, turn: Turn) -> None:
    """What decides, at its first token, whether the answer that comes next is a call: the tool's definition, or none's.

    Where no tool is called, the head looks at the conversation's first token. Behind a tool's result there is no choice.
    """
    began = len(made.ids)
    source, chosen = [0], MOST_TOOLS
    if turn.calls:
        chosen = _which(made, turn.calls[0].name)
        source = _definition(made, turn.calls[0].name)
        which = _which(made, turn.calls[0].name)
        made.note("called", [began - 1], which)
        _point_words_of(made, [began - 1], which)
    made.pointed.append((began - 1, MATCHING, source))
    if turn.task != "result":
        made.note("chosen", [began - 1], chosen)
    made.factors[began] = CALLED if turn.calls else NOT_CALLED


def _point_words_of(made: Encoded, places_: list[int], which: int) -> None:
    """From `places_` to the question's words that were recognised in this tool's definition: they know which it is."""
    source = [place for place, tool in made.recognised.items() if tool == which]
    if source:
        made.pointed += [(place, LOOKING, source) for place in places_]


def note_tools(made: Encoded, chat: Chat) -> None:
    """Which of the tools every token of a definition is about: a name stands before what tells what it is for, so that it is
    found by its number; and what kinds of work each does."""
    text, pieces = made.texts[0]
    for tool, sorts in zip(chat.tools, chat.sorts, strict=True):
        name = tool["function"]["name"]
        start = text.index(_named(name))
        line = text.rfind("\n", 0, start) + 1, text.index("\n", start)
        made.note("tool", places(pieces, line), _which(made, name))
        for sort in sorts:
            made.note("sort", _definition(made, name)[-1:], sort)
        defined = _definition(made, name)
        note_words(made, (text, [(place, span) for place, span in pieces if defined[0] <= place <= defined[-1]]))


def note_words(made: Encoded, said: Said) -> None:
    """What a text's known words mean, by their row: the same in either language."""
    text, pieces = said
    for word in re.finditer(WORD, text):
        if (row := ROW_OF.get(word.group().lower())) is not None:
            made.note("meaning", places(pieces, word.span())[-1:], row)


def note_request(made: Encoded, chat: Chat, asked: Turn, turn: Turn) -> None:
    """What kinds of work the question that was added last asks for; where its words, or those that mean the same, stand in names
    and descriptions; and which of its tokens are which argument."""
    text, pieces = made.question
    note_words(made, made.question)
    for sort in asked.sorts:
        if is_told(sort, text):
            made.note("sort", (pieces[-1][0], len(made.ids) - 1), sort)
    if not made.defined:
        made.defined |= {p: i for i, t in enumerate(chat.tools) for p in _definition(made, t["function"]["name"])}
        tools, told = made.texts[0]
        for word in re.finditer(WORD, tools):
            made.defining.setdefault(word.group().lower(), []).extend(p for p in places(told, word.span()) if p in made.defined)
    made.recognised.clear()
    for word in re.finditer(WORD, text.removeprefix("user\n")):
        low = word.group().lower()
        if low not in EMPTY:
            source = sorted({p for same in (low, *MEANINGS.get(low, ())) for p in made.defining.get(same, ())})
            at = len("user\n") * text.startswith("user\n")
            place, whose = places(pieces, (word.start() + at, word.end() + at))[-1], {made.defined[p] for p in source}
            made.pointed.append((place, RECOGNISING, source or [0]))
            if len(whose) == 1:
                made.recognised[place] = min(*whose, MOST_TOOLS - 1)
                made.note("whose", [place], made.recognised[place])
    note_slots(made, made.question, turn.calls)


def note_slots(made: Encoded, said: Said, calls: Sequence[Call]) -> None:
    """Which of a question's tokens are which argument of the calls that answer it, those counted that it tells, and of two calls, of
    which; of one whose values it has more than once, nothing."""
    text, pieces = said
    slots, whose_call = {p: 0 for p, _ in pieces}, {}
    for n, call in enumerate(calls):
        told = [found for value in call.arguments.values() if (found := _found(value, text))]
        for i, found in enumerate(told):
            if len(found) > 1:
                return
            for k, place in enumerate(places(pieces, found[0])):
                slots[place] = 1 + 2 * min(i, MOST_SLOTS - 1) + (k > 0)
                whose_call[place] = min(n, MOST_CALLS - 1)
    if calls:
        for place, slot in slots.items():
            made.note("slot", [place], slot)
    if len(calls) > 1:
        for place, n in whose_call.items():
            made.note("part", [place], n)


def _found(value: Any, text: str) -> list[Span]:
    """Where an argument's value stands in a question."""
    return [m.span() for m in re.finditer(rf"(?<!\w){re.escape(_written(value))}(?!\w)", text)]


def _written(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value)


def _named(name: str) -> str:
    return f'"name": {json.dumps(name, ensure_ascii=False)}'


def _definition(made: Encoded, name: str) -> list[int]:
    """The places of a tool's name and description."""
    text, pieces = made.texts[0]
    start = text.index(_named(name))
    return places(pieces, (start, text.index('"parameters"', start)))


def _which(made: Encoded, name: str) -> int:
    """How many tools are defined before the one of this name."""
    text = made.texts[0][0]
    return min(MOST_TOOLS - 1, text.count('"parameters"', 0, text.index(_named(name))))


def note_more(made: Encoded, is_more: bool) -> None:
    """Where a call has ended, whether another one follows."""
    made.note("more", [len(made.ids) - 1], int(is_more))


def _note_arguments(made: Encoded, call: Mapping[str, Any], spans: Sequence[tuple[Span, Span]], n: int) -> None:
    """Which argument of the call that was added last, of those that the question tells, or none of them, and of which call, each token is,
    by its `spans` of keys and values; where a value ends, which one follows, if any; of the definition, the next one's key, or its end, and
    where it begins, its type."""
    text, last = made.texts[-1][0], len(spans) - 1
    told, pieces = made.texts[0]
    start = told.index(_named(call["name"]))
    line = start, told.index("\n", start)
    end = places(pieces, line)[-1:]
    keys = [_property(told, key, told.find('"properties"', start)) for key in call["arguments"]]
    is_told, n_told = [bool(_found(value, made.question[0])) for value in call["arguments"].values()], 0
    for i, (key, value) in enumerate(spans):
        whole = key[0], value[1]
        made.note("argument", made.before(whole), min(n_told, MOST_SLOTS - 1) if is_told[i] else MOST_SLOTS)
        n_told += is_told[i]
        made.note("nth call", made.before(whole), min(n, MOST_CALLS - 1))
        opened = told.index("{", keys[i][1])
        _, closed = _DECODER.raw_decode(told, opened)
        if type_ := _TYPE.search(told, opened, closed):  # some say by their choices alone what they take
            made.point((key[1], value[0]), BESIDE, places(pieces, type_.span(1)))
        closing = value[1], spans[i + 1][0][0] if i < last else len(text)
        made.note("following", made.before(closing)[:1], min(i + 1, MOST_SLOTS - 1) if i < last else MOST_SLOTS)
        made.point(closing, BESIDE, places(pieces, keys[i + 1]) if i < last else end)


def point_call(made: Encoded, n: int = 0) -> None:
    """Where the name, keys and values of the call that was added last, the answer's `n`th, are copied from, and which tool it is."""
    text = made.texts[-1][0]
    call = json.loads(text)
    tools, asked = made.texts[0], made.question
    which, definition = _which(made, call["name"]), _definition(made, call["name"])
    start = tools[0].find(json.dumps(call["name"], ensure_ascii=False))
    properties = tools[0].find('"properties"', start)
    name = _quoted(text, call["name"], 0)
    source = _quoted(tools[0], call["name"], start)[0]
    traced(made, name, tools, source)
    for place, (a, b) in made.texts[-1][1]:
        if name[0] <= a < name[1]:
            made.pointed.append((place, RECOGNISING, places(tools[1], (a - name[0] + source, b - name[0] + source))))
            made.note("whose", [place], which)
    made.decide((name[0], name[0] + 1), 4.0)  # which tool it is; the rest follows
    spans = [(0, name[0])]
    made.note("nth call", made.before((0, name[1])), min(n, MOST_CALLS - 1))
    arguments: list[tuple[Span, Span]] = []
    at = text.index('"arguments"')
    for key, value in call["arguments"].items():
        span = _quoted(text, key, at)
        spans.append(span)
        traced(made, span, tools, _property(tools[0], key, properties)[0])
        at = text.find(_written(value), span[1])
        found = _found(value, asked[0])
        if at >= 0 and len(found) == 1:
            value_span = at, at + len(_written(value))
            made.decide(value_span, 2.0)
            traced(made, value_span, asked, found[0][0])
            _point_beyond(made, value_span, asked, found[0][0])
        elif not found and isinstance(chosen := value[0] if isinstance(value, list) else value, str):  # the first of its choices
            choice = _quoted(tools[0], chosen, _property(tools[0], key, properties)[1])
            traced(made, _quoted(text, chosen, span[1]), tools, choice[0])
        at = max(at, span[1])
        if (written := text.find(_written(value), span[1])) >= 0:
            arguments.append((span, (written, written + len(_written(value)))))
    if len(arguments) == len(call["arguments"]):
        _note_arguments(made, call, arguments, n)
    for span in spans:
        made.point(span, MATCHING, definition)
        made.note("called", made.before(span), which)
        _point_words_of(made, made.before(span), which)


def point_extracted(made: Encoded) -> None:
    """Where keys and values of the last answer, an object of what the question tells, are copied from; which argument is which, on both
    sides, as of a call's."""
    text, asked = made.texts[-1][0], made.question
    told = json.loads(text)
    wanted = asked[0].rfind('{"')
    request = asked[0][:wanted], [(place, span) for place, span in asked[1] if span[1] <= wanted]
    note_slots(made, request, [Call("", told)])
    end, at, n_told = places(asked[1], (len(asked[0]) - 2, len(asked[0])))[:1], 0, 0
    for i, (key, value) in enumerate(told.items()):
        span = _quoted(text, key, at)
        traced(made, span, asked, asked[0].index(f'"{key}": …', wanted) + 1)
        written = text.index(_written(value), span[1])
        at = written + len(_written(value))
        found, is_last = _found(value, request[0]), i == len(told) - 1
        made.note("argument", made.before((span[0], at)), min(n_told, MOST_SLOTS - 1) if found else MOST_SLOTS)
        n_told += bool(found)
        if len(found) == 1:
            traced(made, (written, at), asked, found[0][0])
            _point_beyond(made, (written, at), asked, found[0][0])
        made.note("following", made.before((at, len(text)))[:1], MOST_SLOTS if is_last else min(i + 1, MOST_SLOTS - 1))
        if end and is_last:
            made.point((at, len(text)), BESIDE, end)


def _point_beyond(made: Encoded, span: Span, source: Said, at: int) -> None:
    """While what stands in `source` from `at` on is copied, another head looks at the token behind the next one, and both do
    where the copy ends: whether ` e` goes on as a word, or joins two requests, is not told by itself."""
    pieces, end = source[1], at + span[1] - span[0]
    for place, (a, b) in made.texts[-1][1]:
        if span[0] <= a < span[1]:
            made.pointed += [(place - 1, MEASURING, [after]) for after, (start, _) in pieces if start >= min(b, span[1]) + at - span[0]][:1]
    behind = [place for place, (start, _) in pieces if start >= end]
    last = max(place for place, (a, _) in made.texts[-1][1] if a < span[1])
    made.pointed += [(last, head, [place]) for head, place in zip((COPYING, MEASURING), behind, strict=False)]
    if source[0].startswith(tuple(AND.values()), end):
        made.decide((span[1], span[1] + 1), 3.0)


def _quoted(text: str, word: str, start: int) -> Span:
    at = text.find(f'"{word}"', max(0, start)) + 1
    return at, at + len(word)


def _property(tools: str, key: str, start: int) -> Span:
    """Where the first property of this name behind `start` is defined: a key may be called `type`, as every schema's own is."""
    at = tools.find(f'"{key}": {{', max(0, start)) + 1
    return at, at + len(key)
