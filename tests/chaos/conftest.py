"""The node under attack, and the account of it at the end of the run."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field

import pytest

from tests.chaos.world import World, world
from tests.node import Node, open_folder, open_python, running


@dataclass(slots=True)
class Account:
    """What the suite tells at its end."""

    seen: dict[str, str] = field(default_factory=dict)
    """How each attack ended."""
    escaped: dict[str, list[str]] = field(default_factory=dict)
    lines: list[str] = field(default_factory=list)


_ACCOUNT = pytest.StashKey[Account]()


@pytest.fixture(scope="session")
def account(pytestconfig: pytest.Config) -> Account:
    return pytestconfig.stash.setdefault(_ACCOUNT, Account())


@pytest.fixture(scope="package")
def targets() -> Iterator[World]:
    with open_folder("chaos-") as folder, world(folder) as made:
        yield made


@pytest.fixture(scope="package")
def node(targets: World) -> Iterator[Node]:
    secret = {"HOST_SECRET": targets.secrets["environment"]}
    with open_folder("chaos-") as folder, running(targets.root, env=secret, python=open_python(folder)) as node:
        targets.touched()  # the modules' own files have been compiled
        yield node


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    account = config.stash.get(_ACCOUNT, None)
    if account is None or not (account.seen or account.lines):
        return
    terminalreporter.section("chaos")
    terminalreporter.write_line(f"{len(account.seen)} attacks, {len(account.escaped)} escaped")
    for name, facts in account.escaped.items():
        terminalreporter.write_line(f"  escaped: {name}: {'; '.join(facts)}")
    if config.get_verbosity() > 0:
        for name, end in account.seen.items():
            terminalreporter.write_line(f"  {name:24} {end}")
    for line in account.lines:
        terminalreporter.write_line(line)
