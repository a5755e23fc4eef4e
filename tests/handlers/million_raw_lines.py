"""Writes lines to descriptors 1 and 2 past everything that stands for them, 2 MB in all."""

import os


def fetch(request):
    for _ in range(16):
        os.write(1, b"raw line\n" * 7000)
        os.write(2, b"raw line without an end" * 3000)
    return {"managed": {}}
