"""What a host that is root adds: a user of its own for each isolate, and a bounded file system."""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from runtime.isolate.privileges import SPAN, Privileges
from tests.node import Node, open_folder, open_python, project, running

pytestmark = pytest.mark.skipif(sys.platform != "linux" or os.geteuid() != 0, reason="only root can give users")

WHO = """
import ctypes, errno, os, signal, time
LIBC = ctypes.CDLL(None, use_errno=True)

def tried(act, *given):
    try:
        return ["done", repr(act(*given))]
    except OSError as e:
        return [errno.errorcode[e.errno], str(e)]

ZYGOTE = os.getresuid()
FIRST = ZYGOTE[0]
def try_users():
    return {
        "root": tried(os.setresuid, 0, 0, 0),
        "root, saved": tried(os.setresuid, -1, -1, 0),
        "another function's": tried(os.setresuid, FIRST + SPAN, FIRST + SPAN, FIRST + SPAN),
        "the one before": tried(os.setresuid, FIRST - 1, FIRST - 1, FIRST - 1),
        "groups": tried(os.setresgid, 0, 0, 0),
        "more groups": tried(os.setgroups, [0]),
        "setuid": tried(os.setuid, 0),
        "keep": tried(os.setreuid, 0, 0),
        "the host": tried(os.kill, os.getppid(), 0),
    }
AT_IMPORT = try_users()

def fetch(request):
    time.sleep(0.3)
    in_handler = try_users() | {
        "the zygote's": tried(os.setresuid, FIRST, FIRST, FIRST),
        "the saved one": tried(os.seteuid, FIRST),
        "a neighbour's": tried(os.setresuid, FIRST + 1, FIRST + 1, FIRST + 1),
    }
    return {
        "zygote": ZYGOTE, "users": os.getresuid(), "groups": [*os.getresgid(), *os.getgroups()],
        "import": AT_IMPORT, "handler": in_handler, "folder": os.stat(os.environ["TMPDIR"]).st_uid,
    }
"""
FULL = """
import os, tempfile
def fetch(request):
    folder, written = tempfile.gettempdir(), 0
    kind = request.url.query["kind"]
    try:
        while True:
            if kind == "bytes":
                with open(f"{folder}/{written}", "wb") as file:
                    file.write(bytes(2**20))
            elif kind == "allocated":
                with open(f"{folder}/{written}", "wb") as file:
                    os.posix_fallocate(file.fileno(), 0, 2**20)
            elif kind == "unnamed":
                fd = os.open(folder, os.O_TMPFILE | os.O_RDWR)
                os.write(fd, bytes(2**20))
            else:
                os.mkdir(f"{folder}/{written}")
            written += 1
    except OSError as e:
        return {"written": written, "error": e.strerror}
"""
SMALL = (
    "import tempfile\ndef fetch(request):\n    with tempfile.TemporaryFile() as f: return str(f.write(bytes(2**20)))"
)


@pytest.fixture(scope="module")
def node() -> Iterator[Node]:
    toml = "[functions.full.limits]\nmemory_mb = 24\n"
    with open_folder("beira-test-") as folder:
        python = open_python(folder)
        who = WHO.replace("SPAN", str(SPAN))
        root = project(folder / "project", toml=toml, who=who, other=who, full=FULL, small=SMALL)
        with running(root, python=python) as node:
            yield node


def has(node: Node, layer: str) -> None:
    line = next(line for line in node.log.splitlines() if line.startswith("isolation  "))
    if layer not in line.partition("; not here")[0]:
        pytest.skip(line)


def test_each_isolate_is_a_user_of_its_own_and_can_be_no_other(node: Node) -> None:
    has(node, "a user of its own")
    with ThreadPoolExecutor() as pool:
        answers = [r.json() for r in pool.map(node.get, ["/who", "/other"] * 6)]
    users = [a["users"][:2] for a in answers]
    assert len({tuple(u) for u in users}) == 12  # all of them lived at once
    for a in answers:
        real, effective, saved = a["users"]
        assert real == effective == a["folder"]
        assert saved == a["zygote"][0]
        assert set(a["groups"]) == {real}
        assert 0 < real - saved < SPAN
        for where in ("import", "handler"):
            assert {name: got for name, got in a[where].items() if got[0] not in ("EPERM", "ESRCH")} == {}, where
    assert len({a["zygote"][0] for a in answers}) == 2


@pytest.mark.parametrize("kind", ["bytes", "allocated", "unnamed", "folders"])
def test_a_full_folder_is_its_makers_alone(node: Node, kind: str) -> None:
    has(node, "a file system of its own")
    answer = node.get("/full", params={"kind": kind}).json()
    assert answer["error"] == "No space left on device"
    assert answer["written"] <= 16 * 1024 if kind == "folders" else answer["written"] <= 24
    assert [node.get("/small").text for _ in range(3)] == [str(2**20)] * 3


def test_ranges_are_given_once_and_used_again() -> None:
    powers = Privileges(0x7000_0000)
    first, second = powers.take_uids(), powers.take_uids()
    assert first is not None
    assert second is not None
    assert len(first) == len(second) == SPAN
    assert first.stop == second.start
    powers.give_back(first)
    assert powers.take_uids() == first
    assert Privileges().take_uids() is None
