"""The recipe's export: what was trained comes back out of the files. Needs the extra `model`."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path

import pytest

from tests.models import conftest

torch = pytest.importorskip("torch", reason="the extra `model` is not installed")
pytest.importorskip("tokenizers", reason="the extra `model` is not installed")


def test_a_model_is_restored_as_it_was_shipped(tmp_path: Path) -> None:
    """The shipped files themselves, there and back: the same bytes."""
    import export
    import gguf
    import restore
    import torch
    from encoding import Encoder

    shipped = [conftest.RECIPE / name for name in ("beira-tiny.gguf", "beira-tiny-mmproj.gguf")]
    text, vision = (gguf.GGUFReader(f) for f in shipped)
    restore.tokenizer(text).save(str(tmp_path / "tokenizer.json"))
    net = restore.network(text, vision)
    assert not any(p.any() for p in net.aids.parameters())
    encoder = Encoder(tmp_path / "tokenizer.json")  # as training does, by which a network is made
    assert encoder.size == net.s.vocabulary
    assert encoder.markup["<|im_end|>"] == restore.field(text, "tokenizer.ggml.eos_token_id")
    torch.save(
        {"net": net.state_dict(), "step": restore.field(text, export.STEPS_KEY), "shape": asdict(net.s)},
        tmp_path / "checkpoint.pt",
    )
    files = export.export(tmp_path / "checkpoint.pt", tmp_path / "tokenizer.json", tmp_path / "out", "q8_0")
    for made, kept in zip(files, shipped, strict=True):
        assert made.read_bytes() == kept.read_bytes()


def test_a_file_of_another_shape_is_refused() -> None:
    import gguf
    import restore

    vision = gguf.GGUFReader(conftest.RECIPE / "beira-tiny-mmproj.gguf")
    with pytest.raises(ValueError, match="not this recipe's"):
        restore.check_shapes(
            {"v.post_ln.weight": restore.tensors(vision)["v.post_ln.weight"][:3]}, restore.tensors(vision)
        )


def test_strips_of_attention_are_attention() -> None:
    from attention import attend_before

    q, k, v = (torch.randn(2, heads, 300, 32) for heads in (6, 2, 2))
    wanted = torch.nn.functional.scaled_dot_product_attention(q, k, v, is_causal=True, enable_gqa=True)
    assert torch.allclose(attend_before(q / 32**0.5, k, v), wanted, atol=1e-5)


def test_tokens_of_texts_are_apart_and_together_again() -> None:
    from attention import Segments

    texts, x = Segments.of(torch.tensor([3, 5, 1])), torch.randn(9, 2, 4)
    apart = texts.apart(x)
    assert apart.shape == (3, 2, 5, 4)
    assert torch.equal(apart[1].transpose(0, 1), x[3:8])
    assert texts.is_there().sum(1).tolist() == [3, 5, 1]
    assert torch.equal(texts.together(apart), x.flatten(1))


def test_what_fills_up_is_no_longer_than_the_texts() -> None:
    from attention import filled, filling

    assert [filled(n) for n in (1, 64, 65, 1024, 1025, 2049, 5000)] == [64, 64, 128, 1024, 1152, 2304, 5120]
    assert filling([30, 10, 30]) == [30, 28]
    assert filling([32, 32]) == []
    assert filling([3]) == [3] * 20 + [1]


def test_texts_behind_each_other_are_as_if_alone() -> None:
    from attention import Segments
    from network import Network, Shape

    net, lengths = Network(Shape(layers=2)), (150, 7, 143)
    tokens = torch.randint(0, net.s.vocabulary, (sum(lengths),))
    positions = torch.cat([torch.arange(n) for n in lengths]).expand(3, -1)
    with torch.no_grad():
        together = net.hidden(tokens, positions, Segments.of(torch.tensor(lengths)))[0].split(lengths)
        for text, found in zip(tokens.split(lengths), together, strict=True):
            n = len(text)
            alone, *_ = net.hidden(text, torch.arange(n).expand(3, -1), Segments.of(torch.tensor([n])))
            assert torch.allclose(found, alone, atol=1e-5)


@pytest.mark.parametrize("needed", [[3, 4, 150, 299], [300, 301, 599], list(range(600))])
def test_of_the_last_layer_only_what_is_needed_is_computed(needed: list[int]) -> None:
    from attention import Segments
    from network import Network, Shape

    net, texts = Network(Shape(layers=2)), Segments.of(torch.tensor([300, 300]))
    tokens, places = torch.randint(0, net.s.vocabulary, (600,)), torch.tensor(needed)
    positions = torch.arange(300).repeat(2).expand(3, -1)
    with torch.no_grad():
        whole, tapped, _ = net.hidden(tokens, positions, texts)
        part, below, _ = net.hidden(tokens, positions, texts, needed=places)
    assert torch.allclose(part, whole[places], atol=1e-5)
    assert torch.equal(below[0], tapped[0])


def test_a_checkpoint_of_fewer_or_other_aids_is_taken() -> None:
    from network import Network, Shape

    kept = {n: t for n, t in Network(Shape()).state_dict().items() if n != "aids.sort.weight"}
    net = Network(Shape())
    net.take(kept)
    assert not net.aids["sort"].weight.any()
    kept["aids.edge.weight"] = kept["aids.edge.weight"][:2]
    net = Network(Shape())
    net.take(kept)
    assert not net.aids["edge"].weight.any()
    assert torch.equal(net.embed.weight, kept["embed.weight"])
    with pytest.raises(ValueError, match="norm"):
        net.take({n: t for n, t in kept.items() if n != "norm"})


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
