"""The function beside the attacks: answers with what it was asked."""


async def fetch(request):
    return {"healthy": request.url.query["name"], "body": (await request.bytes()).decode()}
