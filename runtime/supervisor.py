"""`beira serve`: holds the listening socket, runs the host in a process of its own, starts another where one died.

A failed assertion in ggml ends the host's process, and a wedged engine makes the host leave with WEDGED. Clients that
connect meanwhile wait in the socket's backlog. The host in its turn holds the end of a pipe that tells when the
supervisor is gone. Nothing of the runtime's weight is imported here: this process must be the last to die.
"""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import threading
import time
from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from types import FrameType

from runtime.errors import ConfigError
from runtime.log import standard_error

WEDGED = 3
"""The exit status of a host that gave its engine up."""
MISCONFIGURED = 2
"""The exit status of a host that cannot start: another would fare no better."""
DEATHS = 5
WITHIN_S = 60.0
DRAIN_S = 30.0
"""How long a host may finish what it runs after a stop was asked for."""
SLACK_S = 10.0
"""What it may take beyond that, to close everything, before it is killed."""
BACKLOG = 2048

HUGE_PAGES = {"GLIBC_TUNABLES": "glibc.malloc.hugetlb=1"}
"""glibc asks for huge pages where the kernel gives them to who asks: weights are read whole for each token."""

_STOPS = (signal.SIGTERM, signal.SIGINT)
_IGNORED = (signal.SIGHUP, signal.SIGUSR1, signal.SIGUSR2, signal.SIGTTIN, signal.SIGTTOU)
"""What would add, remove or reload workers elsewhere. There is one host, and its settings are read at its start."""
_PROGRAM = "import sys; sys.path[:] = sys.argv.pop(1).split('\\n'); from runtime.cli import entry; entry()"


def listen(host: str, port: int) -> socket.socket:
    """A listening socket. Raises ConfigError where the address cannot be had."""
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
    except (OSError, OverflowError) as e:
        raise _cannot_listen(host, port, e) from None
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.listen(BACKLOG)
    except (OSError, OverflowError) as e:
        listener.close()
        raise _cannot_listen(host, port, e) from None
    return listener


def _cannot_listen(host: str, port: int, error: Exception) -> ConfigError:
    return ConfigError(f"cannot listen on {host}:{port}: {error}; choose another with --host and --port")


@dataclass(frozen=True, slots=True)
class Inheritance:
    """What a supervised host is given: descriptors, as `--inherit LISTENER,ALIVE`."""

    listener: int
    alive: int
    """Reads as ended once the supervisor is gone."""

    @classmethod
    def parse(cls, text: str) -> Inheritance:
        listener, alive = (int(part) for part in text.split(","))
        return cls(listener, alive)

    def __str__(self) -> str:
        return f"{self.listener},{self.alive}"

    def take(self) -> socket.socket:
        """The listening socket, in the host; from now on the host stops when its supervisor is gone."""
        for fd in (self.listener, self.alive):
            os.set_inheritable(fd, False)
        for number in _IGNORED:
            signal.signal(number, _ignore)
        threading.Thread(target=self._watch, name="beira-supervisor-watch", daemon=True).start()
        return socket.socket(fileno=self.listener)

    def _watch(self) -> None:
        while os.read(self.alive, 1):
            pass
        os.kill(os.getpid(), signal.SIGTERM)
        time.sleep(DRAIN_S + SLACK_S)
        os._exit(1)


class Supervisor:
    """Runs one host after the other. Owns the listener and the process of the moment."""

    def __init__(self, listener: socket.socket, arguments: Sequence[str]) -> None:
        """`arguments` are those of the command `beira`; the host gets them with `--inherit` behind."""
        self._listener = listener
        self._arguments = arguments
        self._pid: int | None = None
        self._stop: signal.Signals | None = None
        self._is_overdue = False
        self._log = standard_error()

    def _say(self, text: str) -> None:
        self._log.write(f"beira: {text}\n")

    def run(self) -> int:
        """Serve until a signal asks to stop, or the host cannot go on; returns the exit status."""
        for number in _STOPS:
            signal.signal(number, self._pass_on)
        for number in _IGNORED:
            signal.signal(number, _ignore)  # not SIG_IGN: an exec would hand that on
        signal.signal(signal.SIGALRM, self._kill)
        alive, self_alive = os.pipe()
        inheritance = Inheritance(self._listener.fileno(), alive)
        try:
            return self._keep_up(inheritance)
        finally:
            self._listener.close()
            os.close(alive)
            os.close(self_alive)

    def _keep_up(self, inheritance: Inheritance) -> int:
        deaths: deque[float] = deque(maxlen=DEATHS)
        while True:
            status = self._run_host(inheritance)
            if self._stop is not None:
                return self._stopped(status)
            if status in (0, MISCONFIGURED):
                return status
            deaths.append(time.monotonic())
            if len(deaths) == DEATHS and deaths[-1] - deaths[0] < WITHIN_S:
                self._say(f"the host {_cause(status)}: {DEATHS} deaths in {WITHIN_S:g} s, giving up")
                return 1
            self._say(f"the host {_cause(status)}; starting another")

    def _run_host(self, inheritance: Inheritance) -> int:
        """One host's life; returns its exit status, negative where a signal ended it."""
        if self._stop is not None:
            return 0
        process = subprocess.Popen(
            [sys.executable, "-c", _PROGRAM, "\n".join(sys.path), *self._arguments, "--inherit", str(inheritance)],
            env=HUGE_PAGES | os.environ,
            stdin=subprocess.DEVNULL,
            pass_fds=(inheritance.listener, inheritance.alive),
            start_new_session=True,  # a terminal's signals come through here, once
        )
        self._pid = process.pid
        if self._stop is not None:  # it came while the host was being started
            self._send(self._stop)
        while True:
            pid, status = os.wait()  # whoever it is: as a container's first process, orphans are ours too
            if pid == process.pid:
                self._pid = None
                process.returncode = os.waitstatus_to_exitcode(status)
                return process.returncode

    def _stopped(self, status: int) -> int:
        if self._is_overdue:
            self._say(f"the host did not stop within {DRAIN_S + SLACK_S:g} s and was killed")
            return 1
        if status == 0 or -status in _STOPS:  # of the signal itself: it had not begun to serve
            return 0
        self._say(f"the host {_cause(status)} while it stopped")
        return status if status > 0 else 1

    def _pass_on(self, number: int, _frame: FrameType | None) -> None:
        if self._stop is None:
            signal.setitimer(signal.ITIMER_REAL, DRAIN_S + SLACK_S)
            self._listener.close()  # else clients would go on waiting in it while the host drains
        self._stop = signal.Signals(number)
        self._send(self._stop)

    def _kill(self, _number: int, _frame: FrameType | None) -> None:
        self._is_overdue = True
        self._send(signal.SIGKILL)

    def _send(self, number: signal.Signals) -> None:
        if self._pid is not None:
            os.kill(self._pid, number)


def _ignore(_number: int, _frame: FrameType | None) -> None:
    pass


def _cause(status: int) -> str:
    if status < 0:
        try:
            return f"died of {signal.Signals(-status).name}"
        except ValueError:
            return f"died of signal {-status}"
    return "gave up a wedged engine" if status == WEDGED else f"left with exit status {status}"
