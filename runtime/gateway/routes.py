"""Which function owns a path: the longest route wins, an exact one before any `/*`."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from runtime.config import FunctionSettings
from runtime.gateway.admission import Admission
from runtime.isolate.pool import Pool


@dataclass(frozen=True, slots=True)
class Function:
    """One served function: what is set for it, its isolates, and the room that it has."""

    settings: FunctionSettings
    pool: Pool
    admission: Admission

    @property
    def name(self) -> str:
        return self.settings.name


class Routes:
    """A table of routes, made anew whenever the functions change."""

    def __init__(self, functions: Iterable[Function]) -> None:
        self.functions = {f.name: f for f in functions}
        self._exact = {r: f for f in self.functions.values() for r in f.settings.routes if not r.endswith("/*")}
        self._below = {r[:-1]: f for f in self.functions.values() for r in f.settings.routes if r.endswith("/*")}

    def match(self, path: str) -> Function | None:
        """The owner of `path` (percent-decoded, without a query), or None."""
        if path in self._exact:
            return self._exact[path]
        end = path.rfind("/")
        while end >= 0:
            if (owner := self._below.get(path[: end + 1])) is not None:
                return owner
            end = path.rfind("/", 0, end)
        return None
