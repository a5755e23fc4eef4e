"""A client of `/v1/chat/completions` that costs little: raw HTTP/1.1, one connection a request, times of its pieces."""

from __future__ import annotations

import asyncio
import base64
import io
import json
import time
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from PIL import Image

TIMEOUT_S = 240.0
WORDS = (
    "river",
    "stone",
    "copper",
    "window",
    "garden",
    "letter",
    "silver",
    "mountain",
    "paper",
    "bridge",
    "lamp",
    "sea",
)


@dataclass(slots=True)
class Timeline:
    """When a request was sent, and when each piece of its text came, in seconds of one clock."""

    begin: float
    pieces: list[float] = field(default_factory=list)

    @property
    def first(self) -> float:
        return self.pieces[0] - self.begin

    @property
    def gaps(self) -> list[float]:
        return [b - a for a, b in zip(self.pieces, self.pieces[1:], strict=False)]


async def ask(
    port: int, messages: list[dict[str, Any]], max_tokens: int, timeline: Timeline | None = None, **more: Any
) -> Timeline:
    """One streamed, greedy answer of exactly `max_tokens` tokens; `timeline` can be watched while it runs."""
    body = json.dumps(
        {"model": "bench", "messages": messages, "max_tokens": max_tokens, "temperature": 0, "ignore_eos": True,
         "stream": True, **more}
    ).encode()  # fmt: skip
    made = timeline or Timeline(0.0)
    made.begin = time.perf_counter()
    async with asyncio.timeout(TIMEOUT_S):
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1 << 20)
        try:
            head = "POST /v1/chat/completions HTTP/1.1\r\nhost: bench\r\nconnection: close\r\n"
            head += f"content-type: application/json\r\ncontent-length: {len(body)}\r\n\r\n"
            writer.write(head.encode() + body)
            answer = await reader.readuntil(b"\r\n\r\n")
            if not answer.startswith(b"HTTP/1.1 200"):
                raise RuntimeError((answer + await reader.read(2000)).decode("utf-8", "replace"))
            await _read(reader, made)
        finally:
            writer.close()
    return made


async def _read(reader: asyncio.StreamReader, timeline: Timeline) -> None:
    """Lines of server-sent events; both servers send whole events in a chunk, so chunk sizes are lines of their own."""
    while line := await reader.readline():
        if not line.startswith(b"data: "):
            continue
        if line.startswith(b"data: [DONE]"):
            return
        data = json.loads(line[6:])
        if "error" in data:
            raise RuntimeError(str(data["error"]))
        if data["choices"] and data["choices"][0]["delta"].get("content"):
            timeline.pieces.append(time.perf_counter())
    raise RuntimeError("the stream was cut")


class Prompts:
    """Prompts that no server has seen: every one is drawn anew from one seeded source."""

    def __init__(self, seed: int) -> None:
        self._rng = np.random.default_rng(seed)

    def text(self, words: int) -> str:
        """About one token a word."""
        return " ".join(self._rng.choice(WORDS, words))

    def chat(self, words: int, system: str = "") -> list[dict[str, Any]]:
        system = system or f"Number {self._rng.integers(10**9)}."
        return [{"role": "system", "content": system}, {"role": "user", "content": self.text(words)}]

    def picture(self, width: int, height: int) -> dict[str, Any]:
        """A part of a message: noise over a gradient, as a PNG."""
        y, x = np.mgrid[0:height, 0:width]
        pixels = np.stack([x * 255 // width, y * 255 // height, (x + y) % 256], axis=-1)
        pixels = pixels + self._rng.integers(-8, 8, pixels.shape)
        out = io.BytesIO()
        Image.fromarray(pixels.clip(0, 255).astype(np.uint8)).save(out, "PNG", compress_level=1)
        url = "data:image/png;base64," + base64.b64encode(out.getvalue()).decode()
        return {"type": "image_url", "image_url": {"url": url}}

    def about(self, picture: dict[str, Any], words: int) -> list[dict[str, Any]]:
        """A new text, then the picture."""
        return [{"role": "user", "content": [{"type": "text", "text": self.text(words)}, picture]}]
