"""The design's table of who may import whom, held against the source: every import, wherever in a file it stands."""

from __future__ import annotations

import ast
import re
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]

LEAVES = {"config", "errors", "log"}
ALLOWED: dict[str, set[str]] = {
    "cli": {"host", "supervisor", "catalog"} | LEAVES,
    "supervisor": LEAVES,
    "host": {"supervisor", "gateway", "isolate", "ai", "engine", "catalog", "wire", "outbound"} | LEAVES,
    "gateway": {"isolate", "ai", "wire", "outbound", "addresses"} | LEAVES,
    "ai": {"engine", "catalog", "outbound"} | LEAVES,
    "isolate": {"wire"} | LEAVES,
    "catalog": {"outbound"} | LEAVES,
    "engine": LEAVES,
    "wire": LEAVES,
    "outbound": {"addresses"} | LEAVES,
    "addresses": LEAVES,
    "config": {"errors"},
    "errors": set(),
    "log": set(),
}
"""Room → rooms that it may import, besides itself."""
FACE = "runtime.isolate.api"
"""What `runtime/__init__.py` may import, and nothing else."""
ONE_FILE = {"llama_cpp": "runtime/engine/llama.py", "PIL": "runtime/ai/media.py"}
"""Packages that exactly one file may import."""
HEAVY = ("llama_cpp", "starlette", "uvicorn", "PIL", "numpy")
"""What a zygote must not load: it would make every fork dear, or unsafe."""


def violations(root: Path) -> list[str]:
    """One line for every import in `root` that the table does not allow."""
    found: list[str] = []
    for path in sorted((root / "runtime").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for line, target in _imports(path, path.relative_to(root).parts):
            said = _judge(root, name, target)
            if said is not None:
                found.append(f"{name}:{line}: {said}")
    face = _face(root)
    for path in sorted((root / "functions").rglob("*.py")):
        name = path.relative_to(root).as_posix()
        for line, target in _imports(path, path.relative_to(root).parts):
            if target.split(".")[0] == "runtime" and target.removeprefix("runtime.") not in face:
                found.append(f"{name}:{line}: a function may import the names of the face from runtime, not {target}")
    return found


def _judge(root: Path, name: str, target: str) -> str | None:
    """What is wrong with the file `name` importing `target`, or None."""
    top = target.split(".")[0]
    if top in ONE_FILE and name != ONE_FILE[top]:
        return f"{top} may be imported by {ONE_FILE[top]} alone"
    if top != "runtime":
        return None
    if name == "runtime/__init__.py":
        return None if f"{target}.".startswith(f"{FACE}.") else f"the face may import {FACE} alone, not {target}"
    room, other = _room(name.split("/")[1]), _target_room(root, target)
    if room not in ALLOWED:
        return f"the room {room} is not in the table"
    if other != room and other not in ALLOWED[room]:
        return f"{room} may not import {other} ({target})"
    return None


def _room(part: str) -> str:
    return part.removesuffix(".py")


def _target_room(root: Path, target: str) -> str:
    """The room that a dotted name lies in; a name of the package itself (`from runtime import AI`) is the face's."""
    parts = target.split(".")
    rooms = {_room(entry.name) for entry in (root / "runtime").iterdir()}
    return parts[1] if len(parts) > 1 and parts[1] in rooms else "__init__"


def _imports(path: Path, parts: tuple[str, ...]) -> Iterator[tuple[int, str]]:
    """Every imported name, dotted and absolute, with its line: at the top, in functions, under TYPE_CHECKING."""
    for node in ast.walk(ast.parse(path.read_text("utf-8"), str(path))):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node.lineno, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = [*parts[: len(parts) - node.level], *filter(None, [node.module])] if node.level else [node.module]
            for alias in node.names:
                yield node.lineno, ".".join([*filter(None, base), alias.name])
        elif isinstance(node, ast.Call) and node.args and isinstance(node.args[0], ast.Constant):
            called = node.func.attr if isinstance(node.func, ast.Attribute) else getattr(node.func, "id", "")
            if called in ("import_module", "__import__") and isinstance(node.args[0].value, str):
                yield node.lineno, node.args[0].value


def _face(root: Path) -> set[str]:
    """The names that the package itself offers."""
    path = root / "runtime" / "__init__.py"
    return {t.rpartition(".")[2] for _, t in _imports(path, path.relative_to(root).parts) if t.startswith(f"{FACE}.")}


def test_every_import_is_one_that_the_design_allows() -> None:
    assert violations(ROOT) == []


def test_every_room_of_the_table_exists() -> None:
    entries = [e for e in (ROOT / "runtime").iterdir() if not e.name.startswith(("_", "."))]
    rooms = {_room(e.name) for e in entries if e.is_dir() or e.suffix == ".py"}
    assert rooms == set(ALLOWED)


@pytest.mark.parametrize("package", ONE_FILE)
def test_the_one_file_does_import_its_package(package: str) -> None:
    path = ROOT / ONE_FILE[package]
    assert any(t.split(".")[0] == package for _, t in _imports(path, path.relative_to(ROOT).parts))


def test_every_package_that_is_imported_is_a_declared_dependency() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text("utf-8"))["project"]
    declared = {_normal(re.split(r"[^\w.-]", dependency)[0]) for dependency in project["dependencies"]}
    imported = {
        target.split(".")[0]
        for path in (ROOT / "runtime").rglob("*.py")
        for _, target in _imports(path, path.relative_to(ROOT).parts)
    }
    offered_by = packages_distributions()
    needed = {_normal(offered_by[top][0]) for top in imported - sys.stdlib_module_names - {"runtime"}}
    assert needed - declared == set()


