"""Leaves what it can for the next request: globals, modules, files, the environment, a directory, a locale."""

import builtins
import os
import sys
import tempfile

SEEN = []


def fetch(request, env, ctx):
    folder = tempfile.gettempdir()
    found = {
        "globals": len(SEEN),
        "builtins": hasattr(builtins, "left"),
        "modules": "left" in sys.modules,
        "files": os.path.exists(f"{folder}/left") or len(os.listdir(folder)),
        "environment": "LEFT" in os.environ,
        "directory": os.getcwd() != "/",
        "umask": os.umask(0) != 0o077,
    }
    SEEN.append(request.metadata["request_id"])
    builtins.left = sys.modules["left"] = sys
    os.environ["LEFT"] = "1"
    os.chdir(folder)
    with open("left", "w") as file:
        file.write("left")
    return {"managed": {name: value for name, value in found.items() if value}}
