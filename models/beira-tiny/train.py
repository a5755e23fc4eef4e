"""Trains the embedded model: first the tower against what was drawn, beside it the text model's first lessons, then everything together.

  python models/beira-tiny/train.py --work models/beira-tiny/work

It writes a checkpoint every few minutes and goes on from it when started again; no step depends on the clock. Data come
from one process beside it, always a few batches ahead, and the same for the same seed and step.
"""

from __future__ import annotations

import argparse
import itertools
import multiprocessing
import os
import signal
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.optim.swa_utils import AveragedModel

import batches
from batches import Batch, Pictures
from encoding import Encoder
from losses import SHARES, aside_loss, asked_of, look_loss, loss_of, share_of
from muon import Muon
from network import Network, Shape

MIX = (
    ("seeing", 8), ("seeing", 8), ("placing", 6), ("spotting", 8), ("calling", 5), ("choosing", 3), ("asking", 100), ("saying", 5), ("repeating", 20),
    ("looking", 32), ("looking", 32), ("reading", 125), ("reading", 125),
)  # fmt: skip
"""One step's batches: kind and chats. Their gradients add up, each weighted by its share of answers; "spotting" is pictures
whose text is asked for at once, "listing" those whose shapes are, "placing" where these are, "repeating" words to be said again, what requests tell, and sums, "asking" requests
and tools alone, for what they are about, "choosing" many requests of the same tools, for which of them each is for, "looking" pictures alone,
for what they show, "reading" the tower alone, on so many tokens of pages."""
LATER = (
    ("seeing", 8), ("seeing", 8), ("placing", 3), ("listing", 5), ("spotting", 9), ("calling", 12), ("choosing", 6), ("asking", 100),
    ("saying", 8), ("repeating", 24), ("recalling", 1), ("looking", 40), ("reading", 200),
)  # fmt: skip
LATER_FROM = 0.2
"""Of the steps: from there on LATER's batches, with more calls and choices, which take longest to learn, and lists."""
ENDING = (
    ("seeing", 8), ("seeing", 8), ("seeing", 8), ("seeing", 8), ("placing", 3), ("listing", 5), ("spotting", 9), ("calling", 13), ("choosing", 4),
    ("asking", 50), ("saying", 5), ("repeating", 16), ("recalling", 2), ("looking", 20),
)  # fmt: skip
ENDING_FROM = 0.8
"""And from there on ENDING's: while the rate falls, chats as they will be asked count more than what leads to them."""
HAS_HALF = any(torch.cpu.get_capabilities().get(name, False) for name in ("avx512_bf16", "amx_bf16"))
"""Whether the processor multiplies in bfloat16 itself: then products of matrices are computed so, five times as fast as
torch's in 32 bits on the machine that this was measured on, a whole step in 0.38 of the time. Weights, their sums and the
residual stream stay in 32 bits."""
LOOKS, PAGES = 3, 200
"""Batches of pictures, and tokens of pages, a step of the tower alone."""
FIRST = (("asking", 100), ("repeating", 20), ("showing", 20))
"""And beside them what the text model learns cheaply before chats begin: what is asked for, to say it again, what a picture shows, by what
the tower makes of it so far."""
MEAN_EVERY = 20
"""Steps between weights that the mean takes in."""
GROUP = 8
"""Steps whose chats are made together, so that those of like length meet."""


@dataclass(frozen=True, slots=True)
class Common:
    """What the learners share beside the weights."""

    size: int
    gradients: tuple[Tensor, ...]
    barrier: Any
    should_save: Any
    should_stop: Any
    is_asked_to_stop: threading.Event
    slowing: float
    """The share of the steps, at the end, over which the rate falls."""
    averaging: float
    """The share of the steps, at the end, whose weights' mean is what is exported."""


@dataclass(frozen=True, slots=True)
class Work:
    """A part of one step, for whichever learner is free. The step's sums weigh it."""

    batch: Pictures | Batch
    total: float
    """Of the answers' weights in the whole step."""
    n_alike: int
    """Batches of this one's kind."""
    n_asked: Mapping[str, int]
    """Tokens that each aid is asked at, in this batch and the others with answers, or of this one's kind if it has none."""


def mix_at(share: float) -> tuple[tuple[str, int], ...]:
    """A step's batches when so large a share of the steps of chats is done."""
    return MIX if share < LATER_FROM else LATER if share < ENDING_FROM else ENDING


def kind_of(batch: Pictures | Batch) -> str:
    return batch.kind if isinstance(batch, Batch) else "reading"


def counted_with(batch: Batch) -> str:
    """The batches whose tokens share what an aid counts: all with answers, or those of one kind."""
    return "answers" if batch.is_answered else batch.kind


