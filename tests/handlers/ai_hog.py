"""Takes every place in the engine with generations that it never reads, and leaves them."""

import asyncio

from runtime import AI


async def generate():
    return await AI.run("beira-tiny", stream=True, ignore_eos=True, max_tokens=300, messages=[
        {"role": "user", "content": "Hello"}])  # fmt: skip


async def fetch(request):
    streams = await asyncio.gather(*(generate() for _ in range(40)), return_exceptions=True)
    got = sum(not isinstance(stream, Exception) for stream in streams)
    return {"managed": {} if got <= 16 else {"at_once": got}}
