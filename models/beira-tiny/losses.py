"""What training asks of a batch: its answers, and, beside them, what the aids ask (`SHARES`)."""

from __future__ import annotations

from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

import batches
from attention import Segments, in_32_bits
from batches import Batch, Pictures
from encoded import MOST_PIECE
from network import ASKED_LAYERS, COLOUR_CLASSES, KIND_CLASSES, LETTER_CLASSES, OWN_LAYERS, PAIRS, POINTED_LAYERS, TOLD_LAYER, WORDS_LAYER, Network, waves
from scenes import CELL

SHARES = {
    "seen": 0.15, "edged": 0.3, "own": 0.08, "told": 0.05, "placed": 0.08, "waved": 0.25, "pointed": 1.0, "measured": 0.15, "boxed": 0.15, "side": 0.1,
    "sort": 0.25, "meaning": 0.3, "tool": 0.1, "called": 0.4, "whose": 0.4, "slot": 0.4, "ranked": 0.25, "lettered": 0.25, "turn": 0.1, "reading": 0.15,
    "ordered": 0.3, "spelled": 0.3, "about": 1.0, "beside": 0.5, "other": 0.3, "picture": 0.15, "image": 0.3, "nth": 0.3, "nth of all": 0.15, "named": 0.5,
    "edge": 0.1, "asked kind": 0.5, "asked colour": 0.5, "task": 0.3, "language": 0.3, "chosen": 1.5, "part": 0.3, "nth call": 0.2, "argument": 0.3, "following": 0.5,
    "more": 0.2, "within": 0.3, "copied": 0.15, **{f"letter {i}": 0.2 for i in range(MOST_PIECE)},
}  # fmt: skip
"""Of the aids' losses beside the answers', each the mean over the tokens of a step that are asked it, if those are many (`share_of`)."""
FEW = 300
"""Tokens beside which an aid's own count (`share_of`)."""
PICTURES_AIDS = ("seen", "ordered", "told", "placed", "ranked", "lettered", "spelled", "own", "waved", "edged")
"""What every picture's tokens are asked."""


ASIDE = {"asking": 3.0, "choosing": 1.0, "looking": 0.7, "showing": 1.2}
"""How much more that counts in batches without answers. By these and the shares no kind of batch, nor what it is asked, moves the weights
alone: the gradients of the text model's first four blocks by kind and aid are of one size, about, but for the first steps."""


def share_of(kind: str, name: str, n: int, n_asked: int) -> float:
    """Of an aid's mean over the `n` tokens of a batch, `n_asked` in the whole step. As if FEW more were asked that are known: a mean over
    few tokens is mostly chance, and chance moves the weights as far as what is to be learned does."""
    return ASIDE.get(kind, 1.0) * SHARES[name] * n / (n_asked + FEW)
SEEN_WEIGHTS = torch.tensor([1.0] * (PAIRS + KIND_CLASSES + COLOUR_CLASSES) + [3.0] * LETTER_CLASSES)
"""Letters are few among a picture's tokens."""


def seen_loss(said: Tensor, p: Pictures) -> Tensor:
    """Of a head asked about every token of the pictures."""
    seen, has = torch.from_numpy(p.seen), torch.from_numpy(p.has_shape)
    flat = F.binary_cross_entropy_with_logits(said[..., :-4], seen[..., :-4], reduction="none", pos_weight=SEEN_WEIGHTS)
    loss = flat[..., :PAIRS].sum(-1).mean() + flat[..., PAIRS:].sum(-1).mean()
    if has.any():
        loss = loss + 0.3 * (said[..., -4:] - seen[..., -4:])[has].abs().mean()
    return loss


