"""Where a picture is decoded: on the thread at hand, or, if it is large, in a process of its own.

Some decoders hold the interpreter's lock while they hand over their pixels: 40 megapixels of WebP stopped the event
loop for 150 ms. The process that `python -m runtime.ai.decoding` is ends with its picture, and can be ended before.

    in:  a JSON line of `path`, `min_pixels`, `max_pixels`, then the file
    out: a JSON line of `width`, `height`, `key`, or of `error`; then the pixels
"""

from __future__ import annotations

import json
import subprocess
import sys

from runtime.ai import media
from runtime.engine.request import Image
from runtime.errors import ImageError

LARGE_PIXELS = 8_000_000
DECODE_S = 10.0


def decode(data: bytes, fit: media.Fit, path: str) -> Image:
    """As `media.decode`; the interpreter's lock is never held for long. Raises ImageError."""
    if not media.is_larger(data, LARGE_PIXELS):
        return media.decode(data, fit, path)
    order = {"path": path, "min_pixels": fit.min_pixels, "max_pixels": fit.max_pixels}
    command = [sys.executable, "-m", "runtime.ai.decoding"]
    given = json.dumps(order).encode() + b"\n" + data
    try:
        done = subprocess.run(command, input=given, stdout=subprocess.PIPE, timeout=DECODE_S, check=False)
    except subprocess.TimeoutExpired:
        raise media.fault(path, f"the image takes more than {DECODE_S:.0f} s to decode") from None
    head, _, pixels = done.stdout.partition(b"\n")
    if done.returncode:
        raise media.fault(path, "the image is damaged: its decoder died")
    made = json.loads(head)
    if "error" in made:
        raise ImageError(made["error"], param=path)
    return Image(made["width"], made["height"], pixels, made["key"])


def main() -> None:
    """The process."""
    head, _, data = sys.stdin.buffer.read().partition(b"\n")
    order = json.loads(head)
    pixels = b""
    try:
        image = media.decode(data, media.Fit(order["min_pixels"], order["max_pixels"]), order["path"])
        answer = {"width": image.width, "height": image.height, "key": image.key}
        pixels = image.rgb
    except ImageError as e:
        answer = {"error": e.message}
    sys.stdout.buffer.write(json.dumps(answer).encode() + b"\n" + pixels)


if __name__ == "__main__":
    main()
