"""Asks the model 50,000 times over without reading one answer."""

import time

from _attack import AI_CALL, frame, say

CALL = b'{"model": "beira-tiny", "inputs": {"messages": [{"role": "user", "content": "Hello"}], "max_tokens": 1}}'


def fetch(request):
    for number in range(1, 50_000):
        say(frame(AI_CALL, CALL, call=number))
    time.sleep(60)
