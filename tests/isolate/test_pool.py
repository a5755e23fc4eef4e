"""A function's life: starts, breaks, heals, is replaced, dies, and leaves nothing behind."""

from __future__ import annotations

import asyncio
import errno
import os
import signal
import tempfile
import threading
import time
from pathlib import Path

import pytest

from runtime.errors import FunctionError
from runtime.isolate import isolate as isolate_module
from runtime.isolate import nursery
from runtime.isolate.pool import IsolateUnavailable, Pool
from runtime.isolate.priority import BEHIND
from runtime.isolate.privileges import Privileges
from runtime.isolate.tempdir import SPARE, TempRoot
from runtime.wire import from_isolate, to_isolate
from tests.isolate.host import Output, Reply, invoke, invoke_message, pool_of, run, settings, until, write

OK = "async def fetch(request):\n    return 'ok'\n"
SLEEPS = "import asyncio\nasync def fetch(request):\n    print('begun')\n    await asyncio.sleep(60)\n"


def children(pid: int) -> list[int]:
    """Living and unreaped processes below `pid`."""
    found: list[int] = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        if int(fields[1]) == pid:
            child = int(entry.parent.name)
            found += [child, *children(child)]
    return found


def descriptors(pid: int) -> int:
    return len(os.listdir(f"/proc/{pid}/fd"))


def temporary() -> list[str]:
    return sorted(str(p) for p in Path(tempfile.gettempdir()).glob(f"beira-{os.getpid()}-*/[0-9]*"))


def left() -> list[str]:
    """What lies in isolates' folders; those that are empty are used again."""
    return [f"{folder}/{name}" for folder in temporary() for name in os.listdir(folder)]


needs_proc = pytest.mark.skipif(not Path("/proc/self/fd").exists(), reason="counts by /proc")


def zygote_of(pool: Pool) -> int:
    assert pool.nursery is not None
    return pool.nursery.pid


@needs_proc
def test_500_invocations_leave_no_process_thread_descriptor_or_file(tmp_path: Path) -> None:
    source = """
    import os, tempfile
    async def fetch(request):
        if int(request.url.query["n"]) % 10 == 0:
            tempfile.mkstemp()
        if int(request.url.query["n"]) % 50 == 0:
            os._exit(1)
        return "ok"
    """

    def count(pool: Pool) -> list[object]:
        zygote = zygote_of(pool)
        warm = children(zygote)
        return [
            len(children(os.getpid())), len(warm), threading.active_count(), len(os.listdir("/proc/self/task")),
            len(os.listdir(f"/proc/{zygote}/task")), descriptors(os.getpid()), descriptors(zygote), left(),
        ]  # fmt: skip

    async def work() -> None:
        async with pool_of(write(tmp_path, source), warm=4) as pool:
            numbers = iter(range(1, 501))

            async def client() -> int:
                answered = 0
                for n in numbers:
                    answered += (await invoke(pool, url=f"http://x/?n={n}")).is_complete
                return answered

            await client_once(pool)
            await until(lambda: pool.is_full, "warm")
            await until(lambda: not left(), "files removed")
            assert len(temporary()) <= SPARE + 4
            before = count(pool)
            assert sum(await asyncio.gather(*(client() for _ in range(8)))) == 490
            await until(lambda: pool.is_full and count(pool) == before, f"as before: {before}")
        assert children(os.getpid()) == []
        assert temporary() == []

    async def client_once(pool: Pool) -> None:
        await invoke(pool, url="http://x/?n=50")  # whatever is made once is made now
        threads = min(
            32, (os.cpu_count() or 1) + 4
        )  # all that the loop's executor can have: folders are measured there
        await asyncio.gather(*(asyncio.to_thread(time.sleep, 0.05) for _ in range(threads)))

    open_before = descriptors(os.getpid())
    run(work())
    assert descriptors(os.getpid()) <= open_before + 1


