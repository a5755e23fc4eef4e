"""Forks at import; the children mean to stay for a minute, deaf to everything."""

import os
import signal
import time

for _ in range(3):
    if os.fork() == 0:
        for number in (signal.SIGTERM, signal.SIGHUP, signal.SIGINT):
            signal.signal(number, signal.SIG_IGN)
        time.sleep(60)
        os._exit(0)


def fetch(request):
    return {"managed": {}}
