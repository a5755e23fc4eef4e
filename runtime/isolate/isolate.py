"""The host's side of one isolate: its socket, its life, its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, replace

from runtime.errors import WireError
from runtime.isolate.conduit import Conduit
from runtime.isolate.priority import HEAVY_CPU_MS, ISOLATE, end_sooner
from runtime.isolate.room import Claim, Room
from runtime.isolate.turns import MANY_S, Turns
from runtime.wire import frames, framing, from_isolate, from_zygote, to_isolate

QUEUE_BYTES = 256 * 1024
"""Bytes received and not yet taken after which the isolate has to wait."""
LINGER_S = 1.0
"""How long an isolate may live on once its socket is closed."""
READY_DEADLINE_S = 10.0
"""How long an isolate may take from the order to fork it until it waits for its invocation."""
IDLE_LOOK_S = 2.0
"""How often the CPU clock of one is looked at that waits: hooks of the function's may run in it before its time."""
EXIT_DEADLINE_S = 5.0
"""How long the zygote may take to tell of an exit; after that it is taken for lost."""
AT_ONCE = 64
"""Messages that are taken before others have their turn."""


@dataclass(frozen=True, slots=True)
class Exit:
    """How an isolate ended. `status` is its exit status, or None where a signal ended it or nobody can tell."""

    status: int | None
    signal: int | None
    cpu_ms: int = 0
    max_rss_kb: int = 0

    @staticmethod
    def from_wire(message: from_zygote.Exited) -> Exit:
        status = message.status & 0xFFFF  # a zygote that was taken over can say anything
        if os.WIFSIGNALED(status):
            return Exit(None, os.WTERMSIG(status), message.cpu_ms, message.max_rss_kb)
        return Exit(os.WEXITSTATUS(status), None, message.cpu_ms, message.max_rss_kb)


