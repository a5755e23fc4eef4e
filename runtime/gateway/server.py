"""uvicorn, made to stop in our order: no new connections, the application drained, then every connection closed."""

from __future__ import annotations

import asyncio
import contextlib
import resource
import signal
import socket
import time
from collections.abc import Iterator
from types import FrameType

import uvicorn

from runtime.config import NodeSettings
from runtime.gateway.app import App
from runtime.gateway.connection import Connection

CONNECTIONS = 8192
"""All that a node holds; fewer where it may not have so many descriptors."""
RESERVED_FILES = 512
"""Descriptors kept for isolates, models and outbound requests."""
FLUSH_S = 5.0
"""How long clients may take what is left of their answers once the application has drained."""
STEP_S = 0.01
TICKS = 10
"""Of uvicorn's main loop, in a second."""


class Server(uvicorn.Server):
    """One node's HTTP server; `should_exit` stops it."""

    def __init__(self, app: App, limits: NodeSettings, grace_s: float) -> None:
        super().__init__(
            uvicorn.Config(
                app,
                http=Connection,
                ws="none",
                lifespan="off",
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                limit_concurrency=_most_connections() + 1,
            )
        )
        self._app = app
        self._limits = limits
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

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The first signal asks for an orderly stop; another interrupt has no patience."""
        if self.should_exit and sig == signal.SIGINT:
            self._app.hurry()
        self.should_exit = True

    async def on_tick(self, counter: int) -> bool:
        now = time.monotonic()
        for connection in self._connections()[counter % TICKS :: TICKS]:  # a tenth each tick: closing them takes time
            connection.check(now, self._limits)
        return await super().on_tick(counter)

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        for listener in (*self.servers, *(sockets or ())):
            listener.close()
        for connection in self._connections():
            connection.let_finish()
        await self._app.drain(self._grace_s)
        for connection in self._connections():
            connection.shutdown()
        loop = asyncio.get_running_loop()
        end = loop.time() + min(FLUSH_S, self._grace_s)
        while self.server_state.connections and loop.time() < end:  # noqa: ASYNC110  uvicorn tells nobody
            await asyncio.sleep(STEP_S)
        for connection in self._connections():
            connection.transport.abort()
        await asyncio.gather(*self.server_state.tasks, return_exceptions=True)

    def _connections(self) -> list[Connection]:
        return list(self.server_state.connections)  # type: ignore[arg-type]


def _most_connections() -> int:
    """Raises the process's own limit of descriptors as far as it may."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = CONNECTIONS + RESERVED_FILES
    if hard == resource.RLIM_INFINITY or hard > soft:
        with contextlib.suppress(OSError, ValueError):
            most = wanted if hard == resource.RLIM_INFINITY else min(wanted, hard)
            resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, most), hard))
            soft = max(soft, most)
    return min(CONNECTIONS, max(soft - RESERVED_FILES, 64))
