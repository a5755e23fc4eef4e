"""`beira serve` and its supervisor: hosts that die in every way, signals, and what is left afterwards."""

from __future__ import annotations

import base64
import io
import os
import signal
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from PIL import Image

from tests.node import ROOT, Node, children, is_alive, project, running, until

FUNCTIONS = {
    "hello": "def fetch(request): return 'hello'",
    "slow": """
import asyncio
async def fetch(request):
    async def parts():
        yield b"begun"
        await asyncio.sleep(float(request.url.query["s"]))
        yield b" and done"
    return Response(parts())
""",
    "ask": """
async def fetch(request):
    return await AI.run("beira-tiny", messages=[{"role": "user", "content": "Hello"}])
""",
    "endless": """
async def fetch(request):
    return await AI.run("beira-tiny", stream=True, ignore_eos=True, max_tokens=30000, messages=[
        {"role": "user", "content": "Hello"}])
""",
}


def host_of(node: Node) -> int:
    """The process that serves now: the supervisor's one child."""
    found = until(lambda: [pid for pid in children(node.pid) if _parent(pid) == node.pid])
    return found[0]


def _parent(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[1])
    except OSError:
        return 0


def next_host(node: Node, before: int) -> int:
    return until(lambda: next((p for p in children(node.pid) if _parent(p) == node.pid and p != before), None))


@pytest.mark.parametrize("number", [signal.SIGABRT, signal.SIGSEGV, signal.SIGKILL])
def test_a_host_that_dies_in_mid_stream_is_replaced(tmp_path: Path, number: signal.Signals) -> None:
    with running(project(tmp_path, **FUNCTIONS), command="serve") as node:
        host = host_of(node)
        below = children(node.pid)
        with node.client.stream("GET", "/endless") as answer:
            parts = answer.iter_bytes()
            next(parts)
            os.kill(host, number)
            with pytest.raises(httpx.HTTPError):  # cut, never ended as if whole
                list(parts)
        answer = node.get("/ask")  # at once: it waits in the socket, and then for the model
        assert answer.status_code == 200
        assert answer.json()["choices"][0]["message"]["content"]
        assert f"the host died of {number.name}; starting another" in node.log
        until(lambda: not [pid for pid in below if is_alive(pid)])
        assert node.stop(signal.SIGTERM) == 0


def test_it_gives_up_after_five_deaths(tmp_path: Path) -> None:
    with running(project(tmp_path, hello=FUNCTIONS["hello"]), command="serve") as node:
        host = host_of(node)
        for _ in range(4):
            os.kill(host, signal.SIGKILL)
            host = next_host(node, host)
        os.kill(host, signal.SIGKILL)
        assert node.process.wait(30) == 1
    assert "the host died of SIGKILL: 5 deaths in 60 s, giving up" in node.log
    with pytest.raises(httpx.ConnectError):
        httpx.get(node.url, trust_env=False)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_lets_what_runs_finish_and_refuses_what_is_new(tmp_path: Path, number: signal.Signals) -> None:
    with running(project(tmp_path, **FUNCTIONS), command="serve") as node:
        below = children(node.pid)
        kept = httpx.Client(base_url=node.url, timeout=30, trust_env=False)
        assert kept.get("/hello").status_code == 200
        with node.client.stream("GET", "/slow?s=5") as answer:
            parts = answer.iter_bytes()
            assert next(parts) == b"begun"
            node.process.send_signal(number)
            until(lambda: _refuses(node))
            refused = kept.get("/hello")
            assert (refused.status_code, refused.headers["retry-after"]) == (503, "1")
            assert refused.headers["connection"] == "close"
            assert b"".join(parts) == b" and done"
        kept.close()
        assert node.process.wait(30) == 0
        until(lambda: not [pid for pid in below if is_alive(pid)])


def test_a_second_interrupt_ends_what_the_first_one_waits_for(tmp_path: Path) -> None:
    with running(project(tmp_path, **FUNCTIONS), command="serve") as node:
        with node.client.stream("GET", "/slow?s=3600") as answer:
            parts = answer.iter_bytes()
            assert next(parts) == b"begun"
            node.process.send_signal(signal.SIGINT)
            until(lambda: _refuses(node))
            node.process.send_signal(signal.SIGINT)
            with pytest.raises(httpx.HTTPError):
                list(parts)
        assert node.process.wait(20) == 0


def _refuses(node: Node) -> bool:
    """New connections are refused: the stop has begun."""
    try:
        httpx.get(node.url + "/hello", trust_env=False)
    except httpx.ConnectError:
        return True
    return False


def test_signals_for_workers_change_nothing(tmp_path: Path) -> None:
    with running(project(tmp_path, hello=FUNCTIONS["hello"]), command="serve") as node:
        host = host_of(node)
        for number in (signal.SIGHUP, signal.SIGTTIN, signal.SIGTTOU, signal.SIGUSR1, signal.SIGUSR2):
            node.process.send_signal(number)
            os.kill(host, number)
        assert node.get("/hello").text == "hello"
        assert [pid for pid in children(node.pid) if _parent(pid) == node.pid] == [host]


def test_a_host_stops_when_its_supervisor_is_killed(tmp_path: Path) -> None:
    with running(project(tmp_path, hello=FUNCTIONS["hello"]), command="serve") as node:
        below = children(node.pid)
        assert len(below) > 1
        node.process.kill()
        node.process.wait()
        until(lambda: not [pid for pid in below if is_alive(pid)])
    with pytest.raises(httpx.ConnectError):
        httpx.get(node.url, trust_env=False)