@pytest.mark.parametrize(
    ("source", "says"),
    [
        ("x = nope\n", "functions/f.py:1: NameError"),
        ("def fetch(:\n", "functions/f.py:1: SyntaxError"),
        ("import os\nos._exit(7)\n", "ended in the import (exit status 7)"),
        ("import os\nos.kill(os.getpid(), 9)\n", "ended in the import (SIGKILL)"),
        ("import ctypes\nctypes.string_at(0)\n", "ended in the import (SIGSEGV)"),
        ("while True: pass\n", "took more than 300 ms of CPU time"),
        ("while True:\n    try:\n        while True: pass\n    except BaseException: pass\n", "300 ms of CPU time"),
        ("x = bytearray(900 * 2**20)\n", "functions/f.py:1: MemoryError"),
    ],
)
def test_a_module_that_does_not_load_fails_its_pool_and_says_why(tmp_path: Path, source: str, says: str) -> None:
    async def work() -> None:
        said: Output = []
        async with pool_of(write(tmp_path, source), startup_cpu_ms=300, output=said) as pool:
            assert pool.state == "failed"
            assert pool.failure is not None
            assert says in pool.failure.message
            assert "\n" not in pool.failure.message
            assert any(level == "error" for _, level, _ in said)
            for _ in range(2):
                with pytest.raises(FunctionError, match=r"f\.py"):
                    await pool.acquire()
            write(tmp_path, OK)
            await pool.replace()
            assert pool.state == "ready"
            assert (await invoke(pool)).text == "ok"

    run(work())


def test_a_module_that_breaks_and_heals(tmp_path: Path) -> None:
    async def work() -> None:
        path = write(tmp_path, OK)
        async with pool_of(path) as pool:
            path.write_text("def fetch(:\n")
            await pool.replace()
            with pytest.raises(FunctionError, match="SyntaxError"):
                await pool.acquire()
            path.write_text(OK.replace("ok", "healed"))
            await pool.replace()
            assert (await invoke(pool)).text == "healed"

    run(work())


def test_replacing_loses_no_request(tmp_path: Path) -> None:
    path = write(tmp_path, "async def fetch(request):\n    return '0'\n")

    async def work() -> None:
        async with pool_of(path, warm=2) as pool:
            seen: list[int] = []
            is_over = False

            async def client() -> None:
                while not is_over:
                    reply = await invoke(pool)
                    assert reply.is_complete, (reply.messages, reply.exit)
                    seen.append(int(reply.text))

            clients = [asyncio.create_task(client()) for _ in range(3)]
            for version in range(1, 4):
                path.write_text(f"async def fetch(request):\n    return '{version}'\n")
                await pool.replace()
                await until(lambda v=version: v in seen, "the new version answers")  # type: ignore[misc]
            is_over = True
            await asyncio.gather(*clients)
            assert set(seen) == {0, 1, 2, 3}

    run(work())


def test_what_runs_while_the_module_is_replaced_ends_by_itself(tmp_path: Path) -> None:
    source = "async def fetch(request):\n    return 'old ' + await request.text()\n"

    async def work() -> None:
        path = write(tmp_path, source)
        async with pool_of(path) as pool:
            old = zygote_of(pool)
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            path.write_text(OK)
            await pool.replace()
            assert (await invoke(pool)).text == "ok"
            await isolate.send(to_isolate.Body(data=b"body"))
            await isolate.send(to_isolate.BodyEnd())
            texts = []
            while (message := await isolate.receive()) is not None:
                texts += [message.data] if isinstance(message, from_isolate.Chunk) else []
            assert texts == [b"old body"]
            await isolate.aclose()
            await until(lambda: not Path(f"/proc/{old}").exists(), "the old zygote ends")

    run(work())


def test_a_zygote_that_dies_is_restarted_and_its_function_answers_at_once_meanwhile(tmp_path: Path) -> None:
    async def work() -> None:
        said: Output = []
        async with pool_of(write(tmp_path, SLEEPS), output=said) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            assert isinstance(await isolate.receive(), from_isolate.Log)
            pid = isolate.pid
            dead = zygote_of(pool)
            os.kill(dead, signal.SIGKILL)
            assert await isolate.receive() is None  # it went with its zygote
            await isolate.exited()
            await isolate.aclose()
            await until(lambda: pool.state == "restarting", "noticed")
            with pytest.raises(IsolateUnavailable):
                await pool.acquire()
            await until(lambda: pool.state == "ready", "restarted")
            assert zygote_of(pool) != dead
            again = await pool.acquire()
            await again.send(invoke_message())
            assert isinstance(await again.receive(), from_isolate.Log)
            await again.aclose()
            assert any("zygote died" in text for _, _, text in said)
            await until(lambda: not is_running(pid), "the isolate is gone")

    run(work())


