"""The smallest function: curl localhost:8787/hello?name=Ana"""


async def fetch(request, env, ctx):
    name = request.url.query.get("name", "world")
    return Response.text(f"Hello, {name}!\n")
