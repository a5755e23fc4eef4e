"""One node for all clients."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.node import Node, project, running


@pytest.fixture(scope="package")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Node]:
    root = project(tmp_path_factory.mktemp("clients"), hello="def fetch(request): return 'hello'")
    with running(root) as node:
        yield node
