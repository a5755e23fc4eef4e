"""Ends its own zygote soon after every start."""

import os
import threading

threading.Timer(0.3, os._exit, (1,)).start()


def fetch(request):
    return {"managed": {}}