def test_a_wedged_engine_is_reported_and_replaced(tmp_path: Path) -> None:
    toml = "[engine]\nstep_s = 0.1"  # an ordinary step of a long prompt counts as one that does not end
    with running(project(tmp_path, toml=toml, hello=FUNCTIONS["hello"]), command="serve") as node:
        host = host_of(node)
        body = {"model": "beira-tiny", "max_tokens": 1, "messages": [{"role": "user", "content": "one two " * 1000}]}
        try:
            answer = node.post("/v1/chat/completions", json=body)
            assert answer.status_code in (500, 503)
        except httpx.TransportError:  # or cut
            pass
        next_host(node, host)
        assert "the host gave up a wedged engine; starting another" in node.log
        assert node.get("/hello").text == "hello"


def test_an_image_that_does_not_end_is_a_wedged_engine_too(tmp_path: Path) -> None:
    toml = "[engine]\nimage_s = 0.005"  # an ordinary image takes longer
    picture = io.BytesIO()
    Image.new("RGB", (448, 448), "red").save(picture, "PNG")
    url = "data:image/png;base64," + base64.b64encode(picture.getvalue()).decode()
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is it?"}]
    with running(project(tmp_path, toml=toml, hello=FUNCTIONS["hello"]), command="serve") as node:
        host = host_of(node)
        try:
            body = {"model": "beira-tiny", "max_tokens": 1, "messages": [{"role": "user", "content": content}]}
            assert node.post("/v1/chat/completions", json=body).status_code in (500, 503)
        except httpx.TransportError:  # or cut
            pass
        next_host(node, host)
        assert "has been at one image for" in node.log
        assert "the host gave up a wedged engine; starting another" in node.log
        assert node.get("/hello").text == "hello"


def test_in_development_a_wedged_engine_is_reported_only(tmp_path: Path) -> None:
    toml = "[engine]\nstep_s = 0.0001"  # any step counts as one that does not end
    with running(project(tmp_path, toml=toml, **FUNCTIONS)) as node:
        with node.client.stream("GET", "/endless") as answer:
            parts = answer.iter_bytes()
            until(lambda: "has been in one step for" in str(node.get("/_beira/ready").json()["reasons"]))
            until(lambda: "restart to have it back" in node.log)
            other = node.get("/ask")  # of the same engine, amid its steps
            assert other.status_code == 200
            assert other.json()["choices"][0]["message"]["content"]
            assert next(parts)
        until(lambda: node.get("/_beira/ready").status_code == 200)  # it sleeps: no step, no fault
        assert node.log.count("restart to have it back") == 1
        assert "giving up" not in node.log
        assert node.stop() == 0


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
@pytest.mark.parametrize("own", [None, "glibc.malloc.hugetlb=0"])
def test_the_host_asks_for_huge_pages_and_what_the_user_says_goes_first(tmp_path: Path, own: str | None) -> None:
    root = project(tmp_path, hello=FUNCTIONS["hello"])
    with running(root, command="serve", env={"GLIBC_TUNABLES": own} if own else None) as node:
        host = host_of(node)
        wanted = own or "glibc.malloc.hugetlb=1"
        assert f"GLIBC_TUNABLES={wanted}".encode() in Path(f"/proc/{host}/environ").read_bytes().split(b"\0")
        below = [pid for pid in children(node.pid) if pid != host]
        assert below
        assert not [pid for pid in below if b"GLIBC" in Path(f"/proc/{pid}/environ").read_bytes()]


def test_a_start_that_fails_is_not_tried_again(tmp_path: Path) -> None:
    root = project(tmp_path, hello=FUNCTIONS["hello"])
    done = _serve(root, "--model", "qwen-qwen25-vl-3b-instruct-awq")
    assert done.returncode == 2
    assert done.stderr.count("weights absent") == 1
    assert "starting another" not in done.stderr
    (root / "beira.toml").write_text("[functions.hello]\ncron = ['whenever']")
    done = _serve(root)
    assert done.returncode == 2
    assert "'whenever'" in done.stderr


def _serve(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", "serve", str(root), "--port", "0", *arguments],
        capture_output=True, text=True, timeout=60, cwd=ROOT,
    )  # fmt: skip


@pytest.mark.parametrize("redirect", ["2>/dev/full", "2>&-", ">/dev/full 2>/dev/full", "2> >(exec true)"])
@pytest.mark.parametrize("command", ["dev", "serve"])
def test_a_log_that_cannot_be_written_stops_nothing(tmp_path: Path, command: str, redirect: str) -> None:
    """A full disk, a closed descriptor, a pipe whose reader has left."""
    root = project(
        tmp_path, hello="import sys\ndef fetch(request):\n    print('said' * 5000, file=sys.stderr)\n    return 'hello'"
    )
    port = _free_port()
    line = f'exec "{sys.executable}" -m runtime.cli {command} "{root}" --host 127.0.0.1 --port {port} {redirect}'
    process = subprocess.Popen(["bash", "-c", line], stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL, cwd=ROOT)
    url = f"http://127.0.0.1:{port}"
    try:
        with httpx.Client(base_url=url, timeout=30, trust_env=False) as client:
            until(lambda: _answers(client))
            for _ in range(20):
                assert client.get("/hello").text == "hello"
            assert client.get("/_beira/ready").status_code == 200
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) in (0, 1)  # 1: what was left to say could not be said
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()


def _answers(client: httpx.Client) -> bool:
    try:
        return client.get("/hello").status_code == 200
    except httpx.TransportError:
        return False


def _free_port() -> int:
    import socket

    with socket.socket() as s:
        s.bind(("127.0.0.1", 0))
        return int(s.getsockname()[1])
