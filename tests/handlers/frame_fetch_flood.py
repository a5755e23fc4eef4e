"""Has the host make 20,000 requests without reading one answer."""

import time

from _attack import FETCH_CALL, frame, say

CALL = b'{"method": "GET", "url": "http://127.0.0.1:1/", "headers": [], "has_body": false}'


def fetch(request):
    for number in range(1, 20_000):
        say(frame(FETCH_CALL, CALL, call=number))
    time.sleep(60)
