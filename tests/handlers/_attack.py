"""What the attacks share: trying without dying of it, and frames made by hand. Their targets are in `_targets`."""

import os
import struct
import time

SOCKET = 3
HEAD, CHUNK, END, BODY_CREDIT, AI_CALL, LOG, FAILURE, FETCH_CALL = 33, 34, 35, 36, 37, 39, 40, 42


def tried(**attempts):
    """Those of the attempts that did not fail, and what each gave."""
    managed = {}
    for name, attempt in attempts.items():
        try:
            managed[name] = str(attempt())[:300]
        except BaseException:
            continue
    return managed


def frame(kind, payload=b"", call=0, length=None):
    return struct.pack("!IBI", len(payload) if length is None else length, kind, call) + payload


def say(data, fd=SOCKET):
    """Write all of it to the host."""
    while data:
        try:
            data = data[os.write(fd, data) :]
        except BlockingIOError:
            time.sleep(0.002)
