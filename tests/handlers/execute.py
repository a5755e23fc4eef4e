"""Becomes another program."""

import os
import sys

from _attack import tried


def fetch(request):
    program = [sys.executable, "-c", "import time; time.sleep(1)"]
    return {
        "managed": tried(execv=lambda: os.execv(sys.executable, program), sh=lambda: os.system("exit 7") == 7 or 1 / 0)
    }
