"""Says again and again that it failed, at length."""

import json
import time

from _attack import FAILURE, frame, say

FAILED = json.dumps({"outcome": "exception", "message": "forged", "trace": "forged failure\n" * 10_000}).encode()


def fetch(request):
    for _ in range(30):
        say(frame(FAILURE, FAILED))
    time.sleep(60)
