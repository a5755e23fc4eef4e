"""Reads the host's files: users, keys, other people's folders, the project around the function, its `.env`."""

from _read_host import read_all


def fetch(request):
    return {"managed": read_all()}
