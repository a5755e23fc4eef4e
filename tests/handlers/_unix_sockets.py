"""Reaches for Unix sockets by path and by abstract name, also from a pair, which needs no socket() and no connect()."""

import socket

from _attack import tried
from _targets import ABSTRACT, UNIX_DATAGRAM, UNIX_STREAM


def connect(address):
    with socket.socket(socket.AF_UNIX) as s:
        s.connect(address)
        return "connected"


def from_pair(kind, address):
    ours, theirs = socket.socketpair(socket.AF_UNIX, kind)
    with ours, theirs:
        return ours.sendto(b"from a pair", address)


def message_from_pair(address):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        return ours.sendmsg([b"from a pair"], [], 0, address)


def reconnected(address):
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_DGRAM)
    with ours, theirs:
        ours.connect(address)
        return ours.send(b"from a pair")


def reach_all():
    return tried(
        path=lambda: connect(UNIX_STREAM),
        abstract=lambda: connect(ABSTRACT),
        pair_path=lambda: from_pair(socket.SOCK_DGRAM, UNIX_DATAGRAM),
        pair_abstract=lambda: from_pair(socket.SOCK_DGRAM, ABSTRACT + "-datagram"),
        pair_message=lambda: message_from_pair(UNIX_DATAGRAM),
        pair_reconnected=lambda: reconnected(UNIX_DATAGRAM),
    )
