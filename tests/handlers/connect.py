"""Makes sockets of every kind, and connects to loopback, the metadata address and the host's own port."""

from _connect import connect_all


def fetch(request):
    return {"managed": connect_all(int(request.headers["host"].rpartition(":")[2]))}
