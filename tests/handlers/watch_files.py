"""Has the kernel tell it what happens in other people's folders."""

import ctypes

from _attack import tried
from _targets import CANARY_FOLDER

LIBC = ctypes.CDLL(None, use_errno=True)


def watch(path):
    fd = LIBC.inotify_init1(0)
    if fd < 0 or LIBC.inotify_add_watch(fd, path.encode(), 0xFFF) < 0:
        raise OSError(ctypes.get_errno(), path)
    return "watched"


def fetch(request):
    return {"managed": tried(canary=lambda: watch(CANARY_FOLDER), root=lambda: watch("/"))}
