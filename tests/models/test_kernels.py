"""The recipe's own kernels against the lines that they stand for. Needs the extra `model`, and a processor with AMX."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.models import conftest

torch = pytest.importorskip("torch", reason="the extra `model` is not installed")

LENGTHS = (1, 7, 16, 33, 64, 31, 100, 15, 257)


@pytest.fixture
def in_half() -> Iterator[None]:
    import kernels

    if kernels.library() is None:
        pytest.skip("this processor has no tiles of bfloat16 (AMX), or there is no C compiler")
    with torch.autocast("cpu", torch.bfloat16):
        yield


def block_of(kind: str) -> Any:
    from network import Shape, TextBlock, VisionBlock

    torch.manual_seed(5)
    block = (TextBlock if kind == "text" else VisionBlock)(Shape())
    for name, p in block.named_parameters():
        torch.nn.init.normal_(p, 1.0 if name.startswith("norm") else 0.0, 0.1)
    return block


def given(block: Any) -> tuple[Any, ...]:
    """Tokens, their angles, and which belong together."""
    from attention import Segments

    torch.manual_seed(6)
    n, width = sum(LENGTHS), block.norm1.shape[0]
    angles = torch.rand(n, 16) * 6
    return 2 * torch.randn(n, width), angles.cos(), angles.sin(), Segments.of(torch.tensor(LENGTHS))


def passed(block: Any, *rest: Any) -> Any:
    """Through the block, whether it also tells what is attended to or not."""
    made = block(*rest)
    return made[0] if isinstance(made, tuple) else made


def learned(block: Any, x: Any, *rest: Any) -> dict[str, Any]:
    """What a block gives, and what comes back to all that it is given."""
    x = x.clone().requires_grad_()
    block.zero_grad()
    made = passed(block, x, *rest)
    torch.manual_seed(7)
    (made * torch.randn_like(made)).sum().backward()
    back = {name: p.grad.clone() for name, p in block.named_parameters()}
    return {"made": made.detach() - x.detach(), "x": x.grad} | back


def missed(one: dict[str, Any], exact: dict[str, Any]) -> dict[str, float]:
    assert one.keys() == exact.keys()
    return {name: float((one[name] - t).norm() / t.norm()) for name, t in exact.items()}


@pytest.mark.parametrize("kind", ["text", "tower"])
def test_a_block_gives_and_learns_what_its_own_lines_do(
    kind: str, in_half: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Against 32 bits, off by no more than torch's own operations in bfloat16 are."""
    import kernels

    block = block_of(kind)
    by_kernels = learned(block, *given(block))
    monkeypatch.setattr(kernels, "are_usable", lambda: False)
    in_halves = learned(block, *given(block))
    with torch.autocast("cpu", enabled=False):
        exact = learned(block, *given(block))
    theirs = missed(in_halves, exact)
    assert max(theirs.values()) < 0.03
    for name, off in missed(by_kernels, exact).items():
        assert off < 1.25 * theirs[name] + 1e-3, name


