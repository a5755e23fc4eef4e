"""Sends the frames that take longest to look at: a line of what cannot be printed, a trace of it, many headers."""

import json
import time

from _attack import FAILURE, FETCH_CALL, HEAD, LOG, frame, say

ODD = "\u200b" * 300_000


def packed(**fields):
    return json.dumps(fields, ensure_ascii=False, separators=(",", ":")).encode()


def fetch(request):
    match request.url.query.get("kind"):
        case "line":
            say(frame(LOG, packed(level="info", text=ODD)))
        case "failure":
            say(frame(FAILURE, packed(outcome="exception", message=ODD[:150_000], trace=ODD[:150_000])))
        case "head":
            say(frame(HEAD, packed(status=200, headers=[["a", "b"]] * 6_000)))
        case "fetches":
            call = packed(method="GET", url="http://127.0.0.1:1/", headers=[["a", "b"]] * 6_000, has_body=False)
            say(b"".join(frame(FETCH_CALL, call, call=number) for number in range(1, 60)))
    time.sleep(0.5)
    return {"managed": {}}
