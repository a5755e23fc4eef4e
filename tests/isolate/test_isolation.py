"""What one invocation does is not seen by the next, and what it does to itself ends only itself."""

from __future__ import annotations

import json
import signal
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import WireError
from runtime.isolate import quota
from runtime.wire import from_isolate, to_isolate
from tests.isolate.host import Reply, ask, invoke, invoke_message, pool_of, run, send_body, talk, until, write


def several(path: Path, count: int, **changes: object) -> list[Reply]:
    async def work() -> list[Reply]:
        async with pool_of(path, warm=2) as pool:
            return [await invoke(pool, **changes) for _ in range(count)]

    return run(work())


def test_every_invocation_begins_from_the_same_state(tmp_path: Path) -> None:
    source = """
    import builtins, os, sys
    SEEN = []
    async def fetch(request, env, ctx):
        SEEN.append(ctx.request_id)
        before = [len(SEEN), hasattr(builtins, "left"), "left" in sys.modules, hasattr(Response, "left"),
                  os.path.exists(os.environ["TMPDIR"] + "/x"), os.getcwd()]
        builtins.left = Response.left = 1
        sys.modules["left"] = sys
        open(os.environ["TMPDIR"] + "/x", "w").write("left")
        os.chdir(os.environ["TMPDIR"])
        return before
    """
    texts = {reply.text for reply in several(write(tmp_path, source), 3)}
    assert texts == {'[1,false,false,false,false,"/"]'}


def test_random_generators_differ_between_invocations(tmp_path: Path) -> None:
    source = """
    import random, uuid, secrets
    import numpy
    random.seed(1)
    numpy.random.seed(1)
    async def fetch(request):
        return [random.random(), float(numpy.random.rand()), str(uuid.uuid4()), secrets.token_hex(8)]
    """
    drawn = [json.loads(reply.body) for reply in several(write(tmp_path, source), 4)]
    for column in zip(*drawn, strict=True):
        assert len(set(column)) == 4, column


@pytest.mark.parametrize(
    ("source", "number"),
    [
        ("import os\ndef fetch(r): os.kill(os.getpid(), 9)", signal.SIGKILL),
        ("import os\ndef fetch(r): os.abort()", signal.SIGABRT),
        ("import ctypes\ndef fetch(r): ctypes.string_at(0)", signal.SIGSEGV),
    ],
)
def test_a_crash_is_told_with_its_signal_and_the_next_request_is_served(
    tmp_path: Path, source: str, number: int
) -> None:
    replies = several(write(tmp_path, source), 2)
    assert [r.exit and r.exit.signal for r in replies] == [number, number]


@pytest.mark.parametrize("code", [0, 3])
def test_leaving_without_an_answer_is_told(tmp_path: Path, code: int) -> None:
    (reply,) = several(write(tmp_path, f"import os\ndef fetch(r): os._exit({code})"), 1)
    assert reply.exit is not None
    assert (reply.messages, reply.exit.status, reply.exit.signal) == ([], code, None)


@pytest.mark.parametrize(
    ("raised", "outcome"),
    [
        ("ValueError('x')", "exception"),
        ("SystemExit(2)", "exception"),
        ("KeyboardInterrupt()", "exception"),
        ("MemoryError()", "exceeded_memory"),
        ("RecursionError('deep')", "exception"),
        ("__import__('asyncio').CancelledError()", "exception"),
        ("type('Odd', (Exception,), {'__str__': lambda self: 1 / 0})()", "exception"),
    ],
)
def test_whatever_a_handler_raises_is_a_failure_with_its_trace(tmp_path: Path, raised: str, outcome: str) -> None:
    reply = ask(write(tmp_path, f"async def fetch(r):\n    raise {raised}\n"))
    assert reply.failure.outcome == outcome
    assert 'f.py", line 2, in fetch' in reply.failure.trace
    assert "guest.py" not in reply.failure.trace
    assert isinstance(reply.messages[-1], from_isolate.Done)


def test_a_failure_after_the_first_byte_is_told_too(tmp_path: Path) -> None:
    source = """
    async def body():
        yield "part"
        raise ValueError("late")
    def fetch(r): return Response(body())
    """
    reply = ask(write(tmp_path, source))
    assert reply.text == "part"
    assert not reply.all(from_isolate.End)
    assert reply.failure.message == "ValueError: late"


@pytest.mark.parametrize(
    "source",
    [
        "def fetch(r):\n    while True: pass",
        "import signal\ndef fetch(r):\n    signal.signal(signal.SIGXCPU, signal.SIG_IGN)\n    while True: pass",
        "def fetch(r): return str(len(str(7 ** 10**9)))",
        "import asyncio\nasync def fetch(r):\n    while True: await asyncio.sleep(0)",
    ],
)
def test_cpu_time_is_limited_in_milliseconds(tmp_path: Path, source: str) -> None:
    async def work() -> Reply:
        async with pool_of(write(tmp_path, source), cpu_ms=300) as pool:
            return await invoke(pool)

    reply = run(work())
    assert reply.exit is not None
    assert reply.exit.signal == signal.SIGKILL
    assert 300 <= reply.exit.cpu_ms < 1000


def test_waiting_is_no_cpu_time(tmp_path: Path) -> None:
    async def work() -> Reply:
        path = write(tmp_path, "import asyncio\nasync def fetch(r):\n    await asyncio.sleep(1)\n    return 'ok'")
        async with pool_of(path, cpu_ms=300) as pool:
            return await invoke(pool)

    assert run(work()).text == "ok"


