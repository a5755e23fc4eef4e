"""The composition root: settings → functions → models → application → HTTP, and all of it stopped in order."""

from __future__ import annotations

import asyncio
import gc
import logging
import os
import socket
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from pathlib import Path

import uvloop

from runtime import config
from runtime.ai.service import Service
from runtime.catalog.catalog import EMBEDDED, Catalog
from runtime.catalog.manifest import Manifest
from runtime.config import EngineSettings, Settings
from runtime.engine.engine import Engine
from runtime.engine.fidelity import write_best
from runtime.engine.optimize import optimized_path
from runtime.errors import ConfigError
from runtime.gateway.app import App, Node
from runtime.gateway.functions import Functions
from runtime.gateway.memory import Memory, available_bytes
from runtime.gateway.reload import SHARED, Changes
from runtime.gateway.report import printable
from runtime.gateway.schedule import Schedule
from runtime.gateway.server import Server
from runtime.isolate import layers, sandbox
from runtime.isolate.groups import Groups
from runtime.isolate.privileges import Privileges
from runtime.log import standard_error, standard_output
from runtime.outbound import Outbound
from runtime.supervisor import DRAIN_S, WEDGED, Inheritance, listen

log = logging.getLogger("beira")
WARM = 4
"""Isolates of each function that are forked ahead."""
IMAGE_BYTES = 20 * 2**20
RESOLVERS = 32
"""Threads that look names up; libuv uses half of them at once, and four where nobody says."""


@dataclass(frozen=True, slots=True)
class Options:
    """How a node is run."""

    host: str
    port: int
    is_dev: bool = False
    allow_stand_in: bool = False
    only: str | None = None
    """Serve this function alone, and print nothing: `beira invoke`."""

    @property
    def grace_s(self) -> float:
        """How long requests in flight may go on after a stop was asked for."""
        return 0.5 if self.is_dev else DRAIN_S


Work = Callable[[str], Awaitable[int]]
"""What a started node is for: takes its URL, returns the exit status when it is over."""


