"""What a host with powers does for isolates: a user of its own for each, a file system for its files, a group."""

from __future__ import annotations

import contextlib
import ctypes
import os
import socket
import subprocess
import sys
import tempfile
from collections.abc import Iterable
from pathlib import Path

from runtime.isolate.groups import Groups

SPAN = 1 << 14
"""Users of one function: its zygote's, and as many isolates as could ever live at once, less one."""
_FIRST, _OF_A_HOST, _HOSTS = 0x7000_0000, 1 << 24, 15
"""Above all that systemd and container runtimes give out, see https://systemd.io/UIDS-GIDS/."""
_SETS_USERS = (0, 1, 5, 6, 7)
"""CAP_CHOWN, CAP_DAC_OVERRIDE, CAP_KILL, CAP_SETGID, CAP_SETUID."""
_MOUNTS = 21
"""CAP_SYS_ADMIN."""
_CLONE_NEWNS = 0x20000
_MS_NOSUID, _MS_NODEV, _MS_REC, _MS_SLAVE = 2, 4, 0x4000, 0x80000
_MNT_DETACH = 2
_PROBE = """
import os, sys
def walk(path, depth):
    if not os.access(path, os.R_OK | os.X_OK if os.path.isdir(path) else os.R_OK):
        sys.exit(path)
    if depth and os.path.isdir(path) and not os.path.islink(path):
        for name in os.listdir(path):
            walk(os.path.join(path, name), depth - 1)
walk(sys.argv[1], 100)
for path in sys.argv[2:]:
    if os.path.lexists(path):
        walk(path, 1)
"""


class Privileges:
    """Of one host. Made without arguments it has none, and isolates are of the host's own user."""

    def __init__(
        self,
        first_uid: int = 0,
        claim: socket.socket | None = None,
        *,
        can_mount: bool = False,
        groups: Groups | None = None,
    ) -> None:
        self.can_mount = can_mount
        self.groups = groups or Groups()
        self.absent: dict[str, str] = {}
        """Why it lacks what it lacks."""
        self._first = first_uid
        self._claim = claim
        self._taken: set[int] = set()

    @property
    def has_uids(self) -> bool:
        return self._first > 0

    @classmethod
    def acquire(cls, functions: Path, readable: Iterable[str]) -> Privileges:
        """All that this process can have. `functions` is their folder, `readable` what they read beside it."""
        held = _capabilities()
        first, claim, why = 0, None, "only root can give one"
        if all(held >> number & 1 for number in _SETS_USERS):
            claim, first = _claim_users()
            why = _unreadable(first, functions, readable) if first else "no user ids are free"
            if why:
                first = 0
                _release(claim)
        groups = Groups.acquire()
        found = cls(first, claim, can_mount=bool(held >> _MOUNTS & 1) and _has_own_mounts(), groups=groups)
        if not groups.are_there:
            found.absent["a control group"] = groups.absent
        if not found.can_mount:
            found.absent["a file system of its own"] = "the host measures its folder instead"
        if not found.has_uids:
            found.absent["a user of its own"] = why
        return found

    def close(self) -> None:
        """Its users may be another host's."""
        self.groups.close()
        _release(self._claim)
        self._claim = None

    def take_uids(self) -> range | None:
        """The users of one more function; None where there are none to give."""
        if not self.has_uids:
            return None
        index = next(n for n in range(_OF_A_HOST // SPAN) if n not in self._taken)
        self._taken.add(index)
        start = self._first + index * SPAN
        return range(start, start + SPAN)

    def give_back(self, uids: range | None) -> None:
        """Nobody is any of these any more."""
        if uids is not None:
            self._taken.discard((uids.start - self._first) // SPAN)


def mount(path: str, *, megabytes: int, files: int, uid: int) -> None:
    """A new file system at `path`, in memory, that holds so much and no more. Raises OSError."""
    options = f"size={megabytes}m,nr_inodes={files},mode=700,uid={uid},gid={uid}"
    _mount(b"beira", path.encode(), b"tmpfs", _MS_NOSUID | _MS_NODEV, options.encode())


def unmount(path: str) -> None:
    """Let go of it, whatever is in it. Raises OSError."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.umount2(path.encode(), _MNT_DETACH) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), path)


def _mount(source: bytes, target: bytes, kind: bytes | None, flags: int, options: bytes | None) -> None:
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(source, target, kind, ctypes.c_ulong(flags), options) != 0:
        raise OSError(ctypes.get_errno(), os.strerror(ctypes.get_errno()), target.decode())


def _capabilities() -> int:
    """Those in effect, as bits."""
    if sys.platform == "linux" and os.geteuid() == 0:
        with contextlib.suppress(OSError):
            for line in Path("/proc/self/status").read_text("utf-8").splitlines():
                if line.startswith("CapEff:"):
                    return int(line.split()[1], 16)
    return 0


def _has_own_mounts() -> bool:
    """From now on what this process mounts is seen by its children only, and is gone with the last of them."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNS) != 0:
        return False
    try:
        _mount(b"none", b"/", None, _MS_REC | _MS_SLAVE, None)
        with tempfile.TemporaryDirectory(prefix="beira-") as folder:
            mount(folder, megabytes=1, files=8, uid=0)
            unmount(folder)
    except OSError:  # a container's own rules
        return False
    return True


def _claim_users() -> tuple[socket.socket | None, int]:
    """Users that no other host of this machine has: a name is held until `close`, or the end of this process."""
    for number in range(_HOSTS):
        first = _FIRST + number * _OF_A_HOST
        if not (_is_mapped("uid", first) and _is_mapped("gid", first)):
            break
        claim = socket.socket(socket.AF_UNIX)
        try:
            claim.bind(f"\0beira-users-{first}")
        except OSError:
            claim.close()
            continue
        return claim, first
    return None, 0


def _release(claim: socket.socket | None) -> None:
    if claim is not None:
        claim.close()


def _is_mapped(kind: str, first: int) -> bool:
    """Whether this user namespace has them."""
    try:
        lines = Path(f"/proc/self/{kind}_map").read_text("ascii").splitlines()
    except OSError:
        return False
    spans = [(int(start), int(count)) for start, _, count in map(str.split, lines)]
    return any(start <= first and first + _OF_A_HOST <= start + count for start, count in spans)


def _unreadable(uid: int, functions: Path, readable: Iterable[str]) -> str:
    """What such a user cannot read of interpreter or project; empty where it can read all of it."""
    command = [sys.executable, "-I", "-S", "-c", _PROBE, str(functions), *readable]
    try:
        done = subprocess.run(
            command, user=uid, group=uid, extra_groups=[], env={}, cwd="/", capture_output=True, text=True, check=False
        )
    except OSError:
        return f"it could not run {sys.executable}"
    return f"it could not read {done.stderr.strip() or 'the project'}" if done.returncode else ""