def placed_loss(said: Tensor, p: Pictures) -> Tensor:
    """Of a head asked where a token is, how large the picture is and where its shape lies; in tokens."""
    _, n = said.shape[:2]
    c, r = torch.arange(n) % p.columns, torch.arange(n) // p.columns
    own = torch.stack([c, r, torch.full_like(c, p.columns), torch.full_like(c, p.rows)], -1).float()
    loss = 0.3 * (said[..., :4] - own).abs().mean()
    has = torch.from_numpy(p.has_shape)
    return loss + (said[..., 4:] - torch.from_numpy(p.placed))[has].abs().mean() if has.any() else loss


def waved_loss(said: Tensor, boxes: Tensor, is_asked: Tensor) -> Tensor:
    """Of a head asked for the waves of boxes' coordinates, given in tokens, those that are asked for; 1 for one that knows nothing."""
    if not is_asked.any():
        return said.sum() * 0
    return 2 * (said.unflatten(-1, (4, -1)) - waves(boxes * CELL).unflatten(-1, (4, -1)))[is_asked].square().mean()


def lettered_loss(said: Tensor, p: Pictures) -> Tensor:
    """Of a head asked which letters of its picture's text a token shows, by their number: what is read goes by it from one to
    the next, whatever letters they are."""
    lettered = torch.from_numpy(p.lettered)
    has = lettered.any(-1).any(-1)
    weight = torch.full((lettered.shape[-1],), 3.0)
    return F.binary_cross_entropy_with_logits(said[has], lettered[has], reduction="none", pos_weight=weight).sum(-1).mean() if has.any() else said.sum() * 0


def spelled_loss(said: Tensor, letters: Tensor) -> Tensor:
    """Of a head asked for a token's letters by their number, (…, numbers); which token has a letter alone does not tell which
    comes first of two that share it."""
    has = letters >= 0
    return F.cross_entropy(said.unflatten(-1, (letters.shape[-1], -1))[has], letters[has]) if has.any() else said.sum() * 0


def ranked_loss(said: Tensor, p: Pictures) -> Tensor:
    """Of a head asked which of the picture's shapes, in the order in which they are told, a token shows."""
    has = torch.from_numpy(p.has_shape)
    return F.cross_entropy(said[has], torch.from_numpy(p.ranked)[has]) if has.any() else said.sum() * 0


