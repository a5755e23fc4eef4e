"""Attacks, in turn and all at once, beside a function and a stream that must go on as if nothing were."""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
import tempfile
import threading
import time
from collections.abc import Callable
from pathlib import Path

import httpx
import pytest

from runtime import config
from runtime.host import WARM
from runtime.isolate.landlock import Landlock
from runtime.isolate.layers import available
from tests.chaos.attacks import ATTACKS, Attack
from tests.chaos.conftest import Account
from tests.chaos.world import World, below, descriptors, left_files, page_tables_mb, processes, world
from tests.loop import BOUND_S, run_watched
from tests.node import ROOT, Node, open_folder, open_python, running, until

QUESTION = "What is the capital of France?"
LEAVE_AFTER_S = 0.3
ROUNDS = 2
AT_ONCE = 16
MEMORY_MB = 128 + 96
"""An isolate's limit, and what it shares with its zygote."""
_LOST = (httpx.RemoteProtocolError, httpx.ReadError)


def layer_missing(attack: Attack) -> str:
    """Why this kernel cannot hold an attack, if it cannot."""
    absent = " ".join(available().absent)
    files = ("read_proc", "read_host", "write_host", "neighbours", "import_reads", "import_at_fork")
    if "landlock (files)" in absent and attack.name in files:
        return "no Landlock on this kernel: files are not walled off"
    if "landlock (signals)" in absent and attack.name == "signal_everyone":
        return f"Landlock {Landlock().version} on this kernel: signals by descriptor are not walled off"
    if "seccomp" in absent:
        return "no seccomp on this kernel"
    return ""


def strike(node: Node, attack: Attack, client: httpx.Client) -> tuple[str, str]:
    """Send the attack's request; its request id, and what came back: headers that it should not have, and the body."""
    parts: list[bytes] = []
    request_id, head = "", "[]"
    try:
        with client.stream("GET", attack.path, timeout=LEAVE_AFTER_S if attack.leaves else 60) as answer:
            request_id = answer.headers["x-beira-request-id"]
            head = repr([h for h in answer.headers.raw if h[0] == b"set-cookie" or b"forged" in h[1]])
            begin = time.monotonic()
            for part in answer.iter_raw():
                parts.append(part)
                if attack.leaves and time.monotonic() - begin > LEAVE_AFTER_S:
                    break
    except _LOST:
        pass
    except httpx.ReadTimeout:
        assert attack.leaves, f"{attack} was never answered"
    return request_id, head + b"".join(parts).decode("utf-8", "replace")


def outcome(node: Node, attack: Attack, request_id: str, before: int) -> re.Match[str]:
    """The line of the attack's request; where the client left before any head, the first one after `before`."""
    who = re.escape(request_id) if request_id else r"\w+"
    line = re.compile(rf"\[{who}\] {attack.name} GET \S+ outcome=(?P<outcome>\w+)(?:.* rss_mb=(?P<rss>\d+))?")
    return until(lambda: line.search(node.log, before))


def managed(text: str) -> list[str]:
    """What the attack says against itself."""
    start = text.find('{"managed":')
    if start < 0:
        return []
    try:
        found = json.JSONDecoder().raw_decode(text[start:])[0]["managed"]
    except ValueError:
        return []
    return [f"it managed {name}: {value}" for name, value in found.items()]


@pytest.mark.parametrize("attack", ATTACKS, ids=str)
def test_an_attack_reaches_nothing(node: Node, targets: World, account: Account, attack: Attack) -> None:
    if reason := layer_missing(attack):
        pytest.skip(reason)
    targets.touched()
    before, seen_before = len(node.log), len(targets.told_in(node.log))
    with httpx.Client(base_url=node.url, trust_env=False) as client:
        tables = _watch(node) if attack.name == "memory_tables" else None
        request_id, text = strike(node, attack, client)
    line = outcome(node, attack, request_id, before)
    facts = targets.touched() + targets.told_in(text) + managed(text)
    if len(targets.told_in(node.log)) > seen_before:
        facts.append("a secret is in the log")
    if int(line["rss"] or 0) > MEMORY_MB:
        facts.append(f"it held {line['rss']} MB")
    if tables is not None and (most := tables()) > 64:
        facts.append(f"it held {most} MB of page tables")
    if not text.startswith("[]"):
        facts.append("it forged a header")
    written = len(node.log) - before
    if written > 1_500_000:
        facts.append(f"it wrote {written} bytes of log")
    account.seen[str(attack)] = line["outcome"]
    if facts:
        account.escaped[str(attack)] = facts
    check_healthy(node, str(attack))
    assert not facts
    assert line["outcome"] in attack.outcomes, node.log[before:][-3000:]


