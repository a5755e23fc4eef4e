"""A load generator that costs little: raw HTTP/1.1 over keep-alive connections. Prints latencies as JSON.

usage: python -m tests.bench.load URL CLIENTS REQUESTS
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from urllib.parse import urlsplit


async def client(url: str, requests: int) -> list[float]:
    """Latencies in milliseconds of `requests` requests, one after the other on one connection."""
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    head = f"GET {parts.path} HTTP/1.1\r\nhost: {parts.netloc}\r\n\r\n".encode()
    latencies = []
    for _ in range(requests):
        begin = time.perf_counter()
        writer.write(head)
        answer = await reader.readuntil(b"\r\n\r\n")
        if not answer.startswith(b"HTTP/1.1 200"):
            raise RuntimeError(answer.decode("latin-1"))
        lower = answer.lower()
        at = lower.index(b"content-length:") + 15
        await reader.readexactly(int(lower[at : lower.index(b"\r", at)]))
        latencies.append((time.perf_counter() - begin) * 1000)
    writer.close()
    return latencies


async def main(url: str, clients: int, requests: int) -> None:
    begin = time.perf_counter()
    each = await asyncio.gather(*(client(url, requests // clients) for _ in range(clients)))
    seconds = time.perf_counter() - begin
    latencies = sorted(ms for one in each for ms in one)
    print(json.dumps({"seconds": seconds, "latencies": latencies}))


if __name__ == "__main__":
    asyncio.run(main(sys.argv[1], int(sys.argv[2]), int(sys.argv[3])))
