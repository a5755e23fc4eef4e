"""One manifest: a model's names, abilities, weights and sampling defaults, read from TOML and checked."""

from __future__ import annotations

import difflib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from runtime.errors import CatalogError

CAPABILITIES = ("chat", "vision", "tools")
SAMPLING_BOUNDS: Mapping[str, tuple[float, float]] = {
    "temperature": (0, 2),
    "top_p": (0, 1),
    "top_k": (-1, 2**31 - 1),
    "min_p": (0, 1),
    "repetition_penalty": (0.01, 100),
    "presence_penalty": (-2, 2),
    "frequency_penalty": (-2, 2),
}
_ID = re.compile(r"[a-z0-9][a-z0-9._-]*")
_SHA256 = re.compile(r"[0-9a-f]{64}")


@dataclass(frozen=True, slots=True)
class Manifest:
    """A model as the catalog knows it; its weights may be absent."""

    id: str
    aliases: tuple[str, ...]
    context: int
    capabilities: tuple[str, ...]
    stand_in: str | None
    """The id of the model that answers under this one's name while the weights are absent."""
    text: Path
    projector: Path | None
    source: Path
    """The manifest's file."""
    repo: str | None = None
    """The hub's repository that the weights come from; None: they came with the manifest."""
    sampling: Mapping[str, float] = field(default_factory=dict)
    checksums: Mapping[Path, str] = field(default_factory=dict)
    """sha256 of a weights file, where the manifest gives it."""
    sizes: Mapping[Path, int] = field(default_factory=dict)
    """Bytes of a weights file, where the manifest gives them."""

    @property
    def files(self) -> tuple[Path, ...]:
        """The weights: the text model, and the projector where there is one."""
        return (self.text,) if self.projector is None else (self.text, self.projector)

    @property
    def is_on_disk(self) -> bool:
        """All weights are there; `Catalog.verify` tells whether they are right."""
        return all(file.is_file() for file in self.files)


def read_manifest(source: Path) -> Manifest:
    """The manifest in one TOML file; CatalogError names the file, the key and what would be right."""
    try:
        data = tomllib.loads(source.read_text("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, OSError) as e:
        raise CatalogError(f"{source}: cannot be read as TOML: {e}") from e
    _known(data, ("id", "aliases", "context", "capabilities", "stand_in", "weights", "sampling"), source, "")
    weights = _get(data, "weights", dict, source)
    _known(weights, ("repo", "text", "projector"), source, "weights.")
    checksums: dict[Path, str] = {}
    sizes: dict[Path, int] = {}
    return Manifest(
        id=_id(data, source),
        aliases=_strings(data, "aliases", source),
        context=_context(data, source),
        capabilities=_capabilities(data, weights, source),
        stand_in=_get(data, "stand_in", str, source, optional=True),
        text=_weight(weights, "text", source, checksums, sizes),
        projector=_weight(weights, "projector", source, checksums, sizes) if "projector" in weights else None,
        source=source,
        repo=_get(weights, "repo", str, source, "weights.", optional=True),
        sampling=_sampling(_get(data, "sampling", dict, source, optional=True) or {}, source),
        checksums=checksums,
        sizes=sizes,
    )


def _id(data: Mapping[str, Any], source: Path) -> str:
    value: str = _get(data, "id", str, source)
    if not _ID.fullmatch(value):
        raise CatalogError(f"{source}: id: must be of a-z, 0-9, '.', '_' and '-', got {value!r}")
    return value


def _context(data: Mapping[str, Any], source: Path) -> int:
    value: int = _get(data, "context", int, source)
    if value < 1:
        raise CatalogError(f"{source}: context: must be at least 1, got {value}")
    return value


def _capabilities(data: Mapping[str, Any], weights: Mapping[str, Any], source: Path) -> tuple[str, ...]:
    values = _strings(data, "capabilities", source) or ("chat",)
    for value in values:
        if value not in CAPABILITIES:
            raise CatalogError(f"{source}: capabilities: must be of {', '.join(CAPABILITIES)}, got {value!r}")
    if "vision" in values and "projector" not in weights:
        raise CatalogError(f"{source}: capabilities: 'vision' needs weights.projector")
    return values


def _weight(
    weights: Mapping[str, Any], key: str, source: Path, checksums: dict[Path, str], sizes: dict[Path, int]
) -> Path:
    table = _get(weights, key, dict, source, "weights.")
    where = f"weights.{key}."
    _known(table, ("file", "sha256", "size"), source, where)
    file: Path = source.parent / _get(table, "file", str, source, where)
    digest = _get(table, "sha256", str, source, where, optional=True)
    if digest is not None:
        if not _SHA256.fullmatch(digest):
            raise CatalogError(f"{source}: {where}sha256: must be 64 lower-case hex digits, got {digest!r}")
        checksums[file] = digest
    size = _get(table, "size", int, source, where, optional=True)
    if size is not None:
        sizes[file] = size
    return file


def _sampling(table: Mapping[str, Any], source: Path) -> dict[str, float]:
    _known(table, tuple(SAMPLING_BOUNDS), source, "sampling.")
    for key, value in table.items():
        low, high = SAMPLING_BOUNDS[key]
        if isinstance(value, bool) or not isinstance(value, int | float) or not low <= value <= high:
            raise CatalogError(f"{source}: sampling.{key}: must be a number of {low} to {high}, got {value!r}")
    return dict(table)


def _strings(data: Mapping[str, Any], key: str, source: Path) -> tuple[str, ...]:
    values = _get(data, key, list, source, optional=True) or []
    for value in values:
        if not isinstance(value, str) or not value:
            raise CatalogError(f"{source}: {key}: must be a list of texts, got {value!r} in it")
    return tuple(values)


_NAMES = {str: "a text", int: "a whole number", dict: "a table", list: "a list"}


def _get(
    data: Mapping[str, Any], key: str, kind: type, source: Path, prefix: str = "", *, optional: bool = False
) -> Any:
    value = data.get(key)
    if value is None:
        if optional:
            return None
        raise CatalogError(f"{source}: {prefix}{key}: is required")
    if not isinstance(value, kind) or isinstance(value, bool):
        raise CatalogError(f"{source}: {prefix}{key}: must be {_NAMES[kind]}, got {value!r}")
    return value


def _known(table: Mapping[str, Any], keys: tuple[str, ...], source: Path, prefix: str) -> None:
    for key in table:
        if key not in keys:
            near = difflib.get_close_matches(key, keys, 1)
            hint = f"did you mean {prefix + near[0]!r}?" if near else f"known: {', '.join(keys)}"
            raise CatalogError(f"{source}: unknown key {prefix + key!r}; {hint}")
