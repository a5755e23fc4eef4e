"""What the host tells a zygote on its command line; none of it is a secret, it shows in the list of processes."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import orjson

from runtime.isolate.limits import ProcessLimits


@dataclass(frozen=True, slots=True)
class ZygoteSettings:
    """One function and what holds for it."""

    name: str
    path: str
    parent: int
    """The host's process id: the zygote ends with it."""
    temp: str
    """The folder that holds each isolate's temporary folder, named by its place."""
    limits: ProcessLimits
    uids: tuple[int, int] | None = None
    """First user id and count: the zygote is the first itself, an isolate the one at its place."""

    def to_json(self) -> str:
        return orjson.dumps(asdict(self)).decode()

    @staticmethod
    def from_json(text: str) -> ZygoteSettings:
        values: dict[str, Any] = orjson.loads(text)
        return ZygoteSettings(**{**values, "limits": ProcessLimits(**values["limits"])})
