"""Conversations to arrays: tokens with the weight of each in the loss, positions, pictures as patches, and the truth about them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch

import calling  # noqa: F401  (imported before the workers fork)
import data
from attention import filled, filling
from chats import Chat
from encoded import MOST_LETTERS, MOST_SHAPES, Encoded
from encoding import Encoder
from lexicon import COLOURS, KINDS
from network import KIND_CLASSES, PATCH_VALUES, SEEN, SHARED_LETTERS
from scenes import CELL, Scene, draw_page, padded_cells, picture_size, pixels

MEAN = np.array([0.48145466, 0.4578275, 0.40821073], np.float32)
STD = np.array([0.26862954, 0.26130258, 0.27577711], np.float32)
LARGE = {"seeing": 0.3, "listing": 0.6, "placing": 0.15, "spotting": 0.02}
"""The kinds of batches with pictures, and how many of each have large ones."""
LETTERS = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(slots=True)
class Pictures:
    """Pictures of one size in tokens. `seen`: (b, tokens, SEEN) truth; `placed`: (b, tokens, 4) boxes / 28; `ranked`: (b, tokens)
    its shape's place among all, where it has one; `lettered`: (b, tokens, MOST_LETTERS), which of its letters a token shows;
    `spelled`, alike, what they are, and `ordered`: (b, tokens, SHARED_LETTERS), the first letters of a token: classes, or -1."""

    columns: int
    rows: int
    patches: np.ndarray
    seen: np.ndarray
    placed: np.ndarray
    has_shape: np.ndarray
    ranked: np.ndarray
    lettered: np.ndarray
    spelled: np.ndarray
    ordered: np.ndarray


@dataclass(slots=True)
class Batch:
    """Chats, one behind the other, `lengths` (b,) each, and some filling as the last: `tokens` (t,), `positions` (3, t); `weights` (t,) of predicting the token;
    `at`: places of the pictures' rows."""

    kind: str
    lengths: np.ndarray
    tokens: np.ndarray
    positions: np.ndarray
    weights: np.ndarray
    pictures: Pictures | None = None
    at: np.ndarray | None = None
    boxed: np.ndarray | None = None
    """(boxes' tokens, 5): place and the box in tokens, NaN for each coordinate that is not asked there."""
    pointed: np.ndarray | None = None
    """(answers' tokens, 3): chat, place in it and head of what must look at its source."""
    sources: np.ndarray | None = None
    """(answers' tokens, longest): where that is."""
    noted: dict[str, np.ndarray] = field(default_factory=dict)
    """By aid, (tokens, 2): place and the class that is asked for there: the tens of the coordinate that comes next
    (`measured`), the direction (`side`), the kind of work (`sort`), what a word means (`meaning`), which letter or shape comes next (`turn`), which tool is
    defined (`tool`), called (`called`) or has a question's word (`whose`), which argument (`slot`), and of which call (`part`); which
    tool an answer calls first, if any (`chosen`), which argument of which call a call's token is of (`argument`, `nth call`), which comes
    behind it (`following`), whether another call does (`more`); what kind of answer comes (`task`), in which language (`language`), which shape is spoken of
    (`about`, `asked kind`, `asked colour`), with which it is compared (`beside`, `other`), which picture is (`picture`, `image`),
    how many there were (`nth`, `nth of all`), which a name is of (`named`), which edge of its box comes next (`edge`), which letters a word's piece
    has (`letter 0` and on), and the how manieth of them a spelled one is (`within`); the how manieth token of what is copied
    it is, or comes next (`copied`)."""

    @property
    def is_answered(self) -> bool:
        """Not of requests, choices and pictures alone, of which only what they are about and show is asked."""
        return self.kind not in ("asking", "choosing", "looking", "showing")


def positions_of(n: int, pictures: list[tuple[int, int, int]]) -> np.ndarray:
    """(3, n): time, height, width. A picture moves the position on by its longer side."""
    out = np.empty((3, n), np.int64)
    at = pos = 0
    for place, columns, rows in pictures:
        out[:, at:place] = np.arange(pos, pos + place - at)
        pos += place - at
        cells = columns * rows
        out[0, place : place + cells] = pos
        out[1, place : place + cells] = pos + np.repeat(np.arange(rows), columns)
        out[2, place : place + cells] = pos + np.tile(np.arange(columns), rows)
        pos += max(columns, rows)
        at = place + cells
    out[:, at:] = np.arange(pos, pos + n - at)
    return out


