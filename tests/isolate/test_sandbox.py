"""The walls: each attack asks without harm, and is told no. What a kernel lacks is skipped, and said."""

from __future__ import annotations

import json
import os
import socket
import sys
import threading
from pathlib import Path
from typing import Any

import pytest

from runtime.isolate import layers as walls
from runtime.isolate.landlock import Landlock
from runtime.isolate.seccomp import Filter
from runtime.isolate.threads import MOST
from tests.isolate.host import ask, invoke, pool_of, run, write

linux = pytest.mark.skipif(sys.platform != "linux", reason="Linux")
filtered = pytest.mark.skipif(not Filter().is_available, reason="no seccomp")
locked = pytest.mark.skipif(not Landlock().version, reason="no Landlock")

HEAD = """
import ctypes, errno, json, mmap, os, resource, signal, socket, subprocess, sys, tempfile, threading
LIBC = ctypes.CDLL(None, use_errno=True)

def tried(act, *given):
    try:
        return ["done", repr(act(*given))]
    except OSError as e:
        return [errno.errorcode.get(e.errno, e.errno), type(e).__name__]

def call(number, *given):
    ctypes.set_errno(0)
    done = LIBC.syscall(number, *given)
    if done == -1:
        raise OSError(ctypes.get_errno(), "syscall")
    return done
"""


def attempted(tmp_path: Path, attempts: dict[str, str], *, at_import: bool = False) -> dict[str, list[Any]]:
    """What became of each attempt, in the handler or at the module's top level."""
    made = "{" + ", ".join(f"{name!r}: tried(lambda: {code})" for name, code in attempts.items()) + "}"
    source = HEAD + (
        f"GOT = {made}\ndef fetch(r): return GOT\n" if at_import else f"def fetch(r):\n    return {made}\n"
    )
    reply = ask(write(tmp_path, source))
    assert reply.is_complete, (reply.messages, reply.exit)
    found: dict[str, list[Any]] = json.loads(reply.body)
    return found


def refused(got: dict[str, list[Any]], codes: tuple[str, ...] = ("EPERM", "EACCES", "ENOSYS")) -> None:
    escaped = {name: result for name, result in got.items() if result[0] not in codes}
    assert escaped == {}


NETWORK = {
    "tcp": "socket.socket()",
    "udp": "socket.socket(type=socket.SOCK_DGRAM)",
    "unix": "socket.socket(socket.AF_UNIX)",
    "netlink": "socket.socket(16, socket.SOCK_RAW, 0)",
    "pair": "socket.socketpair(socket.AF_INET)",
}
PROCESSES = {
    "exec": "os.execv('/bin/true', ['true'])",
    "subprocess": "subprocess.run(['true'])",
}
POWERS = {
    "unshare": "call(272, 0x10000000)",
    "ptrace": "call(101, 0, 0, 0, 0)",
    "mount": "call(165, 0, 0, 0, 0, 0)",
    "keyring": "call(250, 0, 0, 0, 0, 0)",
    "bpf": "call(321, 0, 0, 0)",
    "userfaultfd": "call(323, 0)",
    "io_uring": "call(425, 1, 0)",
    "a request of an io_uring": "[call(426, fd, 0, 0, 0, 0, 0) for fd in range(3, 64)]",
    "buffers of an io_uring": "[call(427, fd, 1, 0, 0) for fd in range(3, 64)]",
    "perf": "call(298, 0, 0, 0, 0, 0)",
    "memfd": "os.memfd_create('x')",
    "shared memory": "mmap.mmap(-1, 2**20)",
    "sysv": "call(29, 0, 4096, 0o1600)",
    "another's limits": "resource.prlimit(os.getppid(), resource.RLIMIT_CPU)",
    "another's priority": "os.setpriority(os.PRIO_PROCESS, os.getppid(), 19)",
    "another's affinity": "os.sched_setaffinity(os.getppid(), {0})",
    "session": "os.setsid()",
    "group": "os.setpgid(0, 0)",
    "a uid": "os.setuid(12345)",
    "chmod": "os.chmod('/usr', 0o755)",
    "chown": "os.chown('/usr', 0, 0)",
    "utime": "os.utime('/usr')",
    "xattr": "os.setxattr('/usr', 'user.x', b'')",
    "a later call": "call(500)",
}


