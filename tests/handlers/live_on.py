"""Means to outlive its answer: handlers at exit, threads that are no daemons, a work queue, a deaf ear for the end."""

import atexit
import concurrent.futures
import ctypes
import signal
import threading
import time

PARENT_DEATH_SIGNAL = 1


def fetch(request):
    ctypes.CDLL(None).prctl(PARENT_DEATH_SIGNAL, 0, 0, 0, 0)
    for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT, signal.SIGPIPE):
        signal.signal(number, signal.SIG_IGN)
    atexit.register(time.sleep, 60)
    for is_daemon in (True, False):
        threading.Thread(target=time.sleep, args=(60,), daemon=is_daemon).start()
    concurrent.futures.ThreadPoolExecutor(2).submit(time.sleep, 60)
    return {"managed": {}}
