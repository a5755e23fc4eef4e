"""Leaves without a word."""

import os


def fetch(request):
    os._exit(0)