def own_loss(said: Tensor, p: Pictures) -> Tensor:
    """Of a head asked in which column and row of its picture a token is. Where it is not known exactly, no edge is: a token
    sees an edge within itself, to the pixel; the rest of a coordinate is where the token is."""
    n = said.shape[1]
    truth = torch.stack([torch.arange(n) % p.columns, torch.arange(n) // p.columns], -1).expand(len(said), n, 2)
    return F.cross_entropy(said.unflatten(-1, (2, -1)).flatten(0, -2), truth.flatten())


def edges(p: Pictures) -> Tensor:
    """(b, tokens, 4): which of its shape's edges a token shows; these it can see, the others it had to be told."""
    offsets = torch.from_numpy(p.seen)[..., -4:]
    return torch.from_numpy(p.has_shape)[..., None] & (offsets >= 0) & (offsets <= 1)


@in_32_bits
def tower_losses(net: Network, p: Pictures, merged: Tensor) -> dict[str, Tensor]:
    """Of what the tower gives: shapes, colours and letters, the latter in their order."""
    return {"seen": seen_loss(net.aids["seen"](merged), p), "ordered": spelled_loss(net.aids["seen letters"](merged), torch.from_numpy(p.ordered))}


def look_loss(net: Network, p: Pictures) -> dict[str, Tensor]:
    _, merged = net.vision(batches.normalised(p.patches), p.columns, p.rows)
    return tower_losses(net, p, merged)


@in_32_bits
def noted_losses(net: Network, batch: Batch, tapped: list[Tensor]) -> dict[str, Tensor]:
    """Of the aids that tell classes apart, by what the layers gave; a layer's aids together, as each look at its tokens costs all of them."""
    losses: dict[str, Tensor] = {}
    for layer in sorted({ASKED_LAYERS[name] for name in batch.noted}):
        asked = {name: torch.from_numpy(noted).unbind(1) for name, noted in batch.noted.items() if ASKED_LAYERS[name] == layer}
        known = tapped[layer][torch.cat([place for place, _ in asked.values()])]
        parts = F.rms_norm(known, known.shape[-1:]).split([len(truth) for _, truth in asked.values()])
        losses |= {name: F.cross_entropy(net.aids[name](part), truth) for (name, (_, truth)), part in zip(asked.items(), parts, strict=True)}
    return losses


@in_32_bits
def shown_losses(net: Network, p: Pictures, merged: Tensor, tapped: list[Tensor], at: Tensor) -> dict[str, Tensor]:
    """Of the aids that are asked about pictures' tokens, in the tower and in those layers of the text model that were computed."""
    losses: dict[str, Tensor] = {}
    shown_in = {i: tapped[i][at].view(*merged.shape[:2], -1) for i in {*OWN_LAYERS, TOLD_LAYER, WORDS_LAYER, POINTED_LAYERS[0]} if i < len(tapped)}
    normed = {i: F.rms_norm(known, known.shape[-1:]) for i, known in shown_in.items()}
    told = shown_in[TOLD_LAYER]
    losses["told"] = seen_loss(net.aids["told"](told), p)
    losses["placed"] = placed_loss(net.aids["placed"](told), p)
    counted = normed[WORDS_LAYER]  # a layer more, to pass on what was counted
    losses["ranked"] = ranked_loss(net.aids["seen ranks"](merged), p) + ranked_loss(net.aids["told ranks"](counted), p)
    losses["lettered"] = lettered_loss(net.aids["lettered"](normed[TOLD_LAYER]), p)
    losses["spelled"] = spelled_loss(net.aids["told letters"](normed[TOLD_LAYER]), torch.from_numpy(p.spelled))
    losses["own"] = torch.stack([own_loss(net.aids[f"own {i}"](normed[i]), p) for i in OWN_LAYERS]).sum()
    shown, placed = edges(p), torch.from_numpy(p.placed)
    waved = {"told waves": TOLD_LAYER, "kept waves": POINTED_LAYERS[0]}
    losses["waved"] = torch.stack([waved_loss(net.aids[name](normed[i]), placed, shown) for name, i in waved.items() if i < len(tapped)]).sum()
    losses["edged"] = waved_loss(net.aids["seen waves"](merged), torch.from_numpy(p.seen)[..., -4:], shown)
    return losses


@in_32_bits
def boxed_losses(net: Network, noted: Tensor, tapped: list[Tensor]) -> tuple[Tensor, Tensor]:
    """Of the heads that are asked for the box that comes next, and its waves."""
    pointed, boxes = tapped[POINTED_LAYERS[-1]][noted[:, 0].long()], noted[:, 1:]
    said = net.aids["boxed waves"](F.rms_norm(pointed, pointed.shape[-1:]))
    return (net.aids["boxed"](pointed) - boxes)[~boxes.isnan()].abs().mean(), waved_loss(said, boxes, ~boxes.isnan())


def pointed_loss(batch: Batch, asked: Tensor, attention: list[list[tuple[Tensor, Tensor]]]) -> Tensor:
    """Of the attention that each layer pays what it is to look at."""
    sources, weights = torch.from_numpy(batch.sources), F.pad(torch.from_numpy(batch.weights)[1:], (0, 1))
    starts = Segments.of(torch.from_numpy(batch.lengths)).bounds[:, 0]
    w = weights[starts[asked[:, 0]] + asked[:, 1]].clamp_min(0.3)  # of the token that comes next; the least is a question's words'
    missed = []
    for layer in attention:
        each = [-(logs.masked_fill(~sources[which, : logs.shape[1]], -torch.inf).logsumexp(-1) * w[which]).sum() for which, logs in layer]
        missed.append(torch.stack(each).sum() / sum(w[which].sum() for which, _ in layer))
    return sum(missed, torch.zeros(())) / len(missed)


def told_of(net: Network, batch: Batch, **asked: Any) -> Any:
    """What `Network.hidden` gives."""
    return net.hidden(torch.from_numpy(batch.tokens), torch.from_numpy(batch.positions), Segments.of(torch.from_numpy(batch.lengths)), **asked)


def aside_loss(net: Network, batch: Batch) -> dict[str, Tensor]:
    """Of what nothing answers, requests, tools and pictures alone: what they are about and show, from the layers below which that
    is asked; of choices, from one more. Of pictures that are "showing" the tower learns nothing, only what tells of them."""
    if batch.kind == "choosing":
        asked = torch.from_numpy(batch.pointed)
        _, tapped, attention = told_of(net, batch, asked=asked, depth=POINTED_LAYERS[0] + 1)
        return noted_losses(net, batch, tapped) | {"pointed": pointed_loss(batch, asked, attention)}
    if batch.pictures is None:
        _, tapped, _ = told_of(net, batch, depth=WORDS_LAYER + 1)
        return noted_losses(net, batch, tapped)
    with torch.set_grad_enabled(batch.kind != "showing"):
        rows, merged = net.vision(batches.normalised(batch.pictures.patches), batch.pictures.columns, batch.pictures.rows)
    at = torch.from_numpy(batch.at)
    _, tapped, _ = told_of(net, batch, image_rows=rows.flatten(0, 1), at=at, depth=WORDS_LAYER + 1)
    of_tower = {} if batch.kind == "showing" else tower_losses(net, batch.pictures, merged)
    return of_tower | shown_losses(net, batch.pictures, merged, tapped, at)


def loss_of(net: Network, batch: Batch) -> dict[str, Tensor]:
    """`answer` is a sum over weights' tokens, with `weight` to divide by; the aids' losses are means."""
    rows = at = None
    losses: dict[str, Tensor] = {}
    if batch.pictures is not None:
        p = batch.pictures
        rows, merged = net.vision(batches.normalised(p.patches), p.columns, p.rows)
        losses |= tower_losses(net, p, merged)
        at = torch.from_numpy(batch.at)
    flat = None if rows is None else rows.flatten(0, 1)
    asked = None if batch.pointed is None else torch.from_numpy(batch.pointed)
    weights = torch.from_numpy(batch.weights)[1:]
    kept = weights > 0
    out, tapped, attention = told_of(net, batch, image_rows=flat, at=at, asked=asked, needed=kept.nonzero()[:, 0])
    if attention and asked is not None:
        losses["pointed"] = pointed_loss(batch, asked, attention)
    losses |= noted_losses(net, batch, tapped)
    if rows is not None:
        losses |= shown_losses(net, p, merged, tapped, at)
        if batch.boxed is not None and len(batch.boxed):
            losses["boxed"], waved = boxed_losses(net, torch.from_numpy(batch.boxed), tapped)
            losses["waved"] = losses["waved"] + waved
    logits, wanted = net.logits(out), torch.from_numpy(batch.tokens)[1:][kept]
    each = F.cross_entropy(logits, wanted, reduction="none")
    w = weights[kept]
    losses["answer"] = (each * w).sum()
    losses["weight"] = w.sum()
    answers = w >= 1
    losses["right"] = (logits.argmax(-1) == wanted)[answers].float().mean().detach()
    return losses


def asked_of(batch: Batch) -> dict[str, int]:
    """Those of SHARES that a batch is asked, and at how many tokens."""
    found = {name: len(noted) for name, noted in batch.noted.items()}
    if batch.pointed is not None:
        found["pointed"] = len(batch.pointed)
    if batch.at is not None:
        found |= dict.fromkeys(PICTURES_AIDS, len(batch.at))
        if batch.kind == "showing":
            del found["seen"], found["ordered"]
        if batch.boxed is not None:
            found["boxed"] = len(batch.boxed)
    return {name: n for name, n in found.items() if n}
