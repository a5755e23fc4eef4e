"""The host's end of an isolate's socket.

Not an asyncio transport: that one drops what it has not read yet as soon as a write fails, and the last words of an
isolate that has just ended are its answer.
"""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable

HIGH_WATER = 256 * 1024
_PIECE = 64 * 1024


class Conduit:
    """Bytes in and out. `on_data` is given what arrives, `on_end` is told once that nothing more will."""

    def __init__(self, sock: socket.socket, on_data: Callable[[bytes], None], on_end: Callable[[], None]) -> None:
        sock.setblocking(False)
        self._loop = asyncio.get_running_loop()
        self._socket = sock
        self._on_data = on_data
        self._on_end = on_end
        self._out = bytearray()
        self._is_broken = False
        self._is_writing = False
        self._is_reading = False
        self._is_closed = False
        self._is_alone = False
        self._drained: list[asyncio.Future[None]] = []
        self.resume_reading()

    def pause_reading(self) -> None:
        if self._is_reading:
            self._is_reading = False
            if not self._is_alone:
                self._loop.remove_reader(self._socket)

    def resume_reading(self) -> None:
        if not (self._is_reading or self._is_closed):
            self._is_reading = True
            if self._is_alone:
                self._loop.call_soon(self._read_rest)
            else:
                self._loop.add_reader(self._socket, self._readable)

    def leave_alone(self) -> None:
        """Nobody is at the other end any more: what was left there is read, and then this ends.

        Who dies with something unread resets its socket, and uvloop then stops watching it without telling anyone.
        """
        if not (self._is_alone or self._is_closed):
            self._break()
            was_reading = self._is_reading
            self.pause_reading()
            self._is_alone = True
            if was_reading:
                self.resume_reading()

    def _read_rest(self) -> None:
        while self._is_reading and not self._is_closed:
            self._readable()

    def write(self, data: bytes) -> None:
        """Send, or keep what the socket does not take now; nobody is told when there is no reader any more."""
        if self._is_broken:
            return
        if not self._out:
            try:
                sent = self._socket.send(data)
            except (BlockingIOError, InterruptedError):
                sent = 0
            except OSError:
                self._break()
                return
            if sent == len(data):
                return
            data = data[sent:]
        self._out += data
        if not self._is_writing:
            self._is_writing = True
            self._loop.add_writer(self._socket, self._writable)

    async def drain(self) -> None:
        """Wait while too much is kept."""
        while len(self._out) > HIGH_WATER:
            future = self._loop.create_future()
            self._drained.append(future)
            await future

    def close(self) -> None:
        if not self._is_closed:
            self._break()
            self.pause_reading()
            self._is_closed = True
            self._socket.close()
            self._on_end()

    def _readable(self) -> None:
        try:
            data = self._socket.recv(_PIECE)
        except (BlockingIOError, InterruptedError):
            if not self._is_alone:
                return
            data = b""
        except OSError:
            data = b""
        if data:
            self._on_data(data)
        else:
            self.close()

    def _writable(self) -> None:
        try:
            del self._out[: self._socket.send(self._out)]
        except (BlockingIOError, InterruptedError):
            return
        except OSError:
            self._break()
        if not self._out:
            self._stop_writing()
        if len(self._out) <= HIGH_WATER:
            self._wake()

    def _break(self) -> None:
        """There is nobody to write to."""
        self._is_broken = True
        self._out.clear()
        self._stop_writing()
        self._wake()

    def _stop_writing(self) -> None:
        if self._is_writing:
            self._is_writing = False
            self._loop.remove_writer(self._socket)

    def _wake(self) -> None:
        waiting, self._drained = self._drained, []
        for future in waiting:
            if not future.done():
                future.set_result(None)
