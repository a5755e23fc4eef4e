"""Tries the system calls through which kernels were broken: none may open anything."""

import ctypes
import mmap
import os

from _attack import tried

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
NUMBERS = {
    "bpf": (321, 280),
    "userfaultfd": (323, 282),
    "io_uring": (425, 425),
    "perf": (298, 241),
    "keyring": (250, 219),
    "unshare": (272, 97),
    "mount": (165, 40),
    "open_by_handle": (304, 265),
    "message_queue": (240, 180),
    "personality": (135, 92),
    "fanotify": (300, 262),
}
ARGUMENTS = {
    "bpf": (0, ctypes.create_string_buffer(128), 128),
    "userfaultfd": (1,),
    "io_uring": (4, ctypes.create_string_buffer(256)),
    "perf": (ctypes.create_string_buffer(b"\x01\0\0\0\x80\0\0\0", 128), 0, -1, -1, 0),
    "keyring": (0, -3, 0),
    "unshare": (0x10000000,),
    "mount": (b"none", b"/tmp", b"tmpfs", 0, None),
    "open_by_handle": (-100, ctypes.create_string_buffer(128), 0),
    "message_queue": (b"beira-chaos", 0o102, 0o600, None),
    "personality": (0xFFFFFFFF,),
    "fanotify": (0, 0),
}


def call(name):
    if LIBC.syscall(NUMBERS[name][0 if X86 else 1], *ARGUMENTS[name]) < 0:
        raise OSError(ctypes.get_errno(), name)
    return "open"


def thirty_two_bits():
    """getpid by the door of 32-bit programs, whose calls have other numbers."""
    code = mmap.mmap(-1, 4096, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=7)
    code.write(b"\xb8\x14\x00\x00\x00\xcd\x80\xc3")
    address = int.from_bytes(bytes(ctypes.c_void_p.from_address(id(code) + 16)), "little")
    return ctypes.CFUNCTYPE(ctypes.c_int)(address)()


def fetch(request):
    managed = tried(**{name: lambda name=name: call(name) for name in NUMBERS})
    if not managed and X86 and "32" in request.url.query:
        managed = tried(thirty_two_bits=thirty_two_bits)
    return {"managed": managed}
