"""Has its code run in every isolate before it is confined."""

import os

from _read_host import read_all
from _unix_sockets import reach_all

FOUND = {}
os.register_at_fork(after_in_child=lambda: FOUND.update(read_all() | reach_all()))


def fetch(request):
    return {"managed": FOUND}
