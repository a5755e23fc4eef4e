"""The two servers of the engine's benchmark, and the random-weight model of real shape that both of them load."""

from __future__ import annotations

import contextlib
import os
import re
import socket
import subprocess
import sys
import tempfile
import urllib.error
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from tests.node import ROOT, children, project, running, until

CONTEXT, SEQUENCES, IMAGE_TOKENS = 16_384, 16, 1_024
TOOL = ROOT.parent / "shared" / "tools" / "random_qwen25vl.py"
VOCABULARY = Path("src/vendor/llama.cpp/models/ggml-vocab-qwen2.gguf")
LOAD_S = 300.0


@dataclass(frozen=True, slots=True)
class Server:
    name: str
    port: int
    pid: int

    @property
    def resident_mb(self) -> float:
        """Of the process and of those of ours below it that are no function's."""
        pids = [self.pid, *(p for p in children(self.pid) if b"runtime.cli" in _read(p, "cmdline"))]
        return sum(int(kb) for pid in pids for kb in re.findall(rb"VmRSS:\s+(\d+)", _read(pid, "status"))) / 1024


@dataclass(frozen=True, slots=True)
class Files:
    text: Path
    projector: Path


def find_model(size: str, peer: Path | None) -> Files | None:
    """The model of real shape, written if it is not there; None, having said why, where it cannot be."""
    home = peer.parents[2] if peer is not None else Path(tempfile.gettempdir()) / "beira-bench"
    folder = Path(os.environ.get("BENCH_MODELS") or home / "models")
    files = Files(*(folder / f"qwen25vl-{size}-random-{part}.gguf" for part in ("q4_k_m", "mmproj")))
    if files.text.is_file() and files.projector.is_file():
        return files
    vocabulary = Path(os.environ.get("BENCH_VOCAB") or home / VOCABULARY)
    for needed, variable in ((TOOL, "BENCH_MODELS"), (vocabulary, "BENCH_VOCAB")):
        if not needed.is_file():
            print(f"no model to measure with: neither {files.text} nor {needed}; set {variable}")
            return None
    command = [sys.executable, str(TOOL), "--size", size, "--vocab", str(vocabulary), "--out", str(folder)]
    subprocess.run(command, check=True)
    return files


@contextlib.contextmanager
def ours(files: Files, threads: int, folder: Path) -> Iterator[Server]:
    """This project, with the projector optimised."""
    models = folder / "models"
    models.mkdir()
    (models / "bench.toml").write_text(
        f'id = "bench"\ncontext = 32768\ncapabilities = ["chat", "vision", "tools"]\n'
        f'[weights]\ntext = {{ file = "{files.text}" }}\nprojector = {{ file = "{files.projector}" }}\n'
    )
    command = [sys.executable, "-m", "runtime.cli", "models", "optimize", "bench", "--models", str(models)]
    if not files.projector.with_name(files.projector.stem + ".optimized.gguf").is_file():
        subprocess.run(command, cwd=ROOT, check=True)
    toml = f"[engine]\ncontext = {CONTEXT}\nmax_sequences = {SEQUENCES}\nthreads = {threads}\n"
    # no drafts: random weights fall into loops, which would be guessed far better than any real text
    toml += f"image_max_tokens = {IMAGE_TOKENS}\nstep_s = {LOAD_S}\ndraft_tokens = 0\n"
    root = project(folder / "project", toml=toml, hello="async def fetch(request): return 'hello'")
    arguments = ("--host", "127.0.0.1", "--models", str(models), "--model", "bench")
    with running(root, *arguments, command="serve") as node:
        yield Server("ours", int(node.url.rpartition(":")[2]), node.pid)


@contextlib.contextmanager
def llama_server(binary: Path, files: Files, threads: int, folder: Path) -> Iterator[Server]:
    """The yardstick, with the projector as published."""
    port = _free_port()
    options = {
        "--host": "127.0.0.1", "--port": port, "-m": files.text, "--mmproj": files.projector, "-c": CONTEXT,
        "-np": SEQUENCES, "-t": threads, "-tb": threads, "--image-max-tokens": IMAGE_TOKENS,
    }  # fmt: skip
    command = [str(binary), *(str(part) for option in options.items() for part in option), "--kv-unified", "--no-webui"]
    log = folder / "llama-server.log"
    with log.open("wb") as out:
        process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=out, stderr=out)
    try:

        def is_up() -> bool:
            if process.poll() is not None:
                raise RuntimeError(f"llama-server left with {process.returncode}:\n{log.read_text()[-3000:]}")
            with contextlib.suppress(urllib.error.URLError, OSError):
                return urllib.request.urlopen(f"http://127.0.0.1:{port}/health", timeout=5).status == 200
            return False

        until(is_up, LOAD_S)
        yield Server("llama-server", port, process.pid)
    finally:
        process.terminate()
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def _free_port() -> int:
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])


def _read(pid: int, name: str) -> bytes:
    try:
        return Path(f"/proc/{pid}/{name}").read_bytes()
    except OSError:
        return b""
