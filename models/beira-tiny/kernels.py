"""A block's two halves for training on processors that multiply tiles of bfloat16 (AMX): what kernels.c computes around torch's products.

torch computes such a block in some forty operations, each of which reads and writes all of its tokens, and its attention in strips; products of
matrices, which such a processor multiplies at a trillion operations a second, were an eighth of that time. Elsewhere, or where there is no
C compiler, network.py's own lines do the same, to what bfloat16 rounds off (tests/models/test_kernels.py).
"""

from __future__ import annotations

import ctypes
import functools
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

HEAD = 32
"""What the kernels take for a head's width."""
HALF = torch.bfloat16
_SOURCE = Path(__file__).with_name("kernels.c")


@functools.cache
def library() -> ctypes.CDLL | None:
    """kernels.c, compiled for this processor; None where it has no tiles, the system does not let them be used, or nothing compiles."""
    compiler = shutil.which("cc")
    if compiler is None or not torch.cpu.get_capabilities().get("amx_bf16", False):
        return None
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "kernels.so"
        made = subprocess.run([compiler, "-O3", "-march=sapphirerapids", "-shared", "-fPIC", "-o", file, _SOURCE, "-lm"], capture_output=True, text=True)
        if made.returncode:
            print(f"kernels.c does not compile, so training is slower: {made.stderr.strip()}", flush=True)
            return None
        loaded = ctypes.CDLL(str(file))
    for name in ("norm", "norm_back", "add", "columns", "turn", "turn_back", "gated", "gated_back"):
        getattr(loaded, name).restype = None
    return loaded if loaded.has_tiles() else None


def are_usable() -> bool:
    """Whether blocks are computed here: in bfloat16, where training computes in it."""
    return torch.is_autocast_enabled("cpu") and library() is not None


def _call(name: str, *given: Any) -> None:
    """A kernel with tensors (None where there is none; with an offset in elements, as a pair), whole numbers and floats."""
    kernels = library()
    assert kernels is not None
    function: Callable[..., int | None] = getattr(kernels, name)
    if function(*(_argument(one) for one in given)):
        raise MemoryError(f"no memory for {name}")


def _argument(one: Any) -> Any:
    match one:
        case None:
            return ctypes.c_void_p(None)
        case Tensor():
            assert one.is_contiguous(), f"a kernel was given {tuple(one.shape)} in another order: {one.stride()}"
            return ctypes.c_void_p(one.data_ptr())
        case (Tensor() as t, int() as offset):
            return ctypes.c_void_p(t.data_ptr() + offset * t.element_size())
        case float():
            return ctypes.c_float(one)
        case _:
            return ctypes.c_long(one)


