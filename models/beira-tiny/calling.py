"""Conversations with tools: many definitions, arguments copied from the user's words, results used, and no call where none fits."""

from __future__ import annotations

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import saying
from chats import Call, Chat
from lexicon import UNKNOWN
from made import NO_WORK, made_up, sorts_of
from skills import SKILLS, SKILLS_HELD_OUT, Skill, code
from wordings import ENGLISH, PORTUGUESE, blurred

_FREE = (saying.word, saying.phrase, saying.city, code)
"""Values that may be anything."""
AND = {"en": " and ", "pt": " e "}
EXTRACT = {
    "en": ("Reply with JSON: {k}.", "Answer as JSON: {k}", "Give it as JSON: {k}.", "As JSON: {k}", "JSON, please: {k}", "What does it say? Reply with JSON: {k}."),
    "pt": ("Responda em JSON: {k}.", "Dê isto em JSON: {k}", "Em JSON: {k}", "Escreva em JSON: {k}.", "JSON, por favor: {k}", "O que diz? Responda em JSON: {k}."),
}
"""How what a text tells is asked for by keys."""
CLOSERS = {"en": (" Thanks!", " Thank you.", " Please!"), "pt": (" Obrigado!", " Obrigada.", " Por favor!")}
"""What may stand behind a request."""


_EXTRAS: tuple[tuple[str, Mapping[str, Any]], ...] = (
    ("unit", {"type": "string", "enum": ["celsius", "fahrenheit"]}), ("units", {"enum": ["metric", "imperial"]}), ("unit", {"enum": ["kelvin"]}),
    ("limit", {"type": "integer"}), ("page", {"type": "integer", "minimum": 1}), ("verbose", {"type": "boolean"}), ("dry_run", {"type": "boolean", "default": False}),
    ("days", {"type": "array", "items": {"enum": ["today", "tomorrow"]}, "maxItems": 2}), ("tags", {"type": "array", "items": {"type": "string"}}),
    ("format", {"type": "string", "enum": ["json", "text", "html"]}), ("sort", {"enum": ["asc", "desc"]}), ("lang", {"type": "string", "enum": ["en", "pt"]}),
    ("max_results", {"type": "integer", "maximum": 50}), ("timeout", {"type": "number"}), ("note", {"type": "string"}), ("date", {"type": "string", "format": "date"}),
    ("options", {"type": "object", "properties": {"fast": {"type": "boolean"}}}), ("country", {"type": "string"}), ("time_zone", {"type": "string"}),
)  # fmt: skip
"""What a tool may take beside what a request tells."""
_HINTS = ("", "", ", e.g. San Francisco, CA", " (optional)", ", as the user says it", ". Required", ", for example")


@dataclass(frozen=True, slots=True)
class Made:
    """A skill with its definition as one request gives it."""

    skill: Skill
    name: str
    keys: tuple[str, ...]
    definition: dict[str, Any]
    untold: Mapping[str, Any] = field(default_factory=dict)
    """What a call gives those properties that are required and that no request tells."""

    def call(self, values: Sequence[Any]) -> Call:
        """With `values` of its keys; in the order of its properties, as a form would have it."""
        given = {**dict(zip(self.keys, values, strict=True)), **self.untold}
        return Call(self.name, {key: given[key] for key in self.definition["function"]["parameters"]["properties"] if key in given})


def usual(skill: Skill) -> Made:
    """The definition that documentation would give."""
    keys = tuple(p.names[0] for p in skill.parameters)
    properties = {key: {"type": p.type, "description": p.about} for key, p in zip(keys, skill.parameters, strict=True)}
    parameters = {"type": "object", "properties": properties, "required": list(keys)}
    function = {"name": skill.names[0], "description": skill.about[0], "parameters": parameters}
    return Made(skill, skill.names[0], keys, {"type": "function", "function": function})


def define(rng: random.Random, skill: Skill, held_out: bool) -> Made:
    """A definition: names and keys vary, in training often to what was never seen; descriptions come and go."""
    name, is_told = rng.choice(skill.names), rng.random() < 0.8 or skill.is_odd
    odd = rng.random()
    if odd < (0.15 if held_out else 0.18):
        name += "_" + saying.word(rng, False)
    elif not held_out and odd < 0.26:  # only its description says what it does
        name, is_told = saying.word(rng, False) + rng.choice(("", "_" + saying.word(rng, False))), True
    while True:
        keys = tuple(rng.choice(p.names) if rng.random() < 0.9 else saying.word(rng, False) for p in skill.parameters)
        if len(set(keys)) == len(keys):
            break
    properties = {}
    for key, p in zip(keys, skill.parameters, strict=True):
        is_explained = rng.random() < 0.5 or (not held_out and key not in p.names)  # or which argument it is could not be told
        properties[key] = {"type": p.type} | ({"description": p.about} if is_explained else {})
    parameters: dict[str, Any] = {"type": "object", "properties": properties}
    if not held_out and rng.random() < 0.1:
        parameters["additionalProperties"] = False
    if rng.random() < 0.75:
        parameters["required"] = list(keys)
    function: dict[str, Any] = {"name": name}
    if is_told:
        function["description"] = rng.choice(skill.about)
    function["parameters"] = parameters
    made = Made(skill, name, keys, {"type": "function", "function": function})
    return _with_extras(rng, made) if not held_out and rng.random() < 0.08 else made