def _watch(node: Node) -> Callable[[], int]:
    """Watches page tables until it is asked for the largest."""
    most, is_over = [0], threading.Event()

    def look() -> None:
        while not is_over.wait(0.02):
            most[0] = max(most[0], page_tables_mb(node.pid))

    thread = threading.Thread(target=look)
    thread.start()

    def end() -> int:
        is_over.set()
        thread.join()
        return most[0]

    return end


def check_healthy(node: Node, name: str) -> None:
    answer = node.post("/healthy", params={"name": name}, content=name)
    assert answer.json() == {"healthy": name, "body": name}


async def healthy(client: httpx.AsyncClient, is_over: asyncio.Event, most: int) -> list[float]:
    """Ask, again and again, what only one answer is right to; seconds that each took."""
    took: list[float] = []
    while not is_over.is_set() and len(took) < most:
        begin = time.perf_counter()
        name = f"n{len(took)}"
        answer = await client.post("/healthy", params={"name": name}, content=name)
        took.append(time.perf_counter() - begin)
        assert (answer.status_code, answer.json()) == (200, {"healthy": name, "body": name})
        await asyncio.sleep(0.005)
    return took


async def talk(client: httpx.AsyncClient, is_over: asyncio.Event) -> int:
    """Streams of the model one after another, by a function and by /v1; each must come whole and right."""
    count = 0
    body = {"model": "beira-tiny", "stream": True, "messages": [{"role": "user", "content": QUESTION}]}
    while not is_over.is_set() or count < 2:
        by_function = count % 2 == 0
        request = (
            client.stream("GET", "/talking", params={"q": QUESTION})
            if by_function
            else client.stream("POST", "/v1/chat/completions", json=body)
        )
        async with request as answer:
            if answer.status_code in (429, 503):  # the hog has every place: told, not hung
                await answer.aread()
                await asyncio.sleep(0.05)
                continue
            assert answer.status_code == 200, (await answer.aread(), answer.status_code)
            lines = [line.removeprefix("data: ") async for line in answer.aiter_lines() if line]
        assert lines[-1] == "[DONE]"
        chunks = [json.loads(line) for line in lines[:-1]]
        assert not any("error" in chunk for chunk in chunks), chunks
        assert "Paris" in "".join(chunk["choices"][0]["delta"].get("content") or "" for chunk in chunks)
        count += 1
    return count


async def storm(url: str, rounds: int = ROUNDS) -> tuple[list[float], int]:
    """Every attack, many at once, some rounds; beside it the healthy. What these took, and the streams that came."""
    is_over, places = asyncio.Event(), asyncio.Semaphore(AT_ONCE)
    limits = httpx.Limits(max_connections=AT_ONCE * 2, max_keepalive_connections=0)

    async def one(client: httpx.AsyncClient, attack: Attack) -> None:
        async with places:
            try:
                async with client.stream("GET", attack.path, timeout=LEAVE_AFTER_S if attack.leaves else 60) as answer:
                    async for _ in answer.aiter_raw():
                        pass
            except _LOST:
                pass
            except httpx.ReadTimeout:
                assert attack.leaves, f"{attack} was never answered"

    async with (
        httpx.AsyncClient(base_url=url, limits=limits, trust_env=False) as attackers,
        httpx.AsyncClient(base_url=url, timeout=60, trust_env=False) as others,
    ):
        beside = asyncio.gather(healthy(others, is_over, 10**6), talk(others, is_over))
        attacks = [attack for attack in ATTACKS if not layer_missing(attack)] * rounds
        try:
            await asyncio.gather(*(one(attackers, attack) for attack in attacks))
        finally:
            is_over.set()
        return await beside


def p99_ms(took: list[float]) -> float:
    return sorted(took)[int(len(took) * 0.99)] * 1000


