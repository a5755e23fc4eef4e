"""Large messages wait for room; who stops in the middle of one keeps nobody waiting for long."""

from __future__ import annotations

import asyncio
from pathlib import Path

from runtime.isolate.isolate import Isolate
from runtime.isolate.room import Claim, Room
from runtime.wire import from_isolate
from tests.isolate.host import invoke_message, pool_of, run, until, write

MB = 2**20
LARGE = """
import os, struct, time
def fetch(request):
    size, sent = 60 * 2**20, int(request.url.query["mb"]) * 2**20
    data = memoryview(struct.pack("!IBI", size, 37, 1) + bytes(sent))
    while data:
        try:
            data = data[os.write(3, data):]
        except BlockingIOError:
            time.sleep(0.002)
    time.sleep(60)
"""


def test_room_is_given_in_order_and_each_claim_lets_go_of_its_own() -> None:
    async def work() -> None:
        room, told = Room(10 * MB), []

        def claim(name: str) -> Claim:
            return Claim(room, on_room=lambda: told.append(name), on_late=lambda: told.append(f"{name} is late"))

        a, b, c = claim("a"), claim("b"), claim("c")
        a.expect(6 * MB)
        b.expect(6 * MB)
        c.expect(2 * MB)  # there would be room, but b was first
        assert (a.is_waiting, b.is_waiting, c.is_waiting, told) == (False, True, True, [])
        a.has_come()
        a.let_go(1000)  # small: not counted
        a.let_go(6 * MB)
        assert (b.is_waiting, c.is_waiting, told) == (False, False, ["b", "c"])
        b.close()
        c.has_come()
        c.close()
        c.expect(9 * MB)  # it is gone
        a.expect(10 * MB)
        assert not a.is_waiting
        b2 = claim("b2")
        b2.expect(MB)
        assert b2.is_waiting
        b2.close()
        a.close()
        assert room.take(10 * MB, lambda: None)

    asyncio.run(work())


def test_the_host_holds_so_much_for_a_function_and_the_rest_waits(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, LARGE), warm=5) as pool:
            isolates = [await pool.acquire() for _ in range(5)]
            for isolate in isolates:
                await isolate.send(invoke_message(url="http://x/?mb=50"))
            await until(lambda: any(isolate.claim.is_waiting for isolate in isolates), "one waits")
            waiting = [isolate for isolate in isolates if isolate.claim.is_waiting]
            assert len(waiting) == 1  # 4 times 60 MB are there of 256
            await next(isolate for isolate in isolates if isolate not in waiting).aclose()
            await until(lambda: not waiting[0].claim.is_waiting, "it goes on")
            for isolate in isolates:
                await isolate.aclose()

    run(work())


def test_a_call_that_was_taken_makes_room(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, LARGE), warm=5) as pool:
            isolates = [await pool.acquire() for _ in range(5)]
            for isolate in isolates:
                await isolate.send(invoke_message(url="http://x/?mb=60"))

            async def take(isolate: Isolate) -> None:
                message = await isolate.receive()
                assert isinstance(message, from_isolate.AICall)
                assert len(message.data) == 60 * MB
                isolate.claim.let_go(len(message.data))

            await asyncio.gather(*map(take, isolates))  # any of them may be the one that has to wait
            for isolate in isolates:
                await isolate.aclose()

    run(work())
