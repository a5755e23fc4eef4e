"""Leaves in its temporary folder what could lead whoever cleans it up astray: links to the suite's folder."""

import os
import tempfile

from _targets import CANARY_FILE, CANARY_FOLDER


def fetch(request):
    folder = tempfile.gettempdir()
    os.symlink(CANARY_FOLDER, f"{folder}/link")
    os.symlink(CANARY_FILE, f"{folder}/-rf")
    os.mkdir(f"{folder}/closed", 0o000)
    os.mkdir(f"{folder}/ line\nbreak")
    os.mkdir(f"{folder}/unlisted", 0o300)
    open(f"{folder}/unlisted/file", "w").close()
    os.symlink("..", f"{folder}/up")
    return {"managed": {}}