class Isolate:
    """One isolate, used once."""

    def __init__(
        self,
        number: int,
        sock: socket.socket,
        *,
        session: int,
        cpu_ms: int,
        on_ready: Callable[[Isolate], None],
        turns: Turns | None = None,
        room: Room | None = None,
    ) -> None:
        self.number = number
        self.pid = 0
        """0 until the zygote has told it."""
        self.is_taken = False
        """It has an owner, who will close it."""
        self.place = 0
        """Of its temporary folder."""
        self.reason = ""
        """Why the host has ended it, where that is no limit of an invocation's own."""
        self.is_lost = False
        """Its zygote has not told of its end in time."""
        self.on_heavy: Callable[[Isolate], None] = lambda _: None
        """Told once, when it has had HEAVY_CPU_MS."""
        self._is_heavy = False
        self._loop = asyncio.get_running_loop()
        self._session = session
        self._cpu_ms = cpu_ms
        self._on_ready = on_ready
        self._turns = turns or Turns()
        self._turn: asyncio.TimerHandle | None = None
        """It has sent much and is not read until then."""
        self.claim = Claim(room or Room(), on_room=self._read_on, on_late=self.kill)
        """Whoever takes an AI call from it lets go of its bytes."""
        self._pidfd = -1
        self._is_ready = False
        self._is_killed = False
        self._decoder = framing.Decoder(from_isolate.ALL)
        self._messages: deque[tuple[frames.Message, int]] = deque()
        self._n_taken = 0
        self.queued_bytes = 0
        self.is_paused = False
        self._fault: WireError | None = None
        self._is_eof = False
        self._news: asyncio.Future[None] | None = None
        self._exit: asyncio.Future[Exit] = self._loop.create_future()
        self._watch: asyncio.TimerHandle | None = None
        self._deadline: asyncio.TimerHandle | None = None
        self._unready = self._loop.call_later(READY_DEADLINE_S, self.kill)
        self._conduit = Conduit(sock, self._receive, self._end_of_stream)

    # The socket: called by its conduit.

    def _receive(self, data: bytes) -> None:
        if self._fault is not None:
            return
        before_s = self._decoder.toll_s
        try:
            messages = self._decoder.feed(data)
        except WireError as e:
            self._fault = e
            self.kill()
            messages = []
        self._charge(self._decoder.toll_s - before_s)
        for message in messages:
            if isinstance(message, from_isolate.Ready) and not self._is_ready:
                self._is_ready = True
                self._unready.cancel()
                self._tell_ready()
                continue
            size = len(getattr(message, "data", b"")) + 256
            if size > frames.LARGE + 256:
                self.claim.has_come()
            self._messages.append((message, size))
            self.queued_bytes += size
        if self.queued_bytes > QUEUE_BYTES and not self.is_paused:
            self.is_paused = True
            self._conduit.pause_reading()
        if self._fault is None:
            self.claim.expect(self._decoder.awaited)
            if self.claim.is_waiting:
                self._conduit.pause_reading()
        self._wake()

    def _charge(self, toll_s: float) -> None:
        """Messages count as the CPU time that they cost at the least: made by hand they cost next to none."""
        if self._decoder.toll_s * 1000 >= self._cpu_ms and self._fault is None:
            self._fault = WireError("it sent more messages than can be made in its CPU time")
            self.kill()
        elif toll_s > MANY_S:
            wait_s = self._turns.wait_s(self._loop.time(), toll_s)
            self._turn = self._loop.call_later(wait_s, self._have_turn)
            self._conduit.pause_reading()

    def _have_turn(self) -> None:
        self._turn = None
        self._read_on()

    def _read_on(self) -> None:
        if self._turn is None and not self.is_paused and not self.claim.is_waiting:
            self._conduit.resume_reading()

    def _end_of_stream(self) -> None:
        if not self._exit.done() and self._deadline is None:
            self._deadline = self._loop.call_later(LINGER_S, self.kill)  # without its socket it has nothing left to do
        self._is_eof = True
        self._wake()

    # The zygote: called by its host side.

    def forked(self, pid: int) -> None:
        """The zygote says that `pid` is this isolate: hold it, if it is a process of that zygote's."""
        try:
            pidfd = os.pidfd_open(pid) if hasattr(os, "pidfd_open") else -1
            if os.getsid(pid) == self._session and pid != self._session:
                self.pid, self._pidfd = pid, pidfd
                end_sooner(pid, ISOLATE)
            elif pidfd >= 0:
                os.close(pidfd)
        except (OSError, OverflowError):
            pass  # it is gone already, and Exited follows; or it never was
        if self._is_killed:
            self.kill()
        if self.pid:
            self._watch_cpu(IDLE_LOOK_S)
        self._tell_ready()

    def add_end_callback(self, call: Callable[[Isolate], None]) -> None:
        self._exit.add_done_callback(lambda _: call(self))

    def ended(self, end: Exit) -> None:
        """The process is gone and reaped."""
        if self._pidfd >= 0:
            os.close(self._pidfd)
            self._pidfd = -1
        self.pid = 0
        for timer in (self._watch, self._deadline, self._unready):
            if timer is not None:
                timer.cancel()
        self.claim.close()
        if not self._exit.done():
            self._exit.set_result(replace(end, cpu_ms=max(end.cpu_ms, int(self._decoder.toll_s * 1000))))
        if self.is_taken:
            self._conduit.leave_alone()
        else:
            self.close_socket()

    # The gateway.

    @property
    def is_alive(self) -> bool:
        return not (self._exit.done() or self._is_eof)

    async def send(self, *messages: frames.Message) -> None:
        """Send, waiting while too much is under way. To an isolate that is gone nothing is sent: `receive` tells."""
        if isinstance(messages[0], to_isolate.Invoke):
            self._watch_cpu()
        self._conduit.write(b"".join([framing.encode(message) for message in messages]))
        await self._conduit.drain()

    async def receive(self) -> frames.Message | None:
        """The next message; None when the isolate has ended. Raises WireError for what is no message."""
        while not self._messages:
            if self._fault is not None:
                raise self._fault
            if self._is_eof:
                return None
            self._news = self._loop.create_future()
            try:
                await self._news
            finally:
                self._news = None
        self._n_taken += 1
        if self._n_taken % AT_ONCE == 0:
            await asyncio.sleep(0)
        message, size = self._messages.popleft()
        self.queued_bytes -= size
        if self.is_paused and self.queued_bytes <= QUEUE_BYTES // 2:
            self.is_paused = False
            self._read_on()
        return message

    def kill(self) -> None:
        """End the process now. Safe at any time: the descriptor names this process and no later one of its id."""
        if not self._is_killed and not self._exit.done():
            self._is_killed = True
            if self._deadline is not None:
                self._deadline.cancel()
            self._deadline = self._loop.call_later(EXIT_DEADLINE_S, self._lose)
        try:
            if self._pidfd >= 0:
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)
            elif self.pid and os.getsid(self.pid) == self._session:
                os.kill(self.pid, signal.SIGKILL)
        except OSError:
            pass

    def _lose(self) -> None:
        self.is_lost = True
        self.ended(Exit(None, int(signal.SIGKILL)))

    async def exited(self) -> Exit:
        """How it ended, once it has; in bounded time after `kill`, even if the zygote never tells."""
        return await asyncio.shield(self._exit)

    async def aclose(self) -> None:
        """End it if it lives, close the socket, and wait until the process is reaped."""
        if not self._exit.done():
            self.kill()
        self.close_socket()
        await self.exited()

    def close_socket(self) -> None:
        self._conduit.close()

    def _tell_ready(self) -> None:
        if self._is_ready and self.pid:
            self._on_ready(self)

    def _wake(self) -> None:
        if self._news is not None and not self._news.done():
            self._news.set_result(None)

    def _watch_cpu(self, least_s: float = 0.005) -> None:
        """Look at the process's CPU clock when it can first have used up its time, and kill it if it has."""
        if self._watch is not None:
            self._watch.cancel()
        try:
            used_ms = time.clock_gettime(cpu_clock(self.pid)) * 1000 if self.pid else 0.0
        except (OSError, OverflowError, ValueError):  # no such clock here: RLIMIT_CPU alone counts
            return
        if used_ms >= self._cpu_ms:
            self.kill()
            return
        if used_ms >= HEAVY_CPU_MS and not self._is_heavy:
            self._is_heavy = True
            self.on_heavy(self)
        left = (self._cpu_ms if self._is_heavy else min(self._cpu_ms, HEAVY_CPU_MS)) - used_ms
        self._watch = self._loop.call_later(max(left / 1000 / _CORES, least_s), self._watch_cpu, least_s)


_CORES = os.cpu_count() or 1


def cpu_clock(pid: int) -> int:
    """The CPU-time clock of another process, as clock_getcpuclockid(3) makes it on Linux."""
    return (~pid << 3) | 2
