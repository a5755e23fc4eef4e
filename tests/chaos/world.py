"""What the attacks aim at, all of it the suite's own, and the facts that tell whether one got out."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.chaos.attacks import ATTACKS, NEEDED, settings
from tests.node import ROOT, project, until

_CANARY = """
import signal, sys
told = open(sys.argv[1], "a", buffering=1)
for number in signal.valid_signals() - {signal.SIGKILL, signal.SIGSTOP}:
    signal.signal(number, lambda number, _: told.write(f"signal {number}\\n"))
told.write("listening\\n")
while sys.stdin.read(1):
    pass
"""


@dataclass(slots=True)
class World:
    """The suite's canaries. `touched` tells which of them an attack has reached since it was asked last."""

    root: Path
    secrets: dict[str, str]
    sockets: dict[str, socket.socket]
    process: subprocess.Popen[bytes]
    told: Path
    folder: Path
    known: dict[str, tuple[int, int, int, str]] = field(default_factory=dict)
    signals: int = 0

    def touched(self) -> list[str]:
        found = []
        for name, listener in self.sockets.items():
            if count := _taken(listener):
                found.append(f"the canary socket {name} was reached {count} times")
        if self.process.poll() is not None:
            found.append("the canary process was ended")
        signals = len(self.told.read_text().splitlines())
        if signals != self.signals:
            found.append("the canary process was signalled")
            self.signals = signals
        state = self._files()
        if state != self.known:
            found.append(f"canary files were changed: {set(state.items()) ^ set(self.known.items())}")
            self.known = state
        return found

    def told_in(self, text: str) -> list[str]:
        """Secrets that `text` holds."""
        return [f"the secret of {name} was read" for name, value in self.secrets.items() if value in text]

    def _files(self) -> dict[str, tuple[int, int, int, str]]:
        """All that an attack could change, but for what the node itself writes."""
        found = {}
        for path in (self.folder, *self.folder.rglob("*"), *(self.root / "functions").rglob("*")):
            if "__pycache__" not in path.parts:
                state = path.lstat()
                text = path.read_text() if path.is_file() else ""
                found[str(path)] = (state.st_mode, state.st_uid, int(state.st_mtime), text)
        return found


