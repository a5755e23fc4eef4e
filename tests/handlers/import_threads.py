"""Leaves a thread running at import, that goes on in the zygote and tries again and again."""

import threading
import time

from _connect import connect_all
from _read_host import read_all
from _unix_sockets import reach_all


def go_on():
    for _ in range(40):
        time.sleep(1)
        read_all(), connect_all(), reach_all()


threading.Thread(target=go_on, daemon=True).start()


def fetch(request):
    return {"managed": {}, "threads": threading.active_count()}
