"""What the model card tells beside evaluation's table: each font by itself, plain drawings, tools that require what nobody told.

  python models/beira-tiny/probe.py --model models/beira-tiny --probes fonts plain tools
"""

from __future__ import annotations

import argparse
import asyncio
import random
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import PIL.Image
import PIL.ImageDraw

import everyday
import saying
import scenes
import seeing
from answers import Question
from calling import untold_value, usual
from chats import Chat
from evaluate import Answered, answer
from examples import Example
from lexicon import COLOURS, KINDS
from scenes import FONTS, FONTS_HELD_OUT, Scene, Shape
from skills import SKILLS
from wordings import ENGLISH

SHADES = {
    "red": (220, 30, 30), "green": (20, 160, 60), "blue": (30, 60, 210), "yellow": (250, 220, 20), "purple": (130, 30, 160), "orange": (255, 140, 0),
    "black": (0, 0, 0), "white": (255, 255, 255),
}  # fmt: skip
ASKERS = (seeing.describe, seeing.colour_of, seeing.kind_of, seeing.count_all, seeing.is_there, everyday.of_one, everyday.is_coloured, everyday.has_no_text)
EXTRAS: tuple[dict[str, dict[str, Any]], ...] = (
    {"unit": {"type": "string", "enum": ["celsius", "fahrenheit"]}}, {"units": {"type": "string", "enum": ["metric", "imperial"]}},
    {"days": {"type": "array", "items": {"type": "string", "enum": ["today", "tomorrow"]}}},
    {"unit": {"type": "string", "enum": ["celsius", "fahrenheit"], "description": "The unit"}, "verbose": {"type": "boolean"}},
)  # fmt: skip
"""What a weather's tool may require beside the city."""
Named = tuple[str, Example]


def shown(scene: Scene, made: Question, language: str) -> Example:
    chat = Chat(language=language)
    chat.ask(scene, made[0])
    chat.answer(made[1], made[2])
    return Example(made[2], chat, 1)


def fonts(count: int) -> Iterator[Named]:
    """In each font `count` held-out numbers and words, in each language half of them."""
    for name in ("", *FONTS, *FONTS_HELD_OUT):
        for i in range(count):
            rng, language = random.Random(f"font {name} {i}"), ("en", "pt")[i % 2]
            scene = scenes.draw_text(rng, scenes.picture_size(rng, (rng.randint(3, 7), rng.randint(2, 5)), True), True, name)
            yield name or "PIL's own", shown(scene, seeing.read(rng, scene, language, True), language)


def plain(count: int) -> Iterator[Named]:
    """One shape of each kind and colour on white, white ones on black, in two sizes, asked about in each language in `ASKERS`' ways."""
    for kind in KINDS:
        for colour in COLOURS:
            for width, height in ((112, 112), (280, 168)):
                picture = PIL.Image.new("RGB", (width, height), "black" if colour == "white" else "white")
                side = min(width, height) // 2
                x, y = (width - side) // 2, (height - side) // 2
                points = scenes.outline(random.Random(1), kind, (x, y, x + side, y + side))
                scenes.fill(PIL.ImageDraw.Draw(picture), kind, points, 1, SHADES[colour])
                xs, ys = [p[0] for p in points], [p[1] for p in points]
                scene = Scene(picture, (Shape(kind, colour, (round(min(xs)), round(min(ys)), round(max(xs)), round(max(ys)))),))
                for asker in ASKERS:
                    for language in ("en", "pt"):
                        made = asker(random.Random(f"plain {kind} {colour} {width} {language}"), scene, language, False)
                        assert made is not None
                        yield "plain drawings", shown(scene, made, language)


def tools(count: int) -> Iterator[Named]:
    """Requests for the weather of a tool that requires more than a city; a call with the first of its choices is right."""
    weather = usual(SKILLS[0])
    ways = (*SKILLS[0].english, *ENGLISH["get_weather"])
    for i in range(count):
        rng, extra = random.Random(f"weather {i}"), EXTRAS[i % len(EXTRAS)]
        function = weather.definition["function"]
        parameters = function["parameters"]
        properties = {**parameters["properties"], **extra}
        definition = {"type": "function", "function": function | {"parameters": parameters | {"properties": properties, "required": list(properties)}}}
        made = replace(weather, definition=definition, untold={key: untold_value(schema) for key, schema in extra.items()})
        city, chat = saying.city(rng, True), Chat(tools=[definition], sorts=[(0,)])
        chat.ask(ways[i % len(ways)].format(city))
        chat.call([made.call([city])], "call")
        yield "weather, required: " + ", ".join(extra), Example("call", chat, 1)


PROBES: dict[str, Callable[[int], Iterator[Named]]] = {"fonts": fonts, "plain": plain, "tools": tools}


def told(answered: list[Answered], names: list[str]) -> str:
    """A line for each name: how many were right, how many said that they do not know."""
    rows: defaultdict[str, list[Answered]] = defaultdict(list)
    for name, one in zip(names, answered, strict=True):
        rows[name].append(one)
    lines = []
    for name, asked in rows.items():
        right = sum(score for *_, score in asked)
        refused = sum((message["content"] or "") in ("I don't know.", "Não sei.") for _, message, _ in asked)
        lines.append(f"{name}: {right:.0f} of {len(asked)} right, {refused} refused")
    return "\n".join(lines)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--probes", nargs="*", choices=PROBES, default=list(PROBES))
    p.add_argument("--model", type=Path, default=Path(__file__).parent, help="folder of the two files")
    p.add_argument("--count", type=int, default=60, help="examples of a font, requests of the weather")
    p.add_argument("--show", type=int, default=0, help="print so many wrong answers of each probe")
    a = p.parse_args()
    for probe in a.probes:
        names, asked = zip(*PROBES[probe](a.count), strict=True)
        answered = asyncio.run(answer(a.model, list(asked)))
        print(told(answered, list(names)), flush=True)
        for one, message, _ in [x for x in answered if not x[2]][: a.show]:
            wanted = one.wanted.text or list(one.wanted.calls)
            print(f"   {one.chat.turns[0].text!r}\n      wanted {wanted!r}\n      got    {message['content'] or message['tool_calls']!r}")


if __name__ == "__main__":
    main()
