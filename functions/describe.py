"""A picture in, a sentence out: curl localhost:8787/describe -F image=@photo.png"""

import base64

from runtime import AIError


async def fetch(request, env, ctx):
    kind, data = request.headers.get("content-type", ""), b""
    if kind.startswith("multipart/form-data"):
        image = (await request.form())["image"]
        kind, data = image.content_type, await image.bytes()
    elif kind.startswith("image/"):
        data = await request.bytes()
    if not data:
        return Response.json({"error": "send a picture: -F image=@photo.png"}, status=400)

    url = f"data:{kind};base64,{base64.b64encode(data).decode()}"
    picture = {"type": "image_url", "image_url": {"url": url}}
    question = {"type": "text", "text": "What is in this image?"}
    try:
        answer = await AI.run("qwen-qwen25-vl-3b-instruct-awq", messages=[
            {"role": "user", "content": [picture, question]},
        ])  # fmt: skip
    except AIError as e:
        return Response.json({"error": e.message}, status=e.status)
    return Response.text(answer.choices[0].message.content + "\n")
