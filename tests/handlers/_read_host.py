"""Reads the host's files: users, keys, other people's folders, the project around the function, its `.env`."""

import os

from _attack import tried
from _targets import CANARY_FILE, CANARY_FOLDER, HOST_PYTHON_FOLDER, OTHER_FUNCTION, PROJECT


def read(path):
    with open(path, "rb") as file:
        return file.read(4096)


FILES = ["/etc/passwd", "/etc/shadow", "/etc/hosts", "/etc/resolv.conf", "/etc/machine-id", "/proc/mounts",
         "/proc/net/tcp", "/sys/class/net/lo/address", "/dev/vda", "/dev/mem", "/dev/kmsg", CANARY_FILE, OTHER_FUNCTION,
         f"{PROJECT}/.env", f"{PROJECT}/beira.toml", f"{PROJECT}/node.log"]  # fmt: skip
FOLDERS = ["/", "/root", "/home", "/tmp", "/var/log", "/dev/shm", "/proc", PROJECT, CANARY_FOLDER, HOST_PYTHON_FOLDER]


def read_all():
    files = {path: lambda path=path: read(path) for path in FILES}
    return tried(**files, **{f"list {path}": lambda path=path: os.listdir(path) for path in FOLDERS})
