"""Stops its own process, so that nothing in it can ever answer."""

import os
import signal


def fetch(request):
    os.kill(os.getpid(), signal.SIGSTOP)
    return {"managed": {}}
