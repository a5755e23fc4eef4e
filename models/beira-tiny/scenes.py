"""Drawn pictures with what is on them: shapes with their boxes, or a number, or a word. Seeded by the caller's generator."""

from __future__ import annotations

import colorsys
import functools
import itertools
import math
import random
import re
import zlib
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import PIL.Image
import PIL.ImageDraw
import PIL.ImageFont

from lexicon import COLOURS, COMMON, KINDS, SIGNS, SIGNS_HELD_OUT, WORDS

RGB = tuple[int, int, int]
Box = tuple[int, int, int, int]
CELL = 28
"""One image token covers 28 x 28 pixels."""
MIN_CELLS = 8
_HSV = {  # hue in degrees, saturation, value: the shades that a colour's name covers
    "red": ((-9, 8), (0.75, 1), (0.65, 1)),
    "green": ((95, 150), (0.55, 1), (0.4, 1)),
    "blue": ((212, 246), (0.62, 1), (0.6, 1)),
    "yellow": ((50, 61), (0.7, 1), (0.9, 1)),
    "purple": ((272, 304), (0.5, 1), (0.42, 0.8)),
    "orange": ((22, 39), (0.85, 1), (0.92, 1)),
    "black": ((0, 360), (0, 0.4), (0, 0.12)),
    "white": ((0, 360), (0, 0.035), (0.95, 1)),
}
_FONT_DIRS = (Path("/usr/share/fonts/truetype/dejavu"), Path("/usr/share/fonts/dejavu"), Path("/Library/Fonts"))
FONTS = (
    "DejaVuSans", "DejaVuSans-Bold", "DejaVuSerif", "DejaVuSerif-Bold", "DejaVuSansMono", "DejaVuSansCondensed",
    "DejaVuSansMono-Bold", "DejaVuSansCondensed-Bold", "DejaVuSerifCondensed",
    "DejaVuSansMono-Oblique", "DejaVuSansMono-BoldOblique", "DejaVuSerif-Italic", "DejaVuSerifCondensed-Italic", "DejaVuSans-BoldOblique",
)  # fmt: skip
FONTS_HELD_OUT = ("DejaVuSans-Oblique", "DejaVuSerifCondensed-Bold")
_READ = tuple(sorted({w for w in (*SIGNS, *(w.upper() for w in (*COMMON, *WORDS))) if re.fullmatch("[A-Z]{2,5}", w)} - set(SIGNS_HELD_OUT)))
"""Words that training's pictures show."""


@dataclass(frozen=True, slots=True)
class Shape:
    """A drawn shape; `box` is x1, y1, x2, y2 in pixels of the picture as given."""

    kind: str
    colour: str
    box: Box

    @property
    def centre(self) -> tuple[float, float]:
        return (self.box[0] + self.box[2]) / 2, (self.box[1] + self.box[3]) / 2


@dataclass(frozen=True, slots=True)
class Scene:
    """A picture and the truth about it. `shapes` are in the order in which answers name them."""

    picture: PIL.Image.Image = field(repr=False)
    shapes: tuple[Shape, ...] = ()
    text: str | None = None
    letters: tuple[Box, ...] = ()
    """Where each character of `text` is."""


def is_held_out(rgb: RGB) -> bool:
    """Shades that training never sees: an eighth of them, spread evenly."""
    return ((rgb[0] >> 4) * 7 + (rgb[1] >> 4) * 13 + (rgb[2] >> 4) * 29) % 8 == 0


def is_combination_held_out(shapes: list[tuple[str, str]]) -> bool:
    """A tenth of the combinations of several shapes are for evaluation only."""
    return len(shapes) > 1 and zlib.crc32(repr(sorted(shapes)).encode()) % 10 == 0


def shade(rng: random.Random, colour: str, held_out: bool) -> RGB:
    """One shade of `colour`; black and white are too few to hold any out."""
    for _ in range(40):
        h, s, v = (rng.uniform(*r) for r in _HSV[colour])
        r, g, b = colorsys.hsv_to_rgb(h / 360 % 1, s, v)
        rgb = round(r * 255), round(g * 255), round(b * 255)
        if colour in ("black", "white") or is_held_out(rgb) == held_out:
            break
    return rgb


def picture_size(rng: random.Random, cells: tuple[int, int], held_out: bool) -> tuple[int, int]:
    """A size in pixels that fills `cells` columns and rows of tokens; widths of 4 modulo 9 are held out."""
    while True:
        size = tuple(CELL * n if rng.random() < 0.5 else rng.randint(max(56, CELL * (n - 1) + 1), CELL * n) for n in cells)
        if (size[0] % 9 == 4) == held_out or (held_out and rng.random() < 0.05):
            return size  # type: ignore[return-value]


