"""Sends JSON that is nested deeper than any reader should follow."""

import time

from _attack import AI_CALL, frame, say


def fetch(request):
    say(frame(AI_CALL, b'{"model": null, "inputs": {"messages": ' + b"[" * 900 + b"]" * 900 + b"}}", call=1))
    say(frame(AI_CALL, b'{"inputs": ' + b"[" * 1_000_000, call=2))  # too costly: refused
    say(frame(AI_CALL, b'{"inputs": ' + b"[" * 100_000, call=3))  # no JSON: the end
    time.sleep(60)
