"""Will not hear that it is cancelled."""

import asyncio


async def fetch(request):
    while True:
        try:
            await asyncio.sleep(60)
        except BaseException:
            continue