def patches_of(raw: np.ndarray) -> np.ndarray:
    """(height, width, 3) bytes to (patches, 588) bytes, channel by channel, the 2 x 2 patches of a token together."""
    x = raw
    rows, columns = raw.shape[0] // CELL, raw.shape[1] // CELL
    x = x.reshape(rows, 2, 14, columns, 2, 14, 3).transpose(0, 3, 1, 4, 6, 2, 5)
    return np.ascontiguousarray(x.reshape(rows * columns * 4, -1))


def normalised(patches: np.ndarray) -> torch.Tensor:
    """(…, 588) bytes to floats as the tower takes them."""
    mean, std = (torch.from_numpy(v).repeat_interleave(PATCH_VALUES // 3) for v in (MEAN, STD))
    return (torch.from_numpy(patches).float() / 255 - mean) / std


def truth(scene: Scene, columns: int, rows: int) -> tuple[np.ndarray, ...]:
    """What each token of the picture shows."""
    seen = np.zeros((rows, columns, SEEN), np.float32)
    placed = np.zeros((rows, columns, 4), np.float32)
    best = np.zeros((rows, columns), np.float32)
    x, y = np.arange(columns) * CELL, np.arange(rows) * CELL
    n_pairs = KIND_CLASSES * len(COLOURS)

    def overlap(box: tuple[int, int, int, int]) -> np.ndarray:
        across = np.clip(np.minimum(x + CELL, box[2]) - np.maximum(x, box[0]), 0, None)
        down = np.clip(np.minimum(y + CELL, box[3]) - np.maximum(y, box[1]), 0, None)
        covered: np.ndarray = down[:, None] * across[None]
        return covered

    ranked = np.zeros((rows, columns), np.int64)
    for i, s in enumerate(scene.shapes):
        area = overlap(s.box)
        inside = area > 50
        kind, colour = KINDS.index(s.kind), COLOURS.index(s.colour)
        for k in (kind * len(COLOURS) + colour, n_pairs + kind, n_pairs + KIND_CLASSES + colour):
            seen[inside, k] = 1
        mine = inside & (area > best)
        best[mine] = area[mine]
        ranked[mine] = min(i, MOST_SHAPES - 1)
        placed[mine] = np.array(s.box, np.float32) / CELL
    origin = np.stack([np.tile(x, (rows, 1)), np.tile(y[:, None], (1, columns))] * 2, -1) / CELL
    seen[..., -4:] = placed - origin
    lettered = np.zeros((rows, columns, MOST_LETTERS), np.float32)
    spelled, ordered = np.full(lettered.shape, -1, np.int64), np.full((rows, columns, SHARED_LETTERS), -1, np.int64)
    for i, (letter, box) in enumerate(zip(scene.text or "", scene.letters, strict=True)):
        least = max(40, 0.2 * min(CELL * CELL, (box[2] - box[0]) * (box[3] - box[1])))
        shown, value = overlap(box) > least, LETTERS.index(letter)
        seen[shown, n_pairs + KIND_CLASSES + len(COLOURS) + value] = 1
        lettered[shown, min(i, MOST_LETTERS - 1)] = 1
        if i < MOST_LETTERS:
            spelled[shown, i] = value
        free = shown.copy()
        for k in range(SHARED_LETTERS):
            here = free & (ordered[..., k] < 0)
            ordered[here, k] = value
            free &= ~here
    return seen.reshape(rows * columns, -1), placed.reshape(-1, 4), best.reshape(-1) > 0, ranked.reshape(-1), *(a.reshape(rows * columns, -1) for a in (lettered, spelled, ordered))


def pictures_of(scenes: list[Scene]) -> Pictures:
    columns, rows = padded_cells(*scenes[0].picture.size)
    made = [truth(s, columns, rows) for s in scenes]
    return Pictures(columns, rows, np.stack([patches_of(pixels(s.picture)) for s in scenes]), *(np.stack(t) for t in zip(*made, strict=True)))


def batch_of(kind: str, made: list[Encoded], scenes: list[Scene], rng: random.Random) -> Batch:
    """Chats, encoded, and what they show. Now and then a text's positions jump, as if much had been said in between."""
    lengths = np.array([len(one.ids) for one in made])
    starts, n = np.cumsum(lengths) - lengths, int(lengths.sum())
    more = filled(n) - n
    lengths = np.append(lengths, np.array(filling(lengths.tolist()), np.int64))
    tokens, weights, positions = np.zeros(n + more, np.int64), np.zeros(n + more, np.float32), np.zeros((3, n + more), np.int64)
    pointed = [(i, place, head, source) for i, one in enumerate(made) for place, head, source in one.pointed]
    at = []
    for one, start in zip(made, starts.tolist(), strict=True):
        end = start + len(one.ids)
        tokens[start:end], weights[start + 1 : end] = one.ids, one.weights[1:]
        p = positions_of(len(one.ids), one.pictures)
        if kind in ("saying", "repeating", "asking") and rng.random() < 0.3:
            p[:, rng.randrange(len(one.ids)) :] += rng.randint(1, 1800)
        positions[:, start:end] = p
        at += [start + place + k for place, columns, rows in one.pictures for k in range(columns * rows)]
    asked = np.array([p[:3] for p in pointed], np.int64).reshape(-1, 3)
    sources = np.zeros((len(pointed), int(lengths.max())), bool)
    for i, (*_, source) in enumerate(pointed):
        sources[i, source] = True
    noted = {
        name: np.array([(start + place, value) for start, one in zip(starts.tolist(), made, strict=True) for place, value in one.noted.get(name, ())], np.int64)
        for name in sorted({name for one in made for name, asked in one.noted.items() if asked})
    }
    if not scenes:
        return Batch(kind, lengths, tokens, positions, weights, pointed=asked, sources=sources, noted=noted)
    boxed = [(start + place, *(v / CELL for v in box)) for start, one in zip(starts.tolist(), made, strict=True) for place, box in one.boxed]
    boxes = np.array(boxed, np.float32).reshape(-1, 5)
    return Batch(kind, lengths, tokens, positions, weights, pictures_of(scenes), np.array(at), boxes, asked, sources, noted)


def group(seed: int, index: int, kind: str, size: int, encoder: Encoder, count: int = 4) -> list[Any]:
    """`count` batches of one kind, chats of like length together. The same for the same seed and index."""
    rng = random.Random(f"{seed} {kind} {index}")
    if kind == "reading":
        return [pages(seed, index * count + i, size) for i in range(count)]
    if kind in LARGE:
        cells = data.cells_for(rng, LARGE[kind], is_even=kind != "spotting")
        size = max(3, min(size, 400 // (cells[0] * cells[1])))
        make_one = {"seeing": data.seeing_chat, "listing": data.listing_chat, "placing": data.placing_chat, "spotting": data.reading_chat}[kind]
        made = [_encoded(make_one(rng, cells), encoder) for _ in range(size * count)]
    elif kind in ("looking", "showing"):
        cells = data.cells_for(rng, 0.05)
        scenes = [data.scene(rng, cells, False) for _ in range(max(3, min(size, 600 // (cells[0] * cells[1]))) * count)]
        size = len(scenes) // count
        made = [(encoder.shown(*padded_cells(*s.picture.size)), [s]) for s in scenes]
    elif kind == "choosing":
        made = [(encoder.chat(data.choosing_chat(rng), has_answers=False), []) for _ in range(size * count)]
    elif kind == "asking":
        made = [(encoder.alone(*data.asking(rng)), []) for _ in range(size * count)]
    else:
        make = {"saying": data.saying_chat, "repeating": data.repeating_chat, "calling": data.calling_chat, "recalling": data.recalling_chat}[kind]
        made = [_encoded(make(rng), encoder) for _ in range(size * count)]
    made.sort(key=lambda one: len(one[0].ids))
    rows = [made[i * size : (i + 1) * size] for i in range(count)]
    batches = [batch_of(kind, [one for one, _ in row], [s for _, scenes in row for s in scenes], rng) for row in rows]
    rng.shuffle(batches)
    return batches


def _encoded(chat: Chat, encoder: Encoder) -> tuple[Encoded, list[Scene]]:
    return encoder.chat(chat), chat.scenes


def looks(seed: int, index: int, size: int) -> Pictures:
    """Pictures alone, for the tower's first lessons."""
    rng = random.Random(f"{seed} looking {index}")
    cells = data.cells_for(rng, large=0.0)
    size = max(6, min(size, 800 // (cells[0] * cells[1])))
    return pictures_of([data.scene(rng, cells, False, text=0.3) for _ in range(size)])


def pages(seed: int, index: int, size: int) -> Pictures:
    """Pictures full of letters, for the tower alone: what is read needs by far the most examples."""
    rng = random.Random(f"{seed} pages {index}")
    cells = rng.choice(((2, 2), (3, 2), (4, 2), (5, 2), (3, 3), (4, 3), (6, 2), (5, 3)))
    return pictures_of([draw_page(rng, picture_size(rng, cells, False)) for _ in range(max(4, size // (cells[0] * cells[1])))])
