"""Control groups, where the host may write them: what the processes of functions hold together is bounded.

What the kernel keeps on a process's behalf (page tables, pipes, files in memory) counts here and nowhere else, and
where memory ends the kernel ends an isolate instead of the host. See cgroups(7) and the kernel's admin-guide/cgroup-v2.
"""

from __future__ import annotations

import contextlib
import os
import signal
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

_ROOT, _MEMBERSHIP = Path("/sys/fs/cgroup"), Path("/proc/self/cgroup")
_CONTROLLERS = ("memory", "pids")
_MEMORY = {1: "memory.limit_in_bytes", 2: "memory.max"}
_NODE = "beira-node"
"""Version 2: a group with groups in it holds no processes of its own, so the node's are in this one."""
_DELEGATED = ("user.delegate", "trusted.delegate")
"""What systemd marks those groups with that are not its own to change, see systemd.resource-control(5)."""


class _Refusal(Exception):
    """Why there are none."""


@dataclass(frozen=True, slots=True)
class Hierarchy:
    """A folder in which groups may be made, and what they can bound."""

    folder: Path
    version: int
    controllers: tuple[str, ...]


class Group:
    """The processes of one zygote."""

    def __init__(self, folders: Iterable[Path]) -> None:
        self.folders = tuple(folders)

    def add(self, pid: int) -> None:
        """This process, and all that it will start. Raises OSError."""
        for folder in self.folders:
            _write(folder / "cgroup.procs", pid)

    def kill(self) -> None:
        """End whatever is in it."""
        for folder in self.folders:
            try:
                _write(folder / "cgroup.kill", 1)
            except OSError:
                for pid in _processes(folder):
                    with contextlib.suppress(OSError):
                        os.kill(pid, signal.SIGKILL)


class Groups:
    """Of one host: a group in which each zygote has one. Made without arguments there are none."""

    def __init__(self, hierarchies: Iterable[Hierarchy] = (), absent: str = "") -> None:
        self.absent = absent
        """Why there are none."""
        self._hierarchies = tuple(hierarchies)
        self._n_made = 0
        self._most: int | None = None
        """Bytes that one function may have, whatever its limits add up to."""
        self._live: dict[Group, int] = {}
        """Bytes that each was made for."""
        self._empty: list[Group] = []
        """Over, but not yet gone: a process's last moments may outlast what its parent sees."""

    @property
    def are_there(self) -> bool:
        return bool(self._hierarchies)

    @classmethod
    def acquire(cls, root: Path = _ROOT, membership: Path = _MEMBERSHIP) -> Groups:
        """Those that this process may make; the remains of hosts that were killed go."""
        try:
            places = list(_places(root, membership))
            made = []
            for place in places:
                _sweep(place.folder)
                made.append(_own(place))
        except _Refusal as e:
            return cls(absent=str(e))
        except (OSError, ValueError) as e:
            return cls(absent=f"the host may not write one: {e.strerror or e}" if isinstance(e, OSError) else str(e))
        return cls(made)

    def limit(self, memory: int, *, each: int) -> None:
        """All functions together: so many bytes, and `each` of them not more than that. Raises OSError.

        Where one alone could take all, the kernel might end another's processes: files in memory count, but nobody's
        process is the larger for them.
        """
        self._most = each
        for hierarchy in self._hierarchies:
            if "memory" in hierarchy.controllers:
                _write(hierarchy.folder / _MEMORY[hierarchy.version], memory)
        for group, asked in self._live.items():
            self._bound(group, asked)

    def _bound(self, group: Group, memory: int) -> None:
        most = memory if self._most is None else min(memory, self._most)
        for hierarchy, folder in zip(self._hierarchies, group.folders, strict=True):
            if "memory" in hierarchy.controllers:
                _write(folder / _MEMORY[hierarchy.version], most)

    def make(self, name: str, *, memory: int, processes: int) -> Group:
        """One more, for so many bytes and processes (threads count). Raises OSError."""
        self._remove_empty()
        self._n_made += 1
        folders: list[Path] = []
        try:
            for each in self._hierarchies:
                folder = each.folder / f"{name}.{self._n_made}"
                folder.mkdir()
                folders.append(folder)
                if "pids" in each.controllers:
                    _write(folder / "pids.max", processes)
            group = Group(folders)
            self._bound(group, memory)
        except OSError:
            for folder in folders:
                folder.rmdir()
            raise
        self._live[group] = memory
        return group

    def end(self, group: Group) -> None:
        """Whatever is still in it ends, and it goes with the last of that."""
        group.kill()
        self._live.pop(group, None)
        self._empty.append(group)
        self._remove_empty()

    def close(self) -> None:
        """What is not empty yet goes when the next host begins."""
        self._remove_empty()
        for each in self._hierarchies:
            with contextlib.suppress(OSError):
                each.folder.rmdir()

    def _remove_empty(self) -> None:
        self._empty = [group for group in self._empty if not all(_remove(folder) for folder in group.folders)]


