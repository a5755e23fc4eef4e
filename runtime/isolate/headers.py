"""Header fields as a handler sees them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

_TOKEN = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+")
_REFUSED = re.compile(r"[\x00-\x08\x0a-\x1f\x7f]")


class Headers:
    """Header fields: names in any case, several values a name, order kept."""

    __slots__ = ("_items",)

    def __init__(self, init: Headers | Mapping[str, str] | Iterable[tuple[str, str]] | None = None) -> None:
        self._items: list[tuple[str, str]] = []
        if isinstance(init, Headers):
            self._items = list(init._items)
            return
        pairs = init.items() if isinstance(init, Mapping) else init or ()
        for name, value in pairs:
            self.append(name, value)

    @classmethod
    def received(cls, pairs: Iterable[tuple[str, str]]) -> Headers:
        """Fields that came over HTTP: the server has parsed them, and odd ones are the function's to judge."""
        headers = cls()
        headers._items = [(name, value) for name, value in pairs]
        return headers

    def append(self, name: str, value: str) -> None:
        """Add a value, beside those that the name has."""
        self._items.append(_checked(name, value))

    def set(self, name: str, value: str) -> None:
        """Replace every value of the name."""
        pair = _checked(name, value)
        self.delete(name)
        self._items.append(pair)

    def delete(self, name: str) -> None:
        key = name.lower()
        self._items = [pair for pair in self._items if pair[0].lower() != key]

    def get(self, name: str, default: str | None = None) -> str | None:
        """All values of the name, joined by a comma as HTTP does, or `default`."""
        values = self.get_all(name)
        return ", ".join(values) if values else default

    def get_all(self, name: str) -> list[str]:
        key = name.lower()
        return [value for have, value in self._items if have.lower() == key]

    getlist = get_all

    def has(self, name: str) -> bool:
        return name in self

    def keys(self) -> list[str]:
        return list(dict.fromkeys(name.lower() for name, _ in self._items))

    def values(self) -> list[str]:
        return [value for _, value in self._items]

    def items(self) -> list[tuple[str, str]]:
        return list(self._items)

    def setdefault(self, name: str, value: str) -> None:
        if name not in self:
            self.append(name, value)

    def __getitem__(self, name: str) -> str:
        value = self.get(name)
        if value is None:
            raise KeyError(name)
        return value

    def __setitem__(self, name: str, value: str) -> None:
        self.set(name, value)

    def __delitem__(self, name: str) -> None:
        if name not in self:
            raise KeyError(name)
        self.delete(name)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and any(have.lower() == name.lower() for have, _ in self._items)

    def __iter__(self) -> Iterator[str]:
        return iter(self.keys())

    def __len__(self) -> int:
        return len(self.keys())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Headers) and self._lowered() == other._lowered()

    __hash__ = None  # type: ignore[assignment]  # mutable

    def _lowered(self) -> list[tuple[str, str]]:
        return sorted((name.lower(), value) for name, value in self._items)

    def __repr__(self) -> str:
        return f"Headers({self._items!r})"


def _checked(name: Any, value: Any) -> tuple[str, str]:
    """A header field as it may stand in a head: one line, one name, no way to begin another field."""
    if not isinstance(name, str) or not _TOKEN.fullmatch(name):
        raise ValueError(f"header name {name!r}: must be letters, digits and - _ . only")
    if not isinstance(value, str):
        raise TypeError(f"header {name!r}: the value must be a str, got {type(value).__name__}")
    value = value.strip(" \t")
    if _REFUSED.search(value):
        raise ValueError(f"header {name!r}: the value has a line break or a control character: {value!r}")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError as e:
        raise ValueError(f"header {name!r}: {value[e.start]!r} cannot stand in a header; percent-encode it") from None
    return name, value


HeadersLike = Headers | Mapping[str, str] | Iterable[tuple[str, str]]
