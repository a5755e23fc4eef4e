"""Recurses in C until its stack is used up."""

import ctypes
import sys


def fetch(request):
    sys.setrecursionlimit(10**9)
    call = ctypes.CFUNCTYPE(None)(lambda: call())
    call()
