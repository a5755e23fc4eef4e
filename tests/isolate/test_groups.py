"""Control groups: real ones where this machine lets us write them, and what is said where it does not."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from runtime.isolate.groups import Group, Groups, Hierarchy
from runtime.isolate.priority import ISOLATE, ZYGOTE
from tests.isolate import host
from tests.node import project, running, until

MB = 2**20
NOBODY = 2**22 + 1
"""No process can have this number."""
UNIFIED = Path("/sys/fs/cgroup/unified")
HELLO = "def fetch(request): return 'hello'"
HOLD = """
import sys
held = []
for _ in range(200):
    held.append(b"x" * 2**20)
print("held", flush=True)
sys.stdin.read()
"""
FORK = """
import os, sys
sys.stdin.readline()
made = 0
try:
    for _ in range(20):
        if os.fork() == 0:
            os.read(0, 1)
            os._exit(0)
        made += 1
except OSError as e:
    print(made, e.strerror, flush=True)
sys.stdin.read()
"""


@pytest.fixture
def groups() -> Iterator[Groups]:
    made = Groups.acquire()
    if not made.are_there:
        pytest.skip(f"no control groups here: {made.absent}")
    yield made
    made.close()
    assert not any(each.folder.exists() for each in made._hierarchies)


def python(source: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", source], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, start_new_session=True
    )


def test_who_takes_more_memory_than_its_group_has_is_ended(groups: Groups) -> None:
    group = groups.make("greedy", memory=64 * MB, processes=16)
    with python(f"input()\n{HOLD}") as greedy, python(f"input()\n{HOLD}") as other:
        group.add(greedy.pid)
        for process in (greedy, other):
            assert process.stdin is not None
            process.stdin.write("\n")
            process.stdin.flush()
        assert greedy.wait(30) == -signal.SIGKILL
        assert other.stdout is not None
        assert other.stdout.readline() == "held\n"
        other.kill()
    groups.end(group)
    assert not any(folder.exists() for folder in group.folders)


def test_a_group_has_so_many_processes_and_all_of_them_end_with_it(groups: Groups) -> None:
    group = groups.make("many", memory=256 * MB, processes=5)
    with python(FORK) as process:
        group.add(process.pid)
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.write("\n")
        process.stdin.flush()
        assert process.stdout.readline() == "4 Resource temporarily unavailable\n"
        groups.end(group)
        assert process.wait(30) == -signal.SIGKILL
    until(lambda: groups.close() or not any(folder.exists() for folder in group.folders))


def test_all_together_have_a_bound_too(groups: Groups) -> None:
    before = groups.make("before", memory=512 * MB, processes=16)
    groups.limit(64 * MB, each=32 * MB)
    group = groups.make("one", memory=512 * MB, processes=16)
    for name in ("memory.limit_in_bytes", "memory.max"):
        for folder in (*before.folders, *group.folders):
            if (folder / name).exists():
                assert int((folder / name).read_text()) == 32 * MB
    groups.limit(64 * MB, each=64 * MB)
    with python(HOLD) as process:
        group.add(process.pid)
        assert process.wait(30) == -signal.SIGKILL
    groups.end(group)
    groups.end(before)


def test_what_cannot_be_is_said_and_nothing_is_left(groups: Groups) -> None:
    with pytest.raises(OSError, match="No such file"):
        groups.make("no/such/parent", memory=MB, processes=1)
    assert [entry for each in groups._hierarchies for entry in each.folder.iterdir() if entry.is_dir()] == []


def score(pid: int) -> int:
    return int(Path(f"/proc/{pid}/oom_score_adj").read_text())


def test_zygote_and_isolates_are_in_it_and_it_goes_with_them(groups: Groups, tmp_path: Path) -> None:
    (folder, *_) = (each.folder for each in groups._hierarchies)

    async def work() -> None:
        async with host.pool_of(host.write(tmp_path, HELLO), groups=groups) as pool:
            assert pool.nursery is not None
            (made,) = [entry for entry in folder.iterdir() if entry.is_dir()]
            isolate = await pool.acquire()
            inside = {int(pid) for pid in (made / "cgroup.procs").read_text().split()}
            assert {pool.nursery.pid, isolate.pid} <= inside
            assert os.getpid() not in inside
            assert [score(pid) for pid in (pool.nursery.pid, isolate.pid)] == [ZYGOTE, ISOLATE]

    host.run(work())
    until(lambda: groups._remove_empty() or not [entry for entry in folder.iterdir() if entry.is_dir()])


def test_a_node_has_one_and_what_a_killed_one_left_goes_with_the_next(tmp_path: Path, groups: Groups) -> None:
    places = {each.folder.parent for each in groups._hierarchies}

    def left(pid: int) -> list[Path]:
        return [folder for place in places for folder in place.glob(f"beira-{pid}*")]

    root = project(tmp_path, hello=HELLO)
    with running(root) as node:
        assert "a control group" in node.log.split("not here")[0]
        killed = node.pid
        assert left(killed)
        node.stop(signal.SIGKILL)
    assert left(killed)
    with running(root) as node:
        assert node.get("/hello").text == "hello"
        until(lambda: not left(killed))
        stopped = node.pid
    assert not left(stopped)


@pytest.mark.skipif(not os.access(UNIFIED, os.W_OK), reason="no writable hierarchy of version 2 beside version 1 here")
def test_version_2_ends_all_at_once() -> None:
    folder = UNIFIED / f"beira-test-{os.getpid()}"
    folder.mkdir()
    made = Groups([Hierarchy(folder, 2, ())])
    try:
        group = made.make("f", memory=MB, processes=1)
        with python("import sys; sys.stdin.read()") as process:
            group.add(process.pid)
            assert (group.folders[0] / "cgroup.procs").read_text().split() == [str(process.pid)]
            made.end(group)
            assert process.wait(30) == -signal.SIGKILL
        until(lambda: made._remove_empty() or not group.folders[0].exists())
    finally:
        made.close()
    assert not folder.exists()


def version_2(root: Path, *, path: str = "/", controllers: str = "cpu memory pids", inside: str = "") -> Groups:
    """As a container shows it."""
    base = root / path.strip("/")
    base.mkdir(parents=True, exist_ok=True)
    for file in (root / "cgroup.controllers", base / "cgroup.controllers"):
        file.write_text(controllers)
    (base / "cgroup.procs").write_text(inside)
    (root / "membership").write_text(f"0::{path}\n")
    return Groups.acquire(root, root / "membership")


def test_where_there_can_be_none_the_reason_is_told(tmp_path: Path) -> None:
    (tmp_path / "none").write_text("1:name=systemd:/\n")
    assert Groups.acquire(tmp_path, tmp_path / "none").absent == "this kernel or container shows none"
    assert "No such file" in Groups.acquire(tmp_path, tmp_path / "nowhere").absent
    assert version_2(tmp_path / "a", controllers="cpu").absent == "the node's own is without memory and pids"
    assert version_2(tmp_path / "b", path="/x.service").absent == "the node's own is not delegated to it"
    assert version_2(tmp_path / "c", inside=f"{os.getpid()}\n{NOBODY}\n").absent.endswith(f"other processes: {NOBODY}")
    assert version_2(tmp_path / "d", path="/../x").absent == "the node's own is outside of what this container shows"
    assert list(tmp_path.glob("**/beira-*")) == []


def test_without_any_nothing_is_done() -> None:
    none = Groups()
    none.limit(MB, each=MB)
    none.end(Group(()))
    none.close()
    assert not none.are_there
