"""The zygote's loop: isolates forked on command, their ends reported."""

from __future__ import annotations

import os
import select
import signal
import socket
import struct
import sys
from collections import deque
from collections.abc import Sequence
from types import FrameType
from typing import NoReturn

from runtime.isolate import forking, limits
from runtime.isolate.entry import Entry
from runtime.isolate.guest import Standby
from runtime.isolate.sandbox import Sandbox
from runtime.isolate.zygote_settings import ZygoteSettings
from runtime.wire import frames, framing, from_zygote, to_zygote

_FDS = 64
"""The most descriptors that come at once."""
_SPACE = socket.CMSG_SPACE(_FDS * struct.calcsize("i"))


class Forks:
    """Those of one zygote. What it does between two forks is little: each page that it writes to is copied."""

    def __init__(
        self,
        control: socket.socket,
        settings: ZygoteSettings,
        hooks: Sequence[forking.Hooks],
        sandbox: Sandbox,
        entry: Entry,
        standby: Standby,
    ) -> None:
        self._control = control
        self._temp = settings.temp
        self._bounds = limits.of_isolate(settings.limits)
        self.uids = None if settings.uids is None else range(settings.uids[0], sum(settings.uids))
        self._hooks = hooks
        self._sandbox = sandbox
        self._entry = entry
        self._standby = standby
        self._pid = os.getpid()
        self._decoder = framing.Decoder(to_zygote.ALL)
        self._sockets: deque[int] = deque()
        self.living: dict[int, int] = {}
        """The host's numbers by process id."""
        self._woken, self._wake = socket.socketpair()
        for each in (self._woken, self._wake):
            each.setblocking(False)
        self._poll = select.poll()
        self._poll.register(control, select.POLLIN)
        self._poll.register(self._woken, select.POLLIN)

    def listen(self) -> None:
        """From now on ends are heard of."""
        signal.signal(signal.SIGCHLD, _hear)
        signal.set_wakeup_fd(self._wake.fileno(), warn_on_full_buffer=False)

    def ignore(self) -> None:
        """From now on not any more."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)

    def turn(self) -> None:
        """Wait for an order or an end, and see to it."""
        for fd, _ in self._poll.poll():
            if fd == self._woken.fileno():
                self._woken.recv(4096)
                self._reap()
            else:
                self._receive()

    def _receive(self) -> None:
        data, ancillary, _, _ = self._control.recvmsg(4096, _SPACE)
        if not data:
            end_session()
        for _, _, fds in ancillary:
            self._sockets.extend(fd for (fd,) in struct.iter_unpack("i", fds))
        for message in self._decoder.feed(data):
            assert isinstance(message, to_zygote.Fork)
            self._fork(message.isolate, message.place, self._sockets.popleft())

    def _fork(self, number: int, place: int, fd: int) -> None:
        rules = -1
        try:
            rules = self._sandbox.prepare_isolate(f"{self._temp}/{place}")
            pid = forking.fork(self._hooks)
        except OSError:  # no more processes or memory just now: this one isolate ends before it began
            pid = -1
        if pid == 0:
            self._run_isolate(place, fd, rules)
        os.close(fd)
        if rules >= 0:
            os.close(rules)
        if pid < 0:
            self._say(from_zygote.Exited(isolate=number, pid=0, status=1 << 8, cpu_ms=0, max_rss_kb=0))
            return
        self.living[pid] = number
        self._say(from_zygote.Forked(isolate=number, pid=pid))

    def _run_isolate(self, place: int, fd: int, rules: int) -> NoReturn:
        """The whole life of an isolate; no path leads back into the zygote's loop."""
        status = 1
        try:
            uid = None if self.uids is None else self.uids[place]
            self._entry.enter(fd, rules, self._pid, self._bounds, f"{self._temp}/{place}", uid)
            self._standby.serve()
            status = 0
        except BaseException:
            sys.excepthook(*sys.exc_info())
        finally:
            os._exit(status)

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self.living.pop(pid, None)
            if number is None:
                continue  # a process that the module's import had left
            cpu_ms = round((usage.ru_utime + usage.ru_stime) * 1000)
            rss = usage.ru_maxrss if sys.platform == "linux" else usage.ru_maxrss // 1024
            self._say(from_zygote.Exited(isolate=number, pid=pid, status=status, cpu_ms=cpu_ms, max_rss_kb=rss))

    def _say(self, message: frames.Message) -> None:
        try:
            self._control.sendall(framing.encode(message))
        except OSError:
            end_session()


def _hear(_number: int, _frame: FrameType | None) -> None:
    """An end is heard of by the descriptor that signals write to."""


def end_session() -> NoReturn:
    """The host is gone or has let go: end all that this zygote has started, and itself."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)
