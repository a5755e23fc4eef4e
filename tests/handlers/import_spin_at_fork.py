"""Has code run in every isolate before its invocation: it takes what CPU time it gets, half a minute of it at most."""

import os
import time


def spin():
    end = time.monotonic() + 30
    while time.monotonic() < end:
        pass


os.register_at_fork(after_in_child=spin)


def fetch(request):
    return {"managed": {"answered": True}}
