"""What may go out as a response's head, and what reaches the log."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from runtime.gateway.exchange import BadHead, Exchange
from runtime.gateway.report import printable


class Wire:
    """An ASGI server's side, by hand."""

    def __init__(self, **scope: Any) -> None:
        self.sent: list[dict[str, Any]] = []
        base = {"type": "http", "method": "GET", "path": "/", "scheme": "http", "query_string": b"", "headers": []}
        self.exchange = Exchange(base | scope, self._receive, self._send, "id")

    async def _receive(self) -> dict[str, Any]:
        return {"type": "http.disconnect"}

    async def _send(self, event: Any) -> None:
        self.sent.append(event)

    def start(self, status: int, *headers: tuple[str, str]) -> dict[bytes, bytes]:
        asyncio.run(self.exchange.start(status, headers, {"x-beira-request-id": "id"}))
        return dict(self.sent[0]["headers"])


@pytest.mark.parametrize("is_whole", [True, False])
def test_waiting_for_the_client_to_leave_loses_nothing_of_its_body(is_whole: bool) -> None:
    """Of a body that goes on, no more than a part is read: who waits must not hold it."""
    events = [{"type": "http.request", "body": b"first", "more_body": not is_whole}]
    events += [] if is_whole else [{"type": "http.request", "body": b"last", "more_body": False}]
    events.append({"type": "http.disconnect"})

    async def receive() -> dict[str, Any]:
        return events.pop(0)

    async def scenario() -> None:
        exchange = Exchange({"type": "http", "headers": []}, receive, Wire()._send, "id")
        leaving = asyncio.create_task(exchange.left())
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        assert leaving.done() == is_whole
        assert await exchange.read() == (b"first", not is_whole)
        if not is_whole:
            assert await exchange.read() == (b"last", False)
        assert await exchange.read() is None
        leaving.cancel()

    asyncio.run(scenario())


@pytest.mark.parametrize(
    ("status", "header", "says"),
    [
        (99, ("a", "b"), "from 200 to 599, got 99"),
        (101, ("a", "b"), "from 200 to 599, got 101"),
        (600, ("a", "b"), "from 200 to 599, got 600"),
        (200, ("a b", "c"), "not a header name: 'a b'"),
        (200, ("", "c"), "not a header name: ''"),
        (200, ("a", "b\r\nset-cookie: c"), "no line break"),
        (200, ("a", "b\x00"), "no line break or control character"),
        (200, ("é", "b"), "not a header name"),
        (200, ("a", "\u0142"), "no line break or control character"),
    ],
)
def test_a_head_that_http_does_not_allow_sends_nothing(status: int, header: tuple[str, str], says: str) -> None:
    wire = Wire()
    with pytest.raises(BadHead, match=says):
        wire.start(status, header)
    assert wire.sent == []
    assert not wire.exchange.is_started


def test_headers_of_the_connection_are_the_nodes_own() -> None:
    head = Wire().start(200, ("Connection", "close"), ("Transfer-Encoding", "chunked"), ("X-Kept", "1"))
    assert head == {b"x-kept": b"1", b"x-beira-request-id": b"id"}


def test_a_function_cannot_forge_the_request_id() -> None:
    assert Wire().start(200, ("X-Beira-Request-Id", "forged"))[b"x-beira-request-id"] == b"id"


def test_a_status_without_a_body_announces_none() -> None:
    wire = Wire()
    assert b"content-length" not in wire.start(304, ("content-length", "5"))
    asyncio.run(wire.exchange.finish(b"12345"))
    assert wire.sent[-1]["body"] == b""


@pytest.mark.parametrize(
    ("scope", "url"),
    [
        ({"headers": [(b"host", b"example.org")], "raw_path": b"/a%20b", "query_string": b"x=1"}, "http://example.org/a%20b?x=1"),
        ({"server": ("127.0.0.1", 80), "raw_path": b"/"}, "http://127.0.0.1:80/"),
    ],
)  # fmt: skip
def test_the_url_is_what_the_client_asked_for(scope: dict[str, Any], url: str) -> None:
    assert Wire(**scope).exchange.url == url


def test_no_text_of_a_function_forges_a_line_or_steers_a_terminal() -> None:
    assert printable("a\nb\x1b[31mc\r\x85\u2028é\t日") == "a\\nb\\x1b[31mc\\r\\x85\\u2028é\t日"


@pytest.mark.parametrize(
    ("headers", "has_body"),
    [
        ([], False),
        ([(b"content-length", b"0")], False),
        ([(b"content-length", b"1")], True),
        ([(b"content-length", b"00")], True),
        ([(b"transfer-encoding", b"chunked")], True),
    ],
)
def test_a_request_has_a_body_where_it_says_so(headers: list[tuple[bytes, bytes]], has_body: bool) -> None:
    assert Wire(headers=headers).exchange.has_body is has_body
