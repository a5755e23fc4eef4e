"""Takes memory by kinds of mapping that a limit on private data may not count: 512 MB each, one at a time."""

import ctypes
import mmap
import os
import tempfile

from _attack import tried

SIZE = 512 * 2**20
GROWS_DOWN, STACK = 0x100, 0x20000


def touch(memory):
    ctypes.memset(ctypes.addressof(ctypes.c_char.from_buffer(memory)), 1, SIZE)
    return len(memory)


def plain():
    return touch(mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS))


def shared():
    return touch(mmap.mmap(-1, SIZE))


def grows_down():
    return touch(mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | GROWS_DOWN))


def as_stack():
    return touch(mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS | STACK))


def zeros(flags):
    """Reading a shared mapping of /dev/zero makes pages."""
    with open("/dev/zero", "rb") as zero:
        memory = mmap.mmap(zero.fileno(), SIZE, flags=flags, prot=mmap.PROT_READ)
    return memory.find(b"x") + 1 or SIZE


def memory_file():
    fd = os.memfd_create("hoard")
    os.truncate(fd, SIZE)
    return touch(mmap.mmap(fd, SIZE))


def made_writable():
    """Read-only when it is made, writable afterwards."""
    memory = mmap.mmap(-1, SIZE, flags=mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, prot=mmap.PROT_READ)
    libc = ctypes.CDLL(None, use_errno=True)
    address = int.from_bytes(bytes(ctypes.c_void_p.from_address(id(memory) + 16)), "little")
    if libc.mprotect(ctypes.c_void_p(address), ctypes.c_size_t(SIZE), 3) != 0:
        raise OSError(ctypes.get_errno(), "mprotect")
    ctypes.memset(address, 1, SIZE)
    return SIZE


def shared_memory():
    libc = ctypes.CDLL(None, use_errno=True)
    if (number := libc.shmget(0, ctypes.c_size_t(SIZE), 0o1600)) < 0:
        raise OSError(ctypes.get_errno(), "shmget")
    libc.shmctl(number, 0, None)
    return number


def in_dev_shm():
    with tempfile.TemporaryFile(dir="/dev/shm") as file:
        file.truncate(SIZE)
        return touch(mmap.mmap(file.fileno(), SIZE))


def fetch(request):
    return {
        "managed": tried(
            plain=plain,
            shared=shared,
            grows_down=grows_down,
            as_stack=as_stack,
            zeros=lambda: zeros(mmap.MAP_SHARED),
            memory_file=memory_file,
            made_writable=made_writable,
            shared_memory=shared_memory,
            in_dev_shm=in_dev_shm,
        )
    }
