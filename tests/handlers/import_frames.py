"""Speaks at import for the zygote: forged births and deaths, with the pid of a process that is not its own."""

import contextlib
import json
import os

from _attack import frame
from _targets import CANARY_PID

BIRTHS = b"".join(frame(67, json.dumps({"isolate": n, "pid": CANARY_PID}).encode()) for n in range(50))
DEATH = frame(68, json.dumps({"isolate": 1, "pid": CANARY_PID, "status": 9, "cpu_ms": 0, "max_rss_kb": 0}).encode())
for fd in range(3, 1024):
    with contextlib.suppress(OSError):
        os.write(fd, BIRTHS + DEATH + os.urandom(4096))


def fetch(request):
    return {"managed": {}}
