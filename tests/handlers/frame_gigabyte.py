"""Announces a gigabyte, and sends some of it."""

import time

from _attack import CHUNK, frame, say


def fetch(request):
    say(frame(CHUNK, bytes(2**20), length=2**30))
    time.sleep(60)
