"""The zygote: loads one function's module, then forks isolates from that state for as long as its host lives.

Run as `python -c BOOT FD SETTINGS` (see `forking`): FD is the control socket, SETTINGS its `ZygoteSettings`.
It has one thread, an empty environment, and is the only process of a function that may fork.
"""

from __future__ import annotations

import fcntl
import gc
import os
import signal
import socket
import sys
import tempfile
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from runtime.errors import FunctionError
from runtime.isolate import entry, forking, forks, guest, limits, loader, output, rehearsal, sandbox
from runtime.isolate.forks import Forks
from runtime.isolate.loop import Loop
from runtime.isolate.sandbox import Sandbox
from runtime.isolate.zygote_settings import ZygoteSettings
from runtime.wire import frames, framing, from_zygote

SLOW_IMPORT_S = 1.0
_TEXT = 64 * 1024
"""The most characters that are told of a failed import."""


class Zygote:
    """The loaded function and its living isolates."""

    def __init__(self, control: socket.socket, settings: ZygoteSettings, hooks: Sequence[forking.Hooks]) -> None:
        self._handlers: guest.Handlers = {}
        self._standby = guest.Standby(_stand_in(), Loop(), self._handlers, self._finish_output)
        assert max(self._standby.loop.descriptors) < entry.FIRST_FREE
        self._control = control
        self._settings = settings
        self._data_size = limits.DataSize()
        path = Path(settings.path)
        code = loader.folder_of(path)
        self._sandbox = Sandbox(code=code, own=path if path.parent == code else path.parent, temp=Path(settings.temp))
        self._entry = entry.Entry(self._sandbox, self._standby.loop)
        self._forks = Forks(control, settings, hooks, self._sandbox, self._entry, self._standby)

    def rehearse(self) -> None:
        """Before the function is there. What this gives holds as long as this process lives."""
        self._sandbox.gain_nothing()
        self._entry.rehearse()
        rehearsal.in_forks(self._forks, self._control, self._handlers)

    def load(self) -> None:
        """Import the module and report; one that fails to load is the end of this process."""
        self._streams = output.install()
        self._tell_confined(self._sandbox.confine_zygote(self._forks.uids))
        sandbox.die_with_parent(self._settings.parent)  # forgotten by the kernel where the user has changed
        limits.limit_zygote(self._settings.limits, self._data_size.read())
        begin = time.perf_counter()
        try:
            with _StartupLimit(self._settings.limits.startup_cpu_ms):
                self._handlers.update(loader.load(self._settings.name, Path(self._settings.path)))
        except FunctionError as e:
            self._say(from_zygote.LoadFailed(message=e.message[:_TEXT], trace=e.trace[-_TEXT:]))
            sys.exit(0)
        self._finish_output()
        warnings = _warnings(time.perf_counter() - begin)
        gc.collect()
        gc.freeze()  # what is here now stays: a collection in an isolate must not touch, and so copy, its pages
        limits.limit_data(self._settings.limits, self._data_size.read())
        tempfile.tempdir = None  # what the import found is none of theirs
        self._entry.loaded()
        self._say(from_zygote.Loaded(handlers=list(self._handlers), warnings=warnings))

    def _tell_confined(self, asks: int) -> None:
        """The host is to have the descriptor before anything here makes a thread, and nobody else."""
        if asks >= 0:
            socket.send_fds(self._control, [framing.encode(from_zygote.Confined())], [asks])
            os.close(asks)

    def run(self) -> NoReturn:
        """Fork on command, report who ended; asleep in between."""
        self._forks.listen()
        while True:
            self._forks.turn()

    def _say(self, message: frames.Message) -> None:
        try:
            self._control.sendall(framing.encode(message))
        except OSError:
            forks.end_session()

    def _finish_output(self) -> None:
        for stream in self._streams:
            stream.finish()


def _stand_in() -> socket.socket:
    """Stands for isolates' sockets, by its number: made while that is free."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        assert ours.fileno() == entry.SOCKET
        return socket.socket(fileno=ours.detach())


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


def main(hooks: Sequence[forking.Hooks]) -> None:
    """`hooks`: those of the modules that are loaded, see `forking`."""
    given = int(sys.argv[1])
    control = socket.socket(fileno=fcntl.fcntl(given, fcntl.F_DUPFD_CLOEXEC, entry.FIRST_FREE))
    os.close(given)
    settings = ZygoteSettings.from_json(sys.argv[2])
    sys.argv[1:] = []
    os.environ.clear()
    os.umask(0o077)
    os.chdir("/")
    sandbox.die_with_parent(settings.parent)
    zygote = Zygote(control, settings, hooks)
    zygote.rehearse()
    zygote.load()
    zygote.run()


def preload() -> None:
    """Import what invocations would import one by one otherwise."""
    import python_multipart.multipart  # noqa: F401

    rehearsal.in_here()
    sys.dont_write_bytecode = True
