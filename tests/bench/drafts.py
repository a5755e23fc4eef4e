"""Where guessing ahead pays: tokens a second with drafts and without, in turn, one stream.

usage: python tests/bench/drafts.py [MODEL.gguf]      else the embedded model
"""

from __future__ import annotations

import statistics
import sys
import threading
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from runtime.config import EngineSettings  # noqa: E402
from runtime.engine.engine import Engine  # noqa: E402
from runtime.engine.request import Event, Failed, Finished, Markup, Part, SamplingParams, Text  # noqa: E402

ROUNDS, TOKENS = 7, 200
LIST = ", ".join(f'{{"name": "{name}", "kind": "capital"}}' for name in ("Paris", "Rome", "Madrid", "Lisbon"))
PROMPTS: dict[str, tuple[str, float]] = {
    "an answer": ("Name the european capitals", 0.0),
    "what repeats": (f"Repeat: [{LIST}, {LIST}, {LIST}]", 0.0),
    "what does not": ("Name the european capitals", 2.0),
}
"""What is asked, and at which temperature."""


def chat(text: str) -> list[Part]:
    start, end = Markup("<|im_start|>"), Markup("<|im_end|>")
    return [start, Text(f"user\n{text}"), end, Text("\n"), start, Text("assistant\n")]


def speed(engine: Engine, text: str, temperature: float, seed: int) -> float:
    """Tokens a second, from the first to the last."""
    times: list[float] = []
    over = threading.Event()

    def sink(events: list[Event]) -> None:
        times.append(time.perf_counter())
        if any(isinstance(e, Finished | Failed) for e in events):
            over.set()

    params = SamplingParams(temperature=temperature, seed=seed, max_tokens=TOKENS, ignore_eos=True)
    engine.submit(engine.prepare(chat(text)), params, sink)
    over.wait(300)
    return (TOKENS - 1) / (times[-1] - times[0])


def main(text: Path) -> None:
    engines = [Engine(text, None, EngineSettings(context=2048, draft_tokens=n), name=f"drafts {n}") for n in (0, 7)]
    print(f"{text.name}, {engines[0]._loaded.threads.text} threads; {TOKENS} tokens, median of {ROUNDS} rounds in turn")
    for name, (asked, temperature) in PROMPTS.items():
        figures: list[list[float]] = [[], []]
        before = engines[1].stats()
        for turn in range(ROUNDS + 1):
            for i in (0, 1) if turn % 2 else (1, 0):
                figures[i].append(speed(engines[i], asked, temperature, turn))
        after = engines[1].stats()
        drafted, right = (getattr(after, k) - getattr(before, k) for k in ("tokens_drafted", "tokens_guessed"))
        plain, drafting = (statistics.median(f[1:]) for f in figures)
        print(
            f"{name:16}{plain:9.1f} /s without{drafting:9.1f} /s with: {drafting / plain:.2f}"
            f"   ({drafted} drafted, {right} of them came)",
            flush=True,
        )
    for engine in engines:
        engine.close()


if __name__ == "__main__":
    main(Path(sys.argv[1]) if len(sys.argv) > 1 else ROOT / "models" / "beira-tiny" / "beira-tiny.gguf")
