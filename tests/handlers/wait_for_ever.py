"""Answers, and leaves work behind the answer that never ends and cannot be cancelled."""

import asyncio


async def linger():
    while True:
        try:
            await asyncio.sleep(60)
        except asyncio.CancelledError:
            continue


async def fetch(request, env, ctx):
    ctx.wait_until(linger())
    return {"managed": {}}
