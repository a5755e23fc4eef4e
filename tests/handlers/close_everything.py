"""Writes garbage to every descriptor that it has, closes them all, and waits."""

import contextlib
import os
import time


def fetch(request):
    for fd in range(64):
        with contextlib.suppress(OSError):
            os.set_blocking(fd, False)
            os.write(fd, os.urandom(256))
    os.closerange(0, 1024)
    time.sleep(60)
