"""Bodies in both directions, AI calls and subrequests: under credit, at once, canceled."""

from __future__ import annotations

import asyncio
import json
import signal
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from runtime.errors import ContextLengthExceeded, WireError
from runtime.isolate.isolate import Isolate
from runtime.isolate.streams import Window
from runtime.isolate.turns import PAUSE
from runtime.wire import frames, from_isolate, to_isolate
from tests.isolate.host import ask, invoke, invoke_message, pool_of, run, send_body, talk, until, write

MB = 2**20


def asked(message: from_isolate.AICall) -> dict[str, Any]:
    """`model` and `inputs` of an AI call."""
    return dict(json.loads(message.data))


async def settled(isolate: Isolate, got: list[frames.Message], seconds: float = 0.3) -> None:
    """Collect messages until none comes for a while."""
    while True:
        try:
            message = await asyncio.wait_for(isolate.receive(), seconds)
        except TimeoutError:
            return
        assert message is not None
        got.append(message)


def test_a_client_that_does_not_read_stops_the_writer(tmp_path: Path) -> None:
    source = """
    async def body():
        for i in range(1000):
            yield b"x" * 65536
    async def fetch(request):
        return Response(body())
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            got: list[frames.Message] = []
            await settled(isolate, got)
            sent = sum(len(m.data) for m in got if isinstance(m, from_isolate.Chunk))
            assert sent == frames.WINDOW
            await isolate.send(to_isolate.Credit(size=100_000))
            await settled(isolate, got)
            sent = sum(len(m.data) for m in got if isinstance(m, from_isolate.Chunk))
            assert frames.WINDOW < sent <= frames.WINDOW + 100_000
            await isolate.aclose()

    run(work())


def test_many_tiny_pieces_stop_too(tmp_path: Path) -> None:
    source = """
    async def body():
        for i in range(100_000):
            yield b"x"
    async def fetch(request):
        return Response(body())
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            got: list[frames.Message] = []
            await settled(isolate, got)
            assert len(got) < 500
            await isolate.aclose()

    run(work())


def test_a_large_response_arrives_whole(tmp_path: Path) -> None:
    source = "async def fetch(request):\n    return bytes(range(256)) * 20_000\n"
    reply = ask(write(tmp_path, source))
    assert reply.body == bytes(range(256)) * 20_000
    assert reply.headers["content-length"] == str(len(reply.body))
    assert max(len(m.data) for m in reply.all(from_isolate.Chunk)) <= frames.CHUNK


def test_a_handler_that_does_not_read_is_not_sent_more_and_one_that_reads_is(tmp_path: Path) -> None:
    source = """
    import asyncio
    async def fetch(request):
        size = 0
        async for piece in request.body:
            size += len(piece)
        return str(size)
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message(method="POST"))
            window = Window()

            async def feed() -> None:
                for _ in range(4 * MB // frames.CHUNK):
                    await window.take(frames.CHUNK)
                    await isolate.send(to_isolate.Body(data=b"x" * frames.CHUNK))
                await isolate.send(to_isolate.BodyEnd())

            feeder = asyncio.create_task(feed())
            body, granted = b"", 0
            while (message := await isolate.receive()) is not None:
                if isinstance(message, from_isolate.BodyCredit):
                    window.grant(message.size)
                    granted += message.size
                if isinstance(message, from_isolate.Chunk):
                    body += message.data
            await feeder
            assert (body, granted) == (str(4 * MB).encode(), 4 * MB)
            await isolate.aclose()

    run(work())


def test_no_credit_without_a_reader(tmp_path: Path) -> None:
    source = "import asyncio\nasync def fetch(request):\n    await asyncio.sleep(60)\n"

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message(method="POST"))
            await send_body(isolate, b"x" * frames.WINDOW)
            got: list[frames.Message] = []
            await settled(isolate, got)
            assert got == []
            await isolate.aclose()

    run(work())


def test_the_host_is_not_flooded_by_an_isolate_that_it_does_not_read(tmp_path: Path) -> None:
    source = """
    async def fetch(request):
        while True:
            print("x" * 1000)
    """

    async def work() -> None:
        async with pool_of(write(tmp_path, source)) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message(limits={"log_kb": 10**6}))
            await until(lambda: isolate.is_paused, "reading stopped")
            for _ in range(20):
                await asyncio.sleep(0.01)
            assert isolate.queued_bytes < 2 * MB
            await isolate.aclose()

    run(work())


FLOOD = """
import os, time
def fetch(request):
    many = bytes.fromhex("00000000" "26" "00000001") * 7000  # AICancel, in one piece
    while True:
        rest = many
        while rest:
            try:
                rest = rest[os.write(3, rest):]
            except BlockingIOError:
                time.sleep(0.002)