def padded_cells(width: int, height: int) -> tuple[int, int]:
    """Columns and rows of tokens of a picture as the runtime pads it (runtime/ai/media.py)."""
    columns, rows = math.ceil(width / CELL), math.ceil(height / CELL)
    while columns * rows < MIN_CELLS:
        if columns <= rows:
            columns += 1
        else:
            rows += 1
    return columns, rows


def pixels(picture: PIL.Image.Image) -> np.ndarray:
    """(height, width, 3) as the runtime gives it to llama.cpp: not scaled, its last column and row repeated to whole tokens."""
    columns, rows = padded_cells(*picture.size)
    raw = np.asarray(picture)
    return np.pad(raw, ((0, rows * CELL - raw.shape[0]), (0, columns * CELL - raw.shape[1]), (0, 0)), mode="edge")


def draw_shapes(rng: random.Random, size: tuple[int, int], count: int, held_out: bool = False) -> Scene:
    """`count` shapes, all different, none touching another. Fewer where they do not fit."""
    width, height = size
    while True:
        pairs = [(rng.choice(KINDS), rng.choice(COLOURS)) for _ in range(count)]
        if rng.random() < (0.3 if held_out or count != 2 else 0.5):  # several of one kind or one colour: what counting is about, and telling two apart
            pairs = [(pairs[0][0], c) for _, c in pairs] if rng.random() < 0.6 else [(k, pairs[0][1]) for k, _ in pairs]
        if len(set(pairs)) == count and (count == 1 or held_out or not is_combination_held_out(pairs)):
            if not held_out or count == 1 or is_combination_held_out(pairs) or rng.random() < 0.05:
                break
    shades = [shade(rng, c, held_out) for _, c in pairs]
    boxes = _places(rng, width, height, count)
    pairs, shades = pairs[: len(boxes)], shades[: len(boxes)]
    scale = 1 if rng.random() < 0.3 else 3
    image = _background(rng, size, shades, [c for _, c in pairs]).resize((width * scale, height * scale), PIL.Image.Resampling.NEAREST)
    draw = PIL.ImageDraw.Draw(image)
    shapes = []
    for (kind, colour), rgb, box in zip(pairs, shades, boxes, strict=True):
        points = outline(rng, kind, box)
        fill(draw, kind, points, scale, rgb)
        xs, ys = [p[0] for p in points], [p[1] for p in points]
        shapes.append(Shape(kind, colour, (round(min(xs)), round(min(ys)), round(max(xs)), round(max(ys)))))
    if scale > 1:
        image = image.resize(size, PIL.Image.Resampling.BOX)
    shapes.sort(key=lambda s: order(s.box))
    return Scene(image, tuple(shapes))


def draw_text(rng: random.Random, size: tuple[int, int], held_out: bool = False, name: str | None = None) -> Scene:
    """A number of one to four digits, or a word in capitals, in one of several fonts or in that of `name`; a character has 17 pixels or more."""
    width, height = size
    longest = (width - 4) // 17
    words = [w for w in SIGNS_HELD_OUT if len(w) <= longest]
    if not held_out:
        text = _text(rng, longest)
    elif rng.random() < 0.5 or not words:
        text = "".join(rng.choice("0123456789") for _ in range(rng.randint(1, min(4, longest)))).lstrip("0") or "7"
    else:
        text = rng.choice(words)
    ink, paper = _ink(rng)
    image = _paper(rng, size, paper)
    draw = PIL.ImageDraw.Draw(image)
    high = min(height * 0.85, 84.0)
    low = min(26.0, high)
    for _ in range(20):
        reach = max(low, min(high, width * 1.4 / len(text))) - low
        chosen = _font_name(rng, held_out) if name is None else name
        font = font_of(chosen, int(low + reach * rng.random() ** (1 if held_out else 2)))
        left, top, right, bottom = draw.textbbox((0, 0), text, font=font)
        if right - left <= width - 4 and bottom - top <= height - 4:
            break
        high = max(20.0, high * 0.85)
        low = min(low, high)
    x = rng.uniform(2 - left, max(2 - left, width - 2 - right))
    y = rng.uniform(2 - top, max(2 - top, height - 2 - bottom))
    draw.text((x, y), text, font=font, fill=ink)
    edges = [x + font.getlength(text[:i]) for i in range(len(text) + 1)]
    boxes = [(round(a), round(y + top), round(b), round(y + bottom)) for a, b in itertools.pairwise(edges)]
    return Scene(image, (), text, tuple(boxes))


