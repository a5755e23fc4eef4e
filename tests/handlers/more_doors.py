"""Tries what is left of the kernel's doors, each asking for little: none may open."""

import ctypes
import fcntl
import os
import struct
import termios

from _attack import tried
from _targets import CANARY_FILE, CANARY_PID

LIBC = ctypes.CDLL(None, use_errno=True)
X86 = os.uname().machine == "x86_64"
BUFFER = ctypes.create_string_buffer(4096)
NUMBERS = {
    "pidfd_open": (434, 434), "process_vm_readv": (310, 270), "process_vm_writev": (311, 271), "ptrace": (101, 117),
    "kcmp": (312, 272), "process_madvise": (440, 440), "memfd_create": (319, 279), "memfd_secret": (447, 447),
    "execveat": (322, 281), "shmget": (29, 194), "semget": (64, 190), "msgget": (68, 186), "mq_open": (240, 180),
    "add_key": (248, 217), "request_key": (249, 218), "keyctl": (250, 219), "perf_event_open": (298, 241),
    "setns": (308, 268), "clone3": (435, 435), "io_uring_enter": (426, 426), "fsopen": (430, 430),
    "fspick": (433, 433), "open_tree": (428, 428), "move_mount": (429, 429), "mount_setattr": (442, 442),
    "sched_setscheduler": (144, 119), "sched_setattr": (314, 274), "setpriority": (141, 140), "ioprio_set": (251, 30),
    "io_setup": (206, 0), "sync": (162, 81), "syncfs": (306, 267), "fadvise": (221, 223), "readahead": (187, 213),
    "swapoff": (168, 225), "reboot": (169, 142),
    "sethostname": (170, 161), "quotactl": (179, 60), "acct": (163, 89), "chroot": (161, 51),
    "name_to_handle_at": (303, 264), "a newer call": (451, 451), "one of x32": (0x4000_0027, 0x4000_0027),
}  # fmt: skip
ARGUMENTS = {
    "pidfd_open": (CANARY_PID, 0),
    "process_vm_readv": (CANARY_PID, BUFFER, 0, BUFFER, 0, 0),
    "process_vm_writev": (CANARY_PID, BUFFER, 0, BUFFER, 0, 0),
    "ptrace": (0x4206, CANARY_PID, 0, 0),
    "kcmp": (os.getpid(), CANARY_PID, 0, 0, 0),
    "process_madvise": (-1, BUFFER, 0, 20, 0),
    "memfd_create": (b"x", 0),
    "memfd_secret": (0,),
    "execveat": (-100, b"/nonexistent", None, None, 0),
    "shmget": (0, 4096, 0o1600),
    "semget": (0, 1, 0o1600),
    "msgget": (0, 0o1600),
    "mq_open": (b"beira-chaos", 0o102, 0o600, None),
    "add_key": (b"user", b"beira-chaos", b"x", 1, -2),
    "request_key": (b"user", b"beira-chaos", None, 0),
    "keyctl": (0, -3, 0),
    "perf_event_open": (BUFFER, 0, -1, -1, 0),
    "setns": (0, 0),
    "clone3": (BUFFER, 88),
    "io_uring_enter": (0, 0, 0, 0, None, 0),
    "fsopen": (b"tmpfs", 0),
    "fspick": (-100, b"/tmp", 0),
    "open_tree": (-100, b"/tmp", 1),
    "move_mount": (-1, b"", -1, b"", 0),
    "mount_setattr": (-100, b"/tmp", 0, BUFFER, 32),
    "sched_setscheduler": (0, 1, ctypes.byref(ctypes.c_int(1))),
    "sched_setattr": (0, BUFFER, 0),
    "setpriority": (0, CANARY_PID, 1),
    "ioprio_set": (1, 0, 0x6000),
    "io_setup": (128, ctypes.byref(ctypes.c_ulong(0))),
    "syncfs": (1,),
    "fadvise": (0, 0, 0, 4),
    "readahead": (0, 0, 4096),
    "swapoff": (b"/nonexistent",),
    "reboot": (0, 0, 0, None),
    "sethostname": (b"", -1),
    "quotactl": (0, None, 0, None),
    "acct": (b"/nonexistent",),
    "chroot": (b"/",),
    "name_to_handle_at": (-100, b"/", BUFFER, BUFFER, 0),
}
ALLOW_ALL = struct.pack("HBBI", 6, 0, 0, 0x7FFF0000)
SET_SECCOMP, FILTER = 22, 2
SET_LEASE, NOTIFY, SET_PIPE_SIZE, SCHED_CORE = 1024, 1026, 1031, 62


def call(name):
    """Refused is EPERM, EACCES or ENOSYS; any other answer means that the kernel got as far as looking at it."""
    ctypes.set_errno(0)
    done = LIBC.syscall(NUMBERS[name][0 if X86 else 1], *ARGUMENTS.get(name, ()))
    if done < 0 and ctypes.get_errno() in (1, 13, 38):
        raise OSError(ctypes.get_errno(), name)
    return f"{done}, errno {ctypes.get_errno()}"


def on_file(command, argument, path=__file__):
    fd = os.open(path, os.O_RDONLY)
    fcntl.fcntl(fd, command, argument)
    return "done"


def sched_core():
    if LIBC.prctl(SCHED_CORE, 1, 0, 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return "a core of its own"


def own_filter():
    """One that has the kernel log every call would fill the machine's audit log."""
    code = ctypes.c_char_p(ALLOW_ALL)
    if LIBC.prctl(SET_SECCOMP, FILTER, struct.pack("HxxxxxxP", 1, ctypes.cast(code, ctypes.c_void_p).value), 0, 0) != 0:
        raise OSError(ctypes.get_errno(), "prctl")
    return "a filter of its own"


def type_into_terminal():
    for fd in range(3):
        fcntl.ioctl(fd, termios.TIOCSTI, b"\n")
    return "typed"


def own_terminal():
    return os.open("/dev/tty", os.O_RDWR)


def fetch(request):
    managed = tried(**{name: lambda name=name: call(name) for name in NUMBERS})
    managed |= tried(
        lease=lambda: on_file(SET_LEASE, fcntl.F_RDLCK),
        notify=lambda: on_file(NOTIFY, 0x8000003F, os.path.dirname(os.__file__)),
        canary_lock=lambda: on_file(fcntl.F_SETLK, b"", CANARY_FILE),
        sched_core=sched_core,
        own_filter=own_filter,
        type_into_terminal=type_into_terminal,
        own_terminal=own_terminal,
    )
    return {"managed": managed}
