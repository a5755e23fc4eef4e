"""Takes 1.5 GB little by little."""

import asyncio


async def fetch(request):
    hoard = []
    for _ in range(1500):
        hoard.append(bytearray(b"x") * 2**20)
        await asyncio.sleep(0)
    return {"managed": {"megabytes": len(hoard)}}
