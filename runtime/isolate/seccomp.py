"""System call filters: what no function has a use for is refused, whatever its code tries.

Refused means EPERM, so that a library that probes for a feature goes on without it. Numbers newer than the table are
ENOSYS: what a later kernel adds is not let through unseen. Programs are classic BPF, see seccomp(2).
"""

from __future__ import annotations

import ctypes
import platform
import re
import struct
import sys
from dataclasses import dataclass

_LD, _JEQ, _JGT, _JSET, _AND, _RET = 0x20, 0x15, 0x25, 0x45, 0x54, 0x06
_NR, _ARCH, _ARGS = 0, 4, 16
_ALLOW, _KILL, _ERRNO = 0x7FFF0000, 0x80000000, 0x00050000
_ASK = 0x7FC00000
_EPERM, _ENOSYS = _ERRNO | 1, _ERRNO | 38
_SECCOMP_SET_MODE_FILTER, _SECCOMP_GET_ACTION_AVAIL = 1, 2
_NEW_LISTENER = 8
_CLONE_THREAD = 0x00010000
_CLONE_NAMESPACES = 0x7E020080
_SHARED_ANONYMOUS = 0x21
_GROWS_DOWN = 0x100
_AF_UNIX, _SOCK_STREAM = 1, 1
_SET_PDEATHSIG, _SIGKILL = 1, 9
_SCHED_CORE, _SET_SECCOMP = 62, 22
_SIGNALS, _FIOSETOWN, _SIOCSPGRP = (8, 15), 0x8901, 0x8902
"""F_SETOWN, F_SETOWN_EX: signals by descriptor, to anyone."""
_LEASES = (1024, 1026)
"""F_SETLEASE, F_NOTIFY: they hold others up, or watch them, by files that can only be read."""
_F_SETPIPE_SZ, _SO_SNDBUF, _SO_SNDBUFFORCE = 1031, 7, 32
"""What is under way is the kernel's memory, which no limit on data counts: the usual sizes have to do."""
_PID = b"\xde\xad\xfa\xce"
"""Stands for an isolate's id in the program that all of them share; no other constant has these bytes."""


@dataclass(frozen=True, slots=True)
class _Machine:
    """One architecture's numbers."""

    audit: int
    newest: int
    denied: tuple[int, ...]
    """execve, execveat, fork, vfork, ptrace, process_vm_readv, process_vm_writev, process_madvise, process_mrelease,
    pidfd_open, pidfd_getfd, pidfd_send_signal, kcmp, setsid, setpgid, unshare, setns, socket, connect, bind,
    listen, accept, accept4, mount, umount2, pivot_root, chroot, open_tree, move_mount, fsopen, fsconfig,
    fsmount, fspick, mount_setattr, add_key, request_key, keyctl, bpf, userfaultfd, io_uring_setup,
    io_uring_enter, io_uring_register, perf_event_open, init_module, finit_module, delete_module, kexec_load,
    kexec_file_load, reboot, swapon, swapoff, syslog, acct, settimeofday, clock_settime, clock_adjtime,
    adjtimex, sethostname, setdomainname, iopl, ioperm, quotactl, quotactl_fd, nfsservctl, lookup_dcookie,
    open_by_handle_at, name_to_handle_at, fanotify_init, fanotify_mark, vhangup, personality, modify_ldt,
    uselib, ustat, sysfs, _sysctl, memfd_create, memfd_secret, shmget, shmat, shmctl, shmdt, semget, semop,
    semtimedop, semctl, msgget, msgsnd, msgrcv, msgctl, mq_open, mq_unlink, mq_timedsend, mq_timedreceive,
    mq_notify, mq_getsetattr, migrate_pages, move_pages, setuid, setgid, setreuid, setregid, setgroups,
    setfsuid, setfsgid, sched_setscheduler, sched_setparam, sched_setattr,
    setpriority, ioprio_set, inotify_init, inotify_init1, inotify_add_watch,
    chmod, fchmod, fchmodat, chown, fchown, lchown, fchownat, setxattr, lsetxattr,
    fsetxattr, removexattr, lremovexattr, fremovexattr, utime, utimes, utimensat, futimesat, mknod, mknodat,
    io_setup, sync, syncfs, fadvise64, readahead"""
    seccomp: int
    mmap: int
    clone: int
    clone3: int
    kill: int
    tgkill: int
    prlimit: int
    affinity: int
    socketpair: int
    prctl: int
    fcntl: int
    ioctl: int
    setsockopt: int
    setres: tuple[int, int]
    """setresuid, setresgid."""
    sealed: tuple[int, ...]
    """Further ones that only the zygote needs: tkill, rt_sigqueueinfo, rt_tgsigqueueinfo, seccomp, landlock_*."""


def _numbers(text: str) -> tuple[int, ...]:
    return tuple(int(word) for word in text.split())