def test_a_zygote_that_cannot_be_had_again_is_tried_again(tmp_path: Path) -> None:
    source = f"""
    import os
    if os.path.exists({str(tmp_path / "hindered")!r}):
        os._exit(1)
    {OK.replace(chr(10), chr(10) + "    ")}
    """

    async def work() -> None:
        said: Output = []
        async with pool_of(write(tmp_path, source), output=said) as pool:
            assert (await invoke(pool)).status == 200
            (tmp_path / "hindered").touch()
            os.kill(zygote_of(pool), signal.SIGKILL)
            await until(lambda: sum("it is tried again" in text for _, _, text in said) > 1, "it has failed twice")
            assert pool.failure is None
            with pytest.raises(IsolateUnavailable):
                await pool.acquire()
            (tmp_path / "hindered").unlink()
            await until(lambda: pool.state == "ready", "restarted")
            assert (await invoke(pool)).status == 200

    run(work())
    assert children(os.getpid()) == []


def test_a_module_that_is_mended_while_its_zygote_cannot_be_had_is_served(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, OK)) as pool:
            write(tmp_path, "import os\nos._exit(1)")
            os.kill(zygote_of(pool), signal.SIGKILL)
            await until(lambda: pool.state == "restarting", "noticed")
            write(tmp_path, OK)
            await pool.replace()
            assert pool.state == "ready"
            assert (await invoke(pool)).status == 200

    run(work())
    assert children(os.getpid()) == []


def test_a_node_without_room_for_a_zygote_starts_it_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tempfile, "tempdir", str(tmp_path / "absent"))

    async def work() -> None:
        said: Output = []
        async with pool_of(write(tmp_path, OK), output=said) as pool:
            assert pool.state == "restarting"
            with pytest.raises(IsolateUnavailable):
                await pool.acquire()
            (tmp_path / "absent").mkdir()
            await until(lambda: pool.state == "ready", "started")
            assert (await invoke(pool)).status == 200
            assert any("the zygote cannot be started" in text for _, _, text in said)

    run(work())


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except OSError:
        return False


def test_a_zygote_that_stops_answering_does_not_hold_up_the_end(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, OK)) as pool:
            await until(lambda: pool.is_full, "warm")
            os.kill(zygote_of(pool), signal.SIGSTOP)
        assert pool.state == "closed"

    run(work())
    assert children(os.getpid()) == []


def test_closing_with_invocations_in_flight_and_waiting(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, SLEEPS), warm=2) as pool:
            running = [await pool.acquire() for _ in range(5)]
            for isolate in running:
                await isolate.send(invoke_message())
            waiting = asyncio.gather(*(pool.acquire() for _ in range(20)), return_exceptions=True)
            await asyncio.sleep(0)
            await pool.aclose()
            for got in await waiting:
                if isinstance(got, BaseException):
                    assert isinstance(got, IsolateUnavailable)
                else:
                    await got.aclose()
            for isolate in running:
                assert (await isolate.exited()).signal == signal.SIGKILL
                await isolate.aclose()
            with pytest.raises(IsolateUnavailable):
                await pool.acquire()
            await pool.aclose()

    before = descriptors(os.getpid()) if Path("/proc/self/fd").exists() else 0
    run(work())
    assert children(os.getpid()) == []
    assert temporary() == []
    assert not before or descriptors(os.getpid()) <= before + 1


def test_acquire_that_is_canceled_loses_no_isolate(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, OK), warm=1) as pool:
            for _ in range(20):
                tasks = [asyncio.create_task(pool.acquire()) for _ in range(3)]
                await asyncio.sleep(0.002)
                for task in tasks:
                    task.cancel()
                for got in await asyncio.gather(*tasks, return_exceptions=True):
                    if not isinstance(got, BaseException):
                        await got.aclose()
            reply: Reply = await invoke(pool)
            assert reply.text == "ok"

    run(work())


