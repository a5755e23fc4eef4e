"""The engines of this node: which model is loaded, which may be at its first use, and who answers for the others."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from runtime.ai.structured import Grammars, Vocabulary
from runtime.catalog.catalog import Catalog
from runtime.catalog.manifest import Manifest
from runtime.engine.request import Part, Prompt, SamplingParams, Sink, Ticket, TokenMask
from runtime.errors import CatalogError, ConfigError, ModelNotLoaded


class Engine(Protocol):
    """What this room asks of an engine; `runtime.engine.engine.Engine` is one."""

    @property
    def context(self) -> int: ...
    @property
    def has_vision(self) -> bool: ...
    def prepare(self, parts: Sequence[Part]) -> Prompt: ...
    def submit(
        self,
        prompt: Any,
        params: SamplingParams,
        sink: Sink,
        *,
        n: int = 1,
        caller: str = "",
        mask: Callable[[], TokenMask] | None = None,
    ) -> Ticket: ...
    def markup(self, name: str) -> int | None: ...
    def vocabulary(self) -> Vocabulary: ...
    def close(self) -> None: ...


MakeEngine = Callable[[Manifest], Engine]


@dataclass(frozen=True, slots=True)
class Loaded:
    """A model that answers."""

    manifest: Manifest
    engine: Engine
    grammars: Grammars
    longest_token: int
    """Bytes of the vocabulary's longest text."""
    seconds: float
    """How long it took to load."""


class Engines:
    """Owns every engine: each model is loaded once, on a thread, however many callers wait for it."""

    def __init__(
        self, catalog: Catalog, make_engine: MakeEngine, *, can_load_later: bool, allow_stand_in: bool
    ) -> None:
        self._catalog = catalog
        self._make_engine = make_engine
        self._can_load_later = can_load_later
        self._allow_stand_in = allow_stand_in
        self._loads: dict[str, asyncio.Task[Loaded]] = {}
        self._is_closed = False

    async def start(self, names: Iterable[str]) -> None:
        """Load these, or their stand-ins where that is allowed. ConfigError where the weights are absent."""
        for name in names:
            manifest = self._catalog.find(name)
            if manifest.is_on_disk:
                await self._load(manifest)
            elif (stand_in := self.stand_in(manifest)) is not None:
                await self._load(stand_in)
            else:
                raise ConfigError(_absent(manifest))

    async def get(self, manifest: Manifest) -> Loaded:
        """Who answers for this model. Raises ModelNotLoaded."""
        if self.loaded(manifest) is not None or (self._can_load_later and manifest.is_on_disk):
            wanted = manifest
        elif (stand_in := self.stand_in(manifest)) is not None:
            wanted = stand_in
        else:
            raise ModelNotLoaded(f"The model {manifest.id!r} is not loaded on this node", param="model")
        try:
            return await self._load(wanted)
        except (CatalogError, ConfigError) as e:
            raise ModelNotLoaded(f"The model {wanted.id!r} cannot be loaded: {e}", param="model") from e

    def loaded(self, manifest: Manifest) -> Loaded | None:
        """This model itself, where it is loaded."""
        task = self._loads.get(manifest.id)
        return task.result() if task and task.done() and not task.cancelled() and not task.exception() else None

    def stand_in(self, manifest: Manifest) -> Manifest | None:
        """Who would answer under its name while it is not loaded."""
        if not self._allow_stand_in or manifest.stand_in is None:
            return None
        other = self._catalog.find(manifest.stand_in)
        return other if other.is_on_disk else None

    async def aclose(self) -> None:
        """Close every engine, those still loading included."""
        self._is_closed = True
        loads, self._loads = self._loads, {}
        for result in await asyncio.gather(*loads.values(), return_exceptions=True):
            if isinstance(result, Loaded):
                await asyncio.to_thread(result.engine.close)

    async def _load(self, manifest: Manifest) -> Loaded:
        if self._is_closed:
            raise ModelNotLoaded(f"The model {manifest.id!r} is not loaded: the node is shutting down", param="model")
        task = self._loads.get(manifest.id)
        if task is None:
            task = self._loads[manifest.id] = asyncio.create_task(self._make(manifest), name=f"load {manifest.id}")
            task.add_done_callback(lambda t: t.cancelled() or t.exception())  # seen, even where all callers have left
        try:
            # a caller who leaves must not end what others wait for
            return await asyncio.shield(task)
        except Exception:
            if self._loads.get(manifest.id) is task:
                del self._loads[manifest.id]  # the next caller may try again
            raise

    async def _make(self, manifest: Manifest) -> Loaded:
        start = time.monotonic()
        engine = await asyncio.to_thread(self._make_engine, manifest)
        pieces = (await asyncio.to_thread(engine.vocabulary)).pieces
        grammars = await asyncio.to_thread(Grammars(engine).load)
        return Loaded(manifest, engine, grammars, max(map(len, pieces)), time.monotonic() - start)


def _absent(manifest: Manifest) -> str:
    missing = ", ".join(str(file) for file in manifest.files if not file.is_file())
    return f"the model {manifest.id!r} cannot be loaded: weights absent, looked for {missing}"