def run(settings: Settings, options: Options, work: Work | None = None, inheritance: Inheritance | None = None) -> int:
    """Start a node, do `work` (without any: print where it listens and serve), stop on its end or on a signal.

    `inheritance` is what a supervisor gave; without it the node listens by itself. Returns the exit status. Raises
    BeiraError where the node cannot start.
    """
    host = Host(settings, options)
    os.environ.setdefault("UV_THREADPOOL_SIZE", str(RESOLVERS))  # read by libuv at the first lookup
    listener = inheritance.take() if inheritance is not None else listen(options.host, options.port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(host.serve(listener, work or host.announce))


def check(settings: Settings) -> int:
    """Load every function and say what is wrong; 1 where one does not load."""

    async def load() -> int:
        functions = Functions(settings.functions, warm=0, concurrency=settings.node.concurrency)
        try:
            await functions.start()
            for line in functions.lines():
                print(line)
            return 0 if functions.are_sound else 1
        finally:
            await functions.aclose()

    return asyncio.run(load())


def optimize(manifest: Manifest, output: Path | None) -> int:
    """Write a projector that a CPU encodes faster with, and say what it keeps."""
    if manifest.projector is None or not manifest.is_on_disk:
        absent = [str(file) for file in manifest.files if not file.is_file()]
        lack = f"has no {', '.join(absent)}" if absent else "takes no images"
        raise ConfigError(f"the model {manifest.id!r} {lack}: there is no projector to optimise")
    target = output or optimized_path(manifest.projector)
    found = write_best(manifest.text, manifest.projector, target)
    print(
        f"{target}  {target.stat().st_size / 2**20:.0f} MB instead of {manifest.projector.stat().st_size / 2**20:.0f}"
    )
    print(found.describe())
    return 0


class Host:
    """One node."""

    def __init__(self, settings: Settings, options: Options) -> None:
        if options.only is not None:
            settings = _only(settings, options.only)
        self.settings = settings
        self.options = options
        self._out = standard_output()
        self._watch = Watch(settings.engine)

    async def announce(self, url: str) -> int:
        """The work of a node that serves: none of its own."""
        self._print(f"ready {url}")
        forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
        return await forever

    def _print(self, line: str) -> None:
        self._out.write(f"{line}\n")

    async def serve(self, listener: socket.socket, work: Work) -> int:
        """Start everything, do `work`, stop everything; a signal ends the work. Returns the exit status."""
        settings, options = self.settings, self.options
        powers = Privileges.acquire(settings.root / "functions", sandbox.interpreter())
        concurrency = settings.node.concurrency
        functions = Functions(
            settings.functions, warm=1 if options.only else WARM, concurrency=concurrency, powers=powers
        )
        outbound = Outbound(allow=settings.outbound_allow)
        service = self._service(outbound)
        app = App(
            Node(
                service=service,
                outbound=outbound,
                routes=lambda: functions.routes,
                memory=Memory(settings.node.min_free_mb),
                faults=self._watch.faults,
                api_keys=settings.api_keys,
                cors_origins=settings.cors_origins,
                is_dev=options.is_dev,
            )
        )
        server = Server(app, settings.node, options.grace_s)
        schedule = Schedule(lambda: [f.settings for f in functions.routes.functions.values()], app.run_scheduled)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        watching = asyncio.create_task(self._watch.wedged())
        working = asyncio.create_task(self._work(app, functions, service, schedule, listener, work, powers))
        is_wedged = False
        try:
            is_wedged = await self._until_over(serving, working, watching)
            if is_wedged:
                app.hurry()
            return WEDGED if is_wedged else working.result() if working.done() else 0
        finally:
            server.should_exit = True
            for task in (working, watching):
                task.cancel()
            await asyncio.gather(working, watching, serving, return_exceptions=True)
            await functions.aclose()
            powers.close()
            await schedule.aclose()
            if not is_wedged:  # its thread would never be joined; the end of the process frees what it holds
                await service.aclose()
            await outbound.aclose()

    async def _until_over(
        self, serving: asyncio.Task[None], working: asyncio.Task[int], watching: asyncio.Task[str]
    ) -> bool:
        """Wait for the end; whether it is that of a wedged engine. In development nobody would start another host."""
        await asyncio.wait([serving, working, watching], return_when=asyncio.FIRST_COMPLETED)
        if serving.done() or working.done():
            return False
        if not self.options.is_dev:
            log.critical("%s: giving up", watching.result())
            return True
        log.critical("%s: restart to have it back", watching.result())
        await asyncio.wait([serving, working], return_when=asyncio.FIRST_COMPLETED)
        return False

    def _service(self, outbound: Outbound) -> Service:
        settings, options = self.settings, self.options

        def make_engine(manifest: Manifest) -> Engine:
            return self._watch.add(Engine(manifest.text, manifest.projector, settings.engine, name=manifest.id))

        async def fetch_image(url: str) -> bytes:
            return await outbound.fetch_bytes(url, max_bytes=IMAGE_BYTES)

        return Service(
            Catalog(settings.model_dirs),
            make_engine,
            default=settings.default_model or EMBEDDED,
            load=settings.load,
            is_dev=options.is_dev,
            allow_stand_in=options.allow_stand_in,
            fetch_image=fetch_image,
            image_max_tokens=settings.engine.image_max_tokens,
        )

    async def _work(
        self,
        app: App,
        functions: Functions,
        service: Service,
        schedule: Schedule,
        listener: socket.socket,
        work: Work,
        powers: Privileges,
    ) -> int:
        options, available = self.options, available_bytes()
        touched = Changes(self.settings.root) if options.is_dev and options.only is None else None
        try:
            await asyncio.gather(functions.start(), service.start())
            # what start-up has made stays: a full collection over it would hold the loop for 70 ms, again and again
            gc.collect()
            gc.freeze()
            self._bound_functions(powers.groups, available)
            app.open()
            beside = []
            if options.only is None:
                isolation = f"isolation  {layers.available(powers)}"
                for line in (isolation, *functions.lines(), *service.lines()):
                    self._print(line)
                beside.append(asyncio.create_task(schedule.run()))
            if touched is not None:
                beside.append(asyncio.create_task(self._reload(functions, touched)))
            host, port = listener.getsockname()[:2]
            try:
                return await work(f"http://{_visible(host)}:{port}")
            finally:
                for task in beside:
                    task.cancel()
                await asyncio.gather(*beside, return_exceptions=True)
        finally:
            if touched is not None:
                await touched.aclose()

    def _bound_functions(self, groups: Groups, available: int | None) -> None:
        """All functions together: what was `available` before the models were, without what these may use."""
        if available is None or not groups.are_there:
            return
        one = max((f.limits.memory_mb for f in self.settings.functions), default=0) * 2**20
        left = available - self._watch.memory() - self.settings.node.min_free_mb * 2**20
        together = max(left, one + self.settings.node.min_free_mb * 2**20)
        try:
            groups.limit(together, each=together if len(self.settings.functions) == 1 else max(one, together * 3 // 4))
        except OSError as e:
            log.warning("the memory of all functions together is not bounded: %s", e)

    async def _reload(self, functions: Functions, changes: Changes) -> None:
        """Development: serve what was saved, and say so."""
        async for touched in changes:
            try:
                await self._serve_saved(functions, touched)
            except ConfigError as e:
                self._print(f"not reloaded: {printable(str(e))}")
            except Exception:  # no descriptors left, say: the next save may do better
                log.exception("not reloaded")

    async def _serve_saved(self, functions: Functions, touched: set[str]) -> None:
        settings = config.load(self.settings.root)
        names = {f.name for f in settings.functions} if SHARED in touched else touched
        if settings.engine != self.settings.engine or settings.load != self.settings.load:
            self._print("the engine's settings have changed: restart to apply them")
        for line in functions.lines(await functions.update(settings.functions, names)):
            self._print(f"reloaded {line}")


class Watch:
    """Knows the engines, and when one is wedged: a step of it that does not end, or an image."""

    def __init__(self, settings: EngineSettings) -> None:
        self._step_s, self._image_s = settings.step_s, settings.image_s
        self._engines: list[Engine] = []

    def add(self, engine: Engine) -> Engine:
        self._engines.append(engine)
        return engine

    def memory(self) -> int:
        """Bytes that the engines may use."""
        return sum(engine.stats().memory for engine in self._engines)

    def faults(self) -> list[str]:
        """One line for each engine that is."""
        made = []
        for engine in self._engines:
            stats = engine.stats()
            if stats.step_s > self._step_s:
                made.append(_stuck(engine, "in one step", stats.step_s, "step_s", self._step_s))
            if stats.image_s > self._image_s:
                made.append(_stuck(engine, "at one image", stats.image_s, "image_s", self._image_s))
        return made

    async def wedged(self) -> str:
        """Returns what is wrong once something is."""
        while True:
            await asyncio.sleep(min(self._step_s / 4, self._image_s / 4, 1.0))
            if faults := self.faults():
                return faults[0]


def _stuck(engine: Engine, where: str, seconds: float, name: str, limit: float) -> str:
    return f"the engine of {engine.name!r} has been {where} for {seconds:.1f} s (engine.{name} is {limit:g})"


def setup_logging(level: int = logging.INFO) -> None:
    """The node's log on standard error; libraries speak up from WARNING."""
    handler = logging.StreamHandler(standard_error())
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(level)
    logging.getLogger("runtime.engine.loading").setLevel(level)
    logging.getLogger("runtime.engine.optimize").setLevel(level)
    logging.getLogger("uvicorn.error").addFilter(_not_a_cut)


def _not_a_cut(record: logging.LogRecord) -> bool:
    """uvicorn takes our cut connections for a fault of the application: they are the answer to one."""
    return "without completing response" not in record.getMessage()


def _only(settings: Settings, name: str) -> Settings:
    chosen = tuple(f for f in settings.functions if f.name == name)
    if not chosen:
        known = ", ".join(f.name for f in settings.functions) or "none"
        raise ConfigError(f"no function {name!r} in {settings.root / 'functions'}; known: {known}")
    return replace(settings, functions=chosen)


def _visible(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host