"""


async def count(isolate: Isolate, counts: list[int], number: int) -> None:
    """Take all that it sends."""
    while await isolate.receive() is not None:
        counts[number] += 1


def test_messages_count_as_the_cpu_time_that_they_cost_at_the_least(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, FLOOD), cpu_ms=200) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            counts = [0]
            with pytest.raises(WireError, match="more messages than can be made in its CPU time"):
                await count(isolate, counts, 0)
            assert counts[0] <= 0.2 / frames.FRAME_S + 64 * 1024 / 9  # and what came in the last read
            end = await isolate.exited()
            assert (end.signal, end.cpu_ms >= 200) == (signal.SIGKILL, True)
            await isolate.aclose()

    run(work())


def test_who_sends_many_at_once_is_read_in_turn(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, FLOOD), warm=4, cpu_ms=60_000) as pool:
            isolates = [await pool.acquire() for _ in range(4)]
            for isolate in isolates:
                await isolate.send(invoke_message())
            begin, counts = time.monotonic(), [0] * 4

            takers = [asyncio.create_task(count(isolates[number], counts, number)) for number in range(4)]
            await until(lambda: min(counts) > 7000, "each has had a turn")
            await asyncio.sleep(1)
            share = sum(counts) * frames.FRAME_S * PAUSE / (time.monotonic() - begin)
            most = 1 + 4 * 7300 * frames.FRAME_S * PAUSE / (time.monotonic() - begin)  # one read of each is ahead
            assert share < most
            for taker, isolate in zip(takers, isolates, strict=True):
                taker.cancel()
                await isolate.aclose()

    run(work())


CALLS = """
import asyncio
async def fetch(request):
    one, two, three = await asyncio.gather(
        AI.run("m", {"n": 1}, temperature=0), AI.run("m", n=2), AI.run("m", {"n": 3, "stream": True}))
    text = "".join([chunk.choices[0].delta["content"] async for chunk in three])
    return [one.n, two["n"], one.choices[0].message.content, text]
