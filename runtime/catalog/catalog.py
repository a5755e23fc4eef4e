"""The catalog: every model this node knows, found by id or alias, and whether its weights are whole."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from pathlib import Path

from runtime.catalog.manifest import Manifest, read_manifest
from runtime.errors import CatalogError, ModelNotFound

EMBEDDED = "beira-tiny"
_PACKAGE = Path(__file__).resolve().parents[1]


class Catalog:
    """Manifests of several folders; the same id in an earlier folder wins."""

    def __init__(self, dirs: Sequence[Path]) -> None:
        found: dict[str, Manifest] = {}
        for folder in _folders(dirs):
            for manifest in _read(folder):
                found.setdefault(manifest.id, manifest)
        self.manifests: tuple[Manifest, ...] = tuple(found.values())
        self._names = _names(self.manifests)
        for manifest in self.manifests:
            if manifest.stand_in is not None and manifest.stand_in not in found:
                raise CatalogError(f"{manifest.source}: stand_in: no model {manifest.stand_in!r}; known: {self._ids()}")

    def find(self, name: str) -> Manifest:
        """The model of this id or alias, in any case; ModelNotFound lists the known ids."""
        manifest = self._names.get(name.casefold())
        if manifest is None:
            shown = name if len(name) <= 80 else name[:80] + "…"
            raise ModelNotFound(f"The model {shown!r} does not exist; known models: {self._ids()}", param="model")
        return manifest

    def verify(self, manifest: Manifest) -> None:
        """Check the weights, reading them whole: GGUF, of the recorded size and sha256. CatalogError names the file."""
        for file in manifest.files:
            _verify(file, manifest.sizes.get(file), manifest.checksums.get(file))

    def _ids(self) -> str:
        return ", ".join(m.id for m in self.manifests)


def _folders(dirs: Sequence[Path]) -> Iterator[Path]:
    """The given folders, then the wheel's own, then the checkout's; each once."""
    seen: set[Path] = set()
    for folder in dirs:
        if not folder.is_dir():
            raise CatalogError(f"no folder of models: looked for {folder}")
    checkout = _PACKAGE.parent
    # an installed package has other projects' folders beside it: only a checkout has a pyproject.toml there
    own = (_PACKAGE / "_models", *([checkout / "models"] if (checkout / "pyproject.toml").is_file() else []))
    for folder in (*dirs, *own):
        path = folder.resolve()
        if path not in seen and path.is_dir():
            seen.add(path)
            yield path


def _read(folder: Path) -> Iterator[Manifest]:
    ids: dict[str, Path] = {}
    for source in sorted(folder.glob("*.toml")):
        manifest = read_manifest(source)
        if manifest.id in ids:
            raise CatalogError(f"{source}: id: {manifest.id!r} is also the id in {ids[manifest.id]}")
        ids[manifest.id] = source
        yield manifest


def _names(manifests: Sequence[Manifest]) -> dict[str, Manifest]:
    """Every name, casefolded. An id beats an alias, and an earlier folder's alias a later one's."""
    names = {m.id.casefold(): m for m in manifests}
    for manifest in manifests:
        for alias in manifest.aliases:
            other = names.setdefault(alias.casefold(), manifest)
            if other is not manifest and other.source.parent == manifest.source.parent:
                raise CatalogError(f"{manifest.source}: aliases: {alias!r} already names {other.id!r}")
    return names


def _verify(file: Path, size: int | None, digest: str | None) -> None:
    try:
        actual_size = file.stat().st_size
        if size is not None and actual_size != size:
            raise CatalogError(f"{file}: has {actual_size} bytes, the manifest says {size}; fetch it again")
        with file.open("rb") as stream:
            if stream.read(4) != b"GGUF":
                raise CatalogError(f"{file}: is not a GGUF file")
            if digest is not None:
                stream.seek(0)
                actual = hashlib.file_digest(stream, "sha256").hexdigest()
                if actual != digest:
                    raise CatalogError(f"{file}: sha256 is {actual}, the manifest says {digest}; fetch it again")
    except OSError as e:
        raise CatalogError(f"{file}: weights cannot be read: {e.strerror or e}") from e
