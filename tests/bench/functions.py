"""Figures of the main job: a `hello` invocation, start-up, memory of an isolate, the wheel. Run by `make bench`.

usage: python tests/bench/functions.py [ROUNDS]
"""

from __future__ import annotations

import json
import os
import platform
import re
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[2]
sys.path.insert(0, str(ROOT))

from tests.node import Node, children, project, running  # noqa: E402

HELLO = "async def fetch(request): return 'hello'"


def load(url: str, clients: int, requests: int) -> tuple[float, float, float]:
    """Median and 99th percentile in milliseconds, and requests a second."""
    command = [sys.executable, "-m", "tests.bench.load", url, str(clients), str(requests)]
    done = subprocess.run(command, cwd=ROOT, check=True, capture_output=True, text=True)
    result = json.loads(done.stdout)
    ms = result["latencies"]
    return ms[len(ms) // 2], ms[len(ms) * 99 // 100], len(ms) / result["seconds"]


def bare_fork(rounds: int = 300) -> float:
    """The yardstick: a fork of a small Python, a byte from the child, its reaping; median in milliseconds."""
    code = (
        "import os, socket, time\n"
        "times = []\n"
        f"for _ in range({rounds}):\n"
        "    ours, theirs = socket.socketpair(); begin = time.perf_counter(); pid = os.fork()\n"
        "    if pid == 0:\n"
        "        theirs.send(b'.'); os._exit(0)\n"
        "    ours.recv(1); os.waitpid(pid, 0); times.append(time.perf_counter() - begin)\n"
        "    ours.close(); theirs.close()\n"
        "print(sorted(times)[len(times) // 2] * 1000)\n"
    )
    return float(subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True).stdout)


def private_mb(pid: int) -> float:
    """Memory that no other process shares, from the kernel's own count."""
    rollup = Path(f"/proc/{pid}/smaps_rollup").read_text()
    return sum(int(kb) for kb in re.findall(r"Private_\w+:\s+(\d+) kB", rollup)) / 1024


def isolates(node: Node) -> list[int]:
    """Warm isolates: processes whose parent is a zygote, itself a child of the node."""
    direct = {p for p in children(node.pid) if _parent(p) == node.pid}
    return [p for p in children(node.pid) - direct if _parent(p) in direct]


def _parent(pid: int) -> int:
    return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])


def spread(values: list[float], unit: str) -> str:
    values = sorted(values)
    return f"{values[len(values) // 2]:8.2f} {unit}   (min {values[0]:.2f}, max {values[-1]:.2f})"


def machine() -> str:
    model = re.search(r"model name\s*: (.*)", Path("/proc/cpuinfo").read_text())
    name = model.group(1) if model else platform.processor()
    return (
        f"{os.cpu_count()} cores ({name}), Linux {platform.release().split('-')[0]}, Python {platform.python_version()}"
    )


def main(rounds: int) -> None:
    print(f"{machine()}; median of {rounds} rounds\n")
    with tempfile.TemporaryDirectory() as folder:
        root = project(Path(folder), hello=HELLO)
        ready = []
        for _ in range(rounds):
            begin = time.perf_counter()
            with running(root):
                ready.append(time.perf_counter() - begin)
        print(f"ready after `beira dev`     {spread(ready, 's')}")
        with running(root) as node:
            load(f"{node.url}/hello", 1, 200)
            bare, one, many = [], [], []
            for _ in range(rounds):  # in turn: the machine's speed drifts
                bare.append(bare_fork())
                one.append(load(f"{node.url}/hello", 1, 1000))
                many.append(load(f"{node.url}/hello", 16, 2000))
            print(f"a bare fork, reply and reap {spread(bare, 'ms')}")
            print(f"hello, 1 client, p50        {spread([r[0] for r in one], 'ms')}")
            print(f"  in bare forks             {spread([r[0] / b for r, b in zip(one, bare, strict=True)], 'x ')}")
            print(f"hello, 1 client, p99        {spread([r[1] for r in one], 'ms')}")
            print(f"hello, 16 clients           {spread([r[2] for r in many], '/s')}")
            each = [1000 / r[2] / b for r, b in zip(many, bare, strict=True)]
            print(f"  a call, in bare forks     {spread(each, 'x ')}")
            time.sleep(1)
            print(f"private memory an isolate   {spread([private_mb(p) for p in isolates(node)], 'MB')}")
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run(
            [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", folder],
            cwd=ROOT, check=True, capture_output=True,
        )  # fmt: skip
        (wheel,) = Path(folder).glob("*.whl")
        seconds = []
        for number in range(rounds):
            begin = time.perf_counter()
            subprocess.run(
                [sys.executable, "-m", "pip", "install", "--quiet", "--no-deps", "--no-index", "--target",
                 f"{folder}/{number}", str(wheel)],
                check=True, capture_output=True,
            )  # fmt: skip
            seconds.append(time.perf_counter() - begin)
        print(f"the wheel installs          {spread(seconds, 's')}   {wheel.stat().st_size / 2**20:.1f} MB")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 5)
