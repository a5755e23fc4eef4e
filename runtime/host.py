"""The composition root: settings → functions → models → application → HTTP, and all of it stopped in order."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, replace

import uvicorn
import uvloop

from runtime import config
from runtime.ai.service import Service
from runtime.catalog.catalog import EMBEDDED, Catalog
from runtime.catalog.manifest import Manifest
from runtime.config import Settings
from runtime.engine.engine import Engine
from runtime.errors import ConfigError
from runtime.gateway.app import App, Node
from runtime.gateway.functions import Functions
from runtime.gateway.reload import SHARED, Changes
from runtime.outbound import Outbound

log = logging.getLogger("beira")
WARM = 4
"""Isolates of each function that are forked ahead."""
IMAGE_BYTES = 20 * 2**20


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
        return 0.5 if self.is_dev else 30.0


Work = Callable[[str], Awaitable[int]]
"""What a started node is for: takes its URL, returns the exit status when it is over."""


def run(settings: Settings, options: Options, work: Work | None = None) -> int:
    """Start a node, do `work` (without any: print where it listens and serve), stop on its end or on a signal.

    Returns the exit status. Raises BeiraError where the node cannot start.
    """
    host = Host(settings, options)
    listener = _bind(options.host, options.port)
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        return runner.run(host.serve(listener, work or _announce))


async def _announce(url: str) -> int:
    _print(f"ready {url}")
    forever: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    return await forever


def check(settings: Settings) -> int:
    """Load every function and say what is wrong; 1 where one does not load."""

    async def load() -> int:
        functions = Functions(settings.functions, warm=0)
        try:
            await functions.start()
            for line in functions.lines():
                _print(line)
            return 1 if any(f.pool.failure for f in functions.routes.functions.values()) else 0
        finally:
            await functions.aclose()

    return asyncio.run(load())


class Host:
    """One node."""

    def __init__(self, settings: Settings, options: Options) -> None:
        if options.only is not None:
            settings = _only(settings, options.only)
        self.settings = settings
        self.options = options

    async def serve(self, listener: socket.socket, work: Work) -> int:
        """Start everything, do `work`, stop everything; a signal ends the work. Returns the exit status."""
        settings, options = self.settings, self.options
        functions = Functions(settings.functions, warm=1 if options.only else WARM)
        outbound = Outbound(allow=settings.outbound_allow)
        service = self._service(outbound)
        node = Node(
            service=service,
            outbound=outbound,
            routes=lambda: functions.routes,
            api_keys=settings.api_keys,
            cors_origins=settings.cors_origins,
            is_dev=options.is_dev,
        )
        server = _Server(App(node), options.grace_s)
        serving = asyncio.create_task(server.serve(sockets=[listener]))
        working = asyncio.create_task(self._work(functions, service, listener, work))
        try:
            await asyncio.wait([serving, working], return_when=asyncio.FIRST_COMPLETED)
            return working.result() if working.done() else 0
        finally:
            server.should_exit = True
            working.cancel()
            await asyncio.gather(working, serving, return_exceptions=True)
            await functions.aclose()
            await service.aclose()
            await outbound.aclose()

    def _service(self, outbound: Outbound) -> Service:
        settings, options = self.settings, self.options

        def make_engine(manifest: Manifest) -> Engine:
            return Engine(manifest.text, manifest.projector, settings.engine, name=manifest.id)

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
        )

    async def _work(self, functions: Functions, service: Service, listener: socket.socket, work: Work) -> int:
        options = self.options
        touched = Changes(self.settings.root) if options.is_dev and options.only is None else None
        try:
            await asyncio.gather(functions.start(), service.start())
            if options.only is None:
                for line in (*functions.lines(), *service.lines()):
                    _print(line)
            host, port = listener.getsockname()[:2]
            reloading = asyncio.create_task(self._reload(functions, touched)) if touched is not None else None
            try:
                return await work(f"http://{_visible(host)}:{port}")
            finally:
                if reloading is not None:
                    reloading.cancel()
                    await asyncio.gather(reloading, return_exceptions=True)
        finally:
            if touched is not None:
                await touched.aclose()

    async def _reload(self, functions: Functions, changes: Changes) -> None:
        """Development: serve what was saved, and say so."""
        root = self.settings.root
        async for touched in changes:
            try:
                settings = config.load(root)
            except ConfigError as e:
                _print(f"not reloaded: {e}")
                continue
            everything = SHARED in touched
            names = {f.name for f in settings.functions} if everything else touched
            if settings.engine != self.settings.engine or settings.load != self.settings.load:
                _print("the engine's settings have changed: restart to apply them")
            for line in functions.lines(await functions.update(settings.functions, names)):
                _print(f"reloaded {line}")


class _Server(uvicorn.Server):
    """uvicorn, stopped by the loop's own signal handlers, draining the application as it closes."""

    def __init__(self, app: App, grace_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http="httptools",
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=int(grace_s) + 1,
            )
        )
        self._app = app
        self._grace_s = grace_s

    @contextlib.contextmanager
    def capture_signals(self) -> Iterator[None]:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.add_signal_handler(number, self.handle_exit, number, None)
        try:
            yield
        finally:
            for number in (signal.SIGINT, signal.SIGTERM):
                loop.remove_signal_handler(number)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        draining = asyncio.create_task(self._app.drain(self._grace_s))
        await super().shutdown(sockets)
        await draining


def setup_logging(level: int = logging.INFO) -> None:
    """The node's log on standard error; libraries speak up from WARNING."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)-7s %(message)s"))
    logging.basicConfig(level=logging.WARNING, handlers=[handler], force=True)
    log.setLevel(level)
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


def _bind(host: str, port: int) -> socket.socket:
    try:
        family = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE)[0][0]
        listener = socket.socket(family, socket.SOCK_STREAM)
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        listener.bind((host, port))
        listener.set_inheritable(False)
    except (OSError, OverflowError) as e:
        raise ConfigError(f"cannot listen on {host}:{port}: {e}; choose another with --host and --port") from None
    return listener


def _visible(host: str) -> str:
    if host in ("0.0.0.0", "::"):
        return "localhost"
    return f"[{host}]" if ":" in host else host


def _print(line: str) -> None:
    with contextlib.suppress(BrokenPipeError):
        print(line, flush=True)