def _with_extras(rng: random.Random, made: Made) -> Made:
    """That tool, some of its descriptions with a hint, and with one to three properties that nothing in a request is for. A call leaves
    them out, but for those that are required nevertheless."""
    function = made.definition["function"]
    parameters = function["parameters"]
    hinted = {k: v | ({"description": v["description"] + rng.choice(_HINTS)} if "description" in v else {}) for k, v in parameters["properties"].items()}
    extras: dict[str, Any] = {}
    for name, schema in rng.sample(_EXTRAS, rng.choice((1, 1, 2, 3))):
        key = name if rng.random() < 0.7 else saying.word(rng, False)
        if key not in hinted:
            extras[key] = dict(schema) | ({"description": f"The {saying.word(rng, False)}"} if rng.random() < 0.25 else {})
    values = {key: untold_value(schema) for key, schema in extras.items()} if rng.random() < 0.45 else {}
    untold = {key: value for key, value in values.items() if value is not None}
    changed = parameters | {"properties": hinted | extras if rng.random() < 0.8 else extras | hinted}
    if untold:
        changed["required"] = [*made.keys, *untold]
    return replace(made, definition=made.definition | {"function": function | {"parameters": changed}}, untold=untold)


def untold_value(schema: Mapping[str, Any]) -> Any:
    """What stands for a value that nobody told: its default, the first of its choices, the least; None where it could be anything."""
    if "default" in schema:
        return schema["default"]
    if "enum" in schema:
        return schema["enum"][0]
    if "enum" in schema.get("items", ()):
        return [schema["items"]["enum"][0]]
    return {"boolean": False, "integer": schema.get("minimum", 1)}.get(schema.get("type", ""))


def ask(rng: random.Random, made: Made, language: str, held_out: bool) -> tuple[str, Call]:
    values = [p.make(rng, held_out) for p in made.skill.parameters]
    if not held_out:  # whether a number is quoted is said by the definition alone
        values = [saying.digits(rng) if p.type == "string" and p.make in _FREE and rng.random() < 0.12 else v for v, p in zip(values, made.skill.parameters, strict=True)]
    rows = made.skill.english if language == "en" else made.skill.portuguese
    more: tuple[str, ...] = ()
    if not held_out and not made.skill.sorts:  # which a made-up one has, whatever its name
        more = (ENGLISH if language == "en" else PORTUGUESE)[made.skill.names[0]]
    wording = rows[-1] if held_out and rng.random() < 0.5 else rng.choice((*rows[:-1], *more))
    if not held_out and rng.random() < 0.4:
        wording = blurred(rng, wording, (*rows[:-1], *more), language)
    return wording.format(*values), made.call(values)


def extract(rng: random.Random, language: str) -> tuple[str, str]:
    """A request to some tool, of which what it tells is asked for in JSON, and that: a call's arguments, copied piece by piece, for a tenth of
    the tokens that one takes with its tools' definitions."""
    skill = rng.choice(SKILLS) if rng.random() < 0.6 else made_up(rng)
    tool = define(rng, skill, False)
    asked, call = ask(rng, tool, language, False)
    keys = {key: rng.choice(p.names) for key, p in zip(tool.keys, skill.parameters, strict=True)}
    if len(set(keys.values())) < len(keys):
        keys = {key: key for key in keys}
    told = {keys[key]: _as_number(call.arguments[key]) for key in tool.keys}
    wanted = "{" + ", ".join(f'"{key}": …' for key in told) + "}"
    return f"{asked} {rng.choice(EXTRACT[language]).format(k=wanted)}", json.dumps(told, ensure_ascii=False)


def _as_number(value: Any) -> Any:
    """Digits as a number: nothing says here that they are a text."""
    return int(value) if isinstance(value, str) and value.isdecimal() and str(int(value)) == value else value


def result(rng: random.Random, held_out: bool) -> tuple[str, str]:
    """What a tool may answer, and what the assistant makes of it."""
    if rng.random() < 0.3:
        text = saying.phrase(rng, held_out).capitalize() + "."
        return text, text
    keys = rng.sample(("temperature", "weather", "price", "status", "result", "degrees", "time", "name", "total", "condition", "id"), rng.randint(1, 3))
    for i in range(len(keys)):
        if rng.random() < (0.12 if held_out else 0.5):
            keys[i] = saying.word(rng, held_out)
    values: list[Any] = [rng.randint(0, 999) if rng.random() < 0.5 else saying.word(rng, held_out) for _ in keys]
    said = ", ".join(f"{k}: {v}" for k, v in zip(keys, values, strict=True)) + "."
    return json.dumps(dict(zip(keys, values, strict=True)), ensure_ascii=False), said


