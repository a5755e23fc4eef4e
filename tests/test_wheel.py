"""The wheel as a user meets it: built, installed into an empty environment elsewhere, serving a new folder."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import sysconfig
import venv
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.node import DEADLINE_S, ROOT, Node, children, is_alive, picture, until

MODEL = "beira-tiny"
FUNCTION = """
import base64


async def fetch(request, env, ctx):
    url = "data:image/png;base64," + base64.b64encode(await request.bytes()).decode()
    return await AI.run("beira-tiny", messages=[{"role": "user", "content": [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": "What is in this image?"},
    ]}])
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """This checkout's wheel; hatchling alone makes it, so nothing is downloaded."""
    folder = tmp_path_factory.mktemp("wheel")
    _succeed([sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(folder)], cwd=ROOT)
    (built,) = folder.glob("*.whl")
    return built


@pytest.fixture(scope="module")
def environment(wheel: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An empty environment with the wheel in it; the dependencies come from the running one, this checkout does not."""
    folder = tmp_path_factory.mktemp("elsewhere") / "env"
    venv.create(folder, symlinks=True)
    pip = [sys.executable, "-m", "pip", "--disable-pip-version-check", "--python", str(folder / "bin" / "python")]
    _succeed([*pip, "install", "--quiet", "--no-index", "--no-deps", str(wheel)], cwd=folder)
    # a path in a .pth file is searched, and the .pth files in it are not read: an editable install stays unseen
    places = dict.fromkeys(sysconfig.get_path(name) for name in ("purelib", "platlib"))
    (_site(folder) / "dependencies.pth").write_text("\n".join(places))
    return folder


def test_the_wheel_holds_the_runtime_and_the_embedded_model_and_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        names = set(archive.namelist())
        same = (
            archive.read(f"runtime/_models/{MODEL}/{MODEL}.gguf")
            == (ROOT / f"models/{MODEL}/{MODEL}.gguf").read_bytes()
        )
    sources = {
        p.relative_to(ROOT).as_posix()
        for p in (ROOT / "runtime").rglob("*")
        if p.is_file() and "__pycache__" not in p.parts
    }
    files = (
        f"{MODEL}.toml",
        f"{MODEL}/{MODEL}.gguf",
        f"{MODEL}/{MODEL}-mmproj.gguf",
        "qwen-qwen25-vl-3b-instruct-awq.toml",
    )
    models = {f"runtime/_models/{name}" for name in files}
    metadata = {name for name in names if name.startswith("beira-") and name.split("/")[0].endswith(".dist-info")}
    assert names - metadata == sources | models
    assert same
    assert any(name.endswith("/entry_points.txt") for name in metadata)
    assert any(name.endswith("/licenses/LICENSE") for name in metadata)


def test_an_installed_wheel_serves_a_new_folder_and_leaves_nothing_behind(environment: Path, tmp_path: Path) -> None:
    root, temporary = tmp_path / "project", tmp_path / "temporary"
    (root / "functions").mkdir(parents=True)
    (root / "functions" / "look.py").write_text(FUNCTION)
    temporary.mkdir()
    beira = _command(environment, root, temporary)

    imported = _succeed(
        [str(environment / "bin" / "python"), "-c", "import runtime; print(runtime.__file__)"], cwd=root
    )
    assert Path(imported.strip()).is_relative_to(_site(environment))
    paths = beira("models", "path", MODEL).split()
    assert paths
    assert all(Path(path).is_relative_to(_site(environment)) for path in paths)

    with (tmp_path / "node.log").open("wb") as log:
        process = subprocess.Popen(
            [environment / "bin" / "beira", "dev", "--port", "0"],
            cwd=root,
            env=_environ(temporary),
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
        )
    try:
        node = Node(process, tmp_path / "node.log")
        answer = node.post("/look", content=picture()).json()
        assert answer["model"] == MODEL
        assert "red circle" in answer["choices"][0]["message"]["content"]
        assert f"model {MODEL}" in node.log
        below = children(node.pid)
        assert below
        if sys.platform == "linux":
            maps = Path(f"/proc/{node.pid}/maps").read_text()
            assert f"{_site(environment)}/runtime/_models/{MODEL}/{MODEL}.gguf" in maps
            assert f"{ROOT}/models" not in maps
        assert node.stop(signal.SIGINT) in (0, 130)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    until(lambda: not any(is_alive(pid) for pid in below))
    with pytest.raises(httpx.ConnectError):
        httpx.get(node.url, trust_env=False)
    assert list(temporary.iterdir()) == []
    left = {p.relative_to(root).as_posix() for p in root.rglob("*")}
    assert left == {"functions", "functions/look.py"}


def _succeed(command: list[str], **options: Any) -> str:
    done = subprocess.run(command, capture_output=True, text=True, timeout=DEADLINE_S, check=False, **options)
    assert done.returncode == 0, f"{command}: {done.stdout}{done.stderr}"
    return str(done.stdout)


def _command(environment: Path, root: Path, temporary: Path) -> Callable[..., str]:
    """`beira` of that environment, run in `root`; returns what it prints."""
    return lambda *arguments: _succeed(
        [str(environment / "bin" / "beira"), *arguments], cwd=root, env=_environ(temporary)
    )


def _environ(temporary: Path) -> dict[str, str]:
    """What a user's shell has, and nothing that leads back to this checkout."""
    kept = {k: v for k, v in os.environ.items() if k in ("PATH", "HOME", "LANG", "LD_LIBRARY_PATH")}
    return kept | {"TMPDIR": str(temporary)}


def _site(environment: Path) -> Path:
    return Path(sysconfig.get_path("purelib", "venv", {"base": str(environment), "platbase": str(environment)}))
