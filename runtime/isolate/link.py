"""The isolate's end of its socket: frames in and out, on the isolate's own event loop."""

from __future__ import annotations

import asyncio
import os
import select
import socket
import threading
from collections.abc import Callable

from runtime.isolate import json_text
from runtime.wire import frames, framing, to_isolate

HIGH_WATER = 256 * 1024
"""Bytes under way after which `drain` waits, and after which a log line blocks until the host has read some."""


class Link:
    """Sends from any thread; receives on the loop. The process ends with the socket: without its host it has no use."""

    def __init__(self, sock: socket.socket, loop: asyncio.AbstractEventLoop) -> None:
        sock.setblocking(False)
        self._socket = sock
        self._loop = loop
        self._decoder = framing.Decoder(to_isolate.ALL, json_text.loads)
        self._out = bytearray()
        self._lock = threading.Lock()
        self._drained: list[asyncio.Future[None]] = []
        self._is_writing = False

    def start(self, on_message: Callable[[frames.Message], None], on_exhausted: Callable[[MemoryError], None]) -> None:
        """`on_exhausted` is told that what the host says finds no memory any more: nobody must wait for it."""
        self._on_message = on_message
        self._on_exhausted = on_exhausted
        self._loop.add_reader(self._socket, self._readable)

    def _readable(self) -> None:
        try:
            self._receive()
        except MemoryError as e:
            self._loop.remove_reader(self._socket)
            self._on_exhausted(e)

    def _receive(self) -> None:
        try:
            data = self._socket.recv(256 * 1024)
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            data = b""
        if not data:
            os._exit(0)
        for message in self._decoder.feed(data):
            self._on_message(message)

    def send(self, *messages: frames.Message) -> None:
        """Queue frames, on the loop's thread. Raises WireError or TypeError for what cannot be a frame."""
        data = b"".join([framing.encode(message, json_text.dumps) for message in messages])
        with self._lock:
            self._out += data
            self._flush()
        self._arm()

    async def drain(self) -> None:
        """Wait until the host has taken enough of what was sent."""
        while len(self._out) > HIGH_WATER:
            future = self._loop.create_future()
            self._drained.append(future)
            await future

    def write_through(self, message: frames.Message) -> None:
        """Send from any thread, blocking while too much is under way: who floods the log waits for its reader."""
        data = framing.encode(message, json_text.dumps)
        with self._lock:
            self._out += data
            self._flush()
            while len(self._out) > HIGH_WATER:
                self._wait_writable()
                self._flush()
            has_more = bool(self._out)
        if has_more:
            self._loop.call_soon_threadsafe(self._arm)

    def close(self) -> None:
        """Send all that is left, blocking, and end the stream; the host's conduit reads it whole."""
        with self._lock:
            while self._out:
                self._wait_writable()
                self._flush()
        self._socket.close()

    def _arm(self) -> None:
        """Have the loop send what the socket did not take at once."""
        if self._out and not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._socket, self._writable)

    def _wait_writable(self) -> None:
        poll = select.poll()
        poll.register(self._socket, select.POLLOUT)
        poll.poll()

    def _flush(self) -> None:
        try:
            while self._out:
                del self._out[: self._socket.send(self._out)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            os._exit(0)  # the host has closed it

    def _writable(self) -> None:
        with self._lock:
            self._flush()
            is_empty, is_low = not self._out, len(self._out) <= HIGH_WATER
        if is_empty:
            self._loop.remove_writer(self._socket)
            self._is_writing = False
        if is_low:
            waiting, self._drained = self._drained, []
            for future in waiting:
                if not future.done():
                    future.set_result(None)
