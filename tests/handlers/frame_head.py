"""Sends a head by hand with what the runtime would refuse: line breaks, another request id, a status of its own."""

import json
import time

from _attack import CHUNK, END, HEAD, frame, say

HEADERS = [["x-one", "1\r\nset-cookie: forged=1"], ["x-beira-request-id", "forged"], ["x y", "2"]]


def fetch(request):
    say(frame(HEAD, json.dumps({"status": 200, "headers": HEADERS}).encode()) + frame(CHUNK, b"forged") + frame(END))
    time.sleep(60)
