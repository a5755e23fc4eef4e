"""A real node for tests: `beira dev` or `serve` as a process of its own, on a free port, watched to its end."""

from __future__ import annotations

import contextlib
import os
import re
import signal
import site
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TypeVar

import httpx

ROOT = Path(__file__).parent.parent
HANDLERS = ROOT / "tests" / "handlers"
DEADLINE_S = 60.0
T = TypeVar("T")


class Node:
    """A running node; its log grows in `log`."""

    def __init__(self, process: subprocess.Popen[bytes], log_file: Path) -> None:
        self.process = process
        self._log_file = log_file
        found = until(lambda: re.search(r"^ready (http\S+)", self.log, re.M) or self._died())
        self.url = found.group(1)
        self.client = httpx.Client(base_url=self.url, timeout=30, trust_env=False)

    @property
    def log(self) -> str:
        return self._log_file.read_text("utf-8", "replace")

    @property
    def pid(self) -> int:
        return self.process.pid

    def get(self, path: str, **options: object) -> httpx.Response:
        return self.client.get(path, **options)  # type: ignore[arg-type]

    def post(self, path: str, **options: object) -> httpx.Response:
        return self.client.post(path, **options)  # type: ignore[arg-type]

    def outcomes(self, request_id: str) -> list[str]:
        """The outcomes logged for a request, waiting for the first."""
        pattern = rf"\[{request_id}\].* outcome=(\w+)"
        until(lambda: re.search(pattern, self.log))
        return re.findall(pattern, self.log)

    def stop(self, number: signal.Signals = signal.SIGINT) -> int:
        """Ask it to stop, wait for that, return its exit status."""
        self.client.close()
        self.process.send_signal(number)
        return self.process.wait(DEADLINE_S)

    def _died(self) -> None:
        if self.process.poll() is not None:
            raise AssertionError(f"the node left with {self.process.returncode} before it was ready:\n{self.log}")


@contextlib.contextmanager
def running(
    root: Path,
    *arguments: str,
    command: str = "dev",
    env: dict[str, str] | None = None,
    python: str = sys.executable,
) -> Iterator[Node]:
    """A node that serves the project in `root`; killed with everything below it if a test leaves it running."""
    log_file = root / "node.log"
    environ = {k: v for k, v in os.environ.items() if not k.startswith("BEIRA_")} | (env or {})
    with log_file.open("wb") as log:
        process = subprocess.Popen(
            [python, "-m", "runtime.cli", command, str(root), "--port", "0", *arguments],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            cwd=ROOT,
            env=environ,
        )
    try:
        node = Node(process, log_file)
        with node.client:  # also where the test has seen the node end by itself
            yield node
            if process.poll() is None:
                node.stop()
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


@contextlib.contextmanager
def open_folder(prefix: str) -> Iterator[Path]:
    """A folder that every user can read: pytest's own are their maker's alone."""
    with tempfile.TemporaryDirectory(prefix=prefix) as folder:
        path = Path(folder)
        path.chmod(0o755)
        yield path


def open_python(folder: Path) -> str:
    """An interpreter that every user can run, with the packages of this one; this one itself where there is none."""
    ours = Path(sys.executable).resolve()
    system = Path(f"/usr/bin/python3.{sys.version_info.minor}")
    if os.geteuid() != 0 or all(parent.stat().st_mode & 0o005 == 0o005 for parent in ours.parents):
        return sys.executable
    if not system.exists() or subprocess.run([system, "-m", "venv", "--without-pip", folder / "python"]).returncode:
        return sys.executable
    (site_packages,) = (folder / "python" / "lib").glob("python3.*/site-packages")
    (site_packages / "beira.pth").write_text("\n".join([*site.getsitepackages(), str(ROOT)]))
    return str(folder / "python" / "bin" / "python")


def project(root: Path, *handlers: str, toml: str = "", **functions: str) -> Path:
    """A project in `root` of fixture functions by name, and of functions given as text."""
    folder = root / "functions"
    folder.mkdir(parents=True, exist_ok=True)
    for name in handlers:
        (folder / f"{name}.py").write_text((HANDLERS / f"{name}.py").read_text("utf-8"), "utf-8")
    for name, text in functions.items():
        (folder / f"{name}.py").write_text(text, "utf-8")
    if toml:
        (root / "beira.toml").write_text(toml, "utf-8")
    return root


def until(condition: Callable[[], T | None], deadline_s: float = DEADLINE_S) -> T:
    """The first true value of `condition`, asked again and again until the deadline."""
    end = time.monotonic() + deadline_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > end:
            raise AssertionError(f"not within {deadline_s} s: {condition}")
        time.sleep(0.01)


def children(pid: int) -> set[int]:
    """Every process below `pid`."""
    found: set[int] = set()
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit():
            with contextlib.suppress(OSError):
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == pid:
                    found |= {int(entry.name)} | children(int(entry.name))
    return found


def is_alive(pid: int) -> bool:
    """Whether a process runs; one that is dead and not reaped yet does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in ("Z", "X")
    except OSError:
        return False


def picture(colour: tuple[int, int, int] = (220, 30, 30), *, kind: str = "PNG") -> bytes:
    """A circle on white that the embedded model knows."""
    import io

    from PIL import Image, ImageDraw

    image = Image.new("RGB", (168, 140), (248, 248, 248))
    ImageDraw.Draw(image).ellipse([50, 36, 118, 104], fill=colour)
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return buffer.getvalue()