def converse(rng: random.Random, chat: Chat, turns: int, held_out: bool, *, has_results: bool = True) -> None:
    """Give `chat` tools and have them called, or not, `turns` times."""
    known = SKILLS + SKILLS_HELD_OUT if held_out else SKILLS
    chosen = rng.sample(known, rng.choice((1, 1, 2, 2, 3) if held_out else (1, 2, 2, 3, 3)))
    if not held_out:
        chosen = [made_up(rng) if rng.random() < 0.3 else s for s in chosen]
        if len(chosen) > 1 and (r := rng.random()) < 0.7:
            chosen[1] = made_up(rng, chosen[0]) if r < 0.25 else rng.choice(_alike(chosen[0]))
    if held_out and rng.random() < 0.4:
        chosen[0] = rng.choice(SKILLS_HELD_OUT)
    made = [define(rng, s, held_out) for s in dict.fromkeys(chosen)]
    rng.shuffle(made)
    if len({m.name for m in made}) < len(made):
        made = made[:1]
    if not held_out and rng.random() < 0.2:
        made = [usual(SKILLS[0] if rng.random() < 0.5 else rng.choice(SKILLS))]  # everybody's first tool is the weather's
        if rng.random() < 0.3:
            made = [_with_extras(rng, made[0])]
    chat.tools, chat.sorts = [m.definition for m in made], [sorts_of(m.skill) for m in made]
    for _ in range(turns):
        r = rng.random()
        if r < (0.25 if held_out else 0.33):
            _ask_no_tool(rng, chat, made, held_out)
            continue
        tool = rng.choice(made)
        asked, call = ask(rng, tool, chat.language, held_out)
        calls = [call]
        if r > (0.72 if held_out else 0.68):
            asked, calls = _two(rng, made, tool, asked, call, chat.language, held_out)
        if not held_out and rng.random() < 0.3:
            values = [str(v) for c in calls for v in c.arguments.values()]
            asked = asked + rng.choice(CLOSERS[chat.language]) if rng.random() < 0.25 else saying.opened(rng, asked, chat.language, values)
        chat.ask(asked, sorts=sorts_of(tool.skill) if len(calls) == 1 else ())
        chat.call(calls, "parallel calls" if len(calls) > 1 else "call")
        if has_results and rng.random() < (0.5 if len(calls) == 1 else 0.25):
            answers = [result(rng, held_out) for _ in calls]
            for text, _ in answers:
                chat.result(text)
            chat.answer(" ".join(said for _, said in answers), "result")


def _two(rng: random.Random, made: list[Made], tool: Made, asked: str, call: Call, language: str, held_out: bool) -> tuple[str, list[Call]]:
    """Two calls in one message: of one tool for two values, or of two tools."""
    if len(tool.keys) == 1 and (rng.random() < 0.6 or len(made) == 1):
        (key,), (p,) = tool.keys, tool.skill.parameters
        other = p.make(rng, held_out)
        value = call.arguments[key]
        if other != value:
            both = asked.replace(str(value), f"{value}{AND[language]}{other}", 1)
            return both, [call, tool.call([other])]
    others = made if held_out or rng.random() < 0.5 else [m for m in made if m is not tool] or made
    second, call2 = ask(rng, rng.choice(others), language, held_out)
    if call2 == call:
        return asked, [call]
    joiner = AND[language] if rng.random() < 0.5 else " "
    if joiner != " ":
        asked = asked.rstrip(".?")
        is_kept = second.startswith(("I ", *map(str, call2.arguments.values()))) or (second[:2].isalpha() and second[:2].isupper())
        second = second if is_kept else second[0].lower() + second[1:]
    return asked + joiner + second, [call, call2]


def _alike(skill: Skill) -> list[Skill]:
    """The table's skills that are given what this one is, a city or a file: whose requests look like its own."""
    makers = {p.make for p in skill.parameters}
    found = [s for s in SKILLS if s is not skill and makers & {p.make for p in s.parameters}]
    return found or [s for s in SKILLS if s is not skill]


def _ask_no_tool(rng: random.Random, chat: Chat, made: list[Made], held_out: bool) -> None:
    """What none of the tools is for: something else, or another tool's work."""
    mine = {m.skill.names[0] for m in made}
    if rng.random() < (0.3 if held_out else 0.55) and "search" not in mine:  # what finds anything would fit
        others = [s for s in SKILLS if s.names[0] not in mine]
        if not held_out and rng.random() < 0.6:
            others = [s for s in _alike(rng.choice(made).skill) if s in others] or others
        other = rng.choice(others)
        if not held_out and rng.random() < 0.35:
            other = made_up(rng, rng.choice(made).skill if rng.random() < 0.5 else None)
        asked, _ = ask(rng, define(rng, other, held_out), chat.language, held_out)
        said, sorts = UNKNOWN[chat.language], sorts_of(other)
    elif not held_out and rng.random() < 0.3:
        asked, said, _ = saying.unknown(rng, chat.language, held_out)
        sorts = (NO_WORK,)
    else:
        sorts = (NO_WORK,)
        while True:
            asked, said, task = saying.question(rng, chat.language, held_out)
            if task != "needle":
                break
    chat.ask(asked, sorts=sorts)
    chat.answer(said, "no call")
