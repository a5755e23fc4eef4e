"""The recipe's export: what was trained comes back out of the files. Needs the extra `model`."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.models import conftest  # noqa: F401  (puts the recipe on the path)

torch = pytest.importorskip("torch", reason="the extra `model` is not installed")
pytest.importorskip("tokenizers", reason="the extra `model` is not installed")


def test_every_weight_is_in_the_files(tmp_path: Path) -> None:
    import export
    import gguf
    import tokens
    from network import Network, Shape

    net = Network(Shape())
    state = {"net": net.state_dict(), "step": 0, "shape": {}}
    torch.save(state, tmp_path / "checkpoint.pt")
    tokens.train(1, 200).save(str(tmp_path / "tokenizer.json"))
    files = export.export(tmp_path / "checkpoint.pt", tmp_path / "tokenizer.json", tmp_path, "f32")
    written = sum(t.n_elements for f in files for t in gguf.GGUFReader(f).tensors)
    trained = sum(p.numel() for n, p in net.named_parameters() if not n.startswith("aids"))
    # the patch convolution is written once a frame
    assert written == trained + net.vision.patch.weight.numel()