def test_acquire_before_the_module_is_loaded_waits_for_it(tmp_path: Path) -> None:
    async def work() -> None:
        pool = Pool(settings(write(tmp_path, OK)), on_output=lambda *_: None)
        assert pool.state == "starting"
        early = asyncio.create_task(invoke(pool))
        await asyncio.sleep(0)
        await pool.start()
        assert (await early).text == "ok"
        await pool.aclose()

    run(work())


def test_the_host_that_dies_takes_zygote_and_isolates_along(tmp_path: Path) -> None:
    import subprocess
    import sys

    path = write(tmp_path, SLEEPS)
    code = f"""
import asyncio, os
from pathlib import Path
from tests.isolate.host import pool_of, invoke_message
async def main():
    async with pool_of(Path({str(path)!r})) as pool:
        isolate = await pool.acquire()
        await isolate.send(invoke_message())
        await isolate.receive()
        print(pool.nursery.pid, isolate.pid, flush=True)
        os.kill(os.getpid(), 9)
asyncio.run(main())
"""
    root = str(Path(__file__).parents[2])
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, cwd=root, check=False)
    pids = [int(word) for word in done.stdout.split()]
    assert len(pids) == 2, done.stderr

    async def work() -> None:
        await until(lambda: not any(is_running(pid) for pid in pids), "gone with the host")

    run(work())


