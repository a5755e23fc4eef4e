"""One client's connection: uvicorn's protocol, with the deadlines and bounds that it lacks.

Nothing here runs by a timer of its own: `check` is called for every connection once a second (`server.py`).
"""

from __future__ import annotations

import asyncio
import http
import time
from typing import Any

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

from runtime.config import NodeSettings

HEAD_BYTES = 64 * 1024
"""Request line, headers and trailers together."""
URL_BYTES = 16 * 1024
HEADERS = 128
PIPELINED = 32
"""Requests that may wait for the one that is answered."""
PIECES = 8192
"""Chunks of a body in one read: smaller ones cost more than they carry."""
WINDOW_BYTES = 1024
"""What a client must send of a body, or take of a response, in each `node.window_s`. While the function does not read
or write, it is not the client's turn."""


class Refused(Exception):
    """The request breaks a bound or a rule of HTTP: answered with `status`, and the connection is closed."""

    def __init__(self, status: int, reason: str) -> None:
        super().__init__(reason)
        self.status = status
        self.reason = reason


class Connection(HttpToolsProtocol):
    """uvicorn makes one a client; `check` ends it where the client keeps it waiting."""

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._head_since: float | None = time.monotonic()
        """When the head that is awaited began; None while a request is under way, or between two."""
        self._head_bytes = 0
        self._silent_bytes = 0
        """What came since the parser last had something to tell: a header or a chunk line that does not end."""
        self._body_bytes = 0
        self._pieces = 0
        self._window: tuple[float, int] | None = None
        """When the client's present window began, and what it had moved until then."""
        self._refusal = Refused(400, "the request is no HTTP")
        self._is_deaf = False
        """What the client sends from now on is no request any more."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        most = self.config.limit_concurrency
        if most is not None and len(self.connections) >= most:
            self.refuse(503, "the node holds all the connections that it may")

    def data_received(self, data: bytes) -> None:
        if self._is_deaf:
            return
        self._silent_bytes += len(data)
        self._pieces = 0
        super().data_received(data)
        if self._silent_bytes > HEAD_BYTES:
            self.refuse(431, f"the request's head may hold {HEAD_BYTES // 1024} KB")
        elif self._head_since is None and (self.cycle is None or self.cycle.response_complete):
            self._head_since, self._head_bytes = time.monotonic(), 0  # line ends, or a body that nobody wants

    def on_message_begin(self) -> None:
        super().on_message_begin()
        self._head_since = time.monotonic()
        self._head_bytes = 1

    def on_url(self, url: bytes) -> None:
        super().on_url(url)
        self._count(len(url))
        if len(self.url) > URL_BYTES:
            self._reject(414, f"the URL may hold {URL_BYTES // 1024} KB")

    def on_header(self, name: bytes, value: bytes) -> None:
        self._count(len(name) + len(value) + 4)
        if self._head_since is None:
            return  # a trailer: the function has been given the headers
        super().on_header(name, value)
        if len(self.headers) > HEADERS:
            self._reject(431, f"the request may have {HEADERS} headers")

    def on_headers_complete(self) -> None:
        self._judge()
        self._head_since, self._body_bytes, self._window = None, 0, None
        super().on_headers_complete()
        if self.parser.should_upgrade():
            self._is_deaf = True  # nothing behind an upgrade is read, so nothing may follow
            self.cycle.keep_alive = False
        if getattr(self.config.app, "is_draining", False):
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        self._silent_bytes = 0
        self._body_bytes += len(body)
        self._pieces += 1
        if self._pieces > PIECES:
            self._reject(400, "the body comes in too many small chunks")
        super().on_body(body)

    def _count(self, size: int) -> None:
        self._silent_bytes = 0
        self._head_bytes += size
        if self._head_bytes > HEAD_BYTES:
            self._reject(431, f"the request's head may hold {HEAD_BYTES // 1024} KB")

    def _judge(self) -> None:
        """What the parser lets pass and a server in front might read otherwise."""
        fields = [(k, v.strip().lower()) for k, v in self.headers]
        hosts = [v for k, v in fields if k == b"host"]
        if len(hosts) > 1 or (not hosts and self.parser.get_http_version() == "1.1"):
            self._reject(400, f"a request must have one host header, got {len(hosts)}")
        codings = [v for k, v in fields if k == b"transfer-encoding"]
        if codings and codings != [b"chunked"]:
            self._reject(501, "the one transfer-encoding known is 'chunked'")
        if codings and self.parser.get_http_version() != "1.1":
            self._reject(400, "HTTP/1.0 has no transfer-encoding")
        if self.parser.get_method() == b"CONNECT":
            self._reject(501, "this is no proxy")
        if len(self.pipeline) >= PIPELINED:
            self._reject(429, f"at most {PIPELINED} requests may wait on one connection")
        has_body = codings or any(k == b"content-length" and v != b"0" for k, v in fields)
        if has_body and self.parser.should_upgrade():
            self._reject(501, "an upgrade with a body: send it without the upgrade header")

    def _reject(self, status: int, reason: str) -> None:
        self._refusal = Refused(status, reason)
        raise self._refusal  # the parser stops, and uvicorn calls send_400_response

    def _unsupported_upgrade_warning(self) -> None:
        """An upgrade that is not taken is no fault."""

    def send_400_response(self, msg: str) -> None:
        self.refuse(self._refusal.status, self._refusal.reason)

    def refuse(self, status: int, reason: str) -> None:
        """Answer so and close. Behind a request that is under way: let that one be answered, and close then."""
        self._is_deaf = True
        if self.transport.is_closing():
            return
        cycle = self.cycle
        is_free = cycle is None or cycle.response_complete
        if not is_free and self._head_since is not None:
            cycle.keep_alive = False
            return
        if is_free or not (cycle.response_started or self.pipeline):
            body = f"{reason}\n".encode()
            head = (
                f"HTTP/1.1 {status} {http.HTTPStatus(status).phrase}\r\ncontent-type: text/plain; charset=utf-8\r\n"
                f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
            )
            self.transport.write(head.encode() + body)
        if not is_free:
            cycle.disconnected = True  # whatever the application says from now on has no place
            cycle.message_event.set()
        self.transport.close()

    def let_finish(self) -> None:
        """The node stops: what is under way is answered, and is the last."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.keep_alive = False

    def check(self, now: float, limits: NodeSettings) -> None:
        """End what a client has kept waiting for too long."""
        since = self._head_since
        if since is not None and now - since > limits.head_s and not self.transport.is_closing():
            if self._head_bytes:
                self.refuse(408, f"the request's head did not arrive within {limits.head_s:g} s")
            else:
                self.transport.close()
        moved = self._moved()
        if moved is None:
            self._window = None
        elif self._window is None:
            self._window = now, moved
        elif now - self._window[0] > limits.window_s:
            if moved - self._window[1] < WINDOW_BYTES:
                self._give_up(limits.window_s)
            self._window = now, moved

    def _moved(self) -> int | None:
        """Bytes that the client has sent, or taken, of what is expected of it now; None where nothing is."""
        if self.flow.write_paused or self.transport.is_closing():
            return -self.transport.get_write_buffer_size()  # only shrinks: the application writes no more
        cycle = self.cycle
        if cycle is None or cycle.response_complete or self._head_since is not None:
            return None
        is_awaited = cycle.more_body and not cycle.body and not cycle.waiting_for_100_continue
        return self._body_bytes if is_awaited and not self.flow.read_paused else None

    def _give_up(self, seconds: float) -> None:
        if self.flow.write_paused or self.transport.is_closing():
            self.transport.abort()
        else:
            self.refuse(408, f"the request's body came at less than {WINDOW_BYTES} bytes in {seconds:g} s")
