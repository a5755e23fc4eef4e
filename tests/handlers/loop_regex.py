"""Stays in C, where no Python signal handler runs: a pattern that backtracks for ever."""

import re


def fetch(request):
    return str(re.match(r"(a+)+$", "a" * 64 + "b"))
