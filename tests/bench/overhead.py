"""What a decoded token costs beside `llama_decode`: the engine in this process, one greedy stream."""

from __future__ import annotations

import threading
import time
from itertools import pairwise
from pathlib import Path

from runtime.config import EngineSettings
from runtime.engine.batch import EmbeddingBatch, TextBatch
from runtime.engine.engine import Engine
from runtime.engine.request import Event, Failed, Finished, SamplingParams, Text
from runtime.engine.sequence import Request

TOKENS = 96


def overhead(text: Path, threads: int) -> float:
    """Time between decodes as a share of the time in them. Median over tokens: the machine has other things to do."""
    engine = Engine(text, None, EngineSettings(context=2048, threads=threads), name="bench")
    spans: list[tuple[float, float]] = []
    decode = engine._decode

    def timed(batch: TextBatch | EmbeddingBatch, long: set[Request]) -> int:
        begin = time.perf_counter()
        try:
            return decode(batch, long)
        finally:
            spans.append((begin, time.perf_counter()))

    engine._runner._decode = timed
    over = threading.Event()

    def sink(events: list[Event]) -> None:
        if any(isinstance(e, Finished | Failed) for e in events):
            over.set()

    try:
        prompt = engine.prepare([Text("river stone copper window")])
        engine.submit(prompt, SamplingParams(temperature=0, max_tokens=TOKENS, ignore_eos=True), sink)
        over.wait(120)
    finally:
        engine.close()
    between = sorted(b[0] - a[1] for a, b in pairwise(spans[1:]))
    inside = sorted(end - begin for begin, end in spans[1:])
    return between[len(between) // 2] / inside[len(inside) // 2]