_MACHINES = {
    "x86_64": _Machine(
        audit=0xC000003E,
        newest=450,
        denied=_numbers(
            "29 30 31 41 42 43 49 50 57 58 59 64 65 66 67 68 69 70 71 90 91 92 93 94 101 103 105 106 109 112 113 "
            "114 116 122 123 132 133 134 135 136 139 141 142 144 153 154 155 156 159 161 163 164 165 "
            "166 167 168 169 170 171 172 173 175 176 179 180 188 189 190 197 198 199 212 220 227 235 240 241 242 "
            "243 244 245 246 248 249 250 251 256 259 260 261 268 272 279 280 288 298 300 301 303 304 305 308 310 "
            "311 312 313 314 319 320 321 322 323 424 425 426 427 428 429 430 431 432 433 434 438 440 442 443 447 "
            "448 253 254 294 162 206 306 221 187 "
        ),
        seccomp=317,
        mmap=9,
        clone=56,
        clone3=435,
        kill=62,
        tgkill=234,
        prlimit=302,
        affinity=203,
        socketpair=53,
        prctl=157,
        fcntl=72,
        ioctl=16,
        setsockopt=54,
        setres=(117, 119),
        sealed=_numbers("129 200 297 317 444 445 446"),
    ),
    "aarch64": _Machine(
        audit=0xC00000B7,
        newest=450,
        denied=_numbers(
            "5 6 7 14 15 16 18 30 33 39 40 41 42 51 52 53 54 55 58 60 88 89 92 97 104 105 106 112 116 117 118 "
            "119 140 142 143 144 145 146 151 152 154 157 159 161 162 170 171 180 181 182 183 184 185 186 "
            "187 188 189 190 191 192 193 194 195 196 197 198 200 201 202 203 217 218 219 221 224 225 238 239 241 "
            "242 262 263 264 265 266 268 270 271 272 273 274 279 280 281 282 294 424 425 426 427 428 429 430 431 "
            "432 433 434 438 440 442 443 447 448 26 27 0 81 267 223 213 "
        ),
        seccomp=277,
        mmap=222,
        clone=220,
        clone3=435,
        kill=129,
        tgkill=131,
        prlimit=261,
        affinity=122,
        socketpair=199,
        prctl=167,
        fcntl=25,
        ioctl=29,
        setsockopt=208,
        setres=(147, 149),
        sealed=_numbers("130 138 240 277 444 445 446"),
    ),
}