def test_threads_and_slow_imports_are_reported(tmp_path: Path) -> None:
    said: Output = []
    source = """
    import threading, time
    threading.Thread(target=time.sleep, args=(60,), daemon=True, name="left-over").start()
    time.sleep(1.1)
    def fetch(r): return "ok"
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source), output=said) as pool:
            assert (await invoke(pool)).text == "ok"

    run(work())
    warnings = " ".join(text for _, level, text in said if level == "warning")
    assert "left-over" in warnings
    assert "1.1 s to load" in warnings


def test_what_a_killed_host_has_left_is_removed_at_the_next_start(tmp_path: Path) -> None:
    import subprocess

    dead = subprocess.Popen(("true",))
    dead.wait()
    left = Path(tempfile.mkdtemp(prefix=f"beira-{dead.pid}-f-"))
    here = os.open(left, os.O_RDONLY)
    try:
        for _ in range(1500):  # too deep for a path, and for recursion
            os.mkdir("d", dir_fd=here)
            below = os.open("d", os.O_RDONLY, dir_fd=here)
            os.close(here)
            here = below
    finally:
        os.close(here)

    async def work() -> None:
        async with pool_of(write(tmp_path, OK)):
            pass

    run(work())
    assert not left.exists()


@needs_proc
def test_an_isolate_that_takes_much_cpu_time_goes_behind_and_its_zygote_comes_back(tmp_path: Path) -> None:
    source = """
    import threading
    def spin():
        while True: pass
    def fetch(request):
        if request.url.query["spin"] == "yes":
            threading.Thread(target=spin, daemon=True).start()
            spin()
        return "ok"
    """

    def nice(pid: int) -> set[int]:
        return {os.getpriority(os.PRIO_PROCESS, int(thread)) for thread in os.listdir(f"/proc/{pid}/task")}

    def session_nice(pool: Pool) -> str:
        try:
            return Path(f"/proc/{zygote_of(pool)}/autogroup").read_text().split()[-1]
        except FileNotFoundError:
            return "absent"

    async def work() -> None:
        async with pool_of(write(tmp_path, source), warm=2, cpu_ms=60_000) as pool:
            ours, before = os.getpriority(os.PRIO_PROCESS, 0), session_nice(pool)
            isolate = await pool.acquire()
            await isolate.send(invoke_message(url="http://x/?spin=yes"))
            await until(lambda: nice(isolate.pid) == {BEHIND}, "behind")
            await until(lambda: session_nice(pool) in (str(BEHIND), "absent"), "its session too")
            other = await pool.acquire()
            assert nice(other.pid) == {ours}
            await other.aclose()
            await isolate.aclose()
            await until(lambda: session_nice(pool) == before, "the session as before")

    run(work())


@needs_proc
@pytest.mark.parametrize("kind", ["bytes", "unnamed", "files", "unlisted", "deep"])
def test_who_holds_too_much_on_the_disk_is_ended(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: str) -> None:
    """By the host, which looks: nothing is mounted for this pool."""
    monkeypatch.setattr(nursery, "FILES", 1000)  # who makes them goes behind, and beside others has little time
    source = """
    import os, tempfile, time
    def fetch(request):
        kind, folder = request.url.query["kind"], tempfile.gettempdir()
        if kind == "unlisted":
            folder += "/unlisted"
            os.mkdir(folder, 0o300)
        os.chdir(folder)
        if kind == "unnamed":
            files = [tempfile.TemporaryFile(), tempfile.TemporaryFile()]
            for number in range(80):
                files[number % 2].write(bytes(2**20))
        elif kind == "files":
            for number in range(1_100):
                open(str(number), "w").close()
        elif kind == "deep":
            for _ in range(200):
                os.mkdir("d")
                os.chdir("d")
        else:
            for number in range(80):
                open(str(number), "wb").write(bytes(2**20))
        time.sleep(20)
    """

    async def work() -> None:
        said: Output = []
        async with pool_of(write(tmp_path, source), warm=1, output=said, memory_mb=64, cpu_ms=20_000) as pool:
            assert (await invoke(pool, url="http://x/?kind=none&most=1", handler="nothing")).failure
            reply = await invoke(pool, url=f"http://x/?kind={kind}")
            assert reply.exit is not None
            assert reply.exit.signal == signal.SIGKILL
            assert [text for _, level, text in said if "temporary folder held more" in text]

    run(work())


def test_a_full_disk_stops_nobody_but_who_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = """
    import tempfile
    def fetch(request):
        try:
            with tempfile.TemporaryFile() as file:
                return str(file.write(b"hello"))
        except OSError as e:
            return type(e).__name__
    """
    make, is_full = TempRoot._make, True

    def fill(self: TempRoot, place: int) -> None:
        if is_full:
            raise OSError(errno.ENOSPC, "No space left on device")
        make(self, place)

    monkeypatch.setattr(TempRoot, "_make", fill)

    async def work() -> None:
        nonlocal is_full
        said: Output = []
        async with pool_of(write(tmp_path, source), output=said) as pool:
            assert [(await invoke(pool)).body for _ in range(20)] == [b"FileNotFoundError"] * 20
            assert len([text for _, _, text in said if "no temporary folder" in text]) == 1
            is_full = False
            later = [(await invoke(pool)).body for _ in range(8)]
            # those that were forked before have none: one, or few where the machine was busy; all behind them have
            assert later == sorted(later, reverse=True)
            assert later[3:] == [b"5"] * 5

    run(work())
    assert temporary() == []


def test_a_place_where_something_is_left_is_nobodys(tmp_path: Path) -> None:
    root = TempRoot("f", Privileges(), quota_mb=1)
    try:
        os.mkdir(root.folder(1))
        Path(root.folder(1), "left").touch()
        assert [root.take(), root.take()] == [2, 3]
        assert os.listdir(root.folder(2)) == []
    finally:
        root.close()


@pytest.mark.parametrize("status", [9, 2**40])
def test_a_zygote_that_says_more_than_it_was_asked_is_ended(tmp_path: Path, status: int) -> None:
    source = f"""
    import contextlib, json, os, struct
    DEATH = json.dumps({{"isolate": 1, "pid": 1, "status": {status}, "cpu_ms": 0, "max_rss_kb": 0}}).encode()
    FRAMES = (struct.pack("!IBI", len(DEATH), 68, 0) + DEATH) * 50
    for fd in range(3, 100):
        with contextlib.suppress(OSError):
            os.write(fd, FRAMES)
    def fetch(request): return "loaded"
    """

    async def work() -> None:
        said: Output = []
        async with pool_of(write(tmp_path, source), output=said) as pool:
            assert pool.state == "failed"
            assert "the zygote sent what is no message" in "".join(text for _, _, text in said)

    run(work())


@needs_proc
@pytest.mark.parametrize("when", ["import", "fork"])
def test_no_memory_is_shared_by_requests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, when: str) -> None:
    """A file of the temporary folder, mapped by the zygote, would be a state that one request leaves to the next."""
    source = f"""
    import gc, mmap, os
    temp = next(o.temp for o in gc.get_objects() if type(o).__name__ == "ZygoteSettings")
    def share():
        fd = os.open(temp + "/shared", os.O_RDWR | os.O_CREAT, 0o600)
        os.ftruncate(fd, 4096)
        globals()["shared"] = mmap.mmap(fd, 4096)
    share() if {when == "import"} else os.register_at_fork(before=share)
    def fetch(request): return "shared"
    """
    monkeypatch.setattr(nursery, "LOOK_S", 0.2)

    async def work() -> None:
        said: Output = []
        async with pool_of(write(tmp_path, source), output=said) as pool:
            if when == "import":
                assert pool.state == "failed"
            await until(lambda: "memory that all requests" in "".join(text for _, _, text in said), "it is told")

    run(work())


def test_an_end_that_is_told_late_gives_the_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine a zygote may be slow to reap: who is lost may live, and what was written stays until then."""
    source = """
    import asyncio, tempfile
    async def fetch(request):
        tempfile.mkstemp()
        print("begun")
        await asyncio.sleep(60)
    """
    monkeypatch.setattr(isolate_module, "EXIT_DEADLINE_S", 0.1)

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message(), to_isolate.BodyEnd())
            await isolate.receive()
            os.kill(zygote_of(pool), signal.SIGSTOP)
            try:
                await isolate.aclose()
                assert isolate.is_lost
                assert len(left()) == 1
            finally:
                os.kill(zygote_of(pool), signal.SIGCONT)
            await until(lambda: not left(), "its file is gone")

    run(work())


