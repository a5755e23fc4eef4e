"""A projector padded and quantised: what its embeddings keep, that answers stay, that a stale file is not used."""

from __future__ import annotations

import itertools
import os
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from gguf import GGUFReader, GGUFWriter, dequantize

from runtime.cli import main
from runtime.config import EngineSettings
from runtime.engine.engine import Engine
from runtime.engine.fidelity import Fidelity, best, cosines, drawing, write_best
from runtime.engine.llama import Floats, Model
from runtime.engine.optimize import BLOCK, MIXES, optimize, optimized_path, preferred
from runtime.engine.projector import Projector
from runtime.engine.request import Part
from runtime.errors import ConfigError
from tests.engine.helpers import COLORS, PROJECTOR_FILE, TEXT_FILE, chat, generate, picture, small_engine

SIDE = 140
SHAPES = ("circle", "square")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("projectors")


@pytest.fixture(scope="module")
def model() -> Iterator[Model]:
    made = Model(TEXT_FILE, gpu_layers=0)
    yield made
    made.close()


@pytest.fixture(scope="module")
def f16(folder: Path) -> Path:
    """The embedded projector as it would be published in F16."""
    path = folder / "f16.gguf"
    optimize(PROJECTOR_FILE, path, {"ffn": "F16", "attn": "F16", "mm": "F16"})
    return path


@pytest.fixture(scope="module")
def optimized(folder: Path) -> Path:
    source = folder / "embedded.gguf"
    shutil.copy2(PROJECTOR_FILE, source)
    path = optimized_path(source)
    optimize(source, path)
    return path


def embeddings(model: Model, path: Path, side: int = SIDE) -> Floats:
    projector = Projector(path, model, threads=1, max_tokens=1024, use_gpu=False)
    try:
        return projector.encode(side, side, drawing(side))
    finally:
        projector.close()


def test_padding_alone_changes_nothing(model: Model, folder: Path) -> None:
    path = folder / "padded.gguf"
    optimize(PROJECTOR_FILE, path, {})
    np.testing.assert_allclose(embeddings(model, path), embeddings(model, PROJECTOR_FILE), rtol=1e-4, atol=1e-4)