def produce(seed: int, first: int, looking: int, steps: int, tokenizer: Path, queue: Any, size: int) -> None:
    """The data process: what `put_parts` makes; where that fails, the error for every learner."""
    try:
        put_parts(seed, first, looking, steps, tokenizer, queue, size)
    except Exception as e:
        for _ in range(size):
            queue.put(e)
        raise


def put_parts(seed: int, first: int, looking: int, steps: int, tokenizer: Path, queue: Any, size: int) -> None:
    """From step `first` on, each step's parts, then a None for every learner."""
    torch.set_num_threads(1)
    encoder = Encoder(tokenizer)

    def put(parts: list[Any]) -> None:
        total = sum(float(b.weights.sum()) for b in parts if isinstance(b, Batch))
        kinds = Counter(kind_of(b) for b in parts)
        n_asked: dict[str, Counter[str]] = defaultdict(Counter)
        for b in parts:
            if isinstance(b, Batch):
                n_asked[counted_with(b)].update(asked_of(b))
        for b in sorted(parts, key=lambda b: b.tokens.size if isinstance(b, Batch) else 0, reverse=True):  # what takes longest is not to be waited for
            queue.put(Work(b, total, kinds[kind_of(b)], n_asked[counted_with(b)] if isinstance(b, Batch) else {}))
        for _ in range(size):
            queue.put(None)

    for group in range(first // GROUP, -(-looking // GROUP)):
        columns = [batches.group(seed, -1 - group, kind, n, encoder, GROUP) for kind, n in FIRST]
        for step in range(max(first, group * GROUP), min(looking, (group + 1) * GROUP)):
            looks = [batches.looks(seed, step * LOOKS + i, 32) for i in range(LOOKS)]
            put([*looks, batches.pages(seed, -1 - step, PAGES), *(column[step % GROUP] for column in columns)])
    start = max(first, looking)
    for group in range((start - looking) // GROUP, -(-(steps - looking) // GROUP)):
        mix = mix_at(group * GROUP / (steps - looking))
        columns = [batches.group(seed, group * len(mix) + i, kind, n, encoder, GROUP) for i, (kind, n) in enumerate(mix)]
        for i in range(GROUP):
            if looking + group * GROUP + i >= start:
                put([column[i] for column in columns])


def optimizers(net: Network, rank: int, size: int) -> list[torch.optim.Optimizer]:
    """Muon for the blocks' matrices, AdamW for all else: those of learner `rank`."""
    s = net.s
    kv, h = s.kv_heads * s.head, s.vision_hidden
    cuts: list[tuple[Tensor, tuple[int, ...]]] = []
    for b in net.blocks:
        cuts += [(b.qkv.weight, (s.hidden, kv, kv)), (b.out.weight, (s.hidden,)), (b.gate_up.weight, (s.ffn, s.ffn)), (b.down.weight, (s.hidden,))]
    for b in net.vision.blocks:
        cuts += [(b.qkv.weight, (h, h, h)), (b.out.weight, (h,)), (b.gate_up.weight, (s.vision_ffn,) * 2), (b.down.weight, (h,))]
    matrices = {id(p) for p, _ in cuts}
    rest = [p for p in net.parameters() if id(p) not in matrices]
    # a block's four matrices stay together; every learner has its turn
    mine = [c for i, c in enumerate(cuts) if i // 4 % size == rank]
    return [Muon(mine, lr=0.015), torch.optim.AdamW(rest[rank::size], lr=2e-3, betas=(0.9, 0.98), weight_decay=0.0, eps=1e-9)]


def is_of(optimizer: torch.optim.Optimizer, state: dict[str, Any]) -> bool:
    """Whether what was kept is of as many weights, of the same shapes."""
    params, numbers = optimizer.param_groups[0]["params"], state["param_groups"][0]["params"]
    if len(params) != len(numbers):
        return False
    kept = [state["state"].get(i, {}) for i in numbers]
    return all(t.shape == p.shape for p, one in zip(params, kept, strict=True) for t in one.values() if isinstance(t, Tensor) and t.dim())


class Learner:
    """One of the processes that learn together: all share the weights, each owns some of them and keeps their optimizers.

    One thread each, and two waits a step: on a machine with other work, threads that wait for each other within every
    operation were ten times slower.
    """

    def __init__(self, net: Network, work: Path, rank: int, looking: int, steps: int, common: Common) -> None:
        self.net, self.work, self.rank, self.looking, self.steps, self.common = net, work, rank, looking, steps, common
        self.step = 0
        self.optimizers = optimizers(net, rank, common.size)
        self.params = list(net.parameters())
        offsets = [0, *itertools.accumulate(p.numel() for p in self.params)]
        self.spans = list(itertools.pairwise(offsets))
        owned = {id(p) for o in self.optimizers for g in o.param_groups for p in g["params"]}
        self.is_owned = [id(p) in owned for p in self.params]
        self.bases = [o.param_groups[0]["lr"] for o in self.optimizers]
        self.mean = AveragedModel(net) if rank == 0 else None

    def resume(self) -> None:
        """Go on where the files say; the weights are loaded before the processes part."""
        file = self.work / "checkpoint.pt"
        if not file.exists():
            return
        kept = torch.load(file, weights_only=False)
        self.step = kept["step"]
        if self.mean and self.step > self.averaged_from and (mean := kept.get("mean")):
            self.mean.module.take(mean["net"])
            self.mean.n_averaged.fill_(mean["n"])
        mine = self.work / f"optimizer.{self.rank}.pt"
        if mine.exists():
            kept_states = torch.load(mine, weights_only=False)
            if not all(is_of(o, state) for o, state in zip(self.optimizers, kept_states, strict=True)):
                print(f"{mine} is of other aids than the recipe's now: the optimizer begins anew", flush=True)
                return
            for o, state in zip(self.optimizers, kept_states, strict=True):
                o.load_state_dict(state)

    def save(self) -> None:
        """Whole or not at all."""
        made: dict[str, Any] = {f"optimizer.{self.rank}.pt": [o.state_dict() for o in self.optimizers]}
        if self.mean:
            made["checkpoint.pt"] = {"net": self.net.state_dict(), "step": self.step, "shape": asdict(self.net.s)}
            if n := int(self.mean.n_averaged):
                made["checkpoint.pt"]["mean"] = {"net": self.mean.module.state_dict(), "n": n}
        for name, state in made.items():
            torch.save(state, self.work / (name + ".part"))
        self.common.barrier.wait()
        for name in made:
            (self.work / (name + ".part")).replace(self.work / name)

    @property
    def averaged_from(self) -> float:
        """The step behind which weights go into the mean."""
        return self.steps - self.common.averaging * (self.steps - self.looking)

    def rate(self) -> float:
        """Warm-up at each stage's beginning, then even, then down to nothing over the last steps."""
        since = self.step - (0 if self.step < self.looking else self.looking)
        left = (self.steps - self.step) / max(1, self.common.slowing * (self.steps - self.looking))
        return min(1.0, (since + 1) / 30, 1.0 if self.step < self.looking else left)

    def apply(self) -> None:
        """Add the processes' gradients and step those weights that are this one's."""
        mine = self.common.gradients[self.rank]
        for p, (a, b) in zip(self.params, self.spans, strict=True):
            if p.grad is None:
                mine[a:b].zero_()
            else:
                mine[a:b].copy_(p.grad.reshape(-1))
        self.common.barrier.wait()
        for p, (a, b), is_owned in zip(self.params, self.spans, self.is_owned, strict=True):
            p.grad = sum(g[a:b] for g in self.common.gradients).view_as(p) if is_owned else None
        for o, base in zip(self.optimizers, self.bases, strict=True):
            o.param_groups[0]["lr"] = base * self.rate()
            if isinstance(o, torch.optim.AdamW):
                torch.nn.utils.clip_grad_norm_(o.param_groups[0]["params"], 1.0)
            o.step()
        for p in self.params:
            p.grad = None
        self.common.barrier.wait()
        self.step += 1
        if self.mean and self.step > self.averaged_from and self.step % MEAN_EVERY == 0:  # nobody writes weights before the next barrier
            self.mean.update_parameters(self.net)

    def learn(self, queue: Any) -> dict[str, list[float]]:
        """One step: as many of its parts as this learner gets. Its losses by name."""
        told: dict[str, list[float]] = defaultdict(list)
        while (work := queue.get()) is not None:
            if isinstance(work, Exception):
                raise work
            batch = work.batch
            is_answered = isinstance(batch, Batch) and batch.is_answered
            with torch.autocast("cpu", torch.bfloat16, enabled=HAS_HALF):
                losses = look_loss(self.net, batch) if isinstance(batch, Pictures) else loss_of(self.net, batch) if is_answered else aside_loss(self.net, batch)
            if isinstance(batch, Pictures):
                (SHARES["reading"] / work.n_alike * (losses["seen"] + losses["ordered"])).backward()
                told["looked"].append(losses["seen"].item())
                told["ordered"].append(losses["ordered"].item())
                continue
            loss = losses["answer"] / work.total if is_answered else torch.zeros(())
            prefix = "" if is_answered else batch.kind + " "
            for name, n in asked_of(batch).items():
                loss = loss + share_of(batch.kind, name, n, work.n_asked[name]) * losses[name]
                told[prefix + name].append(losses[name].item())
            loss.backward()
            if not is_answered:
                continue
            told[batch.kind].append(losses["answer"].item() / losses["weight"].item())
            told[batch.kind + "%"].append(100 * losses["right"].item())
        self.apply()
        return told


def run(rank: int, net: Network, a: argparse.Namespace, common: Common, queue: Any) -> None:
    """One learner's life."""
    torch.set_num_threads(1)
    learner = Learner(net, a.work, rank, a.looking, a.steps, common)
    learner.resume()
    if rank == 0:
        print(f"{sum(x.numel() for x in net.parameters()) / 1e6:.2f} million parameters, from step {learner.step}", flush=True)
    told: dict[str, list[float]] = defaultdict(list)
    began = saved = time.monotonic()
    while learner.step < a.steps:
        for name, values in learner.learn(queue).items():
            told[name] += values
        now = time.monotonic()
        if learner.step % 20 == 0:
            figures = "  ".join(f"{k} {sum(v) / len(v):.3f}" for k, v in told.items())
            print(f"step {learner.step}/{a.steps} [{rank}] {(now - began) / 20:.2f} s  {figures}", flush=True)
            told.clear()
            began = now
        if rank == 0:  # one clock decides for all
            common.should_stop.value = common.is_asked_to_stop.is_set()
            common.should_save.value = common.should_stop.value or now - saved > 60 * a.minutes or learner.step in (a.looking, a.steps)
        common.barrier.wait()
        if common.should_save.value:
            learner.save()
            saved = now
        if common.should_stop.value:
            return


def main() -> None:
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--work", type=Path, required=True, help="tokenizer.json is there; checkpoint.pt is written there")
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--looking", type=int, default=1000, help="steps before chats begin: the tower alone, and beside it the text model's first lessons")
    p.add_argument("--steps", type=int, default=6450, help="steps in all")
    p.add_argument("--slowing", type=float, default=0.4, help="the share of the steps, at the end, over which the rate falls to nothing")
    p.add_argument("--averaging", type=float, default=0.1, help="the share of the steps, at the end, whose weights' mean is exported")
    p.add_argument("--minutes", type=float, default=3.0, help="between checkpoints")
    p.add_argument("--learners", type=int, default=2, help="processes of one thread each")
    a = p.parse_args()
    # products of matrices are compiled for each shape; so many are never met, of 1,024 kept, as they are otherwise, most would be compiled again
    os.environ.setdefault("ONEDNN_PRIMITIVE_CACHE_CAPACITY", "8000")
    torch.set_num_threads(1)
    torch.manual_seed(1)
    net, first = Network(replace(Shape(), vocabulary=Encoder(a.work / "tokenizer.json").size)), 0
    if (file := a.work / "checkpoint.pt").exists():
        kept = torch.load(file, weights_only=False)
        if (n := kept["shape"]["vocabulary"]) != net.s.vocabulary:
            p.error(f"{file} has {n} tokens, tokenizer.json beside it {net.s.vocabulary}: they are not of one training")
        net.take(kept["net"])
        first = kept["step"]
    net.share_memory()
    context = multiprocessing.get_context("fork")
    size = sum(x.numel() for x in net.parameters())
    gradients = tuple(torch.zeros(size).share_memory_() for _ in range(a.learners))
    common = Common(a.learners, gradients, context.Barrier(a.learners), context.Value("b", False), context.Value("b", False), threading.Event(), a.slowing, a.averaging)
    queue = context.Queue(24)
    produced = (a.seed, first, a.looking, a.steps, a.work / "tokenizer.json", queue, a.learners)
    others = [context.Process(target=produce, args=produced, daemon=True)]
    others += [context.Process(target=run, args=(i, net, a, common, queue), daemon=True) for i in range(1, a.learners)]
    for number in (signal.SIGTERM, signal.SIGINT):  # a signal to the whole group must not end those that others wait for
        signal.signal(number, signal.SIG_IGN)
    for process in others:
        process.start()
    for number in (signal.SIGTERM, signal.SIGINT):  # the step is ended and kept
        signal.signal(number, lambda *_: common.is_asked_to_stop.set())
    run(0, net, a, common, queue)
    for process in others[1:]:
        process.join()
    others[0].kill()  # it makes more, and heeds no milder word
    if common.should_stop.value:
        sys.exit(143)


if __name__ == "__main__":
    main()
