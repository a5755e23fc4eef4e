"""The host's part, played by hand: a pool for a module given as text, and one invocation over its messages."""

from __future__ import annotations

import asyncio
import textwrap
from collections.abc import AsyncIterator, Callable, Coroutine, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from runtime.config import FunctionSettings, Limits
from runtime.isolate.groups import Groups
from runtime.isolate.pool import Exit, Isolate, Pool
from runtime.isolate.privileges import Privileges
from runtime.wire import frames, from_isolate, to_isolate

T = TypeVar("T")
DEADLINE_S = 30.0
Output = list[tuple[str, str, str]]
Answer = Callable[[frames.Message], Sequence[frames.Message]]
"""What the host says to a message of the isolate."""


def run(work: Coroutine[Any, Any, T]) -> T:
    """`work` on a new loop; nothing in these tests may take longer than the deadline."""

    async def bounded() -> T:
        return await asyncio.wait_for(work, DEADLINE_S)

    return asyncio.run(bounded())


async def until(fact: Callable[[], bool], what: str) -> None:
    """Wait until `fact` is true."""
    for _ in range(int(DEADLINE_S / 0.01)):
        if fact():
            return
        await asyncio.sleep(0.01)
    raise AssertionError(f"it did not come true: {what}")


def write(folder: Path, source: str, name: str = "f") -> Path:
    """`source` as the module of the function `name`."""
    path = folder / "functions" / f"{name}.py"
    path.parent.mkdir(exist_ok=True)
    path.write_text(textwrap.dedent(source))
    return path


def settings(path: Path, **limits: Any) -> FunctionSettings:
    name = path.parent.name if path.name == "__init__.py" else path.stem
    return FunctionSettings(name=name, path=path, routes=(f"/{name}",), limits=Limits(**limits))


@asynccontextmanager
async def pool_of(
    path: Path, *, warm: int = 1, output: Output | None = None, groups: Groups | None = None, **limits: Any
) -> AsyncIterator[Pool]:
    said: Output = [] if output is None else output
    powers = Privileges(groups=groups)
    pool = Pool(settings(path, **limits), warm=warm, on_output=lambda *line: said.append(line), powers=powers)
    await pool.start()
    try:
        yield pool
    finally:
        await pool.aclose()


def invoke_message(**changes: Any) -> to_isolate.Invoke:
    fields: dict[str, Any] = {
        "handler": "fetch",
        "method": "GET",
        "url": "http://edge.test/f",
        "headers": [],
        "metadata": {"request_id": "req-1", "remote_addr": "192.0.2.1", "function": "f"},
        "env": {},
        "args": {},
        "limits": {"ai_calls": 16, "subrequests": 50, "wait_until_s": 30.0, "log_kb": 256},
    }
    return to_isolate.Invoke(**fields | changes)


@dataclass
class Reply:
    """All that one invocation said."""

    messages: list[frames.Message] = field(default_factory=list)
    exit: Exit | None = None

    def all(self, kind: type[Any]) -> list[Any]:
        return [m for m in self.messages if isinstance(m, kind)]

    @property
    def status(self) -> int:
        return int(self.all(from_isolate.Head)[0].status)

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.all(from_isolate.Head)[0].headers}

    @property
    def body(self) -> bytes:
        return b"".join(m.data for m in self.all(from_isolate.Chunk))

    @property
    def text(self) -> str:
        return self.body.decode()

    @property
    def logs(self) -> list[tuple[str, str]]:
        return [(m.level, m.text) for m in self.all(from_isolate.Log)]

    @property
    def failure(self) -> from_isolate.Failure:
        failures = self.all(from_isolate.Failure)
        assert len(failures) == 1, self.messages
        found: from_isolate.Failure = failures[0]
        return found

    @property
    def is_complete(self) -> bool:
        return bool(self.all(from_isolate.End)) and not self.all(from_isolate.Failure)


def no_answer(_: frames.Message) -> Sequence[frames.Message]:
    return ()


async def talk(isolate: Isolate, answer: Answer = no_answer) -> Reply:
    """Take what the isolate says until its end, granting what it sends."""
    reply = Reply()
    while (message := await isolate.receive()) is not None:
        reply.messages.append(message)
        if isinstance(message, from_isolate.Chunk):
            await isolate.send(to_isolate.Credit(size=len(message.data)))
        for said in answer(message):
            await isolate.send(said)
    reply.exit = await isolate.exited()
    return reply


async def invoke(pool: Pool, *, body: bytes = b"", answer: Answer = no_answer, **changes: Any) -> Reply:
    """One whole invocation, its process reaped."""
    isolate = await pool.acquire()
    try:
        await isolate.send(invoke_message(**changes))
        sender = asyncio.create_task(send_body(isolate, body))
        reply = await talk(isolate, answer)
        sender.cancel()
        await asyncio.gather(sender, return_exceptions=True)
        return reply
    finally:
        await isolate.aclose()


async def send_body(isolate: Isolate, body: bytes) -> None:
    """Small bodies only: no credit is waited for."""
    assert len(body) <= frames.WINDOW
    for start in range(0, len(body), frames.CHUNK):
        await isolate.send(to_isolate.Body(data=body[start : start + frames.CHUNK]))
    await isolate.send(to_isolate.BodyEnd())


def ask(path: Path, **changes: Any) -> Reply:
    """One invocation of the module at `path`, pool and all."""

    async def work() -> Reply:
        async with pool_of(path) as pool:
            return await invoke(pool, **changes)

    return run(work())
