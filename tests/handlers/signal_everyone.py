"""Asks, with signal 0, whether it may signal any other process that it can name; sends SIGURG to the suite's own."""

import ctypes
import fcntl
import os
import signal
import socket

from _attack import tried
from _targets import CANARY_PID

LIBC = ctypes.CDLL(None, use_errno=True)
F_SETSIG = 10
KILL = {"x86_64": (62, 200, 234, 129), "aarch64": (129, 130, 131, 138)}[os.uname().machine]


def everyone():
    found = []
    for pid in [-1, 0, *range(1, 70_000)]:
        if pid != os.getpid():
            try:
                os.kill(pid, 0)
                found.append(pid)
            except OSError:
                pass
    return found or 1 / 0


def call(number, *arguments):
    if LIBC.syscall(number, *arguments) != 0:
        raise OSError(ctypes.get_errno(), "syscall")
    return "done"


def by_descriptor():
    """Has the kernel send the signal when something can be read."""
    ours, theirs = socket.socketpair()
    fcntl.fcntl(ours, F_SETSIG, signal.SIGURG)
    fcntl.fcntl(ours, fcntl.F_SETOWN, CANARY_PID)
    fcntl.fcntl(ours, fcntl.F_SETFL, os.O_ASYNC | os.O_NONBLOCK)
    theirs.send(b"x")
    raise RuntimeError("the canary tells whether it worked")


def fetch(request):
    kill, tkill, tgkill, queue = KILL
    other = CANARY_PID
    return {
        "managed": tried(
            everyone=everyone,
            kill=lambda: call(kill, other, signal.SIGURG),
            tkill=lambda: call(tkill, other, signal.SIGURG),
            tgkill=lambda: call(tgkill, other, other, signal.SIGURG),
            queue=lambda: call(queue, other, signal.SIGURG, ctypes.create_string_buffer(128)),
            group=lambda: os.killpg(0, 0),
            pidfd=lambda: os.pidfd_open(other),
            by_descriptor=by_descriptor,
            priority=lambda: os.setpriority(os.PRIO_PROCESS, other, 1),
            affinity=lambda: os.sched_setaffinity(other, {0}),
            session=os.setsid,
        )
    }