def _normal(distribution: str) -> str:
    return re.sub(r"[-_.]+", "-", distribution).lower()


@pytest.mark.parametrize("module", ["runtime.isolate.guest", "runtime.isolate.zygote"])
def test_a_zygote_stays_small(module: str) -> None:
    program = f"import {module}, sys; print(*sorted({{m.split('.')[0] for m in sys.modules}}))"
    done = subprocess.run([sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    loaded = done.stdout.split()
    assert "runtime" in loaded
    assert [package for package in HEAVY if package in loaded] == []


PLANTED = {
    "runtime/engine/steps.py": (
        "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from runtime.ai import service",
        3,
    ),
    "runtime/gateway/short.py": ("def cut() -> None:\n    import runtime.engine.engine", 2),
    "runtime/isolate/up.py": ("from ..ai.service import Service", 1),
    "runtime/isolate/over.py": ("from .. import outbound", 1),
    "runtime/isolate/pool/deep.py": ("from ...engine import engine", 1),
    "runtime/ai/face.py": ("from runtime import AI", 1),
    "runtime/ai/root.py": ("import runtime", 1),
    "runtime/ai/two.py": ("import orjson, PIL.Image", 1),
    "runtime/ai/media.py": ("import PIL\nfrom llama_cpp import mtmd", 2),
    "runtime/wire/framing.py": ("from runtime.isolate import pool", 1),
    "runtime/errors.py": ("from runtime import config", 1),
    "runtime/catalog/late.py": ("import importlib\nimportlib.import_module('runtime.gateway.app')", 2),
    "runtime/attic/old.py": ("from runtime import errors", 1),
    "runtime/__init__.py": ("from runtime.isolate.api import AI\nfrom runtime.config import load", 2),
    "functions/sly.py": ("from runtime import AI\nfrom runtime import wire", 2),
    "functions/sly/__init__.py": ("async def fetch(request):\n    from runtime.ai.service import Service", 2),
}
HONEST = {
    "runtime/engine/llama.py": "import llama_cpp\nfrom runtime.errors import EngineError\nfrom . import steps",
    "runtime/gateway/app.py": "from runtime.isolate.pool import Pool\nfrom .. import wire\nfrom ..ai import service",
    "runtime/host.py": "from runtime import config, wire\nfrom runtime.engine.engine import Engine",
    "runtime/cli.py": "def main():\n    from runtime import host\n    from runtime.catalog import catalog",
    "runtime/config.py": "from runtime.errors import ConfigError",
    "runtime/outbound.py": "import httpx\nfrom runtime.errors import OutboundError",
    "runtime/ai/service.py": "from runtime.engine.engine import Engine\nfrom runtime.catalog.catalog import Catalog",
    "functions/hello.py": "import json\nfrom runtime import AI",
}


def test_a_planted_violation_is_found_and_nothing_else(tmp_path: Path) -> None:
    for name, source in {**HONEST, **{name: source for name, (source, _) in PLANTED.items()}}.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(source)
    found = violations(tmp_path)
    assert sorted(":".join(line.split(":")[:2]) for line in found) == sorted(
        f"{n}:{at}" for n, (_, at) in PLANTED.items()
    )
    assert "runtime/engine/steps.py:3: engine may not import ai (runtime.ai.service)" in found
    assert "runtime/ai/two.py:1: PIL may be imported by runtime/ai/media.py alone" in found
    assert "runtime/attic/old.py:1: the room attic is not in the table" in found
