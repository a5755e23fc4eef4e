"""The zygote: loads one function's module, then forks isolates from that state for as long as its host lives.

Run as `python -c BOOT FD SETTINGS` (see `forking`): FD is the control socket, SETTINGS its `ZygoteSettings`.
It has one thread, an empty environment, and is the only process of a function that may fork.
"""

from __future__ import annotations

import gc
import os
import select
import signal
import socket
import sys
import tempfile
import threading
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from runtime import wire
from runtime.errors import FunctionError
from runtime.isolate import forking, guest, limits, loader, output, sandbox
from runtime.isolate.sandbox import Sandbox
from runtime.isolate.zygote_settings import ZygoteSettings

SLOW_IMPORT_S = 1.0
_TEXT = 64 * 1024
"""The most characters that are told of a failed import."""
_SOCKET = 3
"""The descriptor of an isolate's socket; it has no other but the standard three."""


class Zygote:
    """The loaded function and its living isolates."""

    def __init__(self, control: socket.socket, settings: ZygoteSettings, hooks: Sequence[forking.Hooks]) -> None:
        self._control = control
        self._settings = settings
        self._hooks = hooks
        self._data_size = limits.DataSize()
        path = Path(settings.path)
        code = loader.folder_of(path)
        self._sandbox = Sandbox(code=code, own=path if path.parent == code else path.parent, temp=Path(settings.temp))
        self._uids = None if settings.uids is None else range(settings.uids[0], sum(settings.uids))
        self._handlers: guest.Handlers = {}
        self._isolates: dict[int, int] = {}
        """The host's numbers by process id."""
        self._used = 0

    def load(self) -> None:
        """Import the module and report; one that fails to load is the end of this process."""
        self._streams = output.install()
        self._tell_confined(self._sandbox.confine_zygote(self._uids))
        sandbox.die_with_parent(self._settings.parent)  # forgotten by the kernel where the user has changed
        limits.limit_zygote(self._settings.limits, self._data_size.read())
        begin = time.perf_counter()
        try:
            with _StartupLimit(self._settings.limits.startup_cpu_ms):
                self._handlers = loader.load(self._settings.name, Path(self._settings.path))
        except FunctionError as e:
            self._say(wire.LoadFailed(message=e.message[:_TEXT], trace=e.trace[-_TEXT:]))
            sys.exit(0)
        self._finish_output()
        warnings = _warnings(time.perf_counter() - begin)
        gc.collect()
        gc.freeze()  # what is here now stays: a collection in an isolate must not touch, and so copy, its pages
        self._used = self._data_size.read()
        self._say(wire.Loaded(handlers=list(self._handlers), warnings=warnings))

    def _tell_confined(self, asks: int) -> None:
        """The host is to have the descriptor before anything here makes a thread, and nobody else."""
        if asks >= 0:
            socket.send_fds(self._control, [wire.encode(wire.Confined())], [asks])
            os.close(asks)

    def run(self) -> NoReturn:
        """Fork on command, report who ended; asleep in between."""
        woken, wake = socket.socketpair()
        woken.setblocking(False)
        wake.setblocking(False)
        signal.signal(signal.SIGCHLD, lambda *_: None)
        signal.set_wakeup_fd(wake.fileno(), warn_on_full_buffer=False)
        decoder = wire.Decoder(wire.TO_ZYGOTE)
        sockets: deque[int] = deque()
        poll = select.poll()
        poll.register(self._control, select.POLLIN)
        poll.register(woken, select.POLLIN)
        while True:
            for fd, _ in poll.poll():
                if fd == woken.fileno():
                    woken.recv(4096)
                    self._reap()
                    continue
                data, fds, _, _ = socket.recv_fds(self._control, 65536, 64)
                if not data:
                    _end_session()
                sockets.extend(fds)
                for message in decoder.feed(data):
                    assert isinstance(message, wire.Fork)
                    self._fork(message.isolate, message.place, sockets.popleft())

    def _fork(self, number: int, place: int, fd: int) -> None:
        parent = os.getpid()
        try:
            pid = forking.fork(self._hooks)
        except OSError:  # no more processes or memory just now: this one isolate ends before it began
            os.close(fd)
            self._say(wire.Exited(isolate=number, pid=0, status=1 << 8, cpu_ms=0, max_rss_kb=0))
            return
        if pid == 0:
            _run_isolate(self, place, fd, parent)
        os.close(fd)
        self._isolates[pid] = number
        self._say(wire.Forked(isolate=number, pid=pid))

    def _reap(self) -> None:
        while True:
            try:
                pid, status, usage = os.wait4(-1, os.WNOHANG)
            except ChildProcessError:
                return
            if pid == 0:
                return
            number = self._isolates.pop(pid, None)
            if number is None:
                continue  # a process that the module's import had left
            cpu_ms = round((usage.ru_utime + usage.ru_stime) * 1000)
            rss = usage.ru_maxrss if sys.platform == "linux" else usage.ru_maxrss // 1024
            self._say(wire.Exited(isolate=number, pid=pid, status=status, cpu_ms=cpu_ms, max_rss_kb=rss))

    def _say(self, message: wire.Message) -> None:
        try:
            self._control.sendall(wire.encode(message))
        except OSError:
            _end_session()

    def become_isolate(self, place: int, fd: int, parent: int) -> socket.socket:
        """In the child: leave everything of the zygote's behind but the loaded function."""
        signal.set_wakeup_fd(-1)
        signal.signal(signal.SIGCHLD, signal.SIG_DFL)
        if self._uids is not None:
            self._sandbox.become(self._uids[place])
        sandbox.die_with_parent(parent)
        folder = f"{self._settings.temp}/{place}"
        self._sandbox.confine_isolate(folder)
        self._control.detach()  # its number is about to be someone else's
        os.dup2(fd, _SOCKET, inheritable=False)
        os.closerange(_SOCKET + 1, 1 << 16)
        limits.limit_isolate(self._settings.limits, self._used)
        os.environ["TMPDIR"] = folder
        tempfile.tempdir = None
        if (numpy_random := sys.modules.get("numpy.random")) is not None:
            numpy_random.seed()  # `random` was, at the fork
        return socket.socket(fileno=_SOCKET)

    def serve(self, sock: socket.socket) -> None:
        guest.serve(sock, self._handlers, self._finish_output)

    def _finish_output(self) -> None:
        for stream in self._streams:
            stream.finish()


