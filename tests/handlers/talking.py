"""The stream beside the attacks: what the model says to a question."""

from runtime import AI


async def fetch(request):
    return await AI.run("beira-tiny", stream=True, messages=[{"role": "user", "content": request.url.query["q"]}])