"""


def test_several_ai_calls_at_once_answered_in_any_order(tmp_path: Path) -> None:
    calls: list[from_isolate.AICall] = []

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        if not isinstance(message, from_isolate.AICall):
            return ()
        calls.append(message)
        if len(calls) < 3:
            return ()
        one, two, three = calls
        value = {"choices": [{"message": {"content": "hi"}}]}
        said: list[frames.Message] = [to_isolate.AIAccepted(call=three.call)]
        said += [
            to_isolate.AIChunk(call=three.call, value={"choices": [{"delta": {"content": piece}}]})
            for piece in ("a", "é")
        ]
        said += [to_isolate.AIResult(call=two.call, value={"n": 2}), to_isolate.AIEnd(call=three.call)]
        return [*said, to_isolate.AIResult(call=one.call, value=value | {"n": 1})]

    reply = ask(write(tmp_path, CALLS), answer=answer)
    assert json.loads(reply.body) == [1, 2, "hi", "aé"]
    assert [(c.call, asked(c)["model"]) for c in calls] == [(1, "m"), (2, "m"), (3, "m")]
    assert asked(calls[0])["inputs"] == {"n": 1, "temperature": 0}


def streamed(call: int, *, error: bool = False) -> list[frames.Message]:
    said: list[frames.Message] = [to_isolate.AIAccepted(call=call)]
    said += [to_isolate.AIChunk(call=call, value={"n": n}) for n in range(2)]
    failure = ContextLengthExceeded("too long")
    return [*said, to_isolate.AIFailed(call=call, error=failure.to_wire()) if error else to_isolate.AIEnd(call=call)]


def test_a_stream_that_is_returned_becomes_server_sent_events(tmp_path: Path) -> None:
    for returned in ("await AI.run('m', stream=True)", "Response(await AI.run('m', stream=True))"):
        path = write(tmp_path, f"async def fetch(request):\n    return {returned}\n")
        reply = ask(path, answer=lambda m: streamed(m.call) if isinstance(m, from_isolate.AICall) else ())
        assert reply.headers["content-type"] == "text/event-stream"
        assert reply.text == 'data: {"n":0}\n\ndata: {"n":1}\n\ndata: [DONE]\n\n'


def test_an_error_in_mid_stream_is_one_event(tmp_path: Path) -> None:
    path = write(tmp_path, "async def fetch(request):\n    return await AI.run('m', stream=True)\n")
    reply = ask(path, answer=lambda m: streamed(m.call, error=True) if isinstance(m, from_isolate.AICall) else ())
    events = [line.removeprefix("data: ") for line in reply.text.split("\n\n") if line]
    assert events[-1] == "[DONE]"
    assert json.loads(events[-2])["error"]["code"] == "context_length_exceeded"


def test_ai_errors_are_raised_with_all_they_carry(tmp_path: Path) -> None:
    source = """
    from runtime import AIError
    async def fetch(request):
        try:
            await AI.run("m", stream=True)
        except AIError as e:
            return [type(e).__name__, e.status, e.code, e.type, e.param, e.message]
    """
    error = ContextLengthExceeded("too long", param="messages")
    reply = ask(
        write(tmp_path, source),
        answer=lambda m: (
            [to_isolate.AIFailed(call=m.call, error=error.to_wire())] if isinstance(m, from_isolate.AICall) else ()
        ),
    )
    assert json.loads(reply.body) == [
        "ContextLengthExceeded", 400, "context_length_exceeded", "invalid_request_error", "messages", "too long",
    ]  # fmt: skip


def test_canceled_calls_and_streams_left_early_are_told_to_the_host(tmp_path: Path) -> None:
    source = """
    import asyncio
    async def fetch(request):
        task = asyncio.create_task(AI.run("m", {"wait": True}))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        stream = await AI.run("m", stream=True)
        async for chunk in stream:
            break
        await stream.aclose()
        return "ok"
    """

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        if isinstance(message, from_isolate.AICall) and asked(message)["inputs"].get("stream"):
            return [to_isolate.AIAccepted(call=message.call), to_isolate.AIChunk(call=message.call, value={})]
        return ()

    reply = ask(write(tmp_path, source), answer=answer)
    assert reply.text == "ok"
    assert [m.call for m in reply.all(from_isolate.AICancel)] == [1, 2]


def test_too_many_calls_at_once_and_inputs_that_are_no_json_raise(tmp_path: Path) -> None:
    source = """
    import asyncio
    async def fetch(request):
        calls = [AI.run("m", n=n) for n in range(3)]
        got = await asyncio.gather(*calls, AI.run("m", x=object()), AI.run("m", 3), return_exceptions=True)
        return [type(x).__name__ for x in got]
    """
    path = write(tmp_path, source)
    waiting: list[int] = []

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        if isinstance(message, from_isolate.AICall):
            waiting.append(message.call)
            if len(waiting) == 2:
                return [to_isolate.AIResult(call=call, value={}) for call in waiting]
        return ()

    reply = ask(path, limits={"ai_calls": 2}, answer=answer)
    assert json.loads(reply.body) == ["Record", "Record", "Overloaded", "Overloaded", "InvalidRequest"]


@pytest.mark.parametrize("value", ["float('nan')", "float('inf')", "-float('inf')"])
def test_a_number_that_json_lacks_is_refused_by_its_path(tmp_path: Path, value: str) -> None:
    source = f"""
    async def fetch(request):
        try:
            await AI.run("m", x=[None, {{"a": ({value},)}}])
        except Exception as e:
            return [type(e).__name__, e.param, e.message]
    """
    name, param, message = json.loads(ask(write(tmp_path, source)).body)
    assert (name, param) == ("InvalidRequest", "x[1].a[0]")
    assert message.startswith("x[1].a[0]: must be a finite number, got ")


def test_no_line_of_an_event_ends_within_it(tmp_path: Path) -> None:
    text = "a\u2028b\u2029c\x85d\x0be\r\nf"
    source = "async def fetch(request): return await AI.run('m', stream=True)"

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        if isinstance(message, from_isolate.AICall):
            chunk = to_isolate.AIChunk(call=message.call, value={"text": text})
            return [to_isolate.AIAccepted(call=message.call), chunk, to_isolate.AIEnd(call=message.call)]
        return ()

    lines = ask(write(tmp_path, source), answer=answer).text.splitlines()
    assert [json.loads(lines[0].removeprefix("data: ")), *lines[1:]] == [{"text": text}, "", "data: [DONE]", ""]


def test_an_abort_cancels_the_handler_and_its_calls(tmp_path: Path) -> None:
    source = """
    async def fetch(request, env, ctx):
        try:
            await AI.run("m")
        finally:
            print("aborted", ctx.aborted)
    """

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        return [to_isolate.Abort()] if isinstance(message, from_isolate.AICall) else ()

    reply = ask(write(tmp_path, source), answer=answer)
    assert reply.logs == [("info", "aborted True")]
    assert reply.all(from_isolate.AICancel)
    assert isinstance(reply.messages[-1], from_isolate.Done)
    assert not reply.all(from_isolate.Failure)


def test_an_abort_closes_the_stream_that_is_being_answered(tmp_path: Path) -> None:
    path = write(tmp_path, "async def fetch(request):\n    return await AI.run('m', stream=True)\n")

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        if isinstance(message, from_isolate.AICall):
            return [to_isolate.AIAccepted(call=message.call), to_isolate.AIChunk(call=message.call, value={})]
        return [to_isolate.Abort()] if isinstance(message, from_isolate.Chunk) else ()

    reply = ask(path, answer=answer)
    assert [m.call for m in reply.all(from_isolate.AICancel)] == [1]


def test_work_behind_the_response(tmp_path: Path) -> None:
    source = """
    import asyncio
    async def later(word):
        await asyncio.sleep(0.05)
        print(word)
    async def fails():
        raise ValueError("behind")
    async def fetch(request, env, ctx):
        ctx.wait_until(later("one"))
        ctx.waitUntil(asyncio.create_task(later("two")))
        ctx.wait_until(fails())
        return "ok"
    """
    reply = ask(write(tmp_path, source))
    kinds = [type(m) for m in reply.messages]
    assert (
        kinds.index(from_isolate.End) < kinds.index(from_isolate.Log) < kinds.index(from_isolate.Done) == len(kinds) - 1
    )
    assert reply.all(from_isolate.End)[0].wait_until
    assert {"one", "two"} <= {text for _, text in reply.logs}
    assert any("ValueError: behind" in text for level, text in reply.logs if level == "error")


def test_work_behind_the_response_is_bounded(tmp_path: Path) -> None:
    source = """
    import asyncio
    async def fetch(request, env, ctx):
        ctx.wait_until(asyncio.sleep(60))
        return "ok"
    """
    reply = ask(write(tmp_path, source), limits={"wait_until_s": 0.1})
    assert isinstance(reply.messages[-1], from_isolate.Done)
    assert "not done in 0.1 s" in reply.logs[-1][1]


def test_subrequests(tmp_path: Path) -> None:
    source = """
    outbound = fetch
    async def body():
        yield b"a" * 100_000
        yield "b"
    async def fetch(request, env, ctx):
        r = await ctx.fetch("https://example.test/x", method="put", headers={"x-a": "1"}, body=body())
        failed = ""
        try:
            await outbound("https://example.test/fails")
        except Exception as e:
            failed = f"{type(e).__name__}: {e}"
        return [r.status, r.ok, r.headers["content-type"], await r.json(), r.url, failed]
    """
    uploaded: dict[int, bytes] = {}

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        match message:
            case from_isolate.FetchCall(call=call, url=url) if url.endswith("fails"):
                return [to_isolate.FetchFailed(call=call, message="refused")]
            case from_isolate.FetchData(call=call, data=data):
                uploaded[call] = uploaded.get(call, b"") + data
                return [to_isolate.FetchMore(call=call, size=len(data))]
            case from_isolate.FetchSent(call=call):
                head = to_isolate.FetchHead(
                    call=call, status=201, headers=[("content-type", "a/b")], url="https://other/"
                )
                parts = [to_isolate.FetchBody(call=call, data=data) for data in (b'{"a"', b":1}")]
                return [head, *parts, to_isolate.FetchEnd(call=call)]
        return ()

    reply = ask(write(tmp_path, source), answer=answer)
    assert json.loads(reply.body) == [201, True, "a/b", {"a": 1}, "https://other/", "OutboundError: refused"]
    call = reply.all(from_isolate.FetchCall)[0]
    assert (call.method, call.headers, call.has_body) == ("PUT", [["x-a", "1"]], True)
    assert uploaded[call.call] == b"a" * 100_000 + b"b"
    assert sum(m.size for m in reply.all(from_isolate.FetchCredit)) == 7


def test_a_subrequest_can_be_passed_on_and_their_number_is_limited(tmp_path: Path) -> None:
    source = """
    async def fetch(request, env, ctx):
        await ctx.fetch(request)
        try:
            await ctx.fetch("https://two.test/")
        except Exception as e:
            print(e)
        return await ctx.fetch("https://three.test/")
    """

    def answer(message: frames.Message) -> Sequence[frames.Message]:
        if isinstance(message, from_isolate.FetchCall):
            head = to_isolate.FetchHead(call=message.call, status=418, headers=[("x-b", "2")], url=message.url)
            return [head, to_isolate.FetchBody(call=message.call, data=b"tea"), to_isolate.FetchEnd(call=message.call)]
        return ()

    path = write(tmp_path, source)
    reply = ask(path, answer=answer, headers=[("host", "edge"), ("x-a", "1")], limits={"subrequests": 1})
    assert "1 subrequests" in reply.logs[0][1]
    assert reply.failure.outcome == "exception"
    assert reply.all(from_isolate.FetchCall)[0].headers == [["x-a", "1"]]
    reply = ask(path, answer=answer)
    assert (reply.status, reply.headers["x-b"], reply.text) == (418, "2", "tea")


def test_calls_that_run_beside_each_other_do_not_mix(tmp_path: Path) -> None:
    source = "async def fetch(request):\n    return str((await AI.run('m', n=int(await request.text()))).n)\n"

    async def work() -> None:
        async with pool_of(write(tmp_path, source), warm=3) as pool:
            replies = await asyncio.gather(
                *(
                    invoke(
                        pool,
                        body=str(n).encode(),
                        answer=lambda m: (
                            [to_isolate.AIResult(call=m.call, value=asked(m)["inputs"])]
                            if isinstance(m, from_isolate.AICall)
                            else ()
                        ),
                    )
                    for n in range(20)
                )
            )
            assert [r.text for r in replies] == [str(n) for n in range(20)]

    run(work())


def test_talk_ends_where_the_isolate_ends(tmp_path: Path) -> None:
    async def work() -> None:
        async with pool_of(write(tmp_path, "import os\ndef fetch(r): os._exit(3)\n")) as pool:
            isolate = await pool.acquire()
            await isolate.send(invoke_message())
            reply = await talk(isolate)
            assert (reply.messages, reply.exit and reply.exit.status) == ([], 3)
            await isolate.send(to_isolate.BodyEnd())  # to nobody: no error
            await isolate.aclose()

    run(work())
