"""The attacks: each a function of tests/handlers, and the ends that it may come to."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

OK = ("ok",)
CRASHED = ("crashed",)
CPU = ("exceeded_cpu",)
MEMORY = ("exceeded_memory",)
WALL = ("exceeded_wall",)
IMPORT = ("startup_failed",)
EITHER = ("ok", "startup_failed")
ANY = ("ok", "crashed", "exception", "invalid_response", "unavailable", "startup_failed", *WALL, *CPU, *MEMORY)


@dataclass(frozen=True, slots=True)
class Attack:
    """One function and one request to it."""

    name: str
    outcomes: tuple[str, ...]
    """Any of these is an end as it should be; `escaped` is decided by what else is seen."""
    query: str = ""
    leaves: bool = False
    """The client goes away while it runs."""

    @property
    def path(self) -> str:
        return f"/{self.name}" + (f"?{self.query}" if self.query else "")

    def __str__(self) -> str:
        return f"{self.name}-{self.query}" if self.query else self.name


ATTACKS = (
    Attack("loop_python", CPU),
    Attack("loop_regex", CPU),
    Attack("loop_bigint", CPU + MEMORY),
    Attack("loop_threads", CPU),
    Attack("deaf_loop", CPU),
    Attack("stop_itself", WALL),
    Attack("memory_fast", MEMORY),
    Attack("memory_slow", MEMORY),
    Attack("memory_join", MEMORY),
    Attack("memory_caught", OK + MEMORY),
    Attack("memory_mmap", OK + MEMORY),
    Attack("memory_tables", OK + MEMORY),
    Attack("fork_bomb", OK),
    Attack("thread_bomb", OK + CRASHED + WALL),
    Attack("execute", OK),
    Attack("leave", CRASHED),
    Attack("segfault", CRASHED),
    Attack("stack_overflow", CRASHED),
    Attack("close_everything", CRASHED),
    Attack("signal_everyone", OK + CPU),
    Attack("look_into_others", OK),
    Attack("kernel_doors", OK),
    Attack("kernel_doors", CRASHED + OK, "32=1"),
    Attack("more_doors", OK),
    Attack("hoard_kernel", OK),
    Attack("fill_disk", OK + CRASHED, "way=unnamed"),
    Attack("fill_disk", OK + CRASHED, "way=deleted"),
    Attack("fill_disk", OK + CRASHED, "way=allocated"),
    Attack("fill_disk", OK + CRASHED, "way=map"),
    Attack("frame_length", CRASHED),
    Attack("frame_unknown", CRASHED),
    Attack("frame_gigabyte", CRASHED),
    Attack("frame_deep", CRASHED),
    Attack("frame_other_call", CRASHED),
    Attack("frame_ai_flood", CRASHED + WALL + CPU),
    Attack("frame_fetch_flood", CRASHED + WALL + CPU),
    Attack("frame_log_flood", OK + CRASHED),
    Attack("frame_failures", ("exception", *CRASHED)),
    Attack("frame_head", ("invalid_response",)),
    Attack("frame_body", (*CRASHED, "exceeded_response")),
    Attack("frame_tiny", CPU + WALL, "kind=cancels"),
    Attack("frame_tiny", CPU + WALL, "kind=credits"),
    Attack("frame_tiny", CPU + WALL, "kind=ends"),
    Attack("frame_text", OK, "kind=line"),
    Attack("frame_text", ("exception",), "kind=failure"),
    Attack("frame_text", ("invalid_response",), "kind=head"),
    Attack("frame_text", OK, "kind=fetches"),
    Attack("read_proc", OK + CPU),
    Attack("read_host", OK),
    Attack("write_host", OK),
    Attack("fill_temp", OK + CPU),
    Attack("temp_trap", OK),
    Attack("neighbours", OK),
    Attack("watch_files", OK),
    Attack("connect", OK),
    Attack("dns", OK),
    Attack("unix_sockets", OK),
    Attack("through_host", OK),
    Attack("patch_runtime", ANY),
    Attack("leave_state", OK),
    Attack("live_on", OK),
    Attack("wait_for_ever", OK),
    Attack("endless_response", ("exceeded_response",)),
    Attack("endless_drip", WALL),
    Attack("endless_drip", ("canceled",), leaves=True),
    Attack("million_lines", OK + CPU),
    Attack("million_raw_lines", OK + WALL),
    Attack("huge_headers", ("invalid_response", "exception", *CRASHED)),
    Attack("split_headers", ("invalid_response", "exception")),
    Attack("swallow_cancel", ("canceled",), leaves=True),
    Attack("hostile_objects", ("invalid_response", "exception", *CRASHED)),
    Attack("hostile_objects", ("exception", *CRASHED), "raise=1"),
    Attack("ai_hog", OK),
    Attack("import_reads", OK),
    Attack("import_threads", OK),
    Attack("import_fork", EITHER),
    Attack("import_at_fork", EITHER),
    Attack("import_frames", ANY),
    Attack("import_suicide", ANY),
    Attack("import_loop", IMPORT),
    Attack("import_memory", IMPORT),
    Attack("import_deep_folders", EITHER),
)
NEEDED = ("_attack", "_read_host", "_connect", "_unix_sockets", "healthy", "talking")

TOML = """
[engine]
context = 2048
[limits]
cpu_ms = 1000
memory_mb = 128
startup_cpu_ms = 2000
wall_s = 20
wait_until_s = 1
response_mb = 2
log_kb = 64
"""
OWN = """
[functions.{}.limits]
{} = {}
"""
LONG = ("million_lines",)
"""Those that end by themselves or by their CPU time, of which a thirtieth is theirs on a busy machine."""
SPINNING = ("loop_python", "loop_regex", "loop_bigint", "loop_threads", "deaf_loop")
"""Those that end by their CPU time, a thirtieth of it too: with little of it they do so before their wall time."""
SHORT = (
    "stop_itself", "thread_bomb", "frame_ai_flood", "frame_fetch_flood", "endless_drip", "million_raw_lines",
)  # fmt: skip
"""Those that mean to stay."""


def settings(names: Iterable[str]) -> str:
    """The beira.toml of a project with these functions."""
    wall_s = dict.fromkeys(SHORT, 2) | dict.fromkeys(LONG, 50)
    own = [(name, "wall_s", value) for name, value in wall_s.items()] + [(name, "cpu_ms", 300) for name in SPINNING]
    return TOML + "".join(OWN.format(*each) for each in own if each[0] in names)
