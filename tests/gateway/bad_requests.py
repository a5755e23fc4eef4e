"""Bad requests as bytes, each with what it gets: status, code, param and the message's beginning."""

from __future__ import annotations

import base64
import gzip
import io
import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import PIL.Image

from tests.clients.asked import TOOL
from tests.node import picture

CHAT = "/v1/chat/completions"
USER = {"role": "user", "content": "Hi"}
IMAGE = "messages[0].content[0].image_url.url"
MB = 2**20


@dataclass(frozen=True)
class Bad:
    """One bad request; `body` is made when it is sent, since some take megabytes."""

    name: str
    body: Callable[[], bytes]
    message: str
    param: str | None = None
    status: int = 400
    code: str | None = None
    path: str = CHAT
    method: str = "POST"
    content_type: str | None = "application/json"
    content_encoding: str | None = None
    type: str = "invalid_request_error"


def raw(name: str, body: bytes | Callable[[], bytes], message: str, **more: Any) -> Bad:
    return Bad(name, body if callable(body) else lambda: body, message, **more)


def asks(name: str, message: str, *, status: int = 400, code: str | None = None, **fields: Any) -> Bad:
    """A chat with `fields`; the message begins with the path of what is wrong, which is the `param`, too."""
    body = json.dumps({"messages": [USER], **fields}).encode()
    return raw(name, body, message, param=message.partition(": ")[0], status=status, code=code)


def said(name: str, message: str, *messages: Any) -> Bad:
    return asks(name, message, messages=list(messages))


def shows(name: str, url: str | Callable[[], str], rule: str, *, n: int = 1, param: str = IMAGE) -> Bad:
    def body() -> bytes:
        made = url() if callable(url) else url
        content = [{"type": "image_url", "image_url": {"url": made}}] * n
        return json.dumps({"messages": [{"role": "user", "content": content}]}).encode()

    return raw(name, body, f"{param}: {rule}", param=param, code="invalid_image")


def data_url(data: bytes) -> str:
    return f"data:image/png;base64,{base64.b64encode(data).decode()}"


def blank(width: int, height: int) -> Callable[[], str]:
    def made() -> str:
        buffer = io.BytesIO()
        PIL.Image.new("1", (width, height)).save(buffer, "PNG")
        return data_url(buffer.getvalue())

    return made


def text(size: int, unit: str = "x") -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": unit * size}]}


HEAD, TAIL = b'{"messages": [{"role": "user", "content": "Hi"}], "x": ', b"}"
CALL = {"id": "1", "type": "function", "function": {"name": "f", "arguments": "{}"}}
LONG = "This model's maximum context length is 32768 tokens. However, you requested "

