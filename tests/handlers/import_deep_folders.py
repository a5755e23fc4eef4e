"""Leaves 3,000 folders inside each other where isolates have theirs, for whoever cleans up."""

import contextlib
import gc
import os

from runtime.isolate.zygote_settings import ZygoteSettings

TEMP = next(o.temp for o in gc.get_objects() if isinstance(o, ZygoteSettings))
with contextlib.suppress(OSError):
    os.chdir(TEMP)
    for _ in range(3000):
        os.mkdir("d", 0o700)
        os.chdir("d")
os.chdir("/")


def fetch(request):
    return {"managed": {}}
