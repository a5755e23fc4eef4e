"""Names with values, in order and perhaps several of one name: what queries and forms are made of."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TypeVar

T = TypeVar("T")


class Pairs(Mapping[str, T]):
    """`pairs["name"]` is the first value, `get_all` every one."""

    __slots__ = ("_pairs",)

    def __init__(self, pairs: list[tuple[str, T]]) -> None:
        self._pairs = pairs

    def get_all(self, name: str) -> list[T]:
        return [value for key, value in self._pairs if key == name]

    getlist = get_all

    def multi_items(self) -> list[tuple[str, T]]:
        return list(self._pairs)

    def __getitem__(self, name: str) -> T:
        for key, value in self._pairs:
            if key == name:
                return value
        raise KeyError(name)

    def __iter__(self) -> Iterator[str]:
        return iter(dict.fromkeys(key for key, _ in self._pairs))

    def __len__(self) -> int:
        return len({key for key, _ in self._pairs})

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self._pairs!r})"