BODIES = [
    raw("empty", b"", "the body is no JSON: "),
    raw("half", b'{"messages": [', "the body is no JSON: "),
    raw("two", b'{"messages": []} {}', "the body is no JSON: "),
    raw("no UTF-8", b'{"messages": "\xff"}', "the body is no JSON: "),
    raw("UTF-16", '{"messages": []}'.encode("utf-16"), "the body is no JSON: "),
    raw("single quotes", b"{'messages': []}", "the body is no JSON: "),
    raw("a comma too many", b'{"messages": [],}', "the body is no JSON: "),
    raw("a control character", b'{"messages": "\n"}', "the body is no JSON: "),
    raw("NaN", HEAD + b"NaN" + TAIL, "the body is no JSON: "),
    raw("Infinity", HEAD + b"-Infinity" + TAIL, "the body is no JSON: "),
    raw("a number beyond floats", HEAD + b"1e999" + TAIL, "the body is no JSON: "),
    raw("a number of 5000 digits", HEAD + b"9" * 5000 + TAIL, "the body is no JSON: "),
    raw("half a surrogate pair", HEAD + rb'"\ud83d"' + TAIL, "the body is no JSON: "),
    raw("half a pair as a key", HEAD + rb'{"\ude00": 1}' + TAIL, "the body is no JSON: "),
    raw("100,000 deep", HEAD + b"[" * 100_000 + b"]" * 100_000 + TAIL, "the body is no JSON: "),
    raw("100,000 objects deep", HEAD + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + TAIL, "the body is no JSON: "),
    raw("100 deep", HEAD + b"[" * 100 + b"]" * 100 + TAIL, "x[0][0]"),
    raw("null", b"null", "the body must be a JSON object, got NoneType"),
    raw("a list", b"[]", "the body must be a JSON object, got list"),
    raw("a text", b'"messages"', "the body must be a JSON object, got str"),
    raw("nothing asked", b"{}", "messages: is required", param="messages"),
    raw("the last of two keys counts", b'{"messages": [1], "messages": []}', "messages: must not", param="messages"),
    raw("plain text", b"{}", "content-type: must be application/json, got 'text/plain'", content_type="text/plain"),
    raw("gzip", gzip.compress(b"{}"), "content-encoding: must be absent, as bodies", content_encoding="gzip"),
    raw("a form", b"a=b", "content-type: must be application/json", content_type="application/x-www-form-urlencoded"),
    raw("60,000 values", HEAD + b"[" + b"0," * 60_000 + b"0]" + TAIL, "inputs: must hold at most 50000 values"),
    raw(
        "a million lists",
        lambda: HEAD + b"[" + b"[]," * 10**6 + b"0]" + TAIL,
        "the body may hold 200000 commas and opening brackets",
        status=413,
        code="request_too_large",
    ),
    raw(
        "20 MB of a data: URL that is none",
        lambda: HEAD + b'"data:' + "é".encode() * 10 * MB + b'"' + TAIL,
        "the body may hold 8 MB beside its data: URLs",
        status=413,
        code="request_too_large",
    ),
    raw("over 64 MB", lambda: bytes(65 * MB), "the body may hold 64 MB", status=413, code="request_too_large"),
]
PLACES = [
    raw(
        "no such path", b"{}", "no such path: POST /v1/embeddings", path="/v1/embeddings", status=404, code="not_found"
    ),
    raw("the bare face", b"", "no such path: GET /v1", path="/v1", method="GET", status=404, code="not_found"),
    raw("a chat got", b"", f"{CHAT} takes POST, got GET", method="GET", status=405, code="method_not_allowed"),
    raw("a chat deleted", b"", f"{CHAT} takes POST", method="DELETE", status=405, code="method_not_allowed"),
    raw("models put", b"", "/v1/models takes GET", path="/v1/models", status=405, code="method_not_allowed"),
    raw(
        *("no such model", b"", "The model 'nobody' does not exist; known models: beira-tiny"),
        path="/v1/models/nobody",
        method="GET",
        param="model",
        status=404,
        code="model_not_found",
    ),
]
FIELDS = [
    asks("model", "model: must be a string, got 3", model=3),
    asks("temperature", "temperature: must be at most 2, got 2.5", temperature=2.5),
    asks("temperature of text", 'temperature: must be a number, got "hot"', temperature="hot"),
    asks("top_p", "top_p: must be at least 0, got -1", top_p=-1),
    asks("top_k", "top_k: must be an integer, got 1.5", top_k=1.5),
    asks("min_p", "min_p: must be at most 1, got 2", min_p=2),
    asks("repetition_penalty", "repetition_penalty: must be at least 0.01, got 1e-45", repetition_penalty=1e-45),
    asks("presence_penalty", "presence_penalty: must be at least -2, got -3", presence_penalty=-3),
    asks("frequency_penalty", "frequency_penalty: must be at most 2, got 3", frequency_penalty=3),
    asks("n", "n: must be at least 1, got 0", n=0),
    asks("too many choices", "n: must be at most 128, got 1000000000", n=10**9),
    asks("max_tokens", "max_tokens: must be at least 1, got 0", max_tokens=0),
    asks("seed", "seed: must be at most 9223372036854775807, got 9223372036854775808", seed=2**63),
    asks("stream", "stream: must be a boolean, got 1", stream=1),
    asks("stream_options", "stream_options: is only for stream: true", stream_options={"include_usage": True}),
    asks("stop", "stop: must have at most 4 items, got an array of 5", stop=list("abcde")),
    asks("an empty stop", "stop[1]: must not be empty", stop=["a", ""]),
    asks("logprobs", "logprobs: must be a boolean, got 5", logprobs=5),
    asks("top_logprobs", "top_logprobs: needs logprobs: true, got 2", top_logprobs=2),
    asks("logit_bias", "logit_bias: must have token ids as keys", logit_bias={"x": 1}),
    asks("tools", "tools: must be an array, got {}", tools={}),
    asks("a tool without a name", "tools[0].function.name: is required", tools=[{"type": "function", "function": {}}]),
    asks("tool_choice without tools", 'tool_choice: needs tools, got "auto"', tool_choice="auto"),
    asks("another tool_choice", "tool_choice: must be one of", tools=[TOOL], tool_choice="any"),
    asks("response_format", 'response_format: must be an object, got "json"', response_format="json"),
    asks("no schema", "response_format.json_schema: is required", response_format={"type": "json_schema"}),
    asks("functions", "functions: is not supported by this server, got []", functions=[]),
    asks("audio", "audio: is not supported by this server", audio={"voice": "x"}),
    asks("best_of", "best_of: is not supported by this server, got 2", best_of=2),
    asks("lora", 'lora: is not supported by this server, got "x"', lora="x"),
]
MESSAGES = [
    asks("no list", 'messages: must be an array, got "Hi"', messages="Hi"),
    asks("none", "messages: must not be empty, got []", messages=[]),
    said("no object", "messages[0]: must be an object, got 3", 3),
    said("no role", "messages[0].role: is required", {"content": "Hi"}),
    said("another role", "messages[0].role: must be one of", {"role": "robot", "content": "Hi"}),
    said("no content", "messages[1].content: is required", USER, {"role": "user"}),
    said("content of number", "messages[0].content: must be a string or an array, got 3", {**USER, "content": 3}),
    said("another part", "messages[0].content[0].type: must be one of", {**USER, "content": [{"type": "video"}]}),
    said("no tool_call_id", "messages[1].tool_call_id: is required", USER, {"role": "tool", "content": "x"}),
    said("assistant says nothing", "messages[0].content: is required", {"role": "assistant"}),
    said("system's image", "messages[0].content[0].type: must be", {"role": "system", "content": [{"type": "x"}]}),
    said(
        *("arguments are no JSON", 'messages[0].tool_calls[0].function.arguments: must be JSON, got "{oh"'),
        {"role": "assistant", "tool_calls": [{**CALL, "function": {"name": "f", "arguments": "{oh"}}]},
    ),
]
SIZES = [
    raw(
        *("an unknown model", json.dumps({**text(1), "model": "nobody"}).encode(), "The model 'nobody' does not exist"),
        param="model",
        status=404,
        code="model_not_found",
    ),
    raw(
        *("40,000 tokens", json.dumps(text(40_000, "a b\n")).encode(), LONG),
        param="messages",
        code="context_length_exceeded",
    ),
    raw(
        *("too long an answer", json.dumps({**text(1), "max_tokens": 40_000}).encode(), LONG),
        param="messages",
        code="context_length_exceeded",
    ),
    raw(
        *("a megabyte of text", lambda: json.dumps(text(MB)).encode(), LONG),
        param="messages",
        code="context_length_exceeded",
    ),
    raw(
        *("60 MB of text", lambda: json.dumps(text(15 * MB, "😀"), ensure_ascii=False).encode()),
        "the body may hold 8 MB beside its data: URLs, got more",
        status=413,
        code="request_too_large",
    ),
    raw(
        *("7 MB of text", lambda: json.dumps(text(7 * MB // 4, "😀"), ensure_ascii=False).encode(), LONG),
        param="messages",
        code="context_length_exceeded",
    ),
    raw(
        *("a megabyte as a model", json.dumps({**text(1), "model": "x" * MB}).encode(), "The model 'xxx"),
        param="model",
        status=404,
        code="model_not_found",
    ),
    asks("a megabyte as a role", "messages[0].role: must be one of", messages=[{"role": "x" * MB, "content": ""}]),
    asks("a megabyte as a flag", 'stream: must be a boolean, got "xxx', stream="x" * MB),
]
IMAGES = [
    shows("truncated", lambda: data_url(picture()[:-500]), "the image is damaged or truncated: "),
    shows("a truncated head", lambda: data_url(picture()[:20]), "the image is damaged or truncated: "),
    shows("50 megapixels", blank(10_000, 5_000), "an image may have at most 40 megapixels, got 10000 x 5000"),
    shows("a thread", blank(4_000, 10), "an image's sides may differ by a factor of 200 at most, got 4000 x 10"),
    shows("no image", data_url(b"%PDF-1.7"), "must be an image of one of PNG, JPEG"),
    shows("SVG", "data:image/svg+xml,<svg/>", "must be an image of one of PNG, JPEG"),
    shows("no base64", "data:image/png;base64,@@@", "the data: URL is not valid base64"),
    shows("no data", "data:image/png;base64", "a data: URL needs a comma"),
    shows("21 MB", lambda: data_url(bytes(21 * MB)), "an image may have at most 20 MB"),
    shows("seventeen", data_url(picture()), "a request may have at most 16 images, got 17", n=17, param="messages"),
    shows("another scheme", "file:///etc/passwd", "must be an http:, https: or data: URL"),
    shows("this machine", "http://127.0.0.1:1/x.png", "cannot be fetched: "),
    shows("this machine in disguise", "http://[::ffff:127.0.0.1]/x.png", "cannot be fetched: "),
    shows("metadata of a cloud", "http://169.254.169.254/latest/meta-data", "cannot be fetched: "),
    shows("no host", "http://", "cannot be fetched: "),
    shows("no name", "http://xn--/", "cannot be fetched: "),
]
BAD = [*BODIES, *PLACES, *FIELDS, *MESSAGES, *SIZES, *IMAGES]
