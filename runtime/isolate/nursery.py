"""The host's side of one zygote: has it fork, hears who ended, looks after them."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
from collections.abc import Callable, Iterator

from runtime.config import FunctionSettings
from runtime.errors import FunctionError, WireError
from runtime.isolate.groups import Groups
from runtime.isolate.isolate import Exit, Isolate
from runtime.isolate.quota import DEPTH, FolderWatch, Holding
from runtime.isolate.reaper import Reaper
from runtime.isolate.room import Room
from runtime.isolate.seccomp import Filter
from runtime.isolate.strays import shares_memory, strays
from runtime.isolate.tempdir import FILES, TempRoot
from runtime.isolate.threads import ThreadGuard
from runtime.isolate.turns import Turns
from runtime.isolate.zygote_process import ZygoteProcess
from runtime.wire import frames, framing, from_zygote, to_zygote

START_WALL_S = 30.0
"""How long a module may take to load, whatever it waits for."""
LOOK_S = 5.0
"""How often a zygote is looked at."""
OWN_SHARE = 0.15
"""Of a core, that a zygote may use beside its forks: asleep it uses none, and one that spins may have no more."""
FORK_CPU_MS = 50
"""More than a fork costs a zygote on a busy machine."""
OWN_CPU_MS = 2_000
"""What a zygote may need for its own imports, on a busy machine, before the module's CPU time begins to count."""
_TEXT, _WARNINGS = 64 * 1024, 16
"""The most characters of an import's failure or warning, and the most warnings, that are told of it."""


