"""Answers as fast as it can, for ever."""


async def fetch(request):
    async def parts():
        while True:
            yield bytes(64 * 1024)

    return Response(parts())
