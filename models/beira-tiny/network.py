"""Qwen2.5-VL's mathematics in plain torch, at the embedded model's shape: what is trained. parity.py holds it to transformers.

Pictures of one size make one tensor and texts are padded on the right, where causal attention never looks: no masks but
the vision tower's windows. Its norms' epsilon is that of llama.cpp (1e-6 in the tower, none in the text model).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from encoded import MOST_CALLS, MOST_COPIED, MOST_LETTERS, MOST_PIECE, MOST_SHAPES, MOST_SLOTS, MOST_TOOLS, NO_LETTER, RECOGNISING, TASKS
from made import SORTS
from meanings import ROWS

PATCH, MERGE, WINDOW = 14, 2, 4
"""Pixels a patch, patches a token's side, tokens a window's side."""
PATCH_VALUES = 3 * PATCH * PATCH
STRIP = 128
"""Queries whose attention is computed together."""
OWN_LAYERS, TOLD_LAYER, WORDS_LAYER, POINTED_LAYERS = (0, 1), 2, 3, (4, 5)
"""The text model's layers whose outputs the aids are asked about: of the pictures' tokens where they are, then what they
show, and (the last) of the answers'.
In the latter ones heads are also shown where to look: in one at the words that a question shares with the tools, in the
others at what answers follow from, the second time with what the first one found."""
ASKED_LAYERS = {
    "meaning": TOLD_LAYER, "sort": TOLD_LAYER, "tool": TOLD_LAYER, "whose": WORDS_LAYER, "turn": WORDS_LAYER, "slot": WORDS_LAYER,
    "about": WORDS_LAYER, "beside": WORDS_LAYER, "other": POINTED_LAYERS[0], "picture": TOLD_LAYER, "image": WORDS_LAYER, "nth": WORDS_LAYER, "nth of all": WORDS_LAYER,
    "named": TOLD_LAYER, "edge": WORDS_LAYER, "asked kind": WORDS_LAYER, "asked colour": WORDS_LAYER,
    "task": WORDS_LAYER, "part": WORDS_LAYER, "argument": WORDS_LAYER, "nth call": WORDS_LAYER, "chosen": POINTED_LAYERS[0], "more": POINTED_LAYERS[0],
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


def attend(q: Tensor, k: Tensor, v: Tensor, mask: Tensor) -> Tensor:
    """What (b, n, d) queries gather, in products of matrices: of 32 values a head, torch's own attention takes two to six
    times as long as this in bfloat16. `mask` is added; q is scaled."""
    return torch.bmm(torch.baddbmm(mask, q, k.transpose(1, 2)).softmax(-1), v)


def attend_before(q: Tensor, k: Tensor, v: Tensor) -> Tensor:
    """Causal attention of (b, heads, n, d) queries; keys and values may have fewer heads. In strips, as half would be masked."""
    b, heads, n, d = q.shape
    kv = k.shape[1]
    q = (q / math.sqrt(d)).view(b, kv, heads // kv, n, d)
    k, v = k.reshape(b * kv, n, d), v.reshape(b * kv, n, d)
    made = []
    for start in range(0, n, STRIP):
        end = min(n, start + STRIP)
        mask = torch.full((end - start, end), -torch.inf, dtype=q.dtype).triu(start + 1).repeat(heads // kv, 1)
        strip = attend(q[:, :, :, start:end].reshape(b * kv, -1, d), k[:, :end], v[:, :end], mask)
        made.append(strip.view(b, kv, heads // kv, end - start, d))
    return torch.cat(made, 3).view(b, heads, n, d)


def attend_from(q: Tensor, k: Tensor, v: Tensor, places: Tensor) -> Tensor:
    """Alike of (b, heads, m, d) queries of some tokens, at (b, m) places."""
    b, heads, m, d = q.shape
    kv, n = k.shape[1:3]
    q = (q / math.sqrt(d)).reshape(b * kv, -1, d)
    later = torch.arange(n) > places[..., None]
    mask = torch.zeros(b, m, n, dtype=q.dtype).masked_fill_(later, -torch.inf)
    mask = mask[:, None, None].expand(b, kv, heads // kv, m, n).reshape(b * kv, -1, n)
    return attend(q, k.reshape(b * kv, n, d), v.reshape(b * kv, n, d), mask).view(b, heads, m, d)


def beside_each_other(flat: Tensor, b: int, n: int) -> tuple[Tensor, Tensor]:
    """Sorted flat places in (b, n) to (b, m) places in each row, the shorter rows filled up with 0, and which of these are meant."""
    row = flat // n
    counts = row.bincount(minlength=b)
    is_meant = torch.arange(int(counts.max())) < counts[:, None]
    places = torch.zeros(is_meant.shape, dtype=torch.long)
    places[is_meant] = flat % n
    return places, is_meant


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

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, needed: Tensor | None = None) -> Tensor:
        """(b, n, hidden) to the same; of those flat places alone, sorted, if some are given, where the rest stays what it was."""
        s, (b, n, _) = self.s, x.shape
        q, k, v = self.qkv(rms(x, self.norm1, 1e-8)).split((s.hidden, s.kv_heads * s.head, s.kv_heads * s.head), -1)
        q = rotate(q.view(b, n, s.heads, s.head).transpose(1, 2), cos, sin)
        k = rotate(k.view(b, n, s.kv_heads, s.head).transpose(1, 2), cos, sin)
        v = v.view(b, n, s.kv_heads, s.head).transpose(1, 2)
        if needed is None:
            return self.widened(x, attend_before(q, k, v).transpose(1, 2).reshape(b, n, s.hidden))
        places, is_meant = beside_each_other(needed, b, n)
        a = attend_from(q.gather(2, places[:, None, :, None].expand(b, s.heads, -1, s.head)), k, v, places)
        flat = x.reshape(b * n, s.hidden)
        made = self.widened(flat[needed], a.transpose(1, 2).reshape(b, -1, s.hidden)[is_meant])
        return flat.index_copy(0, needed, made).view(x.shape)

    def widened(self, x: Tensor, gathered: Tensor) -> Tensor:
        """What comes behind attention."""
        x = x + self.out(gathered)
        gate, up = self.gate_up(rms(x, self.norm2, 1e-8)).chunk(2, -1)
        return x + self.down(F.silu(gate) * up)

    def attending(self, x: Tensor, cos: Tensor, sin: Tensor, asked: Tensor) -> Tensor:
        """Logarithms of attention (m, n) of the tokens `asked` for, (m, 3) of text, place and head, sorted by text. Behind the last head comes the first."""
        s, (_, n, _) = self.s, x.shape
        kv, made = s.kv_heads * s.head, []
        q_weight, k_weight, _ = self.qkv.weight.split((s.hidden, kv, kv))
        q_bias, k_bias, _ = self.qkv.bias.split((s.hidden, kv, kv))
        for i in asked[:, 0].unique(sorted=True).tolist():
            place, head = asked[asked[:, 0] == i, 1:].unbind(1)
            head = head % s.heads
            h = rms(x[i], self.norm1, 1e-8)
            k = rotate(F.linear(h, k_weight, k_bias).view(n, s.kv_heads, s.head).transpose(0, 1), cos[i], sin[i])
            q = F.linear(h[place], q_weight, q_bias).view(-1, s.heads, s.head)[torch.arange(len(place)), head]
            q = rotate(q, cos[i, 0, place], sin[i, 0, place]) / math.sqrt(s.head)
            group = head // (s.heads // s.kv_heads)
            scores = torch.stack([q @ one.T for one in k], 1)[torch.arange(len(place)), group]
            later = torch.arange(n) > place[:, None]
            made.append(scores.masked_fill(later, -torch.inf).log_softmax(-1))
        return torch.cat(made)


class VisionBlock(nn.Module):
    def __init__(self, s: Shape) -> None:
        super().__init__()
        self.s, h = s, s.vision_hidden
        self.norm1, self.norm2 = nn.Parameter(torch.ones(h)), nn.Parameter(torch.ones(h))
        self.qkv, self.out = nn.Linear(h, 3 * h), nn.Linear(h, h)
        self.gate_up, self.down = nn.Linear(h, 2 * s.vision_ffn), nn.Linear(s.vision_ffn, h)

    def forward(self, x: Tensor, cos: Tensor, sin: Tensor, mask: Tensor) -> Tensor:
        b, n, h = x.shape
        heads = self.s.vision_heads
        q, k, v = self.qkv(rms(x, self.norm1, 1e-6)).view(b, n, 3, heads, h // heads).permute(2, 0, 3, 1, 4).unbind(0)
        q = rotate(q, cos, sin) / math.sqrt(h // heads)
        q, k, v = (t.reshape(b * heads, n, -1) for t in (q, rotate(k, cos, sin), v))
        a = attend(q, k, v, mask).view(b, heads, n, -1)
        x = x + self.out(a.transpose(1, 2).reshape(b, n, h))
        gate, up = self.gate_up(rms(x, self.norm2, 1e-6)).chunk(2, -1)
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
        cos, sin, mask = self._geometry(columns, rows)
        x = self.patch(patches).float()
        for i, block in enumerate(self.blocks):
            is_full = (i + 1) % self.s.vision_pattern == 0
            x = block(x, cos, sin, torch.zeros_like(mask) if is_full else mask)
        b = x.shape[0]
        merged = rms(x, self.norm, 1e-6).reshape(b, rows * columns, -1)
        return self.merge2(F.gelu(self.merge1(merged))).float(), merged

    def _geometry(self, columns: int, rows: int) -> tuple[Tensor, Tensor, Tensor]:
        """Angles of the patches (token by token, 2 x 2 each), and what is added where two are not within one window."""
        r, c, i, j = (t.reshape(-1) for t in torch.meshgrid(*(torch.arange(n) for n in (rows, columns, 2, 2)), indexing="ij"))
        half = self.s.vision_hidden // self.s.vision_heads // 2
        frequencies = 10000.0 ** -(torch.arange(0, half, 2) / half)
        angles = torch.cat([(2 * r + i)[:, None] * frequencies, (2 * c + j)[:, None] * frequencies], -1)
        window = (r // WINDOW) * 1000 + c // WINDOW
        mask = torch.zeros(len(r), len(r)).masked_fill(window[:, None] != window[None], -torch.inf)
        return angles.cos(), angles.sin(), mask


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
        classes |= {"task": 2 * len(TASKS), "part": MOST_CALLS, "nth call": MOST_CALLS, "argument": MOST_SLOTS + 1, "chosen": MOST_TOOLS + 1, "more": 2}
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
        """(3, b, n) positions in time, height and width to cosines and sines of (b, 1, n, head / 2)."""
        half = self.s.head // 2
        frequencies = self.s.rope_base ** -(torch.arange(half) / half)
        section = torch.repeat_interleave(torch.arange(3), torch.tensor(self.s.rope_sections))
        chosen = positions[section].permute(1, 2, 0).float() * frequencies
        return chosen.cos()[:, None], chosen.sin()[:, None]

    def hidden(
        self,
        tokens: Tensor,
        positions: Tensor,
        image_rows: Tensor | None,
        at: Tensor | None,
        asked: Tensor | None = None,
        depth: int | None = None,
        needed: Tensor | None = None,
    ) -> tuple[Tensor, list[Tensor], list[tuple[Tensor, Tensor]]]:
        """The last layer's output, every layer's, and, of each layer that is asked, which of `asked` and what they attend to.

        `at` indexes the flat tokens that are pictures; `asked` is as TextBlock.attending's; of the layers, the first `depth` or all; `needed`
        are the flat tokens, sorted, of which the last one's output is read, if not all are.
        """
        x = self.embed(tokens)
        if image_rows is not None and at is not None:
            x = x.reshape(-1, x.shape[-1]).index_copy(0, at, image_rows).view(x.shape)
        cos, sin = self.angles(positions)
        tapped, attention = [], []
        blocks = self.blocks[:depth]
        for i, block in enumerate(blocks):
            if asked is not None and (i == WORDS_LAYER or i in POINTED_LAYERS):
                which = ((asked[:, 2] >= RECOGNISING) == (i == WORDS_LAYER)).nonzero()[:, 0]
                if len(which):
                    with torch.autocast("cpu", enabled=False):
                        attention.append((which, block.attending(x, cos, sin, asked[which])))
            x = block(x, cos, sin, needed if i == len(blocks) - 1 else None)
            tapped.append(x)
        return x, tapped, attention

    def logits(self, hidden: Tensor) -> Tensor:
        """(…, hidden) of the last layer to (…, vocabulary)."""
        with torch.autocast("cpu", enabled=False):
            return rms(hidden, self.norm, 1e-8) @ self.embed.weight.T


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