@pytest.mark.parametrize(
    "bomb",
    [
        "x = bytearray(500 * 2**20)",
        "x = []\n    while True: x.append(bytearray(2**20))",
        "x = [0]\n    while True: x = x + x",
        "import numpy\n    x = numpy.ones(500 * 2**17)",
        "x = ''\n    while True: x += 'abcdefgh' * 1000",
    ],
)
def test_memory_is_limited_and_the_failure_is_told(tmp_path: Path, bomb: str) -> None:
    async def work() -> list[Reply]:
        async with pool_of(write(tmp_path, f"def fetch(r):\n    {bomb}\n"), memory_mb=100) as pool:
            return [await invoke(pool), await invoke(pool)]

    for reply in run(work()):
        assert reply.failure.outcome == "exceeded_memory"


def test_memory_within_the_limit_is_given(tmp_path: Path) -> None:
    async def work() -> Reply:
        path = write(tmp_path, "TABLE = bytearray(60 * 2**20)\ndef fetch(r): return str(len(bytearray(80 * 2**20)))\n")
        async with pool_of(path, memory_mb=100) as pool:
            return await invoke(pool)

    assert run(work()).text == str(80 * 2**20)


def test_an_isolate_has_the_standard_three_descriptors_its_socket_and_its_loops_pair(tmp_path: Path) -> None:
    source = """
    import os
    HELD = open(__file__)
    def fetch(r):
        opened = []
        for fd in range(256):
            try:
                opened.append([fd, os.fstat(fd).st_mode >> 12])
            except OSError:
                pass
        return opened
    """
    opened = json.loads(ask(write(tmp_path, source)).body)
    # 0 /dev/null, 1 and 2 pipes, 3 the socket, 4 and 5 what wakes its event loop
    assert opened == [[0, 0o2], [1, 0o1], [2, 0o1], [3, 0o14], [4, 0o14], [5, 0o14]]


def test_what_wakes_an_isolates_loop_is_its_own(tmp_path: Path) -> None:
    """The loop is made in the zygote: its pair of sockets there must not be that of all."""
    source = """
    import asyncio, os
    MADE = [os.fstat(fd).st_ino for fd in (4, 5)]
    async def fetch(r):
        await asyncio.get_running_loop().run_in_executor(None, int)
        return [MADE, [os.fstat(fd).st_ino for fd in (4, 5)]]
    """

    async def work() -> list[Any]:
        async with pool_of(write(tmp_path, source), warm=3) as pool:
            return [json.loads((await invoke(pool)).body) for _ in range(3)]

    found = run(work())
    numbers = {number for made, now in found for number in (*made, *now)}
    assert len(numbers) == 2 + 3 * 2


def test_raw_writes_to_the_standard_descriptors_reach_the_host(tmp_path: Path) -> None:
    said: list[tuple[str, str, str]] = []
    source = """
    import os
    print("loading")
    def fetch(r):
        os.write(1, b"one\\ntwo\\n")
        os.write(2, b"bad")
        return ""
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source), output=said) as pool:
            await invoke(pool)

    run(work())
    assert ("f", "info", "loading") in said
    assert ("f", "info", "one\ntwo") in said
    assert ("f", "error", "bad") in said


@pytest.mark.parametrize(
    "junk",
    [
        r"b'\xff' * 100",
        r"b'\xff\xff\xff\xff' + bytes([33]) + bytes(4)",
        r"b'\x00\x00\x00\x02' + bytes([33]) + bytes(4) + b'[]'",
        r"b'\x00\x00\x00\x00' + bytes([64]) + bytes(4)",
    ],
)
def test_a_frame_that_is_no_frame_ends_the_isolate(tmp_path: Path, junk: str) -> None:
    source = f"import os, time\ndef fetch(r):\n    os.write(3, {junk})\n    time.sleep(60)\n"

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            with pytest.raises(WireError):
                await talk(isolate)
            assert (await isolate.exited()).signal == signal.SIGKILL
            await isolate.aclose()
            isolate = await pool.acquire()  # and the function goes on
            await isolate.aclose()

    run(work())


def test_an_isolate_that_closes_everything_does_not_live_on(tmp_path: Path) -> None:
    source = "import os, time\ndef fetch(r):\n    os.closerange(0, 256)\n    time.sleep(60)\n"

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            reply = await talk(isolate)
            assert reply.exit is not None
            assert reply.exit.signal == signal.SIGKILL
            await isolate.aclose()

    run(work())


def test_a_temporary_folder_of_its_own_is_gone_with_the_isolate(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(quota, "EVERY_S", 60.0)  # who makes so many folders is ended otherwise, if it is seen in time
    source = """
    import os, tempfile
    def fetch(r):
        folder = tempfile.gettempdir()
        with tempfile.NamedTemporaryFile(delete=False) as f:
            f.write(b"x")
        os.chdir(folder)
        for _ in range(1500):
            os.mkdir("d")
            os.chdir("d")
        return folder
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            reply = await invoke(pool)
            folder = Path(reply.text)
            await until(lambda: not folder.exists(), "the folder is gone")
            assert folder.parent.exists()
        assert not folder.parent.exists()

    run(work())


def test_handlers_that_swallow_cancellation_can_be_killed(tmp_path: Path) -> None:
    source = """
    import asyncio
    async def fetch(r):
        print("begun")
        while True:
            try:
                await asyncio.sleep(60)
            except asyncio.CancelledError:
                print("no")
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            await send_body(isolate, b"")
            assert isinstance(await isolate.receive(), from_isolate.Log)
            await isolate.send(to_isolate.Abort())
            assert await isolate.receive() == from_isolate.Log(level="info", text="no")
            isolate.kill()
            isolate.kill()
            assert await isolate.receive() is None
            assert (await isolate.exited()).signal == signal.SIGKILL
            await isolate.aclose()
            await isolate.aclose()

    run(work())
