"""A picture in, a sentence out: curl localhost:8787/describe -F image=@photo.png"""

import base64


async def fetch(request, env, ctx):
    kind = request.headers.get("content-type", "")
    if kind.startswith("multipart/form-data"):
        image = (await request.form())["image"]
        kind, data = image.content_type, await image.bytes()
    else:
        data = await request.bytes()
    if not data or not kind.startswith("image/"):
        return Response.json({"error": "send a picture: -F image=@photo.png"}, status=400)

    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    answer = await AI.run("qwen-qwen25-vl-3b-instruct-awq", messages=[{
        "role": "user",
        "content": [
            {"type": "image_url", "image_url": {"url": url}},
            {"type": "text", "text": "What is in this image?"},
        ],
    }])  # fmt: skip
    return Response.text(answer.choices[0].message.content + "\n")
