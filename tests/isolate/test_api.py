"""What a handler sees and may return, in a real isolate."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from runtime.wire import from_isolate
from tests.isolate.host import Reply, ask, write


def answered(tmp_path: Path, source: str, **changes: object) -> Reply:
    reply = ask(write(tmp_path, source), **changes)
    assert reply.is_complete, reply.messages
    return reply


@pytest.mark.parametrize(
    ("returned", "body", "content_type"),
    [
        ('{"a": [1, None]}', b'{"a":[1,null]}', "application/json"),
        ("[1]", b"[1]", "application/json"),
        ('"olá"', "olá".encode(), "text/plain; charset=utf-8"),
        (r'b"\x00\xff"', b"\x00\xff", None),
        ('Response("x", 201)', b"x", "text/plain; charset=utf-8"),
        ('Response.json({"a": 1}, status=202)', b'{"a":1}', "application/json"),
        ('Response.text("t")', b"t", "text/plain; charset=utf-8"),
        ('Response.html("<p>")', b"<p>", "text/html; charset=utf-8"),
        ("Response(None, 204)", b"", None),
        ("gen()", b"abc", None),
        ("Response(gen(), headers={'content-type': 'text/csv'})", b"abc", "text/csv"),
    ],
)
def test_what_a_handler_may_return(tmp_path: Path, returned: str, body: bytes, content_type: str | None) -> None:
    source = f"""
    async def gen():
        yield "a"
        yield b"bc"

    async def fetch(request, env, ctx):
        return {returned}
    """
    reply = answered(tmp_path, source)
    assert reply.body == body
    assert reply.headers.get("content-type") == content_type


@pytest.mark.parametrize("returned", ["3", "None", "object()", "{1, 2}", "{'a': {1}}", "(x for x in 'ab')"])
def test_anything_else_is_an_invalid_response_that_names_the_type(tmp_path: Path, returned: str) -> None:
    reply = ask(write(tmp_path, f"async def fetch(request):\n    return {returned}\n"))
    assert reply.failure.outcome == "invalid_response"
    assert "TypeError" in reply.failure.message or "InvalidResponse" in reply.failure.message
    assert any(name in reply.failure.message for name in ("int", "NoneType", "object", "set", "dict", "generator"))


def test_a_request_is_what_the_client_sent(tmp_path: Path) -> None:
    source = """
    async def fetch(request, env, ctx):
        url = request.url
        return {
            "method": request.method, "url": str(url), "path": url.path, "host": url.hostname,
            "q": url.query["q"], "all": url.query.get_all("q"), "raw": str(url.query), "none": url.query.get("z"),
            "header": request.headers["X-THING"], "multi": request.headers.get_all("x-thing"),
            "has": "x-other" in request.headers, "text": await request.text(),
            "id": ctx.request_id, "addr": request.metadata["remote_addr"], "args": ctx.args, "aborted": ctx.aborted,
            "var": env.NAME, "item": env["NAME"], "get": env.get("NOPE", "d"), "azion": Azion.env.get("NAME"),
            "same": env.AI is AI and Azion.AI is AI,
        }
    """
    reply = answered(
        tmp_path,
        source,
        method="POST",
        url="https://edge.test:8443/f/a%20b?q=1&q=2",
        headers=[("X-Thing", "one"), ("x-thing", "two")],
        body="olá".encode(),
        env={"NAME": "value"},
        args={"k": [1]},
    )
    assert json.loads(reply.body) == {
        "method": "POST", "url": "https://edge.test:8443/f/a%20b?q=1&q=2", "path": "/f/a%20b", "host": "edge.test",
        "q": "1", "all": ["1", "2"], "raw": "q=1&q=2", "none": None, "header": "one, two", "multi": ["one", "two"],
        "has": False, "text": "olá", "id": "req-1", "addr": "192.0.2.1", "args": {"k": [1]}, "aborted": False,
        "var": "value", "item": "value", "get": "d", "azion": "value", "same": True,
    }  # fmt: skip


def test_a_body_is_read_once(tmp_path: Path) -> None:
    source = """
    async def fetch(request):
        first = await request.json()
        try:
            await request.text()
        except RuntimeError as e:
            return [first, str(e), request.body_used]
    """
    assert json.loads(answered(tmp_path, source, body=b'{"a": 1}').body) == [{"a": 1}, "body already used", True]


def test_a_body_that_is_no_json_is_a_value_error_that_says_so(tmp_path: Path) -> None:
    source = """
    async def fetch(request):
        try:
            await request.json()
        except ValueError as e:
            return Response(str(e), 400)
    """
    reply = answered(tmp_path, source, body=b"{nope")
    assert (reply.status, reply.text.startswith("the body is no JSON: ")) == (400, True)
    uncaught = ask(write(tmp_path, "async def fetch(request):\n    return await request.json()\n"), body=b"")
    assert uncaught.failure.outcome == "exception"
    assert "it is empty" in uncaught.failure.message


MULTIPART = (
    b'--B\r\nContent-Disposition: form-data; name="word"\r\n\r\nol\xc3\xa1\r\n'
    b'--B\r\nContent-Disposition: form-data; name="image"; filename="a.png"\r\nContent-Type: image/png\r\n\r\n'
    b"\x89PNG\r\n\x00\r\n--B--\r\n"
)
FORM = """
async def fetch(request):
    form = await request.form()
    image = form.get("image")
    return {"word": form["word"], "names": list(form), "file": image and [
        image.filename, image.content_type, image.size, (await image.bytes()).hex()]}
