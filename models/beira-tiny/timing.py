"""What a training step costs: CPU time of each kind of batch, forward and back, with and without the kernels, in turn.

  python models/beira-tiny/timing.py --tokenizer models/beira-tiny/work/tokenizer.json
"""

from __future__ import annotations

import argparse
import os
import time
from collections import defaultdict
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch

import batches
import kernels
from batches import Batch, Pictures
from encoding import Encoder
from losses import aside_loss, asked_of, look_loss, loss_of
from network import Network, Shape
from train import HAS_HALF, LATER


def learn(net: Network, batch: Batch | Pictures) -> None:
    """Forward and back, all that is asked at one weight."""
    with torch.autocast("cpu", torch.bfloat16, enabled=HAS_HALF):
        losses = look_loss(net, batch) if isinstance(batch, Pictures) else loss_of(net, batch) if batch.is_answered else aside_loss(net, batch)
    names = ("seen", "ordered") if isinstance(batch, Pictures) else (*asked_of(batch), *(("answer",) if batch.is_answered else ()))
    torch.stack([losses[name] for name in names]).sum().backward()
    net.zero_grad()


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--tokenizer", type=Path, required=True)
    p.add_argument("--rounds", type=int, default=3, help="of which the first compiles what it meets and is not counted")
    a = p.parse_args()
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8000")  # as train.py has it
    torch.set_num_threads(1)
    encoder = Encoder(a.tokenizer)
    net = Network(replace(Shape(), vocabulary=encoder.size))
    began = time.process_time()
    step = [(kind, batches.group(1, i, kind, n, encoder, 1)[0]) for i, (kind, n) in enumerate(LATER)]
    print(f"data {time.process_time() - began:.2f} s")
    usable: dict[str, Callable[[], bool]] = {"without kernels": lambda: False}
    if kernels.library():
        usable["with kernels"] = kernels.are_usable
    spent: dict[str, dict[str, float]] = {way: defaultdict(float) for way in usable}
    for i in range(a.rounds):
        for way, is_usable in usable.items():
            module: Any = kernels
            module.are_usable = is_usable
            for kind, batch in step:
                began = time.process_time()
                learn(net, batch)
                if i:
                    spent[way][kind] += (time.process_time() - began) / (a.rounds - 1)
    for way, by_kind in spent.items():
        print(f"{way} {sum(by_kind.values()):.2f} s  " + "  ".join(f"{kind} {seconds:.3f}" for kind, seconds in by_kind.items()))


if __name__ == "__main__":
    main()