@linux
@filtered
@pytest.mark.parametrize("at_import", [False, True])
def test_no_network_no_process_no_power(tmp_path: Path, at_import: bool) -> None:
    attempts = NETWORK | PROCESSES
    if os.uname().machine == "x86_64":  # by its numbers
        attempts = attempts | POWERS
    refused(attempted(tmp_path, attempts, at_import=at_import))


@linux
@filtered
def test_an_isolate_can_neither_fork_nor_signal_anyone(tmp_path: Path) -> None:
    refused(
        attempted(
            tmp_path,
            {
                "fork": "os.fork()",
                "the zygote": "os.kill(os.getppid(), 0)",
                "its group": "os.kill(0, 0)",
                "all": "os.kill(-1, 0)",
                "init": "os.kill(1, 0)",
                "another thread": "call(234 if os.uname().machine == 'x86_64' else 131, os.getppid(), os.getppid(), 0)",
                "by descriptor": "os.pidfd_open(os.getppid())",
            },
        )
    )


@linux
def test_threads_work_and_signals_to_itself(tmp_path: Path) -> None:
    source = """
    import asyncio, os, signal, threading
    def work(n): return n * 2
    async def fetch(r):
        seen = []
        signal.signal(signal.SIGUSR1, lambda *_: seen.append("signal"))
        os.kill(os.getpid(), signal.SIGUSR1)
        loop = asyncio.get_running_loop()
        seen.append(await loop.run_in_executor(None, work, 21))
        thread = threading.Thread(target=seen.append, args=("thread",))
        thread.start()
        thread.join()
        return seen
    """
    assert json.loads(ask(write(tmp_path, source)).body) == ["signal", 42, "thread"]


@linux
@locked
@pytest.mark.parametrize("at_import", [False, True])
def test_files_of_the_host_cannot_be_opened(tmp_path: Path, at_import: bool) -> None:
    (tmp_path / ".env").write_text("SECRET=1")
    (tmp_path / "beira.toml").write_text("")
    write(tmp_path, "x = 1", "_helper")
    attempts = {
        "dotenv": f"open({str(tmp_path / '.env')!r}).read()",
        "settings": f"open({str(tmp_path / 'beira.toml')!r}).read()",
        "project": f"os.listdir({str(tmp_path)!r})",
        "passwd": "open('/etc/passwd').read()",
        "shadow": "open('/etc/shadow').read()",
        "environment": "open('/proc/%d/environ' % os.getppid(), 'rb').read()",
        "own proc": "open('/proc/self/maps').read()",
        "processes": "os.listdir('/proc')",
        "home": "os.listdir('/root')",
        "root": "os.listdir('/')",
        "write beside": f"open({str(tmp_path / 'functions' / 'new.py')!r}, 'w')",
        "write itself": "open(__file__, 'a')",
        "delete itself": "os.unlink(__file__)",
        "tmp": "open('/tmp/beira-test-canary', 'w')",
        "shm": "open('/dev/shm/beira-test-canary', 'w')",
        "other temporary folders": "os.listdir(os.path.dirname(tempfile.gettempdir()))",
        "link": "os.link(__file__, tempfile.gettempdir() + '/x')",
    }
    if at_import:
        del attempts["other temporary folders"], attempts["link"]
    got = attempted(tmp_path, attempts, at_import=at_import)
    refused(got, ("EPERM", "EACCES", "EXDEV", "ENOENT"))
    assert not Path("/tmp/beira-test-canary").exists()
    assert (tmp_path / "functions" / "f.py").exists()


