"""A zygote as a process of this host: started, with what the host puts around it, and reaped."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from runtime.config import FunctionSettings
from runtime.isolate.forking import BOOT
from runtime.isolate.groups import Group, Groups
from runtime.isolate.isolate import cpu_clock
from runtime.isolate.limits import ProcessLimits
from runtime.isolate.outlet import Outlet
from runtime.isolate.priority import ZYGOTE, Session, end_sooner
from runtime.isolate.reaper import Reaper
from runtime.isolate.tempdir import SPARE, TempRoot
from runtime.isolate.threads import MOST
from runtime.isolate.zygote_settings import ZygoteSettings

OVERHEAD_MB = 32
"""What the kernel may hold for an isolate within its limits: page tables, pipes, sockets."""
_COMMAND = (sys.executable, "-X", "utf8", "-c", BOOT)
_ROOT = Path(__file__).resolve().parents[2]


class ZygoteProcess:
    """Runs from the moment that this is made. `control` is this host's end of its socket."""

    def __init__(
        self,
        function: FunctionSettings,
        temp: TempRoot,
        write: Callable[[str, str], None],
        *,
        groups: Groups,
        reaper: Reaper | None,
    ) -> None:
        """`write` is told level and text of what comes from its standard descriptors. Raises OSError."""
        self._function = function
        self._write = write
        self._groups = groups
        self._group: Group | None = None
        self._reaper = reaper
        self._outlets: list[Outlet] = []
        self.control, theirs = socket.socketpair()
        try:
            self._process = self._start(theirs, _settings(function, temp))
        except OSError:
            self.control.close()
            for outlet in self._outlets:
                outlet.close()
            raise
        if reaper is not None:
            reaper.add(self.pid)
        end_sooner(self.pid, ZYGOTE)
        self.session = Session(self.pid)
        self._join_group()
        self.control.setblocking(False)

    @property
    def pid(self) -> int:
        """Its session's id too."""
        return self._process.pid

    @property
    def cpu_ms(self) -> float:
        """CPU time that it has used."""
        try:
            return time.clock_gettime(cpu_clock(self.pid)) * 1000
        except (OSError, OverflowError, ValueError):
            return 0.0

    async def end(self) -> str:
        """End it with its whole session, and tell how it ended.

        It is reaped here and nowhere else: until then its id, its session's too, is nobody else's.
        """
        with contextlib.suppress(OSError):
            os.killpg(self.pid, signal.SIGKILL)
        pause = 0.001
        while self._process.poll() is None:
            await asyncio.sleep(pause)
            pause = min(pause * 2, 0.05)
        if self._reaper is not None:
            self._reaper.remove(self.pid)
        self.session.close()
        if self._group is not None:
            self._groups.end(self._group)
        for outlet in self._outlets:
            outlet.close()
        return _ending(self._process.returncode)

    def _start(self, theirs: socket.socket, settings: ZygoteSettings) -> subprocess.Popen[bytes]:
        with contextlib.ExitStack() as stack:
            stack.callback(theirs.close)
            writers = []
            for level in ("info", "error"):
                reader, writer = os.pipe()
                stack.callback(os.close, writer)
                writers.append(writer)
                self._outlets.append(Outlet(reader, level, self._write))
            return subprocess.Popen(
                [*_COMMAND, str(theirs.fileno()), settings.to_json()],
                stdin=subprocess.DEVNULL,
                stdout=writers[0],
                stderr=writers[1],
                env={"LD_BIND_NOW": "1"},  # what is bound late would be bound in every isolate
                cwd=_ROOT,
                pass_fds=(theirs.fileno(),),
                start_new_session=True,
            )

    def _join_group(self) -> None:
        """Before anything of the function's is loaded: the interpreter takes longer to start."""
        if not self._groups.are_there:
            return
        limits = self._function.limits
        isolates = limits.concurrency + SPARE
        memory = (isolates + 1) * (2 * limits.memory_mb + OVERHEAD_MB) * 2**20  # its data, and its folder's files
        try:
            self._group = self._groups.make(self._function.name, memory=memory, processes=isolates * MOST)
            self._group.add(self.pid)
        except ProcessLookupError:
            pass  # it has died already, and that will be told
        except OSError as e:
            self._write("warning", f"runs without a control group: {e}")


def _settings(function: FunctionSettings, temp: TempRoot) -> ZygoteSettings:
    limits = function.limits
    return ZygoteSettings(
        name=function.name,
        path=str(function.path.resolve()),
        parent=os.getpid(),
        temp=str(temp.path),
        limits=ProcessLimits(limits.cpu_ms, limits.memory_mb, limits.startup_cpu_ms),
        uids=None if temp.uids is None else (temp.uids.start, len(temp.uids)),
    )


def _ending(status: int) -> str:
    if status >= 0:
        return f"exit status {status}"
    try:
        return signal.Signals(-status).name
    except ValueError:
        return f"signal {-status}"
