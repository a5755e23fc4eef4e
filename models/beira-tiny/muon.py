"""Muon: momentum whose matrices are orthogonalised before they are applied; the rest by AdamW. It learns in fewer steps.

After Keller Jordan's description, https://kellerjordan.github.io/posts/muon/: the quintic Newton-Schulz iteration.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import torch
from torch import Tensor


def orthogonal(g: Tensor, steps: int = 5) -> Tensor:
    """Nearly the nearest matrices with orthonormal rows, for a stack of matrices that are no taller than wide.

    In bfloat16, as the description says: the result is rough in any case.
    """
    a, b, c = 3.4445, -4.7750, 2.0315
    x = (g / (g.norm(dim=(-2, -1), keepdim=True) + 1e-7)).bfloat16()
    for _ in range(steps):
        s = x @ x.mT
        x = torch.baddbmm(x, torch.baddbmm(s, s, s, beta=b, alpha=c), x, beta=a)
    return x.to(g.dtype)


class Muon(torch.optim.Optimizer):
    """For matrices; `pieces` says into how many matrices (by rows) each parameter is cut, as fused ones are."""

    def __init__(self, params: Iterable[tuple[Tensor, tuple[int, ...]]], lr: float = 0.02, momentum: float = 0.95) -> None:
        params = list(params)
        super().__init__([p for p, _ in params], {"lr": lr, "momentum": momentum})
        self._pieces = [sizes for _, sizes in params]

    @torch.no_grad()  # type: ignore[untyped-decorator]
    def step(self, closure: None = None) -> None:
        for group in self.param_groups:
            stacks: dict[torch.Size, list[tuple[Tensor, Tensor, bool]]] = defaultdict(list)
            for p, sizes in zip(group["params"], self._pieces, strict=True):
                if p.grad is None:
                    continue
                state = self.state[p]
                if "momentum" not in state:
                    state["momentum"] = torch.zeros_like(p)
                state["momentum"].lerp_(p.grad, 1 - group["momentum"])
                update = p.grad.lerp(state["momentum"], group["momentum"])
                for target, piece in zip(p.split(sizes), update.split(sizes), strict=True):
                    is_tall = piece.shape[0] > piece.shape[1]
                    matrix = piece.T if is_tall else piece
                    stacks[matrix.shape].append((target, matrix, is_tall))
            for stack in stacks.values():
                made = orthogonal(torch.stack([m for _, m, _ in stack]))
                for (target, _, is_tall), update in zip(stack, made, strict=True):
                    scale = max(1.0, target.shape[0] / target.shape[1]) ** 0.5
                    target.add_(update.T if is_tall else update, alpha=-group["lr"] * scale)
