"""Speaks for calls that are not its own: cancels them, grants them, and asks twice under one number."""

import time

from _attack import AI_CALL, frame, say

CALL = b'{"model": "beira-tiny", "inputs": {"stream": true, "messages": [{"role": "user", "content": "Hello"}]}}'


def fetch(request):
    for number in range(1, 500):
        say(frame(38, call=number) + frame(45, b'{"size": 1000000}', call=number) + frame(46, call=number))
    say(frame(AI_CALL, CALL, call=1) * 2)
    time.sleep(60)
