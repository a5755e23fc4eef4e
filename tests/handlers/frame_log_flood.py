"""Writes 4 MB of log by hand, past what counts it in its own process."""

import json
import time

from _attack import LOG, frame, say

LINES = json.dumps({"level": "info", "text": "forged\n" * 1000}).encode()


def fetch(request):
    for _ in range(4 * 2**20 // 7000):
        say(frame(LOG, LINES))
    time.sleep(0.2)
    return {"managed": {}}