def _norm(x: Tensor, added: Tensor | None, bias: Tensor | None, weight: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """x and what is added, that normed, and by what its rows were multiplied."""
    n, width = x.shape
    whole = x if added is None else torch.empty_like(x)
    y, scale = torch.empty(n, width, dtype=HALF), torch.empty(n)
    _call("norm", x, added, bias, weight, n, width, eps, None if added is None else whole, y, scale)
    return whole, y, scale


class Gathered(torch.autograd.Function):
    """(t, width) tokens to (t, heads · HEAD) of what their heads gather within each of `segments`, (count, 2) of where it starts and how long it is,
    which are all tokens; and (t, (heads + 2 · shared) · HEAD) of these heads' queries, scaled, keys and values. `shared` are the heads of the latter; cosines
    and sines (t, HEAD / 2)."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, norm: Tensor, weight: Tensor, bias: Tensor, cosines: Tensor, sines: Tensor, segments: Tensor, heads: int, shared: int, is_causal: bool, eps: float
    ) -> tuple[Tensor, Tensor]:
        n, x = len(x), x.contiguous()
        _, y, scale = _norm(x, None, None, norm, eps)
        half = weight.to(HALF)
        made = y @ half.T
        _call("turn", made, bias, cosines, sines, n, heads + 2 * shared, heads + shared, heads)
        out, logs = torch.empty(n, heads * HEAD, dtype=HALF), torch.empty(n, heads)
        _call("attend", made, (made, heads * HEAD), (made, (heads + shared) * HEAD), made.shape[1], heads, shared, segments, len(segments), int(is_causal), out, logs)
        ctx.save_for_backward(x, norm, half, cosines, sines, segments, y, scale, made, out, logs)
        ctx.heads, ctx.shared, ctx.is_causal = heads, shared, is_causal
        ctx.set_materialize_grads(False)
        return out, made

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dout: Tensor, dmade: Tensor | None) -> tuple[Tensor | None, ...]:
        x, norm, half, cosines, sines, segments, y, scale, made, out, logs = ctx.saved_tensors
        heads, shared, n, dout = ctx.heads, ctx.shared, len(x), dout.contiguous()
        keys, values = heads * HEAD, (heads + shared) * HEAD
        back = torch.empty_like(made)
        within = heads, shared, segments, len(segments), int(ctx.is_causal)
        _call("attend_back", made, (made, keys), (made, values), made.shape[1], *within, out, dout, logs, back, (back, keys), (back, values))
        if dmade is not None:
            back += dmade
        dbias, dnorm, dx = torch.zeros(made.shape[1]), torch.zeros_like(norm), torch.empty_like(x)
        _call("turn_back", back, cosines, sines, n, heads + 2 * shared, heads + shared, heads, dbias)
        _call("norm_back", back @ half, x, norm, scale, None, n, x.shape[1], dx, dnorm, None)
        return dx, dnorm, (back.T @ y).float(), dbias, *(None,) * 7


class Widened(torch.autograd.Function):
    """(t, width) tokens and (t, heads · HEAD) of what was gathered for them to what the block gives; biases are None where there are none."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        gathered: Tensor,
        out: Tensor,
        out_bias: Tensor | None,
        norm: Tensor,
        gate_up: Tensor,
        gate_up_bias: Tensor | None,
        down: Tensor,
        down_bias: Tensor | None,
        eps: float,
    ) -> Tensor:
        n, width = x.shape
        out, gate_up, down = (w.to(HALF) for w in (out, gate_up, down))
        x, y, scale = _norm(x.contiguous(), gathered @ out.T, out_bias, norm, eps)
        both = y @ gate_up.T
        wide = torch.empty(n, down.shape[1], dtype=HALF)
        _call("gated", both, gate_up_bias, n, down.shape[1], wide)
        made = torch.empty_like(x)
        _call("add", x, wide @ down.T, down_bias, n, width, made)
        ctx.save_for_backward(x, gathered, out, norm, gate_up, down, y, scale, both, wide)
        ctx.has_biases = gate_up_bias is not None
        return made

    @staticmethod
    @once_differentiable  # type: ignore[untyped-decorator]
    def backward(ctx: Any, dmade: Tensor) -> tuple[Tensor | None, ...]:
        x, gathered, out, norm, gate_up, down, y, scale, both, wide = ctx.saved_tensors
        (n, width), dmade = x.shape, dmade.contiguous()
        dout_bias, dgate_up_bias, ddown_bias = (torch.zeros(m) if ctx.has_biases else None for m in (width, both.shape[1], width))
        d = dmade.to(HALF)
        if ctx.has_biases:
            _call("columns", d, n, width, ddown_bias)
        ddown = d.T @ wide
        dboth = both.clone()
        _call("gated_back", dboth, d @ down, n, wide.shape[1], dgate_up_bias)
        dx, dnorm, half = torch.empty_like(x), torch.zeros_like(norm), torch.empty(n, width, dtype=HALF)
        _call("norm_back", dboth @ gate_up, x, norm, scale, dmade, n, width, dx, dnorm, half)
        if ctx.has_biases:
            _call("columns", half, n, width, dout_bias)
        return dx, half @ out, (half.T @ gathered).float(), dout_bias, dnorm, (dboth.T @ y).float(), dgate_up_bias, ddown.float(), ddown_bias, None