class Program:
    """One as the kernel takes it, in memory of its own: seccomp(2)'s `head`, and where in `lines` an id is to stand."""

    def __init__(self, lines: bytes) -> None:
        self.lines = ctypes.create_string_buffer(lines, len(lines))
        self.head = struct.pack("HxxxxxxP", len(lines) // 8, ctypes.addressof(self.lines))
        self.ids = tuple(match.start() for match in re.finditer(re.escape(_PID), lines))


class Filter:
    """Puts programs in force for this process and all that it forks; they can only be added to."""

    def __init__(self) -> None:
        machine = _MACHINES.get(platform.machine()) if sys.platform == "linux" else None
        self.is_available = machine is not None and _is_offered(machine.seccomp, _ERRNO)
        self.number = 0
        self.for_isolates = Program(b"")
        """They may make threads, and signal themselves."""
        self.can_ask = machine is not None and _is_offered(machine.seccomp, _ASK) and _kernel() >= (5, 5)
        """It can have the host asked about each thread."""
        if machine is not None and self.is_available:
            self._machine = machine
            self._libc = ctypes.CDLL(None, use_errno=True)
            self.number = machine.seccomp
            self.for_isolates = Program(self._isolate_program())

    def confine_zygote(self, uids: range | None = None) -> None:
        """It may fork and make threads, and become any of `uids`; nothing below it may do more.

        `uids` are as many as a power of two, and begin at a multiple of that.
        """
        m = self._machine
        rules = self._assemble(
            [
                *(line for number in m.denied for line in _refuse(number, _EPERM)),
                *(line for number in m.setres for line in _refuse_but(number, uids)),
                *_refuse(m.clone3, _ENOSYS),  # its flags are in memory, out of reach here: libc falls back to clone
                *_when(m.clone, 0, [(_JSET, 0, 1, _CLONE_NAMESPACES)]),
                *_when(
                    m.mmap,
                    3,  # neither counts as data, which RLIMIT_DATA limits
                    [(_JSET, 2, 0, _GROWS_DOWN), (_AND, 0, 0, _SHARED_ANONYMOUS), (_JEQ, 0, 1, _SHARED_ANONYMOUS)],
                ),
                *_when(  # a pair of datagram sockets can send to any other, without socket() and connect()
                    m.socketpair,
                    0,
                    [(_JEQ, 0, 3, _AF_UNIX), (_LD, 0, 0, _ARGS + 8), (_AND, 0, 0, 0xF), (_JEQ, 1, 0, _SOCK_STREAM)],
                ),
                *_when(  # the host's death ends it; no core for itself, and no line of the machine's audit log a call
                    m.prctl,
                    0,
                    [
                        (_JEQ, 4, 0, _SET_SECCOMP),
                        *((_JEQ, 3, 0, _SCHED_CORE), (_JEQ, 0, 3, _SET_PDEATHSIG)),
                        *((_LD, 0, 0, _ARGS + 8), (_JEQ, 1, 0, _SIGKILL)),
                    ],
                ),
                *_when(m.fcntl, 1, _is_any(*_SIGNALS, *_LEASES, _F_SETPIPE_SZ)),
                *_when(m.ioctl, 1, _is_any(_FIOSETOWN, _SIOCSPGRP)),
                *_when(m.setsockopt, 2, _is_any(_SO_SNDBUF, _SO_SNDBUFFORCE)),
                *_when(m.prlimit, 0, [(_JEQ, 1, 0, 0)]),  # one's own limits only
                *_when(m.affinity, 0, [(_JEQ, 1, 0, 0)]),
            ]
        )
        self._enforce(Program(rules))

    def ask_for_threads(self) -> int:
        """From now on each new thread, here and in all that is forked, is asked for at the descriptor returned."""
        rules = self._assemble(
            [
                (_JEQ, 0, 3, self._machine.clone),
                *((_LD, 0, 0, _ARGS), (_JSET, 0, 1, _CLONE_THREAD), (_RET, 0, 0, _ASK)),
            ]
        )
        return self._enforce(Program(rules), _NEW_LISTENER)

    def _isolate_program(self) -> bytes:
        """What differs between isolates is their id."""
        m = self._machine
        (pid,) = struct.unpack("I", _PID)
        return self._assemble(
            [
                *(line for number in (*m.sealed, *m.setres) for line in _refuse(number, _EPERM)),
                *_when(m.clone, 0, [(_JSET, 1, 0, _CLONE_THREAD)]),
                *_when(m.kill, 0, [(_JEQ, 1, 0, pid)]),
                *_when(m.tgkill, 0, [(_JEQ, 1, 0, pid)]),
            ]
        )

    def _assemble(self, rules: list[tuple[int, int, int, int]]) -> bytes:
        m = self._machine
        program = [
            (_LD, 0, 0, _ARCH), (_JEQ, 1, 0, m.audit), (_RET, 0, 0, _KILL),
            (_LD, 0, 0, _NR), (_JGT, 0, 1, m.newest), (_RET, 0, 0, _ENOSYS),
            *rules, (_RET, 0, 0, _ALLOW),
        ]  # fmt: skip
        return b"".join(struct.pack("HBBI", *line) for line in program)

    def _enforce(self, program: Program, flags: int = 0) -> int:
        done: int = self._libc.syscall(self._machine.seccomp, _SECCOMP_SET_MODE_FILTER, flags, program.head)
        if done < 0:
            raise OSError(ctypes.get_errno(), "seccomp")
        return done


def _kernel() -> tuple[int, ...]:
    return tuple(int(part) for part in re.findall(r"\d+", platform.release())[:2])


def _is_offered(number: int, answer: int) -> bool:
    action = ctypes.c_uint32(answer)
    done: int = ctypes.CDLL(None).syscall(number, _SECCOMP_GET_ACTION_AVAIL, 0, ctypes.byref(action))
    return done == 0


def _refuse(number: int, answer: int) -> list[tuple[int, int, int, int]]:
    return [(_JEQ, 0, 1, number), (_RET, 0, 0, answer)]


def _is_any(*values: int) -> list[tuple[int, int, int, int]]:
    """A test for `_when`."""
    *first, last = values
    return [*((_JEQ, len(first) - at, 0, value) for at, value in enumerate(first)), (_JEQ, 0, 1, last)]


def _when(number: int, argument: int, test: list[tuple[int, int, int, int]]) -> list[tuple[int, int, int, int]]:
    """For the call `number`: EPERM where `test`, on the low half of its argument, does not jump over it."""
    body = [(_LD, 0, 0, _ARGS + 8 * argument), *test, (_RET, 0, 0, _EPERM), (_RET, 0, 0, _ALLOW)]
    return [(_JEQ, 0, len(body), number), *body]


def _refuse_but(number: int, allowed: range | None) -> list[tuple[int, int, int, int]]:
    """EPERM unless each of the three arguments is in `allowed`."""
    if allowed is None:
        return _refuse(number, _EPERM)
    body = []
    for argument in range(3):
        body += [(_LD, 0, 0, _ARGS + 8 * argument), (_AND, 0, 0, -len(allowed) & 0xFFFFFFFF)]
        body += [(_JEQ, 1, 0, allowed.start), (_RET, 0, 0, _EPERM)]
    return [(_JEQ, 0, len(body) + 1, number), *body, (_RET, 0, 0, _ALLOW)]