def _places(root: Path, membership: Path) -> Iterable[Hierarchy]:
    """Where this process is, and could make groups."""
    lines = [line.split(":", 2) for line in membership.read_text("utf-8").splitlines()]
    groups: Mapping[str, str] = {name: path for _, names, path in lines for name in names.split(",")}
    if any(".." in path for path in groups.values()):
        raise _Refusal("the node's own is outside of what this container shows")
    if (root / "cgroup.controllers").exists():
        yield _delegated(root, groups.get("", "/"))
        return
    found = [name for name in _CONTROLLERS if name in groups and (root / name).is_dir()]
    if not found:
        raise _Refusal("this kernel or container shows none")
    for name in found:
        yield Hierarchy(root / name / groups[name].lstrip("/"), 1, (name,))


def _delegated(root: Path, path: str) -> Hierarchy:
    """Version 2: this node's own group, prepared to have groups in it."""
    base = root / path.strip("/")
    if base.name == _NODE:  # a host of this node was here before
        base = base.parent
    controllers = (base / "cgroup.controllers").read_text("ascii").split()
    if lacking := [name for name in _CONTROLLERS if name not in controllers]:
        raise _Refusal(f"the node's own is without {' and '.join(lacking)}")
    if base != root and not _is_delegated(base):
        raise _Refusal("the node's own is not delegated to it")
    inside = _processes(base)
    if others := set(inside) - {os.getpid(), os.getppid()}:
        raise _Refusal(f"the node's own holds other processes: {', '.join(map(str, sorted(others)[:3]))}")
    node = base / _NODE
    node.mkdir(exist_ok=True)
    for pid in inside:
        _write(node / "cgroup.procs", pid)
    _enable(base)
    return Hierarchy(base, 2, _CONTROLLERS)


def _is_delegated(folder: Path) -> bool:
    for name in _DELEGATED:
        with contextlib.suppress(OSError):
            if os.getxattr(folder, name) == b"1":
                return True
    return False


def _own(place: Hierarchy) -> Hierarchy:
    """This host's, in `place`."""
    folder = place.folder / f"beira-{os.getpid()}"
    folder.mkdir(exist_ok=True)
    if place.version == 2:
        _enable(folder)
    return Hierarchy(folder, place.version, place.controllers)


def _enable(folder: Path) -> None:
    _write(folder / "cgroup.subtree_control", " ".join(f"+{name}" for name in _CONTROLLERS))


def _sweep(folder: Path) -> None:
    """Groups of hosts that are gone; nothing is in them, as their zygotes ended with them."""
    for left in folder.glob("beira-*"):
        pid = left.name.removeprefix("beira-")
        if pid.isdigit() and not Path(f"/proc/{pid}").exists():
            for each in [*left.iterdir(), left]:
                if each.is_dir():
                    _remove(each)


def _remove(folder: Path) -> bool:
    """Whether it is gone."""
    try:
        folder.rmdir()
    except FileNotFoundError:
        pass
    except OSError:
        return False
    return True


def _processes(folder: Path) -> list[int]:
    try:
        return [int(pid) for pid in (folder / "cgroup.procs").read_text("ascii").split()]
    except OSError:
        return []


def _write(file: Path, value: int | str) -> None:
    """A group's file: it is there, or that is an error."""
    fd = os.open(file, os.O_WRONLY | os.O_CLOEXEC)
    try:
        os.write(fd, str(value).encode("ascii"))
    finally:
        os.close(fd)
