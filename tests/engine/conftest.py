"""One loaded engine a module, and the reference that it is compared with."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from runtime.engine.engine import Engine
from tests.engine.helpers import Reference, small_engine, wait_for


@pytest.fixture(scope="module")
def shared() -> Iterator[Engine]:
    engine = small_engine()
    yield engine
    engine.close()


@pytest.fixture
def engine(shared: Engine) -> Iterator[Engine]:
    """The module's engine; every test must leave it idle and its books right."""
    yield shared
    wait_for(lambda: (s := shared.stats()).running + s.waiting == 0, "idle")
    assert shared.stats().faults == 0


@pytest.fixture(scope="module")
def reference() -> Iterator[Reference]:
    made = Reference()
    yield made
    made.close()
