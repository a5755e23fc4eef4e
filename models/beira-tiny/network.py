"""Qwen2.5-VL's mathematics in plain torch, at the embedded model's shape: what is trained. parity.py holds it to transformers.

Texts and pictures stand one behind the other, whatever their lengths; only attention knows which tokens belong together (`Segments`).
Norms' epsilon is that of llama.cpp (1e-6 in the tower, none in the text model).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

import kernels
from attention import Segments, attend, attend_before, attending, filled, filling
from encoded import LANGUAGES, MOST_CALLS, MOST_COPIED, MOST_LETTERS, MOST_PIECE, MOST_SHAPES, MOST_SLOTS, MOST_TOOLS, NO_LETTER, RECOGNISING, TASKS
from made import SORTS
from meanings import ROWS

PATCH, MERGE, WINDOW = 14, 2, 4
"""Pixels a patch, patches a token's side, tokens a window's side."""
PATCH_VALUES = 3 * PATCH * PATCH
TEXT_EPS, TOWER_EPS = 1e-8, 1e-6
OWN_LAYERS, TOLD_LAYER, WORDS_LAYER, POINTED_LAYERS = (0, 1), 2, 3, (4, 5)
"""The text model's layers whose outputs the aids are asked about: of the pictures' tokens where they are, then what they
show, and (the last) of the answers'.
In the latter ones heads are also shown where to look: in one at the words that a question shares with the tools, in the
others at what answers follow from, the second time with what the first one found."""
ASKED_LAYERS = {
    "meaning": TOLD_LAYER, "sort": TOLD_LAYER, "tool": TOLD_LAYER, "whose": WORDS_LAYER, "turn": WORDS_LAYER, "slot": WORDS_LAYER,
    "about": WORDS_LAYER, "beside": WORDS_LAYER, "other": POINTED_LAYERS[0], "picture": TOLD_LAYER, "image": WORDS_LAYER, "nth": WORDS_LAYER, "nth of all": WORDS_LAYER,
    "named": TOLD_LAYER, "edge": WORDS_LAYER, "asked kind": WORDS_LAYER, "asked colour": WORDS_LAYER,
    "task": WORDS_LAYER, "language": WORDS_LAYER, "part": WORDS_LAYER, "argument": WORDS_LAYER, "nth call": WORDS_LAYER, "chosen": POINTED_LAYERS[0], "more": POINTED_LAYERS[0],
    "within": POINTED_LAYERS[-1], "following": POINTED_LAYERS[0], "called": POINTED_LAYERS[0], "copied": POINTED_LAYERS[0], "measured": POINTED_LAYERS[-1], "side": POINTED_LAYERS[-1],
} | {f"letter {i}": OWN_LAYERS[0] for i in range(MOST_PIECE)}  # fmt: skip
"""Where those aids are asked that tell classes apart."""


@dataclass(frozen=True, slots=True)
class Shape:
    """The model's numbers; both heads' widths are hidden / heads."""

    vocabulary: int = 2048
    hidden: int = 192
    layers: int = 7
    heads: int = 6
    kv_heads: int = 2
    ffn: int = 448
    rope_base: float = 4000.0
    rope_sections: tuple[int, int, int] = (0, 3, 13)
    """Of the 16 frequencies, those for time, height, width; of one frame, time says nothing. The fast ones tell rows and
    columns apart (0.35 and 0.2 radians each and more), the slow ones leave what is 2,000 tokens away where it was."""
    vision_hidden: int = 160
    vision_layers: int = 4
    vision_heads: int = 5
    vision_ffn: int = 416
    vision_pattern: int = 2
    """Every second block of the tower attends to the whole picture, the others within windows of 112 pixels."""

    @property
    def head(self) -> int:
        return self.hidden // self.heads


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    return F.rms_norm(x, (x.shape[-1],), weight, eps)


def rotate(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """Rotary positions; pairs are a half apart."""
    a, b = x.chunk(2, -1)
    return torch.cat((a * cos - b * sin, b * cos + a * sin), -1)


class TextBlock(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        kv = s.kv_heads * s.head
        self.norm1, self.norm2 = nn.Parameter(torch.ones(s.hidden)), nn.Parameter(torch.ones(s.hidden))
        self.qkv = nn.Linear(s.hidden, s.hidden + 2 * kv)
        self.out = nn.Linear(s.hidden, s.hidden, bias=False)
        self.gate_up = nn.Linear(s.hidden, 2 * s.ffn, bias=False)
        self.down = nn.Linear(s.ffn, s.hidden, bias=False)

    def forward(
        self, x: Tensor, cos: Tensor, sin: Tensor, texts: Segments, needed: Tensor | None = None, asked: Tensor | None = None
    ) -> tuple[Tensor, list[tuple[Tensor, Tensor]]]:
        """(t, hidden) tokens to the same, to (needed, hidden) of some of them, if these are given; and what those that are `asked` attend to (`attending`)."""
        gathered, q, k = self.gathered(x, cos, sin, texts)
        attention = [] if asked is None or not len(asked) else attending(q, k, texts, asked)
        if needed is None:
            return self.widened(x, gathered), attention
        more = filled(len(needed)) - len(needed)
        return self.widened(*(F.pad(t[needed], (0, 0, 0, more)) for t in (x, gathered)))[: len(needed)], attention

    def gathered(self, x: Tensor, cos: Tensor, sin: Tensor, texts: Segments) -> tuple[Tensor, Tensor, Tensor]:
        """By attention, (t, hidden); its queries, scaled, and keys, (t, heads, head)."""
        s = self.s
        if kernels.are_usable():
            out, made = kernels.Gathered.apply(x, self.norm1, self.qkv.weight, self.qkv.bias, cos, sin, texts.bounds, s.heads, s.kv_heads, True, TEXT_EPS)
            q, k, _ = made.view(len(x), -1, s.head).split((s.heads, s.kv_heads, s.kv_heads), 1)
            return out, q, k
        q, k, v = self.qkv(rms(x, self.norm1, TEXT_EPS)).view(len(x), -1, s.head).split((s.heads, s.kv_heads, s.kv_heads), 1)
        q, k = rotate(q, cos[:, None], sin[:, None]) / math.sqrt(s.head), rotate(k, cos[:, None], sin[:, None])
        return texts.together(attend_before(*(texts.apart(t) for t in (q, k, v)))), q, k

    def widened(self, x: Tensor, gathered: Tensor) -> Tensor:
        """What comes behind attention."""
        if kernels.are_usable():
            return kernels.Widened.apply(x, gathered, self.out.weight, None, self.norm2, self.gate_up.weight, None, self.down.weight, None, TEXT_EPS)
        x = x + self.out(gathered)
        gate, up = self.gate_up(rms(x, self.norm2, TEXT_EPS)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class VisionBlock(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s, h = s, s.vision_hidden
        self.norm1, self.norm2 = nn.Parameter(torch.ones(h)), nn.Parameter(torch.ones(h))
        self.qkv, self.out = nn.Linear(h, 3 * h), nn.Linear(h, h)
        self.gate_up, self.down = nn.Linear(h, 2 * s.vision_ffn), nn.Linear(s.vision_ffn, h)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, parts: Segments) -> Tensor:
        """(t, vision_hidden) patches to the same, each part by itself."""
        s = self.s
        if kernels.are_usable():
            gathered, _ = kernels.Gathered.apply(x, self.norm1, self.qkv.weight, self.qkv.bias, cos, sin, parts.bounds, s.vision_heads, s.vision_heads, False, TOWER_EPS)
            weights = self.out.weight, self.out.bias, self.norm2, self.gate_up.weight, self.gate_up.bias, self.down.weight, self.down.bias
            return kernels.Widened.apply(x, gathered, *weights, TOWER_EPS)
        head = s.vision_hidden // s.vision_heads
        q, k, v = self.qkv(rms(x, self.norm1, TOWER_EPS)).view(len(x), -1, head).chunk(3, 1)
        q, k = rotate(q, cos[:, None], sin[:, None]) / math.sqrt(head), rotate(k, cos[:, None], sin[:, None])
        q, k, v = (parts.apart(t) for t in (q, k, v))
        mask = torch.zeros(q.shape[0], 1, 1, q.shape[2], dtype=q.dtype).masked_fill_(~parts.is_there()[:, None, None], -torch.inf)
        a = attend(q.flatten(0, 1), k.flatten(0, 1), v.flatten(0, 1), mask.expand(-1, s.vision_heads, -1, -1).flatten(0, 1))
        x = x + self.out(parts.together(a.view(q.shape)))
        gate, up = self.gate_up(rms(x, self.norm2, TOWER_EPS)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)


class Vision(nn.Module):
    """Pictures of one size to one row a token: (b, tokens · 4, 588) to (b, tokens, hidden)."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s, h = s, s.vision_hidden
        self.patch = nn.Linear(PATCH_VALUES, h, bias=False)
        self.blocks = nn.ModuleList(VisionBlock(s) for _ in range(s.vision_layers))
        self.norm = nn.Parameter(torch.ones(h))
        self.merge1, self.merge2 = nn.Linear(4 * h, 4 * h), nn.Linear(4 * h, s.hidden)

    def forward(self, patches: Tensor, columns: int, rows: int) -> tuple[Tensor, Tensor]:
        """Rows for the text model, and the normed patches of each token side by side."""
        b, n, _ = patches.shape
        order, windows, cos, sin = self._geometry(columns, rows)
        more = filled(b * n) - b * n
        whole, windows = (Segments.of(torch.tensor(lengths + filling(lengths))) for lengths in ([n] * b, windows.tolist() * b))
        x = self.patch(F.pad(patches.view(b, n // 4, 4, -1)[:, order].view(b * n, -1), (0, 0, 0, more))).float()
        cos, sin = (F.pad(t.repeat(b, 1), (0, 0, 0, more)) for t in (cos, sin))
        for i, block in enumerate(self.blocks):
            x = block(x, cos, sin, whole if (i + 1) % self.s.vision_pattern == 0 else windows)
        merged = rms(x, self.norm, TOWER_EPS).view(-1, 4 * x.shape[1])
        made = self.merge2(F.gelu(self.merge1(merged))).float()
        made, merged = (t[: b * n // 4].view(b, n // 4, -1)[:, order.argsort()] for t in (made, merged))
        return made, merged

    def _geometry(self, columns: int, rows: int) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Tokens window by window, of each window how many patches it has, and the patches' angles in that order (of a token, 2 x 2)."""
        r, c = (t.reshape(-1) for t in torch.meshgrid(torch.arange(rows), torch.arange(columns), indexing="ij"))
        _, window, sizes = (r // WINDOW * 1000 + c // WINDOW).unique(return_inverse=True, return_counts=True)
        order = window.argsort(stable=True)
        half = self.s.vision_hidden // self.s.vision_heads // 2
        frequencies = 10000.0 ** -(torch.arange(0, half, 2) / half)
        down, across = torch.tensor([0, 0, 1, 1]), torch.tensor([0, 1, 0, 1])
        places = (2 * r[order][:, None] + down).flatten(), (2 * c[order][:, None] + across).flatten()
        angles = torch.cat([place[:, None] * frequencies for place in places], -1)
        return order, 4 * sizes, angles.cos(), angles.sin()


class Network(nn.Module):
    """The whole model, and the heads that only training needs (`aids`)."""

    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s = s
        self.vision = Vision(s)
        self.embed = nn.Embedding(s.vocabulary, s.hidden)
        self.blocks = nn.ModuleList(TextBlock(s) for _ in range(s.layers))
        self.norm = nn.Parameter(torch.ones(s.hidden))
        asked = {"told": SEEN, "placed": PLACED, "measured": DECADES, "side": SIDES, "boxed": 4, "told waves": WAVES, "kept waves": WAVES, "boxed waves": WAVES}
        asked |= {"sort": SORTS, "meaning": ROWS, "told ranks": MOST_SHAPES, "lettered": MOST_LETTERS, "turn": MOST_LETTERS}
        asked |= {"tool": MOST_TOOLS, "whose": MOST_TOOLS, "called": MOST_TOOLS, "slot": 1 + 2 * MOST_SLOTS}
        asked |= {f"own {i}": 2 * MOST_CELLS for i in OWN_LAYERS}
        heads = {name: nn.Linear(s.hidden, n) for name, n in asked.items()}
        seen = {name: nn.Linear(4 * s.vision_hidden, n) for name, n in {"seen": SEEN, "seen waves": WAVES, "seen ranks": MOST_SHAPES}.items()}
        letters = {"seen letters": nn.Linear(4 * s.vision_hidden, SHARED_LETTERS * LETTER_CLASSES), "told letters": nn.Linear(s.hidden, MOST_LETTERS * LETTER_CLASSES)}
        classes = {"picture": 2, "image": 2, "nth": MOST_SHAPES, "nth of all": MOST_SHAPES, "about": PAIRS, "beside": PAIRS, "other": PAIRS, "named": PAIRS}
        classes |= {"edge": 4, "asked kind": KIND_CLASSES, "asked colour": COLOUR_CLASSES}
        classes |= {"task": 2 * len(TASKS), "language": len(LANGUAGES), "part": MOST_CALLS, "nth call": MOST_CALLS, "argument": MOST_SLOTS + 1, "chosen": MOST_TOOLS + 1, "more": 2}
        classes |= {"following": MOST_SLOTS + 1, "copied": MOST_COPIED, "within": MOST_PIECE} | {f"letter {i}": NO_LETTER + 1 for i in range(MOST_PIECE)}
        where = {name: nn.Linear(s.hidden, n) for name, n in classes.items()}
        self.aids = nn.ModuleDict({**seen, **heads, **letters, **where})
        self.reset()

    def take(self, state: dict[str, Tensor]) -> None:
        """A checkpoint's weights. Aids that it does not have, or of another shape, begin at nothing, and so disturb nothing."""
        of_other_shape = {name for name, t in self.state_dict().items() if name.startswith("aids.") and name in state and state[name].shape != t.shape}
        missing, unexpected = self.load_state_dict({name: t for name, t in state.items() if name not in of_other_shape}, strict=False)
        if odd := [name for name in (*missing, *unexpected) if not name.startswith("aids.")]:
            raise ValueError(f"the checkpoint is not of this shape: {odd[:4]}")
        for name in missing:
            nn.init.zeros_(self.get_parameter(name))

    def reset(self) -> None:
        """Scaled by fan-in: the usual 0.02 is far too small at these widths."""
        for m in self.modules():
            if isinstance(m, nn.Linear):
                nn.init.normal_(m.weight, std=0.7 / math.sqrt(m.in_features))
                if m.bias is not None:
                    nn.init.zeros_(m.bias)
        nn.init.normal_(self.embed.weight, std=0.06)
        for name in ("seen waves", "told waves", "kept waves", "boxed waves"):
            nn.init.zeros_(self.aids[name].weight)
        for block in (*self.blocks, *self.vision.blocks):
            block.out.weight.data *= 0.3
            block.down.weight.data *= 0.3

    def angles(self, positions: Tensor) -> tuple[Tensor, Tensor]:
        """(3, t) positions in time, height and width to cosines and sines of (t, head / 2)."""
        half = self.s.head // 2
        frequencies = self.s.rope_base ** -(torch.arange(half) / half)
        section = torch.repeat_interleave(torch.arange(3), torch.tensor(self.s.rope_sections))
        chosen = positions[section].T.contiguous() * frequencies
        return chosen.cos(), chosen.sin()

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor,
        texts: Segments,
        image_rows: Tensor | None = None,
        at: Tensor | None = None,
        asked: Tensor | None = None,
        depth: int | None = None,
        needed: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], list[list[tuple[Tensor, Tensor]]]]:
        """Of (t,) tokens and their (3, t) positions, the last layer's output, every layer's, and, of each layer that is asked, which of `asked` and what they
        attend to (`attending`).

        `at` are the places of those tokens that are pictures'; of the layers, the first `depth` or all; `needed` are the places of which the last one's
        output is given, if not of all.
        """
        x = self.embed(tokens)
        if image_rows is not None and at is not None:
            x = x.index_copy(0, at, image_rows)
        cos, sin = self.angles(positions)
        tapped, attention = [], []
        blocks = self.blocks[:depth]
        for i, block in enumerate(blocks):
            which = mine = None
            if asked is not None and (i == WORDS_LAYER or i in POINTED_LAYERS):
                which = ((asked[:, 2] >= RECOGNISING) == (i == WORDS_LAYER)).nonzero()[:, 0]
                mine = asked[which]
            x, attended = block(x, cos, sin, texts, needed if i == len(blocks) - 1 else None, mine)
            if which is not None and attended:
                attention.append([(which[of], logs) for of, logs in attended])
            tapped.append(x)
        return x, tapped, attention

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, hidden) of the last layer to (…, vocabulary)."""
        with torch.autocast("cpu", enabled=False):
            return rms(hidden, self.norm, TEXT_EPS) @ self.embed.weight.T


KIND_CLASSES, COLOUR_CLASSES, LETTER_CLASSES = 6, 8, 36
PAIRS = KIND_CLASSES * COLOUR_CLASSES
SHARED_LETTERS = 3
"""Letters of a text that one token shows, which is asked for them in their order."""
SEEN = PAIRS + KIND_CLASSES + COLOUR_CLASSES + LETTER_CLASSES + 4
"""What a picture's token is asked about in training: pairs, kinds, colours, letters; the shape's box around it."""
PLACED = 4 + 4
"""And in the text model: its own place, the picture's size, the shape's box in the picture."""
PERIODS = (1000.0, 300.0, 100.0, 40.0)
WAVES = 4 * len(PERIODS) * 2
"""Of a box's coordinates in pixels, cosine and sine at each of these periods: where a coordinate is known so, each of its
digits is a linear function of what is known, which it is not of the coordinate itself."""


def waves(boxes: Tensor) -> Tensor:
    """(n, 4) pixels to (n, WAVES)."""
    angles = 2 * math.pi * boxes[..., None] / torch.tensor(PERIODS)
    return torch.cat((angles.cos(), angles.sin()), -1).flatten(-2)


MOST_CELLS = 16
"""Columns, or rows, of the largest pictures."""
DECADES, SIDES = 46, 4
"""What an answer's tokens are asked about, besides the box of the shape: the tens of the coordinate that they write, the
direction that they tell."""
