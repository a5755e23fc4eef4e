"""URLs as a handler sees them: text that knows its parts."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import cached_property
from urllib.parse import SplitResult, parse_qsl, urlsplit


class Query(Mapping[str, str]):
    """A URL's parameters: `query["name"]` is the first value, `get_all` every one, `str(query)` the text as sent."""

    __slots__ = ("_pairs", "_text")

    def __init__(self, text: str) -> None:
        self._text = text
        self._pairs = parse_qsl(text, keep_blank_values=True)

    def get_all(self, name: str) -> list[str]:
        return [value for key, value in self._pairs if key == name]

    getlist = get_all

    def multi_items(self) -> list[tuple[str, str]]:
        return list(self._pairs)

    def __getitem__(self, name: str) -> str:
        for key, value in self._pairs:
            if key == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key for key, _ in self._pairs))

    def __len__(self) -> int:
        return len({key for key, _ in self._pairs})

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
