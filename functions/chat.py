"""Text in, text out, as the model writes it: curl localhost:8787/chat -d '{"prompt": "Name the european capitals"}'"""


async def fetch(request, env, ctx):
    if request.method != "POST":
        return Response.json({"error": 'POST {"prompt": "…"}'}, status=405)
    try:
        prompt = str((await request.json())["prompt"])
    except (ValueError, TypeError, KeyError):
        return Response.json({"error": 'the body must be {"prompt": "…"}'}, status=400)

    stream = await AI.run(
        "qwen-qwen25-vl-3b-instruct-awq",
        messages=[
            {"role": "system", "content": "You are a helpful assistant."},
            {"role": "user", "content": prompt},
        ],
        stream=True,
    )

    async def words():
        async for chunk in stream:
            yield chunk.choices[0].delta.content or ""
        yield "\n"

    return Response(words(), headers={"content-type": "text/plain; charset=utf-8"})
