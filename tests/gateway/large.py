"""Large requests by name: `python -m tests.gateway.large URL` reads names, sends each, prints what it got.

A process of its own: making them must not hold the loop that is measured.
"""

from __future__ import annotations

import base64
import io
import json
import random
import sys
from collections.abc import Callable
from typing import Any

import httpx
import PIL.Image

MB = 2**20
USER = {"role": "user", "content": "Hi"}


def said(*messages: Any, **more: Any) -> bytes:
    return json.dumps({"messages": list(messages), "max_tokens": 1, **more}, ensure_ascii=False).encode()


def parts(*parts: Any) -> bytes:
    return said({"role": "user", "content": list(parts)})


def picture(kind: str, image: PIL.Image.Image) -> dict[str, Any]:
    buffer = io.BytesIO()
    image.save(buffer, kind)
    return shown(buffer.getvalue())


def shown(data: bytes) -> dict[str, Any]:
    return {
        "type": "image_url",
        "image_url": {"url": "data:image/png;base64," + base64.b64encode(data).decode()},
    }


def noise(size: int) -> bytes:
    return random.Random(1).randbytes(size)


def called(arguments: str) -> bytes:
    call = {"id": "1", "type": "function", "function": {"name": "f", "arguments": arguments}}
    return said(USER, {"role": "assistant", "tool_calls": [call]}, {"role": "tool", "tool_call_id": "1", "content": ""})


def tools(n: int, **more: Any) -> bytes:
    fields = {f"field{i}": {"type": "string"} for i in range(4)}
    made = [
        {"type": "function", "function": {"name": f"f{i}", "parameters": {"type": "object", "properties": fields}}}
        for i in range(n)
    ]
    return said(USER, tools=made, **more)


def form(schema: Any) -> bytes:
    return said(USER, response_format={"type": "json_schema", "json_schema": {"name": "x", "schema": schema}})


V1: dict[str, Callable[[], bytes]] = {
    "16,000 messages": lambda: said(*[USER] * 16_000),
    "45,000 messages of nothing": lambda: said(*[{}] * 45_000),
    "16,000 parts": lambda: parts(*[{"type": "text", "text": "Hi there"}] * 16_000),
    "7 MB of text": lambda: said({**USER, "content": "é" * (7 * MB // 2)}),
    "7 MB of escapes": lambda: said({**USER, "content": "\n" * (7 * MB // 2)}),
    "63 MB of text": lambda: said({**USER, "content": "x" * (63 * MB)}),
    "199,000 lists": lambda: said(USER, x=[[]] * 99_000),
    "1 MB of arguments": lambda: called(json.dumps(["x\n" * 8] * 30_000)),
    "30 MB of arguments": lambda: called(json.dumps("x" * 30 * MB)),
    "49,000 biases": lambda: said(USER, logit_bias={str(i): 1 for i in range(49_000)}),
    "1,000 tools": lambda: tools(1_000),
    "1,000 tools, one required": lambda: tools(1_000, tool_choice="required"),
    "an enum of 9,000": lambda: form({"enum": [f"value {i}" for i in range(9_000)]}),
    "20 MB of picture": lambda: parts(picture("PNG", PIL.Image.frombytes("RGB", (2600, 2600), noise(2600 * 2600 * 3)))),
    "two times 20 MB of none": lambda: parts(*[shown(noise(20 * MB))] * 2),
    "40 megapixels": lambda: parts(picture("PNG", PIL.Image.new("RGB", (8000, 5000)))),
    "40 megapixels of glass": lambda: parts(picture("PNG", PIL.Image.new("RGBA", (8000, 5000), (9, 9, 9, 99)))),
    "40 megapixels of 16 bits": lambda: parts(picture("PNG", PIL.Image.new("I;16", (8000, 5000)))),
    "40 megapixels of AVIF": lambda: parts(picture("AVIF", PIL.Image.new("RGB", (8000, 5000)))),
    "40 megapixels of JPEG": lambda: parts(picture("JPEG", PIL.Image.new("CMYK", (8000, 5000)))),
    "40 megapixels of WebP": lambda: parts(picture("WEBP", PIL.Image.new("RGB", (8000, 5000)))),
}
AI_RUN = ("16,000 messages", "40 MB of picture", "10 MB of lists", "60 MB of text")
FUNCTION = """
async def fetch(request):
    name, MB = request.url.query["name"], 2**20
    inputs = {"messages": [{"role": "user", "content": "Hi"}], "max_tokens": 1}
    if name == "16,000 messages":
        inputs["messages"] *= 16_000
    elif name == "40 MB of picture":
        url = "data:image/png;base64," + "A" * (20 * MB)
        inputs["messages"][0]["content"] = [{"type": "image_url", "image_url": {"url": url}}] * 2
    elif name == "10 MB of lists":
        inputs["x"] = [[]] * (10 * MB // 3)
    else:
        inputs["x"] = "x" * (60 * MB)
    try:
        return await AI.run("beira-tiny", inputs)
    except Exception as e:
        return Response(str(e), status=getattr(e, "status", 500))
"""


def main(url: str) -> None:
    made: dict[str, bytes] = {}
    with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
        for line in sys.stdin:
            where, _, name = line.rstrip("\n").partition(" ")
            if where == "make":
                made[name] = V1[name]()
                print("made", flush=True)
            elif where == "send":
                head = {"content-type": "application/json"}
                answer = client.post("/v1/chat/completions", content=made[name], headers=head)
                print(answer.status_code, answer.text[:150].replace("\n", " "), flush=True)
            else:
                answer = client.get("/large", params={"name": name})
                print(answer.status_code, answer.text[:150].replace("\n", " "), flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
