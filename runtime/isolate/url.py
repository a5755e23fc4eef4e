"""URLs as a handler sees them: text that knows its parts."""

from __future__ import annotations

from functools import cached_property
from urllib.parse import SplitResult, parse_qsl, urlsplit

from runtime.isolate.pairs import Pairs


class Query(Pairs[str]):
    """A URL's parameters: `query["name"]` is the first value, `get_all` every one, `str(query)` the text as sent."""

    __slots__ = ("_text",)

    def __init__(self, text: str) -> None:
        super().__init__(parse_qsl(text, keep_blank_values=True))
        self._text = text

    def __str__(self) -> str:
        return self._text

    def __repr__(self) -> str:
        return f"Query({self._text!r})"


class URL(str):
    """An absolute URL: a `str` that also knows its parts."""

    @cached_property
    def parts(self) -> SplitResult:
        return urlsplit(str(self))

    @cached_property
    def query(self) -> Query:
        return Query(self.parts.query)

    @property
    def scheme(self) -> str:
        return self.parts.scheme

    @property
    def netloc(self) -> str:
        return self.parts.netloc

    @property
    def hostname(self) -> str | None:
        return self.parts.hostname

    @property
    def port(self) -> int | None:
        return self.parts.port

    @property
    def path(self) -> str:
        return self.parts.path

    @property
    def fragment(self) -> str:
        return self.parts.fragment
