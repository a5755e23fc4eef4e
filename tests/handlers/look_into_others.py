"""Attaches to another process, reads its memory, takes its descriptors, changes its limits."""

import ctypes
import os
import resource

from _attack import tried
from _targets import CANARY_PID

LIBC = ctypes.CDLL(None, use_errno=True)
SEIZE = 0x4206


def ok(result):
    if result < 0:
        raise OSError(ctypes.get_errno(), "refused")
    return result


def fetch(request):
    buffer = ctypes.create_string_buffer(64)
    piece = (ctypes.c_void_p * 2)(ctypes.addressof(buffer), 64)
    arguments = (CANARY_PID, piece, 1, piece, 1, 0)
    return {
        "managed": tried(
            trace=lambda: ok(LIBC.ptrace(SEIZE, CANARY_PID, None, None)),
            read=lambda: ok(LIBC.process_vm_readv(*arguments)),
            write=lambda: ok(LIBC.process_vm_writev(*arguments)),
            memory=lambda: open(f"/proc/{CANARY_PID}/mem", "rb"),
            parent=lambda: open(f"/proc/{os.getppid()}/maps", "rb"),
            limits=lambda: resource.prlimit(CANARY_PID, resource.RLIMIT_NOFILE, (64, 64)),
        )
    }
