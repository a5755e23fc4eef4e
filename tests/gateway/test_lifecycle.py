"""A node's own life: memory that runs low, requests that come before it has started, and its end."""

from __future__ import annotations

import asyncio
import os
import signal
import socket
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import httpx
import pytest

from runtime.config import EngineSettings
from runtime.gateway import memory
from runtime.gateway.memory import Memory
from runtime.host import Watch
from tests.node import children, is_alive, project, running, until

HELLO = "def fetch(request): return 'hello'"
CHAT = {"model": "beira-tiny", "max_tokens": 4, "messages": [{"role": "user", "content": "Hello"}]}


def test_memory_is_asked_once_a_second_at_most() -> None:
    now, asked = 0.0, 0
    left: int | None = 200 * 2**20

    def available() -> int | None:
        nonlocal asked
        asked += 1
        return left

    watched = Memory(128, available, lambda: now)
    assert not any(watched.is_low for _ in range(100))
    left, now = 100 * 2**20, 0.9
    assert not watched.is_low
    now = 1.0
    assert watched.is_low
    left, now = 128 * 2**20, 2.0
    assert not watched.is_low
    assert asked == 3
    left, now = None, 3.0
    assert not watched.is_low


def test_what_is_available_is_the_least_of_machine_and_group(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    group = tmp_path / "memory" / "node"
    group.mkdir(parents=True)
    (group / "limit").write_text("1000000\n")
    (group / "use").write_text("700000\n")
    (group / "memory.stat").write_text("cache 5\ninactive_file 50000\n")
    assert memory._left(group, "limit", "use", "inactive_file") == 350_000
    (group / "limit").write_text("max\n")
    with pytest.raises(ValueError, match="max"):
        memory._left(group, "limit", "use", "inactive_file")
    (group / "memory.max").write_text("max\n")  # its own has no bound, the one around it has
    for name, value in (("max", "2000000"), ("current", "800000"), ("stat", "inactive_file 1")):
        (group.parent / f"memory.{name}").write_text(value)
    names = ("memory.max", "memory.current", "inactive_file")
    assert memory._least(tmp_path, "/memory/node", names) == 1_200_001
    assert memory._least(tmp_path, "/../nowhere", names) is None
    (tmp_path / "meminfo").write_text("MemTotal: 100 kB\nMemAvailable:   7 kB\n")
    monkeypatch.setattr(memory, "_MEMINFO", tmp_path / "meminfo")
    assert memory.available_bytes() == 7 * 1024


def test_low_memory_sheds_new_work_and_says_so(tmp_path: Path) -> None:
    toml = "[node]\nmin_free_mb = 1000000000"
    root = project(tmp_path, toml=toml, hello=HELLO, tick="def scheduled(event): pass")
    with running(root, env={"BEIRA_CORS_ORIGINS": "https://page.example"}) as node:
        answer = node.get("/hello")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "load_shed")
        assert answer.headers["retry-after"] == "1"
        assert node.outcomes(answer.headers["x-beira-request-id"]) == ["load_shed"]
        answer = node.post("/v1/chat/completions", json=CHAT, headers={"origin": "https://page.example"})
        assert (answer.status_code, answer.json()["error"]["code"]) == (429, "overloaded")
        assert answer.headers["retry-after"] == "1"
        assert answer.headers["access-control-allow-origin"] == "https://page.example"  # else a page cannot read it
        answer = node.get("/_beira/scheduled?function=tick")
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "load_shed")
        ready = node.get("/_beira/ready")
        assert (ready.status_code, ready.json()["reasons"]) == (503, ["the node is low on memory"])
        assert node.get("/_beira/health").status_code == 200
        assert node.get("/nobody").status_code == 404


def test_all_functions_together_have_so_many_places(tmp_path: Path) -> None:
    source = """
import asyncio
async def fetch(request):
    print("begun")
    await asyncio.sleep(float(request.url.query["for"]))
    return "done"
"""
    root = project(tmp_path, toml="[node]\nconcurrency = 1", one=source, other=source)
    with running(root) as node, ThreadPoolExecutor(8) as threads:
        first = threads.submit(node.get, "/one?for=2")
        until(lambda: "one | begun" in node.log)
        others = [threads.submit(node.get, "/other?for=0") for _ in range(6)]
        answers = [other.result() for other in others]
        assert first.result().text == "done"
        assert sorted(answer.status_code for answer in answers) == [200] * 4 + [503] * 2  # four may wait
        assert {a.json()["error"]["code"] for a in answers if a.status_code == 503} == {"load_shed"}
        assert node.get("/one?for=0").text == "done"


def test_a_function_that_cannot_be_restarted_does_not_take_the_node_from_others(tmp_path: Path) -> None:
    dies = f"import os\nif os.path.exists({str(tmp_path / 'hindered')!r}):\n    os._exit(1)\n{HELLO}"
    root = project(tmp_path, one=dies, other=dies)
    with running(root) as node:
        assert node.get("/_beira/ready").status_code == 200
        zygotes = [pid for pid in children(node.pid) if os.getsid(pid) == pid and is_zygote(pid)]
        assert len(zygotes) == 2
        (tmp_path / "hindered").touch()
        os.kill(zygotes[0], signal.SIGKILL)
        until(lambda: "it is tried again" in node.log)
        answers = [node.get(path) for path in ("/one", "/other")]
        assert sorted(answer.status_code for answer in answers) == [200, 503]
        assert {a.json()["error"]["code"] for a in answers if a.status_code == 503} == {"unavailable"}
        assert node.get("/_beira/ready").status_code == 200
        os.kill(zygotes[1], signal.SIGKILL)
        reasons = until(lambda: node.get("/_beira/ready").json()["reasons"])
        assert sorted(reasons) == ["the function 'one' is restarting", "the function 'other' is restarting"]
        (tmp_path / "hindered").unlink()
        until(lambda: node.get("/_beira/ready").status_code == 200)
        until(lambda: [node.get(path).text for path in ("/one", "/other")] == ["hello", "hello"])


