"""Writes where others read: the suite's folder, its own source, installed packages, devices."""

import os
import shutil
import socket
import tempfile

from _attack import tried
from _targets import CANARY_FILE, CANARY_FOLDER, PROJECT


def write(path, flags=os.O_WRONLY | os.O_CREAT | os.O_APPEND):
    fd = os.open(path, flags)
    os.write(fd, b"written by an attack\n")
    os.close(fd)
    return path


def opens(path):
    """Not written to: it is not the suite's own."""
    os.close(os.open(path, os.O_WRONLY))
    return path


def bind():
    ours, _ = socket.socketpair()
    ours.bind(f"{CANARY_FOLDER}/socket")


def fetch(request):
    mine = tempfile.mkdtemp()
    return {
        "managed": tried(
            new=lambda: write(f"{CANARY_FOLDER}/new"),
            present=lambda: write(CANARY_FILE),
            truncate=lambda: os.truncate(CANARY_FILE, 0),
            unlink=lambda: os.unlink(CANARY_FILE),
            rename=lambda: os.rename(CANARY_FILE, f"{CANARY_FOLDER}/moved"),
            take=lambda: os.rename(CANARY_FILE, f"{mine}/taken"),
            put=lambda: os.rename(write(f"{mine}/put"), f"{CANARY_FOLDER}/put"),
            link=lambda: os.link(CANARY_FILE, f"{mine}/link"),
            link_out=lambda: os.link(write(f"{mine}/out"), f"{CANARY_FOLDER}/out"),
            symlink=lambda: os.symlink("/etc/passwd", f"{CANARY_FOLDER}/symlink"),
            through=lambda: write(os.symlink(CANARY_FILE, f"{mine}/s") or f"{mine}/s"),
            folder=lambda: os.mkdir(f"{CANARY_FOLDER}/folder"),
            fifo=lambda: os.mkfifo(f"{CANARY_FOLDER}/fifo"),
            bind=bind,
            mode=lambda: os.chmod(CANARY_FILE, 0o777),
            owner=lambda: os.chown(CANARY_FILE, 1, 1),
            times=lambda: os.utime(CANARY_FILE, (0, 0)),
            attribute=lambda: os.setxattr(CANARY_FILE, "user.attack", b"1"),
            source=lambda: write(__file__),
            beside=lambda: write(f"{PROJECT}/functions/_new.py"),
            package=lambda: opens(shutil.__file__),
            device=lambda: os.open("/dev/shm", os.O_TMPFILE | os.O_RDWR),
            zero=lambda: opens("/dev/zero"),
        )
    }