@contextlib.contextmanager
def world(root: Path, *attacks: str) -> Iterator[World]:
    """A project of attacks with everything that they aim at."""
    root.chmod(0o755)
    folder = root / "canaries"
    folder.mkdir()
    hidden = {name: f"canary-{name}-{secrets.token_hex(8)}" for name in ("file", "dotenv", "environment", "other")}
    (folder / "file").write_text(hidden["file"])
    with contextlib.ExitStack() as stack:
        sockets = {
            name: stack.enter_context(socket.socket(family, kind))
            for name, family, kind in (
                ("tcp", socket.AF_INET, socket.SOCK_STREAM),
                ("udp", socket.AF_INET, socket.SOCK_DGRAM),
                ("stream", socket.AF_UNIX, socket.SOCK_STREAM),
                ("datagram", socket.AF_UNIX, socket.SOCK_DGRAM),
                ("abstract", socket.AF_UNIX, socket.SOCK_STREAM),
                ("abstract datagram", socket.AF_UNIX, socket.SOCK_DGRAM),
            )
        }
        # a path of a Unix socket holds 107 bytes, and pytest's folders are long
        near = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="chaos-")))
        near.chmod(0o755)
        abstract = f"\0beira-chaos-{secrets.token_hex(8)}"
        sockets["tcp"].bind(("127.0.0.1", 0))
        sockets["udp"].bind(("127.0.0.1", 0))
        sockets["stream"].bind(f"{near}/stream")
        sockets["datagram"].bind(f"{near}/datagram")
        sockets["abstract"].bind(abstract)
        sockets["abstract datagram"].bind(f"{abstract}-datagram")
        for name in ("stream", "datagram"):
            (near / name).chmod(0o777)
        for listener in sockets.values():
            listener.setblocking(False)
            if listener.type == socket.SOCK_STREAM:
                listener.listen()
        told = near / "told"
        process = subprocess.Popen([sys.executable, "-c", _CANARY, str(told)], stdin=subprocess.PIPE)
        stack.callback(_end, process)
        until(lambda: told.exists() and told.read_text())
        targets = {
            "TCP_PORT": sockets["tcp"].getsockname()[1],
            "UDP_PORT": sockets["udp"].getsockname()[1],
            "UNIX_STREAM": f"{near}/stream",
            "UNIX_DATAGRAM": f"{near}/datagram",
            "ABSTRACT": abstract,
            "CANARY_PID": process.pid,
            "CANARY_FOLDER": str(folder),
            "CANARY_FILE": str(folder / "file"),
            "OTHER_FUNCTION": str(root / "functions" / "other" / "secret.txt"),
            "PROJECT": str(root),
            "HOST_PYTHON_FOLDER": str(ROOT),
        }
        text = "".join(f"{name} = {value!r}\n" for name, value in targets.items())
        names = dict.fromkeys(attacks or (a.name for a in ATTACKS))
        project(root, *NEEDED, *names, toml=settings(names), _targets=text)
        (root / ".env").write_text(f"# {hidden['dotenv']}\nCOLOUR=green\n")
        other = root / "functions" / "other"
        other.mkdir()
        (other / "__init__.py").write_text("def fetch(request):\n    return 'other'\n")
        (other / "secret.txt").write_text(hidden["other"])
        made = World(root, hidden, sockets, process, told, folder)
        made.touched()
        yield made
        shutil.rmtree(folder, ignore_errors=True)


def _taken(listener: socket.socket) -> int:
    """How often it was reached: connections or datagrams that wait."""
    count = 0
    with contextlib.suppress(BlockingIOError):
        while True:
            if listener.type == socket.SOCK_STREAM:
                listener.accept()[0].close()
            else:
                listener.recv(4096)
            count += 1
    return count


def _end(process: subprocess.Popen[bytes]) -> None:
    process.kill()
    process.communicate()


@dataclass(frozen=True, slots=True)
class Process:
    """One line of /proc."""

    pid: int
    parent: int
    session: int
    state: str


def processes() -> list[Process]:
    """Every process of this machine; one that is dead and not reaped yet is among them."""
    found = []
    for entry in os.scandir("/proc"):
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                state, parent, _, session = (
                    Path(entry.path, "stat").read_text("utf-8", "replace").rpartition(")")[2].split()[:4]
                )
                found.append(Process(int(entry.name), int(parent), int(session), state))
    return found


def below(pid: int, sessions: frozenset[int] = frozenset()) -> list[Process]:
    """Every process below `pid`, and those of `sessions`, whoever their parent is by now."""
    rest, family, grown = processes(), {pid}, True
    while grown:
        grown = False
        for p in rest:
            if p.pid not in family and (p.parent in family or p.session in sessions):
                family.add(p.pid)
                grown = True
    return [p for p in rest if p.pid in family and p.pid != pid]


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def left_files(pid: int) -> list[Path]:
    """What lies in the temporary folders of isolates of the node `pid`."""
    roots = Path(f"/proc/{pid}/root{tempfile.gettempdir()}").glob(f"beira-{pid}-*")  # it may have mounts of its own
    return [path for root in roots for path in root.glob("*/*") if "import_deep" not in root.name]


def page_tables_mb(pid: int) -> int:
    """The largest page table among the processes below `pid`."""
    most = 0
    for p in below(pid):
        with contextlib.suppress(OSError, StopIteration):
            lines = Path(f"/proc/{p.pid}/status").read_text().splitlines()
            most = max(most, int(next(line.split()[1] for line in lines if line.startswith("VmPTE"))) // 1024)
    return most