@linux
def test_what_a_function_needs_is_open_to_it(tmp_path: Path) -> None:
    (tmp_path / "functions" / "data").mkdir(parents=True)
    (tmp_path / "functions" / "data" / "table.txt").write_text("rows")
    source = """
    import os, tempfile, pathlib, zoneinfo, json
    HERE = pathlib.Path(__file__).parent
    def fetch(r):
        import decimal, sqlite3, numpy.fft  # at its first use, within the walls
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "a")
            path.write_text("b")
            path.rename(path.with_name("c"))
        base = sqlite3.connect(tempfile.gettempdir() + "/x.db")
        base.execute("create table t (a)")
        base.commit()
        with open("/dev/null", "w") as f:
            f.write("x")
        return [(HERE / "data" / "table.txt").read_text(), len(os.urandom(4))]
    """
    reply = ask(write(tmp_path, source))
    assert reply.is_complete, reply.messages
    assert json.loads(reply.body) == ["rows", 4]


@linux
def test_root_has_no_power_left(tmp_path: Path) -> None:
    source = (
        HEAD
        + """
def fetch(r):
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (10**6, 10**6))
        raised = True
    except (ValueError, OSError):
        raised = False
    no_new_privs = LIBC.prctl(39, 0, 0, 0, 0)
    bounding = [LIBC.prctl(23, number, 0, 0, 0) for number in (0, 7, 12, 21, 24)] if os.getuid() == 0 else []
    return [raised, no_new_privs, any(bounding)]
"""
    )
    assert json.loads(ask(write(tmp_path, source)).body) == [False, 1, False]


@linux
@filtered
def test_a_port_of_the_host_is_not_reached(tmp_path: Path) -> None:
    """Loopback canaries: a listener on TCP and one on an abstract socket hear nothing."""
    heard: list[str] = []
    with socket.create_server(("127.0.0.1", 0)) as tcp, socket.socket(socket.AF_UNIX) as unix:
        name = f"\0beira-test-{tcp.getsockname()[1]}"
        unix.bind(name)
        unix.listen()

        def listen(server: socket.socket) -> None:
            try:
                server.accept()[0].close()
                heard.append("connection")
            except OSError:
                return

        threads = [threading.Thread(target=listen, args=(server,)) for server in (tcp, unix)]
        for thread in threads:
            thread.start()
        got = attempted(
            tmp_path,
            {
                "tcp": f"socket.create_connection({tcp.getsockname()!r}, 1)",
                "abstract": f"socket.socket(socket.AF_UNIX).connect({name!r})",
                "dns": "socket.getaddrinfo('example.com', 80)",
            },
        )
        tcp.shutdown(socket.SHUT_RDWR)
        unix.shutdown(socket.SHUT_RDWR)
        for thread in threads:
            thread.join()
    assert heard == []
    assert all(result[0] != "done" for result in got.values())


@linux
def test_a_storm_of_threads_is_bounded_and_the_function_goes_on(tmp_path: Path) -> None:
    if not Filter().can_ask:
        pytest.skip("the kernel asks nobody about threads")
    source = """
    import threading
    threading.stack_size(64 * 1024)
    def storm():
        stop, made = threading.Event(), 0
        try:
            for _ in range(2000):
                threading.Thread(target=stop.wait, daemon=True).start()
                made += 1
        except (RuntimeError, MemoryError):
            pass
        stop.set()
        for thread in threading.enumerate():
            if thread is not threading.current_thread():
                thread.join()
        return made
    AT_IMPORT = storm()
    def fetch(r):
        return [AT_IMPORT, storm(), storm()]
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            for _ in range(2):
                assert json.loads((await invoke(pool)).body) == [MOST - 1] * 3

    run(work())


def test_layers_are_told() -> None:
    layers = walls.available()
    assert "rlimits" in layers.present
    assert set(layers.present) & set(layers.absent) == set()
    assert str(layers)
