"""What llama.cpp is asked beside computing."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from runtime.engine.llama import Model
from tests.engine.helpers import TEXT_FILE


def _resident_kb(file: Path) -> int:
    """Of all mappings of a file in this process."""
    found, is_it = 0, False
    for line in Path("/proc/self/smaps").read_text().splitlines():
        if re.match(r"[0-9a-f]+-[0-9a-f]+ ", line):
            is_it = line.endswith(f" {file.resolve()}")
        elif is_it and line.startswith("Rss:"):
            found += int(line.split()[1])
    return found


@pytest.mark.skipif(sys.platform != "linux", reason="only there pages are given back")
def test_pages_of_the_file_are_given_back_and_can_be_read_again() -> None:
    model = Model(TEXT_FILE, gpu_layers=0, is_mapped=True)
    try:
        before, tokens = _resident_kb(TEXT_FILE), model.tokenize("A river.")
        model.let_go_of_pages()
        assert before > 0
        assert _resident_kb(TEXT_FILE) < before
        assert model.tokenize("A river.") == tokens
    finally:
        model.close()


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_weights_are_read_not_mapped() -> None:
    before = _resident_kb(TEXT_FILE)  # another engine's table of token rows
    model = Model(TEXT_FILE, gpu_layers=0)
    try:
        assert _resident_kb(TEXT_FILE) == before
        assert model.tokenize("A river.")
    finally:
        model.close()


def _printed(script: str) -> list[str]:
    """By another process, as what is left out stays left out."""
    script = f"import logging, pathlib, sys\nfrom runtime.engine import llama\n{script}"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60, check=True)
    return done.stdout.splitlines()


def test_weights_are_not_laid_out_for_amx() -> None:
    before, after = _printed("""
llama.c.llama_backend_init()
print(*llama.layouts())
llama.start_backend()
print(*llama.layouts())
""")
    assert after.split() == [layout for layout in before.split() if layout != "AMX"]


@pytest.mark.parametrize("is_left_out", [False, True])
def test_a_layout_that_is_left_out_is_not_tried(is_left_out: bool) -> None:
    layout, listed, *logged = _printed(f"""
llama.start_backend()
layout = ([*llama.layouts(), ""])[0]
if {is_left_out}:
    llama.leave_out(layout)
print(layout)
print(*llama.layouts())
logging.basicConfig(level=logging.DEBUG, stream=sys.stdout)
llama.Model(pathlib.Path({str(TEXT_FILE)!r}), gpu_layers=0).close()
""")
    if not layout:
        pytest.skip("this build of llama.cpp lays weights out in no other way")
    assert (layout in listed.split()) is not is_left_out
    assert any(layout in line for line in logged) is not is_left_out
