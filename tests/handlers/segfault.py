"""Reads where there is nothing."""

import ctypes


def fetch(request):
    ctypes.string_at(0)
