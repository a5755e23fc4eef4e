"""Debian's Chromium, driven over the W3C WebDriver protocol by its own chromedriver."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from tests.node import until

ARGUMENTS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage",
)  # fmt: skip
_ELEMENT = "element-6066-11e4-a52e-4f735466cecf"


def is_installed() -> bool:
    return bool(shutil.which("chromium") and shutil.which("chromedriver"))


class Browser:
    """One window."""

    def __init__(self, client: httpx.Client, session: str) -> None:
        self._client = client
        self._base = f"/session/{session}"

    def open(self, url: str) -> None:
        self._call("url", url=url)

    def text(self, css: str) -> str:
        """Found and read in one: between two calls the page may be another."""
        return str(self.run("return document.querySelector(arguments[0])?.innerText.trim() ?? ''", css))

    def click(self, css: str) -> None:
        self._call(f"element/{self._find(css)}/click")

    def type(self, css: str, text: str) -> None:
        self._call(f"element/{self._find(css)}/value", text=text)

    def run(self, script: str, *arguments: Any) -> Any:
        return self._call("execute/sync", script=script, args=list(arguments))

    def _find(self, css: str) -> str:
        found = self._call("element", using="css selector", value=css)
        return str(found[_ELEMENT])

    def _call(self, path: str, **body: Any) -> Any:
        url = f"{self._base}/{path}"
        answer = self._client.post(url, json=body)
        value = answer.json()["value"]
        assert answer.is_success, value
        return value


@contextlib.contextmanager
def browser(folder: Path) -> Iterator[Browser]:
    """A browser with an empty profile in `folder`; ended with everything below it."""
    log = folder / "chromedriver.log"
    with log.open("wb") as out:
        driver = subprocess.Popen(
            ["chromedriver", "--port=0"], stdout=out, stderr=out, env=os.environ | {"HOME": str(folder)}
        )
    try:
        found = until(lambda: re.search(r"successfully on port (\d+)", log.read_text()))
        with httpx.Client(base_url=f"http://127.0.0.1:{found.group(1)}", timeout=60, trust_env=False) as client:
            options = {"args": [*ARGUMENTS, f"--user-data-dir={folder / 'profile'}"]}
            wanted = {"capabilities": {"alwaysMatch": {"browserName": "chrome", "goog:chromeOptions": options}}}
            session = client.post("/session", json=wanted).json()["value"]["sessionId"]
            try:
                yield Browser(client, session)
            finally:
                client.delete(f"/session/{session}")
    finally:
        driver.terminate()
        driver.wait()