def _run_isolate(zygote: Zygote, place: int, fd: int, parent: int) -> NoReturn:
    """The whole life of an isolate; no path leads back into the zygote's loop."""
    status = 1
    try:
        zygote.serve(zygote.become_isolate(place, fd, parent))
        status = 0
    except BaseException:
        sys.excepthook(*sys.exc_info())
    finally:
        os._exit(status)


class _StartupLimit:
    """Raises FunctionError in an import that takes more CPU time than it may; the host is behind it with a kill."""

    def __init__(self, milliseconds: int) -> None:
        self._milliseconds = milliseconds

    def __enter__(self) -> None:
        signal.signal(signal.SIGPROF, self._expire)
        signal.setitimer(signal.ITIMER_PROF, self._milliseconds / 1000)

    def __exit__(self, *_: object) -> None:
        signal.setitimer(signal.ITIMER_PROF, 0)
        signal.signal(signal.SIGPROF, signal.SIG_DFL)

    def _expire(self, _number: int, _frame: FrameType | None) -> None:
        raise TimeoutError(f"the import took more than {self._milliseconds} ms of CPU time (limits.startup_cpu_ms)")


def _warnings(seconds: float) -> list[str]:
    """What a developer should know about the import."""
    warnings = []
    if seconds > SLOW_IMPORT_S:
        warnings.append(f"the module took {seconds:.1f} s to load")
    left = [thread.name for thread in threading.enumerate() if thread is not threading.current_thread()]
    if left:
        warnings.append(f"the import left threads running, which isolates will not have: {', '.join(left)}")
    return warnings


def _end_session() -> NoReturn:
    """The host is gone or has let go: end all that this zygote has started, and itself."""
    if os.getpgrp() == os.getpid():
        os.killpg(0, signal.SIGKILL)
    os._exit(0)


def main(hooks: Sequence[forking.Hooks]) -> None:
    """`hooks`: those of the modules that are loaded, see `forking`."""
    control = socket.socket(fileno=int(sys.argv[1]))
    control.set_inheritable(False)
    settings = ZygoteSettings.from_json(sys.argv[2])
    sys.argv[1:] = []
    os.environ.clear()
    os.umask(0o077)
    os.chdir("/")
    sandbox.die_with_parent(settings.parent)
    zygote = Zygote(control, settings, hooks)
    zygote.load()
    zygote.run()


def preload() -> None:
    """Import what invocations would import one by one otherwise."""
    import python_multipart.multipart  # noqa: F401

    guest.rehearse()
    sys.dont_write_bytecode = True