class Nursery:
    """One generation of a function: the module as it was when this was started."""

    def __init__(
        self,
        function: FunctionSettings,
        temp: TempRoot,
        on_output: Callable[[str, str, str], None],
        groups: Groups | None = None,
        turns: Turns | None = None,
        reaper: Reaper | None = None,
    ) -> None:
        self.failure: FunctionError | None = None
        self.warnings: list[str] = []
        self.handlers: list[str] = []
        self.isolates: dict[int, Isolate] = {}
        """Those that live, by number."""
        self._lost: dict[int, int] = {}
        """The places of those whose end was not told in time."""
        self.on_death: Callable[[Nursery], None] = lambda _: None
        self._function = function
        self._temp = temp
        self._on_output = on_output
        self._groups = groups or Groups()
        self._turns = turns or Turns()
        self._room = Room()
        self._reaper = reaper
        self._loop = asyncio.get_running_loop()
        self._loaded: asyncio.Future[None] = self._loop.create_future()
        self._decoder = framing.Decoder(from_zygote.ALL)
        self._process: ZygoteProcess
        self._threads: ThreadGuard | None = None
        self._folders: FolderWatch | None = None
        self._is_dead = False
        self._watch: asyncio.TimerHandle | None = None
        self._forks = 0
        self._is_lack_told = False
        self._n_due = 2
        """Messages that it has reason to send: two of its own, and two of each isolate."""
        self._log_room = function.limits.log_kb * 1024
        self._end: asyncio.Task[None] | None = None
        self._cleaning: set[asyncio.Task[None]] = set()

    @property
    def is_alive(self) -> bool:
        """It has loaded the module and can fork."""
        return self._loaded.done() and self.failure is None and not self._is_dead

    @property
    def pid(self) -> int:
        return self._process.pid

    async def load(self) -> None:
        """Start the process and wait until the module is loaded, or is known not to load: `failure`."""
        self._process = ZygoteProcess(
            self._function, self._temp, self._write_output, groups=self._groups, reaper=self._reaper
        )
        self._loop.add_reader(self._process.control, self._readable)
        limits = self._function.limits
        end = self._loop.time() + START_WALL_S
        try:
            while not self._loaded.done():
                await asyncio.wait([self._loaded], timeout=0.2)
                if self._loaded.done():
                    break
                if self._process.cpu_ms > limits.startup_cpu_ms + OWN_CPU_MS:
                    self._fail(f"the import took more than {limits.startup_cpu_ms} ms of CPU time")
                elif self._loop.time() > end:
                    self._fail(f"the import was not done in {START_WALL_S:g} s")
        except BaseException:
            await self.aclose()
            raise
        if self.failure is None and self._strays():
            self.failure = FunctionError("the import left processes running: a function may have none of its own")
        if self.failure is None and shares_memory(self.pid):
            self.failure = FunctionError(
                "the import left memory that all requests would share: a file, mapped to write"
            )
        if self.failure is not None:
            await self.aclose()
        else:
            self._watch = self._loop.call_later(LOOK_S, self._look, self._process.cpu_ms, set())
            if not self._temp.is_bounded:
                quota = self._temp.quota_mb * 2**20
                self._folders = FolderWatch(self._holdings, self._end_holder, quota=quota, files=FILES)

    def _look(self, used_ms: float, strays: set[int]) -> None:
        """The function's code can go on in its zygote, in threads: these get no CPU time and no processes to speak of.

        What is in the session and no isolate twice in a row is a stray; once, it may be an isolate not yet told of.
        """
        now_ms, forks = self._process.cpu_ms, self._forks
        self._forks = 0
        what = ""
        if self._strays() & strays:
            what = "processes of its own"
        elif shares_memory(self.pid):
            what = "memory that all requests share"
        elif now_ms - used_ms > LOOK_S * 1000 * OWN_SHARE + forks * FORK_CPU_MS:
            what = "CPU time of its own"
        if what:
            self._on_output(self._function.name, "error", f"the zygote is ended: what its import left uses {what}")
            self.end()
            return
        self._watch = self._loop.call_later(LOOK_S, self._look, now_ms, self._strays())

    def _strays(self) -> set[int]:
        """Processes of the zygote's session that are no isolates."""
        return strays(self.pid, {isolate.pid for isolate in self.isolates.values()})

    def _write_output(self, level: str, text: str) -> None:
        """What nobody can say which invocation wrote; each that begins adds its share of the log."""
        if self._log_room > 0:
            self._log_room -= len(text) + 32 * text.count("\n")
            self._on_output(self._function.name, level, text)
            if self._log_room <= 0:
                self._on_output(self._function.name, "warning", "the log is cut here: its limit is reached")

    def fork(self, number: int, on_ready: Callable[[Isolate], None]) -> Isolate:
        """Have an isolate forked; `on_ready` is told when it waits for its invocation."""
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        with theirs:
            self._forks += 1
            self._n_due += 2
            share = self._function.limits.log_kb * 1024
            self._log_room = min(self._log_room + share, 2 * share)
            cpu_ms, session = self._function.limits.cpu_ms, self._process.pid
            isolate = Isolate(
                number,
                ours,
                session=session,
                cpu_ms=cpu_ms,
                on_ready=on_ready,
                turns=self._turns,
                room=self._room,
            )
            self.isolates[number] = isolate
            isolate.on_heavy = self._put_behind
            isolate.place = place = self._take_place()
            isolate.add_end_callback(self._forget)
            try:
                socket.send_fds(
                    self._process.control,
                    [framing.encode(to_zygote.Fork(isolate=number, place=place))],
                    [theirs.fileno()],
                )
            except OSError:  # it is dead, or so stuck that its socket is full
                isolate.ended(Exit(None, None))
                self.end()
        return isolate

    def _take_place(self) -> int:
        place = self._temp.take()
        if self._temp.lack is not None and not self._is_lack_told:
            self._write_output("error", f"isolates have no temporary folder: {self._temp.lack}")
        self._is_lack_told = self._temp.lack is not None
        return place

    def _put_behind(self, isolate: Isolate) -> None:
        self._process.session.put_behind(isolate.number, isolate.pid)

    def _holdings(self) -> Iterator[Holding]:
        """Those of isolates that have begun; nobody else could have written anything."""
        for isolate in self.isolates.values():
            if isolate.is_taken and isolate.pid:
                yield Holding(isolate.number, isolate.pid, self._temp.folder(isolate.place))

    def _end_holder(self, number: int) -> None:
        isolate = self.isolates.get(number)
        if isolate is not None:
            isolate.reason = (
                f"its temporary folder held more than {self._temp.quota_mb} MB, {FILES} files"
                f" or {DEPTH} folders within folders"
            )
            self._on_output(self._function.name, "error", f"an isolate is ended: {isolate.reason}")
            isolate.kill()

    def _forget(self, isolate: Isolate) -> None:
        self.isolates.pop(isolate.number, None)
        self._process.session.forget(isolate.number)
        if isolate.is_lost:  # it may live: what is its own becomes nobody else's until its end is told
            self._lost[isolate.number] = isolate.place
        else:
            self._give_back(isolate.place)

    def _give_back(self, place: int) -> None:
        task = self._loop.create_task(self._temp.give_back(place))
        self._cleaning.add(task)
        task.add_done_callback(self._cleaning.discard)

    def _readable(self) -> None:
        try:
            data = self._receive()
        except BlockingIOError:
            return
        except OSError:
            data = b""
        messages: list[frames.Message] = []
        try:
            messages = self._decoder.feed(data)
            self._n_due -= len(messages)
            if self._n_due < 0:
                raise WireError("nobody asked it for so many")
        except WireError as e:
            self._write_output("error", f"the zygote sent what is no message: {e}")
            data, messages = b"", []
        for message in messages:
            self._take(message)
        if not data:
            self.end()

    def _receive(self) -> bytes:
        """Until it has loaded, the descriptor of its threads may come too; later ones are dropped by the kernel."""
        if self._loaded.done() or self._threads is not None:
            return self._process.control.recv(65536)
        data, fds, _, _ = socket.recv_fds(self._process.control, 65536, 1)
        if fds and Filter().can_ask:
            self._threads = ThreadGuard(fds[0])
        else:  # where the kernel asks nothing, this is some file of the function's
            for fd in fds:
                os.close(fd)
        return data

    def _take(self, message: frames.Message) -> None:
        match message:
            case from_zygote.Loaded(handlers=handlers, warnings=warnings) if not self._loaded.done():
                self.handlers, self.warnings = handlers, [text[:_TEXT] for text in warnings[:_WARNINGS]]
                self._loaded.set_result(None)
            case from_zygote.LoadFailed(message=text, trace=trace):
                self._fail(text[:_TEXT], trace[-_TEXT:])
            case from_zygote.Forked(isolate=number, pid=pid) if number in self.isolates:
                self.isolates[number].forked(pid)
            case from_zygote.Exited(isolate=number) if number in self.isolates:
                self.isolates[number].ended(Exit.from_wire(message))
            case from_zygote.Exited(isolate=number) if number in self._lost:
                self._give_back(self._lost.pop(number))

    def _fail(self, text: str, trace: str = "") -> None:
        if not self._loaded.done():
            self.failure = FunctionError(text, trace)
            self._loaded.set_result(None)

    def end(self) -> None:
        """It is gone, or of no more use: end its whole session, and tell."""
        if self._is_dead:
            return
        self._is_dead = True
        if self._watch is not None:
            self._watch.cancel()
        self._loop.remove_reader(self._process.control)
        self._process.control.close()
        self._end = self._loop.create_task(self._finish())

    async def _finish(self) -> None:
        ending = await self._process.end()
        if self._folders is not None:
            self._folders.close()
        if self._threads is not None:
            self._threads.close()
        self._fail(f"{self._function.path.name}: the process ended in the import ({ending})")
        for isolate in list(self.isolates.values()):
            isolate.close_socket()
            isolate.ended(Exit(None, int(signal.SIGKILL)))
        self.on_death(self)

    async def aclose(self, *, is_patient: bool = False) -> None:
        """End it; with `is_patient`, once the invocations that are running in it have ended by themselves."""
        living = list(self.isolates.values())
        if not is_patient:
            for isolate in living:
                isolate.kill()
        await asyncio.gather(*(isolate.exited() for isolate in living))
        self.on_death = lambda _: None
        self.end()
        assert self._end is not None
        await asyncio.shield(self._end)
        await asyncio.gather(*self._cleaning)
