"""Which names are handlers, and what a module that does not load says."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.errors import FunctionError
from runtime.isolate import loader
from tests.isolate.host import ask, write


@pytest.fixture(autouse=True)
def clean_imports(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(sys, "path", list(sys.path))
    before = set(sys.modules)
    yield
    for name in set(sys.modules) - before:
        del sys.modules[name]


def load(tmp_path: Path, source: str, name: str = "f") -> list[str]:
    return sorted(loader.load(name, write(tmp_path, source, name)))


@pytest.mark.parametrize(
    ("source", "handlers"),
    [
        ("async def fetch(request, env, ctx): ...", ["fetch"]),
        ("def fetch(request): ...", ["fetch"]),
        ("async def on_fetch(request, env): ...", ["fetch"]),
        ("async def scheduled(event): ...", ["scheduled"]),
        ("class Default(WorkerEntrypoint):\n    async def fetch(self, request): ...", ["fetch"]),
        ("class Base(WorkerEntrypoint):\n    def fetch(self, r): ...\nclass Default(Base): ...", ["fetch"]),
        ("async def fetch(r): ...\nasync def scheduled(e): ...", ["fetch", "scheduled"]),
        ("fetch = lambda request: 'x'", ["fetch"]),
        ("if True:\n    async def fetch(request): ...", ["fetch"]),
        ("try:\n    import nope\nexcept ImportError:\n    def fetch(request): ...", ["fetch"]),
        ("from posixpath import join as scheduled\ndef fetch(r): ...", ["fetch"]),
    ],
)
def test_handlers_are_found(tmp_path: Path, source: str, handlers: list[str]) -> None:
    assert load(tmp_path, source) == handlers


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = 1", r"functions/f\.py: no handler: define"),
        ("from posixpath import join as fetch", r"functions/f\.py: no handler"),
        ("class Default:\n    def fetch(self, r): ...", r"functions/f\.py: no handler"),
        ("def fetch(r): ...\ndef on_fetch(r): ...", r"functions/f\.py: two handlers for fetch: fetch and on_fetch"),
        (
            "def fetch(r): ...\nclass Default(WorkerEntrypoint):\n    def fetch(self, r): ...",
            r"two handlers for fetch: fetch and Default\.fetch",
        ),
        ("x = 1\ndef (:\n", r"functions/f\.py:2: SyntaxError"),
        ("import os\n\nimport no_such_module", r"functions/f\.py:3: ModuleNotFoundError: No module named"),
        ("def f():\n    return 1 / 0\nf()", r"functions/f\.py:2: ZeroDivisionError"),
        ("raise SystemExit(3)", r"functions/f\.py:1: SystemExit: 3"),
    ],
)
def test_a_module_that_does_not_load_names_file_and_line(tmp_path: Path, source: str, says: str) -> None:
    with pytest.raises(FunctionError, match=says):
        load(tmp_path, source)


def test_a_broken_helper_is_the_place_that_is_named(tmp_path: Path) -> None:
    write(tmp_path, "x = 1\ny = nope\n", "_helper_broken")
    with pytest.raises(FunctionError, match=r"functions/_helper_broken\.py:2: NameError"):
        load(tmp_path, "import _helper_broken\ndef fetch(r): ...")
    write(tmp_path, "x = (\n", "_helper_syntax")
    with pytest.raises(FunctionError, match=r"functions/_helper_syntax\.py:1: SyntaxError"):
        load(tmp_path, "import _helper_syntax\ndef fetch(r): ...")


def test_globals_are_there_before_the_first_line(tmp_path: Path) -> None:
    source = """
    NAMES = [AI, Azion, Request, Response, Headers, fetch, console, WorkerEntrypoint]
    outbound = fetch
    async def fetch(request): return Response("x")
    """
    assert load(tmp_path, source) == ["fetch"]


def test_helpers_packages_and_dataclasses_work(tmp_path: Path) -> None:
    write(tmp_path, "from runtime import Response\ndef answer(x): return Response(x)\n", "_shared")
    package = tmp_path / "functions" / "my-pkg"
    package.mkdir()
    (package / "inner.py").write_text("WORD = 'inner'\n")
    (package / "__init__.py").write_text(
        "from __future__ import annotations\nimport pickle\nfrom dataclasses import dataclass\n"
        "from _shared import answer\nfrom . import inner\n"
        "@dataclass\nclass P:\n    x: int\n"
        "async def fetch(request):\n    return answer(f'{inner.WORD} {pickle.loads(pickle.dumps(P(1)))}')\n"
    )
    assert ask(package / "__init__.py").text == "inner P(x=1)"


def test_a_function_named_like_a_standard_module_hides_nothing(tmp_path: Path) -> None:
    source = "import email.message, colorsys\nasync def fetch(request):\n    return colorsys.__file__\n"
    path = write(tmp_path, source, "colorsys")
    assert str(tmp_path) not in ask(path).text


def test_entrypoints_have_env_and_ctx(tmp_path: Path) -> None:
    source = """
    class Default(WorkerEntrypoint):
        async def fetch(self, request):
            return [self.env.NAME, self.ctx.request_id]
    """
    assert ask(write(tmp_path, source), env={"NAME": "v"}).text == '["v","req-1"]'


@pytest.mark.parametrize(
    "handler",
    [
        "def fetch(): return 'x'",
        "def fetch(request, env, ctx, extra='x'): return extra",
        "def fetch(*all): return 'x' * (len(all) == 3)",
        "async def text(): return 'x'\ndef fetch(request): return text()",
        "def deco(f):\n    import functools\n    @functools.wraps(f)\n"
        "    async def inner(*a): return await f(*a)\n    return inner\n"
        "@deco\nasync def fetch(request): return 'x'",
    ],
)
def test_handlers_of_any_signature(tmp_path: Path, handler: str) -> None:
    assert ask(write(tmp_path, handler)).text == "x"
