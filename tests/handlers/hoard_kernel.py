"""Takes the kernel's own memory, which no limit on a process's data counts: bounded, and told where it got too much."""

import contextlib
import ctypes
import fcntl
import os
import socket

from _attack import tried

LIBC = ctypes.CDLL(None, use_errno=True)
SET_PIPE_SIZE = 1031
MOST_MB = 64


def pipes():
    """As many as there are descriptors, each as large as it may be, all of them full."""
    held, filled = [], 0
    try:
        while filled < 256 * 2**20:
            reader, writer = os.pipe()
            held += [reader, writer]
            with contextlib.suppress(OSError):
                fcntl.fcntl(writer, SET_PIPE_SIZE, 2**20)
            os.set_blocking(writer, False)
            try:
                while True:
                    filled += os.write(writer, bytes(2**16))
            except BlockingIOError:
                pass
    except OSError:
        pass
    for fd in held:
        os.close(fd)
    return told(filled)


def sockets():
    held, filled = [], 0
    try:
        while filled < 256 * 2**20:
            pair = socket.socketpair()
            held += pair
            for end in pair:
                end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 2**26)
                end.setblocking(False)
                try:
                    while True:
                        filled += end.send(bytes(2**16))
                except BlockingIOError:
                    pass
    except OSError:
        pass
    for end in held:
        end.close()
    return told(filled)


def timers():
    """Each holds a signal of its user's; a user has about a hundred thousand."""
    made, number = 0, ctypes.c_int()
    while made < 20_000 and LIBC.timer_create(0, None, ctypes.byref(number)) == 0:
        made += 1
    if made < 5_000:
        raise OSError("bounded")
    return f"{made} timers"


def locked():
    memory = ctypes.create_string_buffer(2**20)
    if LIBC.mlock(memory, ctypes.c_size_t(2**20)) != 0:
        raise OSError(ctypes.get_errno(), "mlock")
    return "locked"


def told(size):
    if size <= MOST_MB * 2**20:
        raise OSError("bounded")
    return f"{size // 2**20} MB"


def fetch(request):
    return {"managed": tried(pipes=pipes, sockets=sockets, timers=timers, locked=locked)}
