"""Speaks in types of message that there are not, and in the host's own."""

import time

from _attack import frame, say


def fetch(request):
    say(frame(68, b'{"isolate": 1, "pid": 1, "status": 0, "cpu_ms": 0, "max_rss_kb": 0}') + frame(200))
    time.sleep(60)