def is_zygote(pid: int) -> bool:
    return b"zygote" in Path(f"/proc/{pid}/cmdline").read_bytes()


def test_who_leaves_in_the_queue_is_run_no_more(tmp_path: Path) -> None:
    source = """
import asyncio
async def fetch(request):
    print("begun by", request.url.query["as"], await request.text())
    await asyncio.sleep(float(request.url.query["for"]))
    return "done"
"""
    root = project(tmp_path, toml="[limits]\nconcurrency = 1", one=source)
    with running(root) as node, ThreadPoolExecutor(8) as threads:
        first = threads.submit(node.get, "/one?as=first&for=2")
        until(lambda: "begun by first" in node.log)
        third = threads.submit(node.post, "/one?as=third&for=0", content=b"with all of its body")
        for _ in range(3):
            with pytest.raises(httpx.ReadTimeout):
                node.get("/one?as=second&for=0", timeout=0.2)
        assert first.result().text == "done"
        assert third.result().text == "done"
        assert "begun by third with all of its body" in node.log
        assert "begun by second" not in node.log
        assert node.log.count("outcome=canceled") == 3


def test_requests_wait_for_a_node_that_starts(tmp_path: Path) -> None:
    """They are answered late and not wrongly; its own pages answer at once."""
    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        port = s.getsockname()[1]
    root = project(tmp_path, slow=f"import time\ntime.sleep(1.5)\n{HELLO}")
    answers: list[tuple[str, int]] = []
    url = f"http://127.0.0.1:{port}"

    def ask(path: str) -> None:
        with httpx.Client(base_url=url, timeout=60, trust_env=False) as client:
            answers.append((path, until(lambda: _try(client, path))))

    threads = [threading.Thread(target=ask, args=(p,)) for p in ("/slow", "/v1/chat/completions", "/_beira/ready")]
    for thread in threads:
        thread.start()
    with running(root, "--port", str(port)) as node:
        for thread in threads:
            thread.join()
        assert dict(answers) == {"/slow": 200, "/v1/chat/completions": 200, "/_beira/ready": 503}
        assert node.get("/_beira/ready").status_code == 200


def _try(client: httpx.Client, path: str) -> int | None:
    try:
        method = "POST" if path.startswith("/v1") else "GET"
        return client.request(method, path, json=CHAT if method == "POST" else None).status_code
    except httpx.ConnectError:
        return None


def test_dev_stops_at_once_with_requests_in_flight(tmp_path: Path) -> None:
    stubborn = """
import asyncio
async def fetch(request, env, ctx):
    while True:
        try:
            await asyncio.sleep(3600)
        except asyncio.CancelledError:
            pass
"""
    behind = """
import asyncio
async def fetch(request, env, ctx):
    ctx.wait_until(asyncio.sleep(3600))
    return "answered"
"""
    with running(project(tmp_path, stubborn=stubborn, behind=behind)) as node:
        below = children(node.pid)
        codes: list[int] = []

        def ask() -> None:  # with a client of its own: `stop` closes the node's
            codes.append(httpx.get(f"{node.url}/stubborn", timeout=60, trust_env=False).status_code)

        waiting = [threading.Thread(target=ask) for _ in range(4)]
        for thread in waiting:
            thread.start()
        assert node.get("/behind").text == "answered"
        until(lambda: len(children(node.pid) - below) >= 5)
        below |= children(node.pid)
        with socket.create_connection(("127.0.0.1", int(node.url.rpartition(":")[2]))):  # says nothing
            begin = time.monotonic()
            assert node.stop(signal.SIGTERM) == 0
            took = time.monotonic() - begin
        for thread in waiting:
            thread.join()
        print(f"stopped in {took:.2f} s")
        assert codes == [503] * 4
        assert not [pid for pid in below if is_alive(pid)]


class Stuck:
    """An engine, as far as the watch looks at it."""

    name = "stuck"

    step_s = 0.0
    image_s = 0.0

    def stats(self) -> Stuck:
        return self


@pytest.mark.parametrize(
    ("what", "said"),
    [
        ("step_s", "the engine of 'stuck' has been in one step for 75.0 s (engine.step_s is 0.04)"),
        ("image_s", "the engine of 'stuck' has been at one image for 75.0 s (engine.image_s is 0.08)"),
    ],
)
def test_a_step_or_an_image_that_does_not_end_is_a_fault(what: str, said: str) -> None:
    watch = Watch(EngineSettings(step_s=0.04, image_s=0.08))
    engine = Stuck()
    watch.add(engine)  # type: ignore[arg-type]
    assert watch.faults() == []

    async def go() -> str:
        waiting = asyncio.ensure_future(watch.wedged())
        await asyncio.wait([waiting], timeout=0.1)
        assert not waiting.done()
        setattr(engine, what, 75.0)
        return await waiting

    assert asyncio.run(go()) == said
