"""Sends 16 MB of body by hand without being granted it, and many ends."""

import time

from _attack import CHUNK, END, HEAD, frame, say


def fetch(request):
    say(frame(HEAD, b'{"status": 200, "headers": []}'))
    for _ in range(256):
        say(frame(CHUNK, bytes(64 * 1024)))
    say(frame(END) * 10_000)
    time.sleep(60)
