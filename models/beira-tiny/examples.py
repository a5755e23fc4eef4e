"""Held-out examples by task and language: what evaluate.py asks and how it judges an answer."""

from __future__ import annotations

import json
import random
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import calling
import data
import everyday
import saying
import seeing
from chats import Chat, Turn
from scenes import padded_cells

NEEDLE_DEPTHS = (0.1, 0.5, 0.9)
SEEING: dict[str, seeing.Asker] = {
    "describe": seeing.describe, "colour": seeing.colour_of, "kind": seeing.kind_of, "count": seeing.count_some,
    "relation": seeing.relation, "yes/no": seeing.is_there, "ground": seeing.locate, "json": seeing.json_one, "describe large": seeing.describe,
}  # fmt: skip
SAYING = {
    "greeting": saying.greet, "capital": saying.capital, "capitals": saying.capitals, "sum": saying.add,
    "repeat": saying.repeat, "spell": saying.spell, "unknown": saying.unknown,
}  # fmt: skip
CALLING = ("call", "parallel calls", "no call", "result")
TASKS = (*SEEING, "everyday", "read", "two images", "earlier image", *CALLING, *SAYING, "needle 2k")
BARS = {
    "describe": 0.95, "describe large": 0.95, "colour": 0.95, "kind": 0.95, "count": 0.95, "relation": 0.95, "yes/no": 0.95, "read": 0.9,
    "ground": 0.7, "two images": 0.9, "earlier image": 0.9, "call": 0.95, "parallel calls": 0.95, "no call": 0.95,
    "result": 0.95, "unknown": 0.9,
}  # fmt: skip
"""What the project asks of it; of grounding, the mean intersection over union."""


@dataclass(frozen=True, slots=True)
class Example:
    """Ask what precedes turn `at` of `chat`; that turn is the answer."""

    task: str
    chat: Chat
    at: int

    @property
    def wanted(self) -> Turn:
        return self.chat.turns[self.at]


def example(task: str, language: str, seed: int, held_out: bool = True) -> Example:
    """The same for the same arguments."""
    rng = random.Random(f"evaluation {seed} {task} {language}")
    while True:
        chat = data._chat(rng, held_out)
        chat.language = language
        made = _make(rng, task, chat, held_out)
        if made is not None:
            return Example(task, chat, made)


def _make(rng: random.Random, task: str, chat: Chat, held_out: bool) -> int | None:
    cells = data.cells_for(rng, 1.0, is_even=True) if task == "describe large" else data.cells_for(rng)
    if task == "everyday":
        scene = data.scene(rng, cells, held_out, text=0.0)
        if (made := rng.choice(everyday.ASKERS)(rng, scene, chat.language, held_out)) is None:
            return None
        seeing.ask_about(rng, chat, scene, made)
    elif task in SEEING or task == "read":
        scene = data.scene(rng, cells, held_out, text=1.0 if task == "read" else 0.0)
        made = (seeing.read if task == "read" else SEEING[task])(rng, scene, chat.language, held_out)
        if made is None:
            return None
        seeing.ask_about(rng, chat, scene, made)
    elif task == "two images":
        other = data.cells_for(rng) if rng.random() < 0.3 else cells
        scenes = data.scene(rng, cells, held_out, text=0.0), data.scene(rng, other, held_out, text=0.0)
        seeing.ask_about_two(rng, chat, scenes, held_out)
    elif task == "earlier image":
        scene = data.scene(rng, cells, held_out)
        seeing.ask_about(rng, chat, scene, seeing.question(rng, scene, chat.language, held_out))
        for _ in range(2):
            saying.converse(rng, chat, 1, False)
        while True:
            asked, said, name = seeing.question(rng, scene, chat.language, held_out)
            if name not in ("ground", "json"):
                break
        chat.ask(asked)
        chat.answer(said, name)
    elif task in CALLING:
        calling.converse(rng, chat, 3, held_out)
        found = [i for i, t in enumerate(chat.turns) if t.task == task]
        return found[0] if found else None
    elif task == "needle 2k":
        asked, said, _ = saying.recall(rng, chat.language, held_out, n_words=430, depth=rng.choice(NEEDLE_DEPTHS))
        chat.ask(asked)
        chat.answer(said, task)
    else:
        asked, said, _ = SAYING[task](rng, chat.language, held_out)
        chat.ask(asked)
        chat.answer(said, task)
    return len(chat.turns) - 1


def score(example: Example, message: dict[str, Any]) -> float:
    """1 or 0; for grounding the intersection over union. Of what is read, that counts, and not in which sentence it is told."""
    wanted, said = example.wanted, message.get("content") or ""
    calls = [(c["function"]["name"], _json(c["function"]["arguments"])) for c in message.get("tool_calls") or ()]
    if calls or wanted.calls:
        return float(sorted(map(repr, calls)) == sorted(repr((c.name, dict(c.arguments))) for c in wanted.calls))
    if example.task == "ground":
        return _overlap(_json(said), json.loads(wanted.text))
    if example.task == "json":
        return float(_json(said) == json.loads(wanted.text))
    if _last(wanted.text) in {s.text for s in example.chat.scenes}:
        return float(_last(said) == _last(wanted.text))
    return float(_items(said) == _items(wanted.text))


def _last(text: str) -> str:
    """A sentence's last word."""
    return text.rstrip(".").rsplit(" ", 1)[-1]


def _items(text: str) -> list[str]:
    """A sentence's parts, those of what it lists in one order: `a, b and c`, with or without a verdict behind it."""
    listed = re.fullmatch(r"(.*?(?:shows|mostra|I see|Vejo) )([^.;]+)((?:; [^.;]+)?\.)", text)
    return [text] if listed is None else [listed[1], *sorted(re.split(r", | and | e ", listed[2])), listed[3]]


def _json(text: str) -> Any:
    try:
        return json.loads(text)
    except ValueError:
        return None


def _overlap(said: Any, wanted: list[dict[str, Any]]) -> float:
    """The mean over the wanted boxes of the best overlap with one of the same label; over the given ones, if those are more."""
    total, count = 0.0, max(len(wanted), len(said) if isinstance(said, list) else 0)
    for box in wanted:
        try:
            same = [b["bbox_2d"] for b in said if b["label"] == box["label"]]
            total += max((_iou(b, box["bbox_2d"]) for b in same), default=0.0)
        except (TypeError, KeyError, IndexError, ValueError):
            pass
    return total / count


def _iou(a: list[float], b: list[float]) -> float:
    across = min(a[2], b[2]) - max(a[0], b[0])
    down = min(a[3], b[3]) - max(a[1], b[1])
    if across <= 0 or down <= 0:
        return 0.0
    both = across * down
    return both / ((a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1]) - both)


Judge = Callable[[Example, dict[str, Any]], float]
__all__ = ["BARS", "NEEDLE_DEPTHS", "TASKS", "Example", "example", "padded_cells", "score"]
