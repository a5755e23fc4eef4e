"""Answers a byte at a time, for ever."""

import asyncio


async def fetch(request):
    async def parts():
        while True:
            yield b"."
            await asyncio.sleep(0.02)

    return Response(parts())
