"""A log never holds up who writes it, whatever its reader does, and tells what was dropped."""

from __future__ import annotations

import os
import pty
import socket
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from runtime.log import LogStream
from tests.node import ROOT, project, until

LINE = "x" * 99 + "\n"


def read_to(fd: int, end: bytes) -> bytes:
    data = b""
    while not data.endswith(end):
        data += os.read(fd, 65536)
    return data


@pytest.fixture(params=["pipe", "socket", "terminal"])
def ends(request: pytest.FixtureRequest) -> tuple[int, int]:
    """A reader and a writer."""
    if request.param == "pipe":
        return os.pipe()
    if request.param == "terminal":
        return pty.openpty()
    ours, theirs = socket.socketpair()
    return ours.detach(), theirs.detach()


def test_a_stuck_reader_holds_up_nobody_and_learns_what_was_dropped(ends: tuple[int, int]) -> None:
    reader, writer = ends
    stream = LogStream(writer, kept=10_000)
    for _ in range(20_000):
        stream.write(LINE)
    stream_end = b"its reader was behind"
    found = b""
    while stream_end not in found:
        found += os.read(reader, 65536)
    found += b"" if found.endswith(b"\n") else read_to(reader, b"\n")
    lines = found.replace(b"\r", b"").splitlines(keepends=True)
    dropped = int(lines[-1].split()[1])
    assert lines[-1].startswith(b"beira: ")
    assert dropped + len(lines) - 1 == 20_000
    assert set(lines[:-1]) == {LINE.encode()}
    until(lambda: "beira-log" not in {t.name for t in threading.enumerate()})
    stream.write("it goes on\n")
    assert read_to(reader, b"\n").rstrip() == b"it goes on"
    stream.close()
    for fd in ends:
        os.close(fd)


def test_nobody_reads_at_all(tmp_path: Path) -> None:
    reader, writer = os.pipe()
    full = os.open("/dev/full", os.O_WRONLY)
    streams = [LogStream(fd) for fd in (writer, full, -1)]
    os.close(reader)
    for stream in streams:
        stream.write(LINE)
        stream.close()
    for fd in (writer, full):
        os.close(fd)


def test_a_file_has_every_line(tmp_path: Path) -> None:
    with (tmp_path / "log").open("wb") as file:
        stream = LogStream(file.fileno())
        for _ in range(5000):
            stream.write(LINE)
    assert (tmp_path / "log").read_text() == LINE * 5000


@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_node_whose_log_is_not_read_goes_on(tmp_path: Path, command: str) -> None:
    root = project(tmp_path, hello="def fetch(request):\n    print('said' * 5000)\n    return 'hello'")
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = free.getsockname()[1]
    process = subprocess.Popen(
        [sys.executable, "-m", "runtime.cli", command, str(root), "--host", "127.0.0.1", "--port", str(port)],
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        cwd=ROOT,
    )
    assert process.stdout is not None
    try:
        line = b""
        while not line.startswith(b"ready"):
            line = process.stdout.readline()
        with httpx.Client(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client:
            for _ in range(200):  # 4 MB of log
                assert client.get("/hello").text == "hello"
        process.terminate()
        said, _ = process.communicate(timeout=60)
        assert process.returncode == 0
        assert said
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
