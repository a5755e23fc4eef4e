"""Starts 200 threads that mean to stay for a minute."""

import threading
import time


def fetch(request):
    threading.stack_size(64 * 1024)
    started = 0
    try:
        for _ in range(200):
            threading.Thread(target=time.sleep, args=(60,)).start()
            started += 1
    except RuntimeError:
        pass
    return {"managed": {}, "threads": started}
