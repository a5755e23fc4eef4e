"""Patches builtins, the runtime's own modules and the standard library for whoever comes next."""

import builtins
import json
import sys

import orjson

import runtime.isolate.guest
import runtime.isolate.limits
import runtime.wire.framing
from runtime import Response

CLEAN = (builtins.open, builtins.len, json.dumps, runtime.wire.framing.encode, runtime.isolate.guest._Guest._respond)


def fetch(request):
    now = (builtins.open, builtins.len, json.dumps, runtime.wire.framing.encode, runtime.isolate.guest._Guest._respond)
    managed = {} if now == CLEAN and not hasattr(Response, "left") else {"left": "patches of the request before"}
    answer = orjson.dumps({"managed": managed})
    builtins.open = builtins.len = json.dumps = lambda *_: 1 / 0
    runtime.wire.framing.encode = lambda *_: b"\xff" * 64
    runtime.isolate.limits._lower = lambda *_: None
    Response.left = True
    sys.modules.clear()
    return answer