def test_while_all_attack_at_once_the_others_are_answered_and_nothing_is_left(
    node: Node, targets: World, account: Account
) -> None:
    async def quiet() -> list[float]:
        async with httpx.AsyncClient(base_url=node.url, timeout=60, trust_env=False) as client:
            return await healthy(client, asyncio.Event(), 300)

    def calm() -> tuple[int, int]:
        """Processes and descriptors once nothing is under way; the suicide's come and go."""
        return len([p for p in below(node.pid, sessions) if p.state != "Z"]), descriptors(node.pid)

    check_healthy(node, "before")
    sessions = frozenset(p.session for p in below(node.pid) if p.parent == node.pid)
    until(lambda: not left_files(node.pid))
    before = settled(calm)
    alone = asyncio.run(quiet())
    targets.touched()
    took, streams = asyncio.run(storm(node.url))
    facts = targets.touched() + targets.told_in(node.log)
    if facts:
        account.escaped["all at once"] = facts
    account.lines += [
        f"healthy p99: {p99_ms(alone):.1f} ms alone, {p99_ms(took):.1f} ms in the storm",
        f"in the storm: {len(took)} healthy answers, median {sorted(took)[len(took) // 2] * 1000:.0f} ms, "
        f"slowest {max(took) * 1000:.0f} ms; {streams} streams",
    ]
    assert not facts
    until(lambda: not left_files(node.pid))
    until(lambda: calm()[0] <= before[0] and calm()[1] <= before[1] + 1)
    assert node.get("/_beira/health").status_code == 200
    check_cells(node)
    account.lines.append(f"left behind: nothing (processes and descriptors before {before}, after {calm()})")


def settled(state: Callable[[], tuple[int, int]]) -> tuple[int, int]:
    """The largest of the states that come and go by themselves."""
    states = []
    for _ in range(10):
        states.append(state())
        time.sleep(0.1)
    return max(s[0] for s in states), max(s[1] for s in states)


def check_cells(node: Node) -> None:
    """A conversation that needs nearly the whole KV cache fits: no cell of the storm's generations is still taken."""
    words = "Name the capital of France. " * 160
    body = {"model": "beira-tiny", "max_tokens": 8, "messages": [{"role": "user", "content": words}]}
    answer = until(lambda: response if (response := node.post("/v1/chat/completions", json=body)).is_success else None)
    assert 1500 < answer.json()["usage"]["prompt_tokens"] < 2040


def test_a_node_that_is_killed_leaves_no_process_behind() -> None:
    names = ("import_outlives", "import_fork", "import_deaf", "live_on", "wait_for_ever")
    with open_folder("chaos-") as root, world(root, *names):
        with running(root, python=open_python(root)) as node:
            deaf = node.get("/import_deaf").json()
            assert deaf["is_deaf"]
            until(lambda: len([p for p in processes() if p.parent == deaf["zygote"]]) > WARM)  # its own child too
            node.get("/live_on")
            node.get("/wait_for_ever")
            sessions = {p.session for p in below(node.pid) if p.parent == node.pid} - {0}
            assert sessions
            node.client.close()
            node.process.send_signal(signal.SIGKILL)
            node.process.wait()
        until(lambda: not [p for p in processes() if p.session in sessions and p.state != "Z"])


def test_a_node_that_stops_leaves_nothing_whatever_ran_in_it() -> None:
    names = ("import_outlives", "import_fork", "import_deep_folders", "live_on")
    with open_folder("chaos-") as root, world(root, *names), running(root, python=open_python(root)) as node:
        node.get("/live_on")
        sessions = {p.session for p in below(node.pid) if p.parent == node.pid}
        assert node.stop() == 0
        assert not [p for p in processes() if p.session in sessions and p.state != "Z"]
        assert not list(Path(tempfile.gettempdir()).glob(f"beira-{node.pid}-*"))


def test_code_that_runs_outside_of_any_invocation_is_ended_too() -> None:
    names = ("import_spin_at_fork", "import_spin_thread")
    with open_folder("chaos-") as root, world(root, *names), running(root, python=open_python(root)) as node:
        answer = node.get("/import_spin_at_fork", timeout=60)  # told, not hung
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "unavailable")
        until(lambda: "what its import left uses CPU time of its own" in node.log)
        check_healthy(node, "beside")


def test_the_event_loop_is_not_blocked_by_the_storm(account: Account) -> None:
    """The host runs here, its loop watched; who attacks is a process of its own."""
    code = "import asyncio, sys; from tests.chaos.test_chaos import storm; asyncio.run(storm(sys.argv[1], 1))"

    async def work(url: str) -> int:
        attackers = await asyncio.create_subprocess_exec(sys.executable, "-c", code, url, cwd=ROOT)
        return await attackers.wait()

    with open_folder("chaos-") as root, world(root):
        status, turns = run_watched(config.load(root, environ={}), work)
    account.lines.append(f"event loop in the storm: {turns}")
    assert status == 0
    assert turns.longest_s < BOUND_S
