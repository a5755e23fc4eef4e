"""Makes processes in every way that there is, 200 at most; each ends by itself after a second."""

import ctypes
import os
import subprocess
import sys
import time

from _attack import tried

CLONE = {"x86_64": 56, "aarch64": 220}[os.uname().machine]


def fork():
    for _ in range(200):
        if os.fork() == 0:
            time.sleep(1)
            os._exit(0)
    return 200


def clone(flags):
    """Without libc, which may know better."""
    libc = ctypes.CDLL(None, use_errno=True)
    pid = libc.syscall(CLONE, flags | 17, 0, 0, 0, 0)
    if pid == 0:
        os._exit(0)
    if pid < 0:
        raise OSError(ctypes.get_errno(), "clone")
    return pid


def fetch(request):
    return {
        "managed": tried(
            fork=fork,
            forkpty=lambda: os.forkpty() or os._exit(0),
            spawn=lambda: os.posix_spawn(sys.executable, [sys.executable, "-c", ""], {}),
            run=lambda: subprocess.run(["/bin/true"], check=True),
            clone=lambda: clone(0),
            new_user=lambda: clone(0x10000000),
            new_network=lambda: clone(0x40000000),
        )
    }
