"""Places and the queue before them: nobody is lost, nobody overtakes, nothing grows."""

from __future__ import annotations

import asyncio

import pytest

from runtime.gateway.admission import Admission, Full


def test_first_come_first_served_and_the_rest_is_shed() -> None:
    async def scenario() -> list[int]:
        admission, order = Admission(1, 2), list[int]()

        async def work(number: int) -> None:
            await admission.enter()
            order.append(number)
            await asyncio.sleep(0)
            admission.leave()

        await admission.enter()
        waiting = [asyncio.create_task(work(i)) for i in range(2)]
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await admission.enter()
        admission.leave()
        await asyncio.gather(*waiting)
        await admission.idle()
        assert admission.taken == 0
        return order

    assert asyncio.run(scenario()) == [0, 1]


def test_one_that_gives_up_waiting_takes_no_place() -> None:
    async def scenario() -> None:
        admission = Admission(1, 3)
        await admission.enter()
        first, second = (asyncio.create_task(admission.enter()) for _ in range(2))
        await asyncio.sleep(0)
        first.cancel()
        admission.leave()
        await second
        assert admission.taken == 1
        admission.leave()
        assert admission.taken == 0

    asyncio.run(scenario())


def test_a_place_within_another_is_one_of_both() -> None:
    async def scenario() -> None:
        node = Admission(2, 1)
        one, other = Admission(1, 5, node), Admission(3, 5, node)
        await one.enter()
        await other.enter()
        of_one, of_other = asyncio.create_task(one.enter()), asyncio.create_task(other.enter())
        await asyncio.sleep(0)
        assert (one.taken, other.taken, node.taken) == (1, 2, 2)  # of `other` one waits in the node's queue, its last
        with pytest.raises(Full):
            await other.enter()
        assert other.taken == 2
        one.leave()
        await of_other  # it was before
        assert not of_one.done()
        other.leave()
        await of_one
        assert (one.taken, other.taken, node.taken) == (1, 1, 2)
        waiting = asyncio.create_task(other.enter())
        await asyncio.sleep(0)
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        one.leave()
        other.leave()
        assert (one.taken, other.taken, node.taken) == (0, 0, 0)
        await node.idle()

    asyncio.run(scenario())


def test_who_leaves_while_it_waits_takes_no_place() -> None:
    async def scenario() -> None:
        admission, left = Admission(1, 2), asyncio.Event()

        async def gone() -> None:
            await left.wait()

        assert await admission.enter_unless(gone)
        waiting = [asyncio.create_task(admission.enter_unless(gone)) for _ in range(2)]
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        with pytest.raises(Full):
            await admission.enter_unless(gone)
        admission.leave()
        assert await waiting[0]
        left.set()
        assert not await waiting[1]
        assert admission.taken == 1
        admission.leave()
        assert admission.taken == 0

    asyncio.run(scenario())


def test_a_wait_that_is_canceled_keeps_no_place() -> None:
    async def scenario(is_free: bool) -> None:
        admission = Admission(1, 2)
        await admission.enter()
        waiting = asyncio.create_task(admission.enter_unless(asyncio.get_running_loop().create_future))
        for _ in range(3):
            await asyncio.sleep(0)
        if is_free:
            admission.leave()
            await asyncio.sleep(0)  # it has the place, and does not know yet
        waiting.cancel()
        await asyncio.gather(waiting, return_exceptions=True)
        if not is_free:
            admission.leave()
        assert admission.taken == 0

    for is_free in (True, False):
        asyncio.run(scenario(is_free))


def test_a_place_given_in_the_moment_of_a_cancellation_is_passed_on() -> None:
    async def scenario() -> None:
        admission = Admission(1, 3)
        await admission.enter()
        first, second = (asyncio.create_task(admission.enter()) for _ in range(2))
        await asyncio.sleep(0)
        admission.leave()  # gives the place to `first` ...
        first.cancel()  # ... which is cancelled before it runs
        await second
        assert admission.taken == 1

    asyncio.run(scenario())
