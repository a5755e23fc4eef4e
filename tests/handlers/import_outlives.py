"""Means to outlive the host: deaf, forked, and no longer told of its parent's death."""

import ctypes
import os
import signal
import time

PARENT_DEATH_SIGNAL = 1

for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
    signal.signal(number, signal.SIG_IGN)
ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, 0, 0, 0, 0)
try:
    if os.fork() == 0:
        time.sleep(40)
        os._exit(0)
except OSError:
    pass


def fetch(request):
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, 0, 0, 0, 0)
    time.sleep(40)