def _text(rng: random.Random, longest: int) -> str:
    """What training's pictures say: more often long than short, as letters that share a token are the hardest."""
    r, length = rng.random(), min(longest, rng.choices((1, 2, 3, 4, 5), (3, 3, 4, 5, 4))[0])
    words = [w for w in _READ if length <= len(w) <= longest]
    if r < 0.42 or length < 2:
        return "".join(rng.choice("0123456789") for _ in range(min(4, length))).lstrip("0") or "7"
    if r < 0.7 and words:
        return rng.choice(words)
    return "".join(rng.choice("ABCDEFGHIJKLMNOPQRSTUVWXYZ") for _ in range(length))


def draw_page(rng: random.Random, size: tuple[int, int]) -> Scene:
    """Lines of letters and digits, as many as fit: for the tower's lessons alone."""
    width, height = size
    ink, paper = _ink(rng)
    image = _paper(rng, size, paper)
    draw = PIL.ImageDraw.Draw(image)
    text, letters, y = "", [], rng.uniform(1, 8)
    while height - y > 27:
        font = font_of(_font_name(rng, False), int(24 + (max(24, min(84, 1.15 * (height - y))) - 24) * rng.random() ** 2))
        x = rng.uniform(1, 12)
        top, bottom = draw.textbbox((0, 0), "H0", font=font)[1::2]
        if y + bottom - top > height - 1:
            continue
        while True:
            c = rng.choice("0123456789" if rng.random() < 0.35 else "ABCDEFGHIJKLMNOPQRSTUVWXYZ")
            wide = font.getlength(c)
            if x + wide > width - 1:
                break
            draw.text((x, y - top), c, font=font, fill=ink)
            text += c
            letters.append((round(x), round(y), round(x + wide), round(y + bottom - top)))
            x += wide
        y += bottom - top + rng.uniform(3, 14)
    return Scene(image, (), text, tuple(letters))


def _places(rng: random.Random, width: int, height: int, count: int) -> list[Box]:
    """Boxes that keep a distance from each other."""
    short = min(width, height)
    for attempt in range(60):
        boxes: list[Box] = []
        big = 0.8 if count == 1 else 0.6 if count == 2 else 0.5
        big *= 0.96**attempt
        for _ in range(count):
            for _ in range(12):
                low = max(19, min(28, 0.24 * short))
                side = rng.uniform(low, max(low, big * short))
                x, y = rng.uniform(1, max(1, width - 1 - side)), rng.uniform(1, max(1, height - 1 - side))
                box = (round(x), round(y), round(x + side), round(y + side))
                if all(_are_apart(box, b) for b in boxes):
                    boxes.append(box)
                    break
        if len(boxes) == count:
            return boxes
    return boxes


def order(box: Box) -> tuple[int, int]:
    """By which shapes are told one after the other: by the token that shows them first, row by row. So each token can know which
    of the shapes it shows from those before it alone; a text model's token sees no others. Less than three pixels' height of a
    shape, as of a tip, is not seen."""
    return (box[1] + 3) // CELL, box[0]


def _are_apart(a: Box, b: Box, gap: int = 3) -> bool:
    return a[2] + gap <= b[0] or b[2] + gap <= a[0] or a[3] + gap <= b[1] or b[3] + gap <= a[1]


def outline(rng: random.Random, kind: str, box: Box) -> list[tuple[float, float]]:
    """The shape's points within `box`; those of a circle are its bounds' corners."""
    x1, y1, x2, y2 = box
    cx, cy, r = (x1 + x2) / 2, (y1 + y2) / 2, (x2 - x1) / 2
    turn = math.radians(rng.uniform(-9, 9))
    if kind in ("circle", "square"):
        return [(x1, y1), (x2, y1), (x2, y2), (x1, y2)]
    if kind == "triangle":
        wide = rng.uniform(0.8, 1)
        points = [(0.0, -1.0), (wide, 0.9), (-wide, 0.9)]
    elif kind == "star":
        inner = rng.uniform(0.38, 0.46)
        points = [(math.sin(i * math.pi / 5) * (inner if i % 2 else 1), -math.cos(i * math.pi / 5) * (inner if i % 2 else 1)) for i in range(10)]
    elif kind == "cross":
        t = rng.uniform(0.24, 0.38)
        points = [(-t, -1), (t, -1), (t, -t), (1, -t), (1, t), (t, t), (t, 1), (-t, 1), (-t, t), (-1, t), (-1, -t), (-t, -t)]
    else:
        steps = [2 * math.pi * i / 40 for i in range(40)]
        points = [(math.sin(a) ** 3, -(13 * math.cos(a) - 5 * math.cos(2 * a) - 2 * math.cos(3 * a) - math.cos(4 * a)) / 16) for a in steps]
    if kind in ("triangle", "star"):
        points = [(x * math.cos(turn) - y * math.sin(turn), x * math.sin(turn) + y * math.cos(turn)) for x, y in points]
    reach = max(1.0, *(max(abs(x), abs(y)) for x, y in points))
    return [(cx + x * r / reach, cy + y * r / reach) for x, y in points]


