"""Announces less than it sends, so that the rest is taken for the next frame."""

import time

from _attack import LOG, frame, say


def fetch(request):
    say(frame(LOG, b'{"level": "info", "text": "a forged line"}', length=5))
    time.sleep(60)
