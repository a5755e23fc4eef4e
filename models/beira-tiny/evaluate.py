"""Asks the exported model held-out questions through the runtime's own service, and prints a table by task and language.

python models/beira-tiny/evaluate.py --model models/beira-tiny --count 50 --json figures.json --sheet sheet.png
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import statistics
import textwrap
import time
from pathlib import Path
from typing import Any

import gguf
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

import saying
import scenes
from chats import data_url, request
from examples import BARS, NEEDLE_DEPTHS, TASKS, Example, example, score
from runtime.ai.service import Service
from runtime.catalog.catalog import Catalog
from runtime.catalog.manifest import Manifest
from runtime.config import EngineSettings
from runtime.engine.engine import Engine

Answered = tuple[Example, dict[str, Any], float]


LONG_WORDS = (430, 900, 1800, 3600, 6400)
"""Words of filler around a needle; the last come near to the whole context of 32,768 tokens."""


def service_of(folder: Path, context: int = 16384, sequences: int = 8, drafts: int = 7) -> Service:
    """A service whose embedded model is the one in `folder`; its engine has one thread."""

    def make(manifest: Manifest) -> Engine:
        text, projector = folder / "beira-tiny.gguf", folder / "beira-tiny-mmproj.gguf"
        return Engine(text, projector, EngineSettings(context=context, max_sequences=sequences, threads=1, draft_tokens=drafts), name=manifest.id)

    return Service(Catalog([]), make, default="beira-tiny", load=(), is_dev=True, allow_stand_in=False)


async def ask(service: Service, one: Example, gate: asyncio.Semaphore) -> Answered:
    async with gate:
        result = await (await service.run({**request(one.chat, one.at), "max_tokens": 200})).result()
    message = result["choices"][0]["message"]
    return one, message, score(one, message)


async def answer(folder: Path, asked: list[Example], *, at_once: int = 8) -> list[Answered]:
    """Ask the model in `folder` all these."""
    service, gate = service_of(folder), asyncio.Semaphore(at_once)
    await service.start()
    try:
        return list(await asyncio.gather(*(ask(service, one, gate) for one in asked)))
    finally:
        await service.aclose()


async def evaluate(folder: Path, tasks: list[str], seeds: range, held_out: bool, *, at_once: int = 8) -> list[Answered]:
    return await answer(folder, [example(t, language, i, held_out) for t in tasks for language in ("en", "pt") for i in seeds], at_once=at_once)


async def long_ones(folder: Path) -> None:
    """Needles at each depth in ever longer prompts, up to the whole context: a line each, printed as it is known."""
    service = service_of(folder, 32768, 1)
    await service.start()
    try:
        for n_words in LONG_WORDS:
            for depth in NEEDLE_DEPTHS:
                rng = random.Random(f"long {n_words} {depth}")
                asked, wanted, _ = saying.recall(rng, "en", True, n_words, depth)
                messages = [{"role": "user", "content": asked}]
                result = await (await service.run({"messages": messages, "max_tokens": 60})).result()
                choice, tokens = result["choices"][0], result["usage"]["prompt_tokens"]
                said = choice["message"].get("content") or choice["message"].get("tool_calls")
                print(f"{tokens} tokens, needle at {depth}: {said == wanted}, {choice['finish_reason']}: {said!r}", flush=True)
    finally:
        await service.aclose()


async def speed(folder: Path) -> list[str]:
    """How long loading takes, the first token about a picture that was never seen, and the tokens of one long answer."""
    loaded, first, rates = list[float](), list[float](), dict[int, list[float]]()
    end = gguf.GGUFReader(folder / "beira-tiny.gguf").fields["tokenizer.ggml.eos_token_id"].contents()
    for drafts in (7, 0):
        for i in range(5):
            service = service_of(folder, drafts=drafts)
            began = time.perf_counter()
            await service.start()
            try:
                await (await service.run({"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1})).result()
                loaded.append(time.perf_counter() - began)
                for j in range(2):
                    scene = scenes.draw_shapes(random.Random(f"speed {drafts} {i} {j}"), (224, 224), 2)
                    content = [{"type": "text", "text": "What is in this image?"}, {"type": "image_url", "image_url": {"url": data_url(scene.picture)}}]
                    began = time.perf_counter()
                    await (await service.run({"messages": [{"role": "user", "content": content}], "max_tokens": 1})).result()
                    first.append(time.perf_counter() - began)
                endless = {"messages": [{"role": "user", "content": "Name the european capitals"}], "max_tokens": 300, "logit_bias": {str(end): -100}}
                began = time.perf_counter()
                result = await (await service.run(endless)).result()
                rates.setdefault(drafts, []).append(result["usage"]["completion_tokens"] / (time.perf_counter() - began))
            finally:
                await service.aclose()
    return [
        f"loaded and one token given after {statistics.median(loaded):.2f} s (median of {len(loaded)})",
        f"first token about a picture of 224 x 224 after {1000 * statistics.median(first):.0f} ms (median of {len(first)})",
        *(f"{statistics.median(r):.0f} tokens/s at one stream, drafts of at most {n} (median of {len(r)}, 300 tokens each)" for n, r in rates.items()),
    ]


def figures(answered: list[Answered]) -> dict[str, dict[str, float]]:
    made: dict[str, dict[str, float]] = {}
    for task in dict.fromkeys(one.task for one, _, _ in answered):
        row = {}
        for language in ("en", "pt"):
            scores = [s for one, _, s in answered if (one.task, one.chat.language) == (task, language)]
            row[language] = sum(scores) / len(scores)
        made[task] = row
    return made


def table(made: dict[str, dict[str, float]]) -> str:
    lines = ["| task | bar | English | Portuguese |", "| --- | --- | --- | --- |"]
    for task, row in made.items():
        bar = BARS.get(task)
        lines.append(f"| {task} | {'–' if bar is None else bar} | {row['en']:.3f} | {row['pt']:.3f} |")
    return "\n".join(lines)


def sheet(answered: list[Answered], file: Path, count: int = 20) -> None:
    """Pictures with what was asked and answered; wrong answers in red."""
    shown = [a for a in answered if len(a[0].chat.scenes) == 1 and a[0].at == 1]
    shown = shown[:: max(1, len(shown) // count)][:count]
    width, height, columns = 230, 250, 5
    page = PIL.Image.new("RGB", (columns * width, -(-len(shown) // columns) * height), "white")
    draw, font = PIL.ImageDraw.Draw(page), scenes.font_of("DejaVuSans", 10)
    for i, (one, message, got) in enumerate(shown):
        x, y = i % columns * width, i // columns * height
        picture = one.chat.scenes[0].picture.copy()
        picture.thumbnail((width - 10, 150))
        page.paste(picture, (x + 5, y + 5))
        said = message.get("content") or ""
        lines = textwrap.wrap(one.chat.turns[0].text, 38) + textwrap.wrap(said, 38)
        for j, line in enumerate(lines[:6]):
            is_answer = j >= len(textwrap.wrap(one.chat.turns[0].text, 38))
            draw.text((x + 5, y + 160 + 14 * j), line, font=font, fill="black" if not is_answer else "#006000" if got > 0.5 else "#c00000")
    page.quantize(256).save(file, optimize=True)


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=Path, default=Path(__file__).parent, help="folder of the two files")
    p.add_argument("--count", type=int, default=200, help="examples a task and language")
    p.add_argument("--first", type=int, default=0, help="the first example's seed; the others follow")
    p.add_argument("--tasks", nargs="*", default=list(TASKS))
    p.add_argument("--seen", action="store_true", help="ask what training may have had")
    p.add_argument("--show", type=int, default=0, help="print so many wrong answers a task")
    p.add_argument("--speed", action="store_true", help="only times")
    p.add_argument("--long", action="store_true", help="only needles in prompts up to the whole context")
    p.add_argument("--json", type=Path)
    p.add_argument("--sheet", type=Path)
    a = p.parse_args()
    if a.long:
        asyncio.run(long_ones(a.model))
        return
    if a.speed:
        print("\n".join(asyncio.run(speed(a.model))))
        return
    answered = asyncio.run(evaluate(a.model, a.tasks, range(a.first, a.first + a.count), not a.seen))
    made = figures(answered)
    print(table(made))
    for task in a.tasks if a.show else ():
        wrong = [x for x in answered if x[0].task == task and x[2] < 0.5][: a.show]
        for one, message, _ in wrong:
            asked = one.chat.turns[one.at - 1].text
            print(f"{task}: {asked[-100:]!r}\n   wanted {one.wanted.text or list(one.wanted.calls)!r}\n   got    {message['content'] or message['tool_calls']!r}")
    if a.json:
        a.json.write_text(json.dumps(made, indent=1, ensure_ascii=False) + "\n")
    if a.sheet:
        sheet(answered, a.sheet)


if __name__ == "__main__":
    main()