def fill(draw: PIL.ImageDraw.ImageDraw, kind: str, points: list[tuple[float, float]], scale: int, rgb: RGB) -> None:
    big = [(x * scale, y * scale) for x, y in points]
    if kind == "circle":
        draw.ellipse([*big[0], *big[2]], fill=rgb)
    else:
        draw.polygon(big, fill=rgb)


def _distance(a: RGB, b: RGB) -> float:
    return math.dist(a, b)


def _any_colour(rng: random.Random) -> RGB:
    r = rng.random()
    if r < 0.4:
        v = rng.randint(236, 255)
        return v, v, v
    if r < 0.55:
        v = rng.randint(60, 236)
        return v, v, v
    if r < 0.8:  # pastel
        h = rng.random()
        c = colorsys.hsv_to_rgb(h, rng.uniform(0.05, 0.35), rng.uniform(0.8, 1))
    elif r < 0.92:  # dark
        c = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.1, 0.8), rng.uniform(0.1, 0.4))
    else:
        c = colorsys.hsv_to_rgb(rng.random(), rng.uniform(0.4, 1), rng.uniform(0.5, 1))
    return round(c[0] * 255), round(c[1] * 255), round(c[2] * 255)


def _far_colour(rng: random.Random, others: list[RGB], names: list[str]) -> RGB:
    least = 105.0
    while True:
        c = (255, 255, 255) if rng.random() < 0.15 else _any_colour(rng)
        if all(_distance(c, o) > least for o in others):
            return c
        least -= 2


def _background(rng: random.Random, size: tuple[int, int], shades: list[RGB], names: list[str]) -> PIL.Image.Image:
    return _paper(rng, size, _far_colour(rng, shades, names), lambda: _far_colour(rng, shades, names))


def _paper(rng, size, base: RGB, other=None) -> PIL.Image.Image:  # type: ignore[no-untyped-def]
    """Plain, shaded, grained or striped."""
    width, height = size
    r = rng.random()
    if r < 0.62 or (other is None and r < 0.85):
        return PIL.Image.new("RGB", size, base)
    if r < 0.8 and other is not None:
        two = other()
        if _distance(base, two) > 140:  # the way between them could meet a shape's colour
            two = tuple(round(a + (b - a) * 0.35) for a, b in zip(base, two, strict=True))
        ramp = PIL.Image.linear_gradient("L").resize(size)
        if rng.random() < 0.5:
            ramp = PIL.Image.linear_gradient("L").rotate(90).resize(size)
        return PIL.Image.composite(PIL.Image.new("RGB", size, two), PIL.Image.new("RGB", size, base), ramp)
    image = PIL.Image.new("RGB", size, base)
    if r < 0.93:
        # PIL's own noise cannot be seeded
        grain = np.random.default_rng(rng.getrandbits(32)).normal(128, rng.uniform(8, 60), (height, width, 1))
        noise = PIL.Image.fromarray(np.repeat(grain.clip(0, 255).astype(np.uint8), 3, axis=2))
        return PIL.Image.blend(image, noise, rng.uniform(0.05, 0.2))
    draw, step = PIL.ImageDraw.Draw(image), rng.randint(5, 16)
    line = tuple(max(0, min(255, v + rng.choice((-18, 18)))) for v in base)
    for i in range(0, width + height, step):
        draw.line([(i, 0), (i - height * rng.choice((0, 1)), height)], fill=line)
    return image


def _ink(rng: random.Random) -> tuple[RGB, RGB]:
    while True:
        ink = (rng.randint(0, 40),) * 3 if rng.random() < 0.6 else _any_colour(rng)
        paper = _any_colour(rng)
        if abs(sum(ink) - sum(paper)) > 260:
            return ink, paper


def _font_name(rng: random.Random, held_out: bool) -> str:
    if rng.random() < 0.12:
        return ""
    return rng.choice(FONTS_HELD_OUT if held_out and rng.random() < 0.5 else FONTS)


@functools.cache
def font_of(name: str, size: int) -> PIL.ImageFont.FreeTypeFont | PIL.ImageFont.ImageFont:
    """The named font, or PIL's own where it is not installed."""
    for folder in _FONT_DIRS if name else ():
        if (file := folder / f"{name}.ttf").exists():
            return PIL.ImageFont.truetype(str(file), size)
    return PIL.ImageFont.load_default(size)
