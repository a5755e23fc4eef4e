"""The engine against llama-server on the same weights: the same load in turn, and a table of ratios. By `make bench`.

usage: python tests/bench/engine.py [--size 0.5b|3b] [--rounds 3] [--only TEXT] [--threads N]
LLAMA_SERVER: the binary to compare with (without it: our figures alone). BENCH_MODELS: where the model lies or goes.
BENCH_VOCAB: the vocabulary that it is written with. The weights are random: only time means anything.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import signal
import statistics
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from runtime.engine.budget import usable_cores  # noqa: E402
from tests.bench.chat import Prompts, Timeline, ask  # noqa: E402
from tests.bench.functions import machine  # noqa: E402
from tests.bench.machine import Watch  # noqa: E402
from tests.bench.overhead import overhead  # noqa: E402
from tests.bench.servers import Files, Server, find_model, llama_server, ours  # noqa: E402

TOKENS, MASKED = 32, 100
DISTURBED, TRIES = 0.05, 4
"""Share of the machine that others may take during a round, and how often one is measured for it."""
SYSTEM_WORDS, PREFIX_WORDS = 300, 400
Measure = Callable[[int, Prompts], Awaitable[float]]
"""Port of a server and a source of prompts → a figure."""


@dataclass(frozen=True, slots=True)
class Case:
    """One line of the table; `goal` bounds ours / llama-server, or (`is_own`) our figure itself."""

    name: str
    unit: str
    bound: Literal["≥", "≤"]
    goal: float
    measure: Measure
    is_own: bool = False

    def is_met(self, value: float) -> bool:
        return value >= self.goal if self.bound == "≥" else value <= self.goal


def speed(streams: int, *, system_words: int = 0) -> Measure:
    """Tokens a second of `streams` at once, from the first request to the last token."""

    async def measure(port: int, prompts: Prompts) -> float:
        system = prompts.text(system_words) if system_words else ""
        chats = [prompts.chat(16, system) for _ in range(streams)]
        done = await asyncio.gather(*(ask(port, chat, TOKENS) for chat in chats))
        return streams * TOKENS / (max(t.pieces[-1] for t in done) - min(t.begin for t in done))

    return measure


async def first_token(port: int, prompts: Prompts) -> float:
    return statistics.median([(await ask(port, prompts.chat(100), 2)).first for _ in range(3)])


async def first_token_common(port: int, prompts: Prompts) -> float:
    """Eight at once, with a prefix that was never seen."""
    system = prompts.text(PREFIX_WORDS)
    done = await asyncio.gather(*(ask(port, prompts.chat(10, system), 8) for _ in range(8)))
    return statistics.median(t.first for t in done)


async def first_token_new_image(port: int, prompts: Prompts) -> float:
    return (await ask(port, prompts.about(prompts.picture(448, 448), 10), 2)).first


async def first_token_seen_image(port: int, prompts: Prompts) -> float:
    picture = prompts.picture(448, 448)
    await ask(port, prompts.about(picture, 10), 2)
    return (await ask(port, prompts.about(picture, 12), 2)).first


FORM: dict[str, Any] = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "size": {"type": "integer"},
        "kind": {"enum": ["river", "stone", "copper"]},
        "tags": {"type": "array", "items": {"type": "string", "maxLength": 20}},
    },
    "required": ["name", "size", "kind", "tags"],
    "additionalProperties": False,
}


async def masked(port: int, prompts: Prompts) -> float:
    """Median gap of an answer that keeps a form, against that of a free one of as many tokens."""
    form = {"type": "array", "items": FORM, "minItems": 100}
    format_ = {"type": "json_schema", "json_schema": {"name": "list", "schema": form}}
    free = await ask(port, prompts.chat(20), MASKED)
    # what must have a form cannot be told to go on behind its end; this one is longer than it is let go on
    bound = await ask(port, prompts.chat(20), MASKED, response_format=format_, ignore_eos=False)
    return statistics.median(bound.gaps) / statistics.median(free.gaps)


async def worst_gap(port: int, prompts: Prompts) -> float:
    """p99 gap of a text stream from the arrival of a 640 x 480 image to the image's first token, against its median
    gap alone before that."""
    # made before: whoever draws a picture here reads no pieces meanwhile
    pictured = prompts.about(prompts.picture(640, 480), 10)
    text = Timeline(0.0)
    stream = asyncio.create_task(ask(port, prompts.chat(20), 2000, text))
    try:
        while len(text.pieces) < 40:
            await asyncio.sleep(0.01)
            if stream.done():
                stream.result()
        alone = statistics.median(text.gaps)
        begin = len(text.gaps)
        await ask(port, pictured, 2)
        # the gap that is open now counts too: a stream that stands still has no pieces
        seen = len(text.pieces)
        while len(text.pieces) == seen and not stream.done():  # noqa: ASYNC110
            await asyncio.sleep(0.01)
        beside = sorted(text.gaps[begin:])
        return beside[min(len(beside) - 1, len(beside) * 99 // 100)] / alone
    finally:
        stream.cancel()
        await asyncio.gather(stream, return_exceptions=True)


CASES = (
    Case("tokens/s, 1 stream", "/s", "≥", 1.0, speed(1)),
    Case("tokens/s, 4 streams", "/s", "≥", 1.0, speed(4)),
    Case("tokens/s, 8 streams", "/s", "≥", 1.0, speed(8)),
    Case("tokens/s, 16 streams", "/s", "≥", 1.0, speed(16)),
    Case("tokens/s, 8 with one system prompt", "/s", "≥", 1.15, speed(8, system_words=SYSTEM_WORDS)),
    Case("first token, p50", "s", "≤", 1.0, first_token),
    Case("first token, 8 at once, common prefix", "s", "≤", 0.5, first_token_common),
    Case("first token, new image 448x448", "s", "≤", 0.6, first_token_new_image),
    Case("first token, seen image, other text", "s", "≤", 0.4, first_token_seen_image),
    Case("text's p99 gap beside an image / alone", "x", "≤", 3.0, worst_gap, is_own=True),
    Case("a token under a JSON schema / free", "x", "≤", 1.15, masked, is_own=True),
)


def show(case: Case, figures: list[list[float]]) -> None:
    """`figures`: a list for each server, ours first, one figure a round."""
    middle = [statistics.median(values) for values in figures]
    line = f"{case.name:40}" + "".join(f"{value:9.2f} {case.unit:2}" for value in middle)
    ratio = statistics.median(a / b for a, b in zip(figures[0], figures[-1], strict=True))
    if len(figures) > 1:
        each = sorted(a / b for a, b in zip(figures[0], figures[-1], strict=True))
        line += f"{ratio:9.2f} ({each[0]:.2f} to {each[-1]:.2f})"
    if len(figures) > 1 or case.is_own:
        is_met = case.is_met(middle[0] if case.is_own else ratio)
        line += f"   {case.bound} {case.goal:<5}{'met' if is_met else 'missed'}"
    print(line, flush=True)


@contextlib.contextmanager
def servers(files: Files, binary: Path | None, threads: int) -> Iterator[list[Server]]:
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        found = [stack.enter_context(ours(files, threads, folder))]
        if binary is not None:
            found.append(stack.enter_context(llama_server(binary, files, threads, folder)))
        yield found


async def within(figure: Awaitable[float], seconds: float) -> float:
    async with asyncio.timeout(seconds):
        return await figure


def undisturbed(case: Case, port: int, prompts: Prompts, seconds: float) -> float:
    """The figure; measured again, a few times at most, where other processes took much of the machine meanwhile."""
    tried: list[tuple[float, float]] = []
    while True:
        watch = Watch()
        figure = asyncio.run(within(case.measure(port, prompts), seconds))
        tried.append((watch.share, figure))
        if tried[-1][0] <= DISTURBED or len(tried) == TRIES:
            return min(tried)[1]


async def warm_up(found: list[Server]) -> None:
    for server in found:
        await ask(server.port, Prompts(0).chat(100), 8)


def run(size: str, rounds: int, only: str, threads: int, seconds: float) -> None:
    binary = Path(os.environ["LLAMA_SERVER"]).resolve() if os.environ.get("LLAMA_SERVER") else None
    files = find_model(size, binary)
    if files is None:
        return
    load = os.getloadavg()[0]
    print(f"{machine()}; {size} shape, threads: {threads}; median of {rounds} rounds in turn; load {load:.1f}")
    if only in "overhead":
        share = overhead(files.text, threads)
        verdict = "met" if share <= 0.05 else "missed"
        print(f"{'time beside llama_decode, a token':40}{share:9.1%}{'':25}≤ 5 %  {verdict}", flush=True)
    with servers(files, binary, threads) as found:
        print(f"{'':40}" + "".join(f"{server.name:>12}" for server in found) + "    ratio   goal")
        asyncio.run(warm_up(found))
        for number, case in enumerate(c for c in CASES if only in c.name):
            figures: list[list[float]] = [[] for _ in found]
            try:
                for turn in range(rounds):
                    # who goes first changes: what disturbs the machine disturbs both alike
                    for i in range(len(found)) if turn % 2 == 0 else reversed(range(len(found))):
                        prompts = Prompts(1000 * number + turn + 1)
                        figures[i].append(undisturbed(case, found[i].port, prompts, seconds))
            except (TimeoutError, RuntimeError, OSError) as e:
                # one line is lost, the others are not
                print(f"{case.name:40}  {found[i].name}: {e or f'not within {seconds:g} s'}"[:160], flush=True)
                continue
            show(case, figures)
        resident = Case("resident memory", "MB", "≤", 1.1, first_token)
        show(resident, [[server.resident_mb] for server in found])
    print(f"load at the end {os.getloadavg()[0]:.1f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--size", choices=("0.5b", "3b", "7b"), default="0.5b")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--only", default="", metavar="TEXT", help="the lines that contain this")
    parser.add_argument("--threads", type=int, default=usable_cores(), help="fewer where others use the machine")
    parser.add_argument("--seconds", type=float, default=180.0, help="that one figure of one server may take")
    given = parser.parse_args()
    # told to stop, it stops what it started
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    run(given.size, given.rounds, given.only, given.threads, given.seconds)
