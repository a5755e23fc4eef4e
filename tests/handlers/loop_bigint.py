"""Stays in C with a power that takes for ever."""


def fetch(request):
    return str((3 ** (10**9)) % 7)
