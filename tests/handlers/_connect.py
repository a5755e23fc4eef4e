"""Makes sockets of every kind, and connects to loopback, the metadata address and the host's own port."""

import socket

from _attack import tried
from _targets import TCP_PORT, UDP_PORT


def connect(family, address):
    with socket.socket(family, socket.SOCK_STREAM) as s:
        s.settimeout(0.5)
        s.connect(address)
        return address


def send(address):
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return s.sendto(b"x", address)


def fast_open(address):
    """Connects and sends in one call."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as s:
        return s.sendto(b"x", 0x20000000, address)


def make(family, kind=socket.SOCK_DGRAM, protocol=0):
    with socket.socket(family, kind, protocol) as s:
        return s.fileno()


def listen():
    with socket.create_server(("127.0.0.1", 0)) as s:
        return s.getsockname()


def by_pair():
    """A pair that is no Unix pair."""
    return socket.socketpair(socket.AF_INET, socket.SOCK_STREAM)


def connect_all(port=80):
    return tried(
        loopback=lambda: connect(socket.AF_INET, ("127.0.0.1", TCP_PORT)),
        loopback6=lambda: connect(socket.AF_INET6, ("::ffff:127.0.0.1", TCP_PORT)),
        host=lambda: connect(socket.AF_INET, ("127.0.0.1", port)),
        metadata=lambda: connect(socket.AF_INET, ("169.254.169.254", 80)),
        datagram=lambda: send(("127.0.0.1", UDP_PORT)),
        fast_open=lambda: fast_open(("127.0.0.1", TCP_PORT)),
        tcp=lambda: make(socket.AF_INET, socket.SOCK_STREAM),
        raw=lambda: make(socket.AF_INET, socket.SOCK_RAW, 1),
        packet=lambda: make(17, socket.SOCK_RAW, 0x300),
        netlink=lambda: make(16, socket.SOCK_RAW),
        vsock=lambda: make(40, socket.SOCK_STREAM),
        crypto=lambda: make(38, socket.SOCK_SEQPACKET),
        bluetooth=lambda: make(31, socket.SOCK_RAW, 1),
        listen=listen,
        by_pair=by_pair,
    )
