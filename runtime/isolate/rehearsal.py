"""What the zygote does before the function is there: isolates' lives, played to nobody.

What Python makes at first use (caches, specialised bytecode) is made once then, and not in every isolate, and it shows
what pages they write to (see `hot`).
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import socket

from runtime.isolate import api, binding, guest, hot
from runtime.isolate.forks import Forks
from runtime.isolate.http import Request, Response
from runtime.isolate.loop import Loop
from runtime.wire import framing, from_isolate, to_isolate, to_zygote

_REQUEST = framing.encode(
    to_isolate.Invoke("fetch", "GET", "http://x/?a=b", [("host", "x")], {"request_id": ""}, {}, {}, {})
) + framing.encode(to_isolate.BodyEnd())
_END = framing.encode(from_isolate.End(wait_until=True))


def in_here(times: int = 16) -> None:
    """Invocations in this process."""
    for _ in range(times):
        ours, theirs = socket.socketpair()
        with ours, theirs, contextlib.closing(Loop()) as loop:
            standby = guest.Standby(theirs, loop, {"fetch": _answer}, lambda: None)
            ours.sendall(_REQUEST)
            standby.serve()
    binding.bind(None)
    api.Azion.env.bind(None)


def in_forks(forks: Forks, control: socket.socket, handlers: guest.Handlers) -> int:
    """Three isolates' lives in processes of their own, ordered as the host does by `control`, whose number stands for
    another socket meanwhile. Returns what `hot.copy_at_fork` does.
    """
    handlers["fetch"] = _answer_and_live_on
    real = os.dup(control.fileno())
    host, theirs = socket.socketpair()
    try:
        os.dup2(theirs.fileno(), control.fileno(), inheritable=False)
        with host, theirs:
            return _see(forks, host)
    finally:
        os.dup2(real, control.fileno(), inheritable=False)
        os.close(real)
        handlers.clear()


def _see(forks: Forks, host: socket.socket) -> int:
    """The second is looked at: what is its own by then, it has written to, or this process has between two forks."""
    forks.listen()
    memory, ring = hot.Memory(), -1
    first = _order(forks, host, 1)
    with _order(forks, host, 2) as second:
        first.close()  # it ends
        while 1 in forks.living.values():
            forks.turn()
        with _order(forks, host, 3):
            watched = [pid for pid, number in forks.living.items() if number == 2]
            if watched and _is_answered(second):
                with contextlib.suppress(OSError):
                    memory.look(watched[0])
                    ring = hot.copy_at_fork(memory.ranges())
    while forks.living:
        forks.turn()
    forks.ignore()
    return ring


def _order(forks: Forks, host: socket.socket, number: int) -> socket.socket:
    ours, theirs = socket.socketpair()
    theirs.setblocking(False)
    with theirs:
        socket.send_fds(host, [framing.encode(to_zygote.Fork(isolate=number, place=0))], [theirs.fileno()])
    forks.turn()
    return ours


def _is_answered(isolate: socket.socket) -> bool:
    isolate.sendall(_REQUEST)
    said = b""
    while data := isolate.recv(4096):
        said += data
        if said.endswith(_END):
            return True
    return False


def _answer(request: Request, env: api.Env, ctx: api.Context) -> Response:
    return Response(str(request.url.query.get("a")))


def _answer_and_live_on(request: Request, env: api.Env, ctx: api.Context) -> Response:
    ctx.wait_until(asyncio.sleep(60))
    return _answer(request, env, ctx)