def test_metadata_agrees_with_the_tensors(optimized: Path) -> None:
    before, after = GGUFReader(PROJECTOR_FILE), GGUFReader(optimized)
    old = int(before.fields["clip.vision.feed_forward_length"].contents())
    length = int(after.fields["clip.vision.feed_forward_length"].contents())
    assert length == -(-old // BLOCK) * BLOCK > old
    tensors = {t.name: t for t in after.tensors}
    assert tensors["v.blk.0.ffn_down.weight"].tensor_type.name == "Q4_K"
    assert tensors["v.blk.0.ffn_down.weight"].shape[0] == length
    for name in ("ffn_gate.weight", "ffn_up.weight", "ffn_gate.bias", "ffn_up.bias"):
        tensor = tensors[f"v.blk.3.{name}"]
        assert tensor.shape[-1] == length
        assert not dequantize(tensor.data, tensor.tensor_type)[old:].any()
    kept = {key: field.contents() for key, field in before.fields.items() if not key.startswith("GGUF.")}
    del kept["clip.vision.feed_forward_length"]
    assert kept == {key: after.fields[key].contents() for key in kept}
    assert [t.name for t in after.tensors] == [t.name for t in before.tensors]


@pytest.fixture(scope="module")
def chosen(folder: Path) -> Path:
    """As `beira models optimize` writes it, with the mix that it measures to be near enough."""
    path = folder / "chosen.gguf"
    write_best(TEXT_FILE, PROJECTOR_FILE, path, side=SIDE)
    return path


@pytest.mark.parametrize("source", ["f16", "q8_0"])
def test_quantised_embeddings_point_the_same_way(model: Model, f16: Path, chosen: Path, source: str) -> None:
    reference = embeddings(model, f16 if source == "f16" else PROJECTOR_FILE)
    cosine = cosines(reference, embeddings(model, chosen))
    print(f"cosine similarity to {source}: {cosine.mean():.6f} on average, {cosine.min():.6f} at the lowest")
    assert cosine.mean() > 0.999
    assert cosine.min() > 0.995


def test_the_coarsest_mix_is_still_the_same_picture(model: Model, f16: Path, optimized: Path) -> None:
    cosine = cosines(embeddings(model, f16, 448), embeddings(model, optimized, 448))
    assert len(cosine) == 256
    assert cosine.mean() > 0.998
    assert cosine.min() > 0.98


def test_the_chosen_mix_is_written(tmp_path: Path) -> None:
    for enough in (0.99, 2.0):
        target = tmp_path / "out.gguf"
        found = write_best(TEXT_FILE, PROJECTOR_FILE, target, side=SIDE, enough=enough)
        assert found.kinds in (MIXES if enough < 1 else MIXES[-1:])
        assert 0.995 < found.lowest <= found.mean < 1.00001
        assert found.mean > 0.999
        assert "cosine similarity" in found.describe()
        down = next(t for t in GGUFReader(target).tensors if t.name == "v.blk.0.ffn_down.weight")
        assert down.tensor_type.name == found.kinds.get("ffn", "Q8_0")
        assert list(tmp_path.iterdir()) == [target]


@pytest.mark.parametrize(
    ("tried", "chosen"),
    [
        ([(4.4, 0.96), (4.8, 0.97), (9.2, 0.999)], 1),  # finer, and nearly as fast
        ([(4.4, 0.96), (5.0, 0.97), (9.2, 0.999)], 0),
        ([(0.05, 0.996), (0.05, 0.999), (0.04, 1.0)], 2),
        ([(0.02, 0.994), (0.03, 0.997), (0.05, 1.0)], 2),  # all are soon done
        ([(0.2, 0.994), (0.3, 0.997), (0.5, 1.0)], 0),
        ([(4.4, 0.90), (5.0, 0.97), (9.2, 0.999)], 1),
        ([(4.4, 0.90), (5.0, 0.91), (9.2, 0.93)], 2),  # none keeps enough
    ],
)
def test_the_finest_mix_that_is_nearly_as_fast_is_chosen(tried: list[tuple[float, float]], chosen: int) -> None:
    found = [Fidelity({"ffn": str(i)}, lowest, lowest, 13.1, seconds) for i, (seconds, lowest) in enumerate(tried)]
    assert best(found, 0.95) is found[chosen]


def test_answers_are_the_same(optimized: Path) -> None:
    """Each shape in each colour, three questions."""
    questions = ("What is in this image?", "What color is the shape?", "How many shapes are there?")
    prompts: list[list[Part]] = [
        chat(picture(kind, color, background="blue" if color == "white" else "white"), question)
        for kind, color, question in itertools.product(SHAPES, COLORS, questions)
    ]
    settings = EngineSettings(context=4096, threads=1, max_sequences=4)
    original, changed = small_engine(), Engine(TEXT_FILE, optimized, settings, name="optimised")
    try:
        for prompt in prompts:
            expected = generate(original, prompt, max_tokens=32).text()
            assert expected
            assert generate(changed, prompt, max_tokens=32).text() == expected
    finally:
        original.close()
        changed.close()


def test_an_engine_prefers_the_optimised_file(optimized: Path) -> None:
    source = optimized.with_name("embedded.gguf")
    engine = Engine(TEXT_FILE, source, EngineSettings(context=512, threads=1), name="tiny")
    try:
        assert engine._loaded.vision is not None
        assert engine._loaded.vision.path == optimized
    finally:
        engine.close()


def test_only_that_of_the_same_source_is_used(
    tmp_path: Path, optimized: Path, caplog: pytest.LogCaptureFixture
) -> None:
    source = tmp_path / "embedded.gguf"
    shutil.copy(PROJECTOR_FILE, source)
    assert preferred(source) == source
    shutil.copy(optimized, optimized_path(source))
    # the same bytes under another time: the checksum tells
    os.utime(source, (1, 1))
    assert preferred(source) == optimized_path(source)
    source.write_bytes(PROJECTOR_FILE.read_bytes()[:-1] + b"x")
    assert preferred(source) == source
    assert "was made from another embedded.gguf" in caplog.text


def test_a_file_that_is_none_is_not_used(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    source = tmp_path / "embedded.gguf"
    shutil.copy(PROJECTOR_FILE, source)
    optimized_path(source).write_bytes(b"GGUF and nothing else")
    assert preferred(source) == source
    shutil.copy(PROJECTOR_FILE, optimized_path(source))
    assert preferred(source) == source
    assert caplog.text.count("it is no optimised projector") == 2


def test_what_is_no_projector_is_refused(tmp_path: Path, optimized: Path) -> None:
    target = tmp_path / "out.gguf"
    rubbish = tmp_path / "rubbish.gguf"
    rubbish.write_bytes(b"not a GGUF")
    for source, said in (
        (rubbish, "cannot be read as a vision projector"),
        (TEXT_FILE, "cannot be read as a vision projector"),
        (optimized, "is optimised already"),
        (tmp_path / "absent.gguf", "cannot be read as a vision projector"),
    ):
        with pytest.raises(ConfigError, match=said):
            optimize(source, target)
    assert not [p for p in tmp_path.iterdir() if p != rubbish]


def test_a_feed_forward_of_another_length_is_refused(tmp_path: Path) -> None:
    source = tmp_path / "odd.gguf"
    writer = GGUFWriter(source, "clip")
    writer.add_uint32("clip.vision.feed_forward_length", 96)
    writer.add_tensor("v.blk.0.ffn_up.weight", np.zeros((64, 32), dtype=np.float16))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    with pytest.raises(ConfigError, match=r"v\.blk\.0\.ffn_up\.weight: expected 96 along axis 0"):
        optimize(source, tmp_path / "out.gguf")


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("runtime.host.setup_logging", lambda: None)
    target = tmp_path / "out.gguf"
    assert main(["models", "optimize", "beira-tiny", "--output", str(target)]) == 0
    said = capsys.readouterr().out
    assert str(target) in said
    mixes = [", ".join(f"{name} {kind}" for name, kind in mix.items()) or "padded alone" for mix in MIXES]
    assert any(f"{mix}; a picture encoded in" in said for mix in mixes)
    assert target.is_file()
    assert main(["models", "optimize", "beira-tiny", "--output", str(tmp_path / "absent" / "out.gguf")]) == 2
    assert main(["models", "optimize", "qwen-qwen25-vl-3b-instruct-awq"]) == 2
    assert "there is no projector to optimise" in capsys.readouterr().err
