"""The two GGUF files back to a checkpoint and its tokenizer, to train on where no checkpoint is kept.

  python models/beira-tiny/restore.py --model models/beira-tiny --work models/beira-tiny/work

Weights come back as they were shipped, rounded to eight bits. What only training needs begins at nothing: the aids' heads
say nothing and so disturb nothing until they have learned, and the optimizers have no momentum.
"""

from __future__ import annotations

import argparse
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import gguf
import numpy as np
import torch
from tokenizers import Tokenizer, models

from export import STEPS_KEY, Tensors, text_tensors, vision_tensors
from network import Network, Shape
from tokens import text_tokenizer


def tensors(file: gguf.GGUFReader) -> Tensors:
    """All of a file's tensors by name, in F32."""
    return {t.name: gguf.quants.dequantize(t.data, t.tensor_type).reshape(tuple(reversed(t.shape.tolist()))) for t in file.tensors}


def field(file: gguf.GGUFReader, key: str) -> Any:
    """A value of a file's header, None where it has none of that name."""
    found = file.get_field(key)
    return None if found is None else found.contents()


def check_shapes(kept: Tensors, wanted: Tensors) -> None:
    """Raises ValueError unless `kept` has the names and shapes of `wanted`."""
    if odd := sorted({(n, v.shape) for n, v in kept.items()} ^ {(n, v.shape) for n, v in wanted.items()}):
        raise ValueError(f"the file's tensors are not this recipe's, names and shapes that only one of them has: {odd[:4]}")


def network(text: gguf.GGUFReader, vision: gguf.GGUFReader) -> Network:
    """The network that export.py wrote as these. Raises ValueError where a tensor is missing or of another shape."""
    net = Network(replace(
        Shape(), vocabulary=len(field(text, "tokenizer.ggml.tokens")), layers=int(field(text, "qwen2vl.block_count")), vision_layers=int(field(vision, "clip.vision.block_count"))
    ))  # fmt: skip
    for head in net.aids.values():
        for p in head.parameters():
            torch.nn.init.zeros_(p)
    for file, made in ((text, text_tensors(net)), (vision, vision_tensors(net))):
        kept = tensors(file)
        check_shapes(kept, made)
        for name, value in made.items():  # all but the patches are views of the network's own memory
            np.copyto(value, kept[name])
    halves = kept["v.patch_embd.weight"] + kept["v.patch_embd.weight.1"]
    with torch.no_grad():
        net.vision.patch.weight.copy_(torch.from_numpy(halves).reshape(net.vision.patch.weight.shape))
    return net


def tokenizer(text: gguf.GGUFReader) -> Tokenizer:
    """The one that the text model was trained with."""
    tokens = field(text, "tokenizer.ggml.tokens")
    kinds = field(text, "tokenizer.ggml.token_type")
    vocab = {token: i for i, (token, kind) in enumerate(zip(tokens, kinds, strict=True)) if kind in (gguf.TokenType.NORMAL, gguf.TokenType.UNUSED)}
    return text_tokenizer(models.BPE(vocab=vocab, merges=[tuple(m.split(" ")) for m in field(text, "tokenizer.ggml.merges")]))


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--model", type=Path, required=True, help="the folder of beira-tiny.gguf and beira-tiny-mmproj.gguf")
    p.add_argument("--work", type=Path, required=True, help="checkpoint.pt and tokenizer.json are written there; none must be")
    p.add_argument("--step", type=int, help="steps trained so far, if the files do not say")
    a = p.parse_args()
    text, vision = (gguf.GGUFReader(a.model / name) for name in ("beira-tiny.gguf", "beira-tiny-mmproj.gguf"))
    step = a.step if a.step is not None else field(text, STEPS_KEY)
    if step is None:
        p.error(f"{a.model / 'beira-tiny.gguf'} does not say how many steps it was trained for ({STEPS_KEY}): give --step")
    if (a.work / "checkpoint.pt").exists():
        p.error(f"{a.work / 'checkpoint.pt'} is there: training goes on from it")
    try:
        net = network(text, vision)
    except ValueError as e:
        p.error(f"{a.model}: {e}")
    a.work.mkdir(parents=True, exist_ok=True)
    tokenizer(text).save(str(a.work / "tokenizer.json"))
    torch.save({"net": net.state_dict(), "step": int(step), "shape": asdict(net.s)}, a.work / "checkpoint.pt")
    print(f"{a.work / 'checkpoint.pt'}: step {step}, {net.s.vocabulary} tokens")


if __name__ == "__main__":
    main()
