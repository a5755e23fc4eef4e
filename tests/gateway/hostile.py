"""Clients that mean no good, all at once: `python -m tests.gateway.hostile HOST PORT SECONDS`, a process of its own."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import sys

IDLE = 1000
HEAD = b"GET /hello HTTP/1.1\r\nHost: x\r\n"


async def idle(host: str, port: int) -> None:
    """Connects and says nothing."""
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        await reader.read()


async def slow_head(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        for byte in itertools.chain(HEAD, itertools.cycle(b"a: b\r\n")):
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0.02)


async def slow_body(host: str, port: int) -> None:
    _, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        writer.write(b"POST /count HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n")
        while True:
            writer.write(b"x")
            await writer.drain()
            await asyncio.sleep(0.1)


async def slow_reader(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port, limit=1)
    with contextlib.closing(writer):
        writer.write(b"GET /flood HTTP/1.1\r\nHost: x\r\n\r\n")
        while True:
            if not await reader.read(1):
                return
            await asyncio.sleep(1)


async def huge_head(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        writer.write(HEAD + b"a: " + b"x" * 10_000_000)
        await writer.drain()
        await reader.read()


async def many_headers(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        writer.write(HEAD + b"a: b\r\n" * 200_000 + b"\r\n")
        await writer.drain()
        await reader.read()


async def crumbs(host: str, port: int) -> None:
    """A body in chunks of one byte."""
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        writer.write(b"POST /count HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n" + b"1\r\nx\r\n" * 200_000)
        await writer.drain()
        await reader.read()


async def pipelined(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        writer.write((HEAD + b"\r\n") * 10_000)
        await writer.drain()
        await reader.read()


async def half_closed(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        writer.write(HEAD + b"\r\n")
        writer.write_eof()
        await reader.read()


async def smuggled(host: str, port: int) -> None:
    reader, writer = await asyncio.open_connection(host, port)
    with contextlib.closing(writer):
        head = b"POST /hello HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n"
        writer.write(head + b"0\r\n\r\n" + HEAD + b"\r\n")
        await reader.read()


ATTACKS = (slow_head, slow_body, slow_reader, huge_head, many_headers, crumbs, pipelined, half_closed, smuggled)


async def again(attack, host: str, port: int) -> None:  # type: ignore[no-untyped-def]
    while True:
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            await attack(host, port)
        await asyncio.sleep(0.1)


async def main(host: str, port: int, seconds: float) -> None:
    tasks = [asyncio.create_task(again(attack, host, port)) for attack in ATTACKS]
    tasks += [asyncio.create_task(again(idle, host, port)) for _ in range(IDLE)]
    await asyncio.sleep(seconds)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), float(sys.argv[3])))
