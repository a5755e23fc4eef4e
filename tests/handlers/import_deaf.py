"""Means to outlive a killed host: another user, at which the kernel forgets whose death is its own, and deaf."""

import contextlib
import os
import sys
import threading
import time

ZYGOTE = sys.modules["runtime.isolate.zygote"]
ME = os.getuid()
with contextlib.suppress(OSError):
    os.setresuid(ME + 5, ME + 5, ME)


def sleep():
    time.sleep(40)
    os._exit(0)


def fork_later():
    time.sleep(0.5)
    if os.fork() == 0:
        sleep()


ZYGOTE._end_session = sleep
threading.Thread(target=fork_later, daemon=True).start()


def fetch(request):
    return {"zygote": os.getppid(), "is_deaf": ZYGOTE._end_session is sleep}