def test_what_is_told_of_attention_is_learned_from(in_half: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """By the queries and keys that attention has, whose gradients add up with those of what is gathered."""
    import kernels

    block = block_of("text")
    x, *rest = given(block)
    asked = torch.tensor(
        [[i, place, head] for i, n in enumerate(LENGTHS) for place in (0, n // 2, n - 1) for head in (0, 4)]
    )

    def told() -> dict[str, Any]:
        block.zero_grad()
        made, attention = block(x, *rest, asked=asked)
        first = torch.stack([logs[:, 0].sum() for _, logs in attention]).sum()
        (first + made.square().sum()).backward()
        weights = {name: p.grad.clone() for name, p in block.named_parameters()}
        return {"made": made.detach(), "first": first.detach()} | weights

    by_kernels = told()
    monkeypatch.setattr(kernels, "are_usable", lambda: False)
    in_halves = told()
    with torch.autocast("cpu", enabled=False):
        exact = told()
    theirs = missed(in_halves, exact)
    for name, off in missed(by_kernels, exact).items():
        assert off < 1.25 * theirs[name] + 1e-2, name


@pytest.mark.parametrize("kind", ["text", "tower"])
def test_no_text_or_window_sees_another(kind: str, in_half: None) -> None:
    block = block_of(kind)
    x, *rest = given(block)
    begin, end = sum(LENGTHS[:4]), sum(LENGTHS[:5])
    other = x.clone()
    other[begin:end] += 1
    one, changed = learned(block, x, *rest), learned(block, other, *rest)
    outside = torch.ones(len(x), dtype=torch.bool)
    outside[begin:end] = False
    for name in ("made", "x"):
        assert torch.equal(one[name][outside], changed[name][outside])
        assert not torch.equal(one[name][~outside], changed[name][~outside])


def test_a_text_sees_what_stands_before_alone(in_half: None) -> None:
    block = block_of("text")
    x, *rest = given(block)
    begin, at = sum(LENGTHS[:8]), sum(LENGTHS[:8]) + 200
    other = x.clone()
    other[at] += 1
    with torch.no_grad():
        one, changed = passed(block, x, *rest), passed(block, other, *rest)
    assert torch.equal(one[:at], changed[:at])
    assert not torch.equal(one[at + 1], changed[at + 1])
    assert not torch.equal(one[-1], changed[-1])
    assert begin < at


def test_scores_of_any_size_are_weighed(in_half: None, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where one token has nearly all of the attention, and no exponent of a score is a number."""
    import kernels

    block = block_of("text")
    with torch.no_grad():
        block.qkv.weight *= 60.0
    by_kernels = learned(block, *given(block))
    assert all(bool(t.isfinite().all()) for t in by_kernels.values())
    monkeypatch.setattr(kernels, "are_usable", lambda: False)
    in_halves = learned(block, *given(block))
    with torch.autocast("cpu", enabled=False):
        exact = learned(block, *given(block))
    assert missed(by_kernels, exact)["made"] < 1.25 * missed(in_halves, exact)["made"] < 0.2


def test_of_the_last_layer_those_that_are_needed_are_given(in_half: None) -> None:
    block = block_of("text")
    x, *rest = given(block)
    needed = torch.tensor([0, 3, 77, len(x) - 1])
    with torch.no_grad():
        assert torch.equal(passed(block, x, *rest, needed), passed(block, x, *rest)[needed])


def test_a_kernel_refuses_what_lies_in_another_order(in_half: None) -> None:
    block = block_of("text")
    x, cos, sin, texts = given(block)
    with pytest.raises(AssertionError, match=r"given \(524, 16\) in another order"):
        block(x, cos.T.contiguous().T, sin, texts)


def test_where_nothing_compiles_it_is_said_and_trained_without(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    import kernels

    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"amx_bf16": True})
    broken = tmp_path / "kernels.c"
    broken.write_text("int has_tiles(void) { return 1 }")
    monkeypatch.setattr(kernels, "_SOURCE", broken)
    assert kernels.library.__wrapped__() is None
    assert "kernels.c does not compile, so training is slower: " in capsys.readouterr().out
    monkeypatch.setattr(kernels.shutil, "which", lambda name: None)
    assert kernels.library.__wrapped__() is None
    monkeypatch.setattr(torch.cpu, "get_capabilities", dict)
    assert kernels.library.__wrapped__() is None


def test_the_kernels_compile_without_a_warning(tmp_path: Path) -> None:
    import kernels

    if (compiler := kernels.shutil.which("cc")) is None:
        pytest.skip("there is no C compiler")
    flags = ("-O3", "-Wall", "-Wextra", "-Werror", "-march=sapphirerapids", "-shared", "-fPIC")
    made = subprocess.run(
        [compiler, *flags, "-o", tmp_path / "kernels.so", conftest.RECIPE / "kernels.c"], capture_output=True, text=True
    )
    if "sapphirerapids" in made.stderr and "march" in made.stderr:
        pytest.skip("the compiler does not know such processors")
    assert made.returncode == 0, made.stderr