@needs_proc
def test_the_zygotes_ring_is_no_memory_that_requests_share(tmp_path: Path) -> None:
    """An io_uring keeps pages (see `hot`): no call to it is let through, and to map it is to map a file to write."""
    source = """
    import mmap
    MAPPED = []
    for fd in range(3, 100):
        try:
            MAPPED.append(mmap.mmap(fd, 4096))
        except (OSError, ValueError):
            pass
    def fetch(request): return str(len(MAPPED))
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            if pool.state == "failed":
                assert pool.failure is not None
                assert "memory that all requests would share" in pool.failure.message
            else:  # no io_uring here
                assert (await invoke(pool)).text == "0"

    run(work())


def test_a_half_full_pool_waits_before_it_forks_and_an_emptier_one_does_not(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, OK), warm=4) as pool:
            await until(lambda: pool.is_full, "warm")
            nursery = pool.nursery
            assert nursery is not None
            taken = [await pool.acquire()]
            assert len(nursery.isolates) == 4
            await until(lambda: pool.is_full, "full again, though the isolate lives")
            assert len(nursery.isolates) == 5
            taken += [await pool.acquire() for _ in range(3)]
            assert len(nursery.isolates) == 5 + 3  # nobody after these would wait for the fork of the first
            for isolate in taken:
                await isolate.aclose()
            await until(lambda: pool.is_full, "full")

    run(work())


def test_numbers_that_no_process_has_are_survived(tmp_path: Path) -> None:
    """Forged by a hook at a fork: of these the host has just asked for some."""
    source = """
    import contextlib, json, os, socket, struct
    def frame(kind, **fields):
        data = json.dumps(fields).encode()
        return struct.pack("!IBI", len(data), kind, 0) + data
    def forge():
        for each in sockets:  # its control is among them
            with contextlib.suppress(OSError):
                os.write(each, frame(67, isolate=1, pid=2**40))
                os.write(each, frame(68, isolate=1, pid=2**40, status=2**40, cpu_ms=2**62, max_rss_kb=2**62))
    import gc
    sockets = [o.fileno() for o in gc.get_objects() if isinstance(o, socket.socket) and o.fileno() >= 0]
    os.register_at_fork(before=forge)
    def fetch(request): return "loaded"
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            assert pool.nursery is not None
            first = pool.nursery
            await until(lambda: pool.nursery is not first or not first.is_alive, "it said more than it was asked")

    run(work())
