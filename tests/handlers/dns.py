"""Asks for names, and sends a question to a name server by hand."""

import socket

from _attack import tried
from _targets import UDP_PORT


def ask():
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as s:
        return s.sendto(b"\0\1\1\0\0\1\0\0\0\0\0\0\6canary\7invalid\0\0\1\0\1", ("127.0.0.1", UDP_PORT))


def fetch(request):
    return {
        "managed": tried(
            localhost=lambda: socket.getaddrinfo("localhost", 80),
            canary=lambda: socket.getaddrinfo("canary.invalid", 80),
            by_address=lambda: socket.gethostbyaddr("127.0.0.1"),
            by_hand=ask,
        )
    }
