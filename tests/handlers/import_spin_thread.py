"""Leaves a thread in the zygote that takes what CPU time it gets, half a minute of it at most."""

import threading
import time


def spin():
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass


threading.Thread(target=spin, daemon=True).start()


def fetch(request):
    return {"managed": {}}
