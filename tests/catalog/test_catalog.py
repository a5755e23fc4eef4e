"""The catalog: manifests are read and checked, names found, weights verified."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from runtime.catalog.catalog import EMBEDDED, Catalog
from runtime.catalog.manifest import read_manifest
from runtime.errors import CatalogError, ModelNotFound

MANIFEST = 'id = "m"\ncontext = 64\n[weights]\ntext = { file = "m.gguf" }\n'


def write(folder: Path, name: str, text: str) -> Path:
    file = folder / name
    file.write_text(text, "utf-8")
    return file


def test_the_embedded_model_is_always_there_and_whole() -> None:
    catalog = Catalog([])
    manifest = catalog.find(EMBEDDED)
    assert manifest.is_on_disk
    assert manifest.projector is not None
    catalog.verify(manifest)


def test_a_model_is_found_by_id_and_alias_in_any_case() -> None:
    catalog = Catalog([])
    qwen = catalog.find("qwen-qwen25-vl-3b-instruct-awq")
    assert catalog.find("Qwen/Qwen2.5-VL-3B-Instruct-AWQ") is qwen
    assert catalog.find("QWEN-qwen25-VL-3b-instruct-awq") is qwen
    assert qwen.stand_in == EMBEDDED
    assert qwen.sampling == {"temperature": 1e-6, "repetition_penalty": 1.05}
    assert qwen.repo == "ggml-org/Qwen2.5-VL-3B-Instruct-GGUF"


def test_an_unknown_model_lists_the_known_ids() -> None:
    with pytest.raises(ModelNotFound, match=r"'gpt-9' does not exist; known models: .*beira-tiny.*qwen-qwen25") as e:
        Catalog([]).find("gpt-9")
    assert e.value.param == "model"


def test_an_earlier_folder_wins(tmp_path: Path) -> None:
    write(tmp_path, "tiny.toml", MANIFEST.replace('"m"', '"beira-tiny"'))
    assert Catalog([tmp_path]).find("beira-tiny").context == 64


def test_an_earlier_folders_alias_wins(tmp_path: Path) -> None:
    write(tmp_path, "m.toml", 'aliases = ["Qwen/Qwen2.5-VL-3B-Instruct"]\n' + MANIFEST)
    assert Catalog([tmp_path]).find("qwen/qwen2.5-vl-3b-instruct").id == "m"


def test_weights_lie_beside_the_manifest(tmp_path: Path) -> None:
    manifest = read_manifest(write(tmp_path, "m.toml", MANIFEST))
    assert manifest.text == tmp_path / "m.gguf"
    assert manifest.files == (tmp_path / "m.gguf",)
    assert not manifest.is_on_disk


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id = ", "cannot be read as TOML"),
        (MANIFEST.replace('id = "m"\n', ""), "id: is required"),
        (MANIFEST.replace('"m"', '"M x"'), "id: must be of a-z"),
        (MANIFEST.replace("context = 64", 'context = "64"'), "context: must be a whole number, got '64'"),
        (MANIFEST.replace("context = 64", "context = true"), "context: must be a whole number, got True"),
        (MANIFEST.replace("context = 64", "context = 0"), "context: must be at least 1, got 0"),
        (MANIFEST.replace("context", "contxt"), "unknown key 'contxt'; did you mean 'context'"),
        ('id = "m"\ncontext = 1\n', "weights: is required"),
        (MANIFEST.replace("file", "fil"), "unknown key 'weights.text.fil'; did you mean 'weights.text.file'"),
        (MANIFEST.replace("\ntext =", "\ntxt ="), "unknown key 'weights.txt'"),
        ("capabilities = ['sing']\n" + MANIFEST, "capabilities: must be of chat, vision, tools, got 'sing'"),
        ("capabilities = ['vision']\n" + MANIFEST, "'vision' needs weights.projector"),
        ("aliases = [1]\n" + MANIFEST, "aliases: must be a list of texts"),
        (MANIFEST + "[sampling]\ntemprature = 1", "unknown key 'sampling.temprature'"),
        (MANIFEST + "[sampling]\ntemperature = 3", "sampling.temperature: must be a number of 0 to 2, got 3"),
        (MANIFEST.replace('"m.gguf"', '"m.gguf", sha256 = "x"'), "sha256: must be 64 lower-case hex digits"),
    ],
)
def test_a_wrong_manifest_names_file_and_key(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(CatalogError, match=r"m\.toml") as e:
        read_manifest(write(tmp_path, "m.toml", text))
    assert message in str(e.value)


def test_two_manifests_of_one_folder_cannot_share_a_name(tmp_path: Path) -> None:
    write(tmp_path, "a.toml", MANIFEST)
    write(tmp_path, "b.toml", MANIFEST)
    with pytest.raises(CatalogError, match=r"b\.toml: id: 'm' is also the id in .*a\.toml"):
        Catalog([tmp_path])
    write(tmp_path, "b.toml", 'aliases = ["M"]\n' + MANIFEST.replace('"m"', '"n"'))
    with pytest.raises(CatalogError, match=r"b\.toml: aliases: 'M' already names 'm'"):
        Catalog([tmp_path])


def test_a_stand_in_must_exist(tmp_path: Path) -> None:
    write(tmp_path, "m.toml", 'stand_in = "nobody"\n' + MANIFEST)
    with pytest.raises(CatalogError, match=r"m\.toml: stand_in: no model 'nobody'; known: m, beira-tiny"):
        Catalog([tmp_path])


def test_a_folder_must_exist(tmp_path: Path) -> None:
    with pytest.raises(CatalogError, match=r"no folder of models: looked for .*/absent"):
        Catalog([tmp_path / "absent"])


def test_verify_names_the_wrong_file(tmp_path: Path) -> None:
    right = hashlib.sha256(b"GGUF right").hexdigest()
    write(tmp_path, "m.toml", MANIFEST.replace('"m.gguf"', f'"m.gguf", size = 10, sha256 = "{right}"'))
    catalog = Catalog([tmp_path])
    manifest = catalog.find("m")
    with pytest.raises(CatalogError, match=r"m\.gguf: weights cannot be read: No such file"):
        catalog.verify(manifest)
    manifest.text.write_bytes(b"GGUF cut")
    with pytest.raises(CatalogError, match=r"m\.gguf: has 8 bytes, the manifest says 10"):
        catalog.verify(manifest)
    manifest.text.write_bytes(b"<html><oh>")
    with pytest.raises(CatalogError, match=r"m\.gguf: is not a GGUF file"):
        catalog.verify(manifest)
    manifest.text.write_bytes(b"GGUF wrong")
    with pytest.raises(CatalogError, match=r"m\.gguf: sha256 is .* the manifest says"):
        catalog.verify(manifest)
    manifest.text.write_bytes(b"GGUF right")
    catalog.verify(manifest)
