"""Which function owns a path."""

from __future__ import annotations

from pathlib import Path

import pytest

from runtime.config import FunctionSettings
from runtime.gateway.admission import Admission
from runtime.gateway.routes import Function, Routes
from runtime.isolate.pool import Pool


def routes(**owned: list[str]) -> Routes:
    made = []
    for name, paths in owned.items():
        settings = FunctionSettings(name, Path(f"{name}.py"), tuple(paths))
        pool = Pool(settings, warm=0, on_output=lambda *_: None)
        made.append(Function(settings, pool, Admission(1, 1)))
    return Routes(made)


@pytest.mark.parametrize(
    ("path", "owner"),
    [
        ("/", "index"),
        ("/a", "a"),
        ("/a/", "a"),
        ("/a/b", "a"),
        ("/a/b/c/d", "deep"),
        ("/a/b/c", "exact"),
        ("/ab", None),
        ("/index", None),
        ("", None),
        ("//a", None),
        ("/a/../secret", "a"),
    ],
)
def test_the_longest_route_wins_and_an_exact_one_first(path: str, owner: str | None) -> None:
    table = routes(index=["/"], a=["/a", "/a/*"], deep=["/a/b/c/*"], exact=["/a/b/c"])
    found = table.match(path)
    assert (found.name if found else None) == owner


def test_a_route_below_the_root_takes_what_nobody_owns() -> None:
    table = routes(rest=["/*"], a=["/a"])
    assert [f.name if (f := table.match(p)) else None for p in ("/", "/a", "/a/b", "/x/y")] == [
        "rest", "a", "rest", "rest",
    ]  # fmt: skip