"""


def test_forms(tmp_path: Path) -> None:
    multipart = answered(
        tmp_path, FORM, method="POST", headers=[("Content-Type", "multipart/form-data; boundary=B")], body=MULTIPART
    )
    data = b"\x89PNG\r\n\x00"
    assert json.loads(multipart.body) == {
        "word": "olá",
        "names": ["word", "image"],
        "file": ["a.png", "image/png", len(data), data.hex()],
    }
    plain = answered(
        tmp_path, FORM, headers=[("content-type", "application/x-www-form-urlencoded")], body=b"word=a+b&word=c"
    )
    assert json.loads(plain.body)["word"] == "a b"


@pytest.mark.parametrize(
    ("content_type", "body", "says"),
    [
        ("multipart/form-data; boundary=B", MULTIPART[:-8], "ends before its last boundary"),
        ("multipart/form-data", MULTIPART, "no boundary"),
        ("multipart/form-data; boundary=B", b"garbage", "form"),
        ("text/plain", b"", "must be multipart/form-data"),
    ],
)
def test_a_broken_form_is_a_value_error(tmp_path: Path, content_type: str, body: bytes, says: str) -> None:
    reply = ask(write(tmp_path, FORM), headers=[("content-type", content_type)], body=body)
    assert "ValueError" in reply.failure.message
    assert says in reply.failure.message


@pytest.mark.parametrize(
    "made",
    [
        r'Response("", headers={"x-a": "b\r\nset-cookie: c"})',
        r'Response("", headers={"x-a": "b\nc"})',
        r'Response("", headers={"x a": "b"})',
        r'Response("", headers={"x-a": "\u20ac"})',
        'Response("", 99)',
        'Response("", 1000)',
        'Response.redirect("/", 200)',
        r'Response.redirect("/\r\nx: y")',
    ],
)
def test_what_cannot_stand_in_a_head_is_refused_where_it_is_made(tmp_path: Path, made: str) -> None:
    reply = ask(write(tmp_path, f"async def fetch(request):\n    return {made}\n"))
    assert reply.failure.outcome == "exception"
    assert "ValueError" in reply.failure.message
    assert "f.py" in reply.failure.trace


def test_headers_keep_case_and_several_values(tmp_path: Path) -> None:
    source = """
    async def fetch(request):
        r = Response("x", headers=[("Set-Cookie", "a=1"), ("Set-Cookie", "b=2")])
        r.headers["X-One"] = "1"
        r.headers.append("x-one", "2")
        r.headers.set("X-Two", "2")
        del r.headers["x-two"]
        return r
    """
    head = answered(tmp_path, source).all(from_isolate.Head)[0]
    assert [h for h in head.headers if h[0].lower() != "content-length"] == [
        ["Set-Cookie", "a=1"], ["Set-Cookie", "b=2"], ["content-type", "text/plain; charset=utf-8"],
        ["X-One", "1"], ["x-one", "2"],
    ]  # fmt: skip


def test_print_console_and_logging_reach_the_log_with_their_levels(tmp_path: Path) -> None:
    source = """
    import logging, sys
    async def fetch(request):
        print("one", 2)
        print("no end", end="")
        console.log("a", {"b": 1})
        console.warn("w")
        console.error("e")
        logging.getLogger("mine").info("i %d", 3)
        logging.error("bad")
        sys.stderr.write("raw\\n")
        return ""
    """
    reply = answered(tmp_path, source)
    assert sorted(reply.logs) == sorted([
        ("info", "one 2"), ("info", "no end"), ("info", 'a {"b":1}'), ("warning", "w"), ("error", "e"),
        ("info", "i 3"), ("error", "bad"), ("error", "raw"),
    ])  # fmt: skip


def test_a_flood_of_output_is_cut_and_the_answer_still_comes(tmp_path: Path) -> None:
    source = """
    async def fetch(request):
        for i in range(100_000):
            print("x" * 100)
        return "ok"
    """
    reply = answered(tmp_path, source, limits={"log_kb": 16})
    assert reply.text == "ok"
    assert sum(len(text) for _, text in reply.logs) < 20_000
    assert "cut" in reply.logs[-1][1]


def test_names_can_be_imported_and_say_where_they_work() -> None:
    import asyncio

    from runtime import AI, AIError, Headers, Response  # noqa: F401

    with pytest.raises(RuntimeError, match="beira dev"):
        asyncio.run(AI.run("m", {}))
    assert Response.json({}).headers["Content-Type"] == "application/json"


def test_a_scheduled_handler_is_given_its_event(tmp_path: Path) -> None:
    source = """
    async def scheduled(event, env, ctx):
        print(event.cron, event.scheduled_time)
    """
    reply = answered(tmp_path, source, handler="scheduled", event={"cron": "* * * * *", "scheduled_time": 7})
    assert reply.logs == [("info", "* * * * * 7")]


def test_the_environment_is_empty(tmp_path: Path) -> None:
    source = "import os\nasync def fetch(request):\n    return sorted(os.environ)\n"
    assert json.loads(answered(tmp_path, source).body) == ["TMPDIR"]


def test_modules_that_a_guest_must_not_load() -> None:
    import subprocess
    import sys

    code = (
        "import runtime.isolate.guest, sys; "
        "print([m for m in ('llama_cpp', 'starlette', 'uvicorn', 'PIL', 'numpy', 'httpx') if m in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"
