"""Fills its temporary folder: 64 MB, then two thousand small files, then a thousand folders inside each other."""

import os
import tempfile


def fetch(request):
    folder = tempfile.gettempdir()
    try:
        for number in range(64):
            with open(f"{folder}/big-{number}", "wb") as file:
                file.write(bytes(2**20))
        for number in range(2000):
            open(f"{folder}/small-{number}", "wb").close()
        os.chdir(folder)
        for _ in range(1000):
            os.mkdir("deep")
            os.chdir("deep")
    except OSError as e:
        return {"managed": {}, "stopped": str(e)}
    return {"managed": {}}
