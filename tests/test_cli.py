"""The command, as a user runs it: real processes, real sockets."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from pathlib import Path

import httpx
import pytest

from tests.node import DEADLINE_S, ROOT, Node, children, is_alive, picture, project, running, until

HELLO = "def fetch(request): return 'hello'"


def beira(*arguments: str, data: bytes | None = None) -> subprocess.CompletedProcess[bytes]:
    return subprocess.run(
        [sys.executable, "-m", "runtime.cli", *arguments], input=data, capture_output=True, timeout=DEADLINE_S, cwd=ROOT
    )


def ask(client: httpx.Client, path: str, codes: list[str]) -> None:
    codes.append(client.get(path).json()["error"]["code"])


def text(node: Node, path: str) -> str:
    return node.get(path).text


def test_dev_serves_what_is_saved_and_keeps_the_model(tmp_path: Path) -> None:
    root = project(tmp_path, hello=HELLO)
    file = root / "functions" / "hello.py"
    with running(root) as node:
        assert text(node, "/hello") == "hello"
        file.write_text("def fetch(request): return 'hello again'")
        until(lambda: text(node, "/hello") == "hello again")

        file.write_text("def fetch(request) return 'broken'")
        until(lambda: node.get("/hello").status_code == 500)
        assert "SyntaxError" in node.get("/hello").json()["error"]["message"]
        assert "DID NOT LOAD" in node.log

        file.write_text("def fetch(request): return 'healed'")
        until(lambda: text(node, "/hello") == "healed")

        (root / "functions" / "fresh.py").write_text("def fetch(request): return 'fresh'")
        until(lambda: node.get("/fresh").status_code == 200)
        (root / "functions" / "fresh.py").unlink()
        until(lambda: node.get("/fresh").status_code == 404)
        assert node.log.count("model beira-tiny") == 1


def test_dev_serves_changed_helpers_and_settings(tmp_path: Path) -> None:
    root = project(
        tmp_path,
        _words="WORD = 'one'",
        hello='import _words\ndef fetch(request, env): return f\'{_words.WORD} {env.get("NAME", "")}\'',
    )
    with running(root) as node:
        assert text(node, "/hello") == "one "
        (root / "functions" / "_words.py").write_text("WORD = 'two'")
        until(lambda: text(node, "/hello") == "two ")
        (root / ".env").write_text("NAME=Ana")
        until(lambda: text(node, "/hello") == "two Ana")
        (root / "beira.toml").write_text("[functions.hello]\nroutes = ['/bonjour']")
        until(lambda: node.get("/bonjour").status_code == 200)
        assert node.get("/hello").status_code == 404
        (root / "beira.toml").write_text("[functions.hello]\nrouts = ['/x']")
        until(lambda: "did you mean 'routes'" in node.log)
        assert node.get("/bonjour").status_code == 200


@pytest.mark.parametrize("name", ["\udcff.py", "x\ny.py", "a b.py"])
def test_dev_goes_on_behind_a_file_that_can_be_no_function(tmp_path: Path, name: str) -> None:
    root = project(tmp_path, hello=HELLO)
    odd = root / "functions" / name
    with running(root) as node:
        try:
            odd.write_text(HELLO)
        except (OSError, UnicodeError):
            pytest.skip("this file system takes no such name")
        until(lambda: re.search(r"^not reloaded: \S*/functions/.* a function's name may have letters", node.log, re.M))
        odd.unlink()
        (root / "functions" / "hello.py").write_text("def fetch(request): return 'hello again'")
        until(lambda: text(node, "/hello") == "hello again")


def test_no_request_is_lost_while_a_function_is_swapped(tmp_path: Path) -> None:
    root = project(tmp_path, hello=HELLO)
    file = root / "functions" / "hello.py"
    failures: list[str] = []
    seen: set[str] = set()
    stop = threading.Event()

    def keep_asking(node: Node) -> None:
        with httpx.Client(base_url=node.url, timeout=30, trust_env=False) as client:
            while not stop.is_set():
                answer = client.get("/hello")
                seen.add(answer.text)
                if answer.status_code != 200:
                    failures.append(answer.text)

    with running(root) as node:
        threads = [threading.Thread(target=keep_asking, args=(node,)) for _ in range(3)]
        for thread in threads:
            thread.start()
        try:
            for number in range(3):
                file.write_text(f"def fetch(request): return 'hello {number}'")
                until(lambda n=number: f"hello {n}" in seen)  # type: ignore[misc]
        finally:
            stop.set()
            for thread in threads:
                thread.join()
        assert failures == [], node.log


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_stops_everything_with_requests_in_flight(tmp_path: Path, number: signal.Signals) -> None:
    root = project(
        tmp_path,
        never="import asyncio\nasync def fetch(request): await asyncio.sleep(3600)",
        endless="""
async def fetch(request):
    return await AI.run("beira-tiny", stream=True, ignore_eos=True, max_tokens=30000, messages=[
        {"role": "user", "content": "Hello"}])
""",
    )
    with running(root) as node:
        below = children(node.pid)
        assert below
        with httpx.Client(base_url=node.url, timeout=30, trust_env=False) as client:
            codes: list[str] = []
            waiting = threading.Thread(target=ask, args=(client, "/never", codes))
            with client.stream("GET", "/endless") as answer:
                parts = answer.iter_bytes()
                next(parts)
                waiting.start()
                below |= until(lambda: children(node.pid) - below)
                assert node.stop(number) == 0
                with pytest.raises(httpx.HTTPError):  # its head had been sent: it is cut, never ended as if whole
                    list(parts)
            waiting.join()
        assert codes == ["unavailable"]
        assert not [pid for pid in below if is_alive(pid)]
    assert "Traceback" not in node.log


def test_a_node_that_is_killed_takes_its_zygotes_along(tmp_path: Path) -> None:
    root = project(tmp_path, hello=HELLO)
    with running(root) as node:
        below = children(node.pid)
        node.process.kill()
        node.process.wait()
        until(lambda: not [pid for pid in below if is_alive(pid)])


def test_invoke_prints_the_answer(tmp_path: Path) -> None:
    root = project(tmp_path, hello="async def fetch(request): return f'{request.method} {await request.text()}'")
    done = beira("invoke", "hello", "--dir", str(root), "--data", "é")
    assert (done.returncode, done.stdout.decode(), done.stderr) == (0, "POST é", b"")
    done = beira("invoke", "hello", "--dir", str(root), "--data", "@-", "--method", "PUT", data=b"from stdin")
    assert done.stdout == b"PUT from stdin"


def test_invoke_describes_a_picture(tmp_path: Path) -> None:
    file = tmp_path / "red.png"
    file.write_bytes(picture())
    done = beira("invoke", "describe", "--dir", str(ROOT), "--data", f"@{file}", "-H", "content-type: image/png")
    assert done.returncode == 0, done.stderr
    assert "red circle" in done.stdout.decode()


def test_invoke_fails_where_the_function_does(tmp_path: Path) -> None:
    root = project(tmp_path, boom="def fetch(request): raise ValueError('kaboom')", broken="import nowhere")
    done = beira("invoke", "boom", "--dir", str(root))
    assert done.returncode == 1
    assert b"HTTP 500" in done.stderr
    assert b"ValueError: kaboom" in done.stderr
    assert beira("invoke", "broken", "--dir", str(root)).returncode == 1


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (["invoke", "nobody"], "no function 'nobody'"),
        (["invoke", "hello", "-H", "nonsense"], "must be 'NAME: VALUE', got 'nonsense'"),
        (["invoke", "hello", "--data", "@/no/such/file"], "cannot read '/no/such/file'"),
        (["invoke", "hello", "--path", "x"], "must begin with '/', got 'x'"),
        (["invoke", "hello", "--model", "nobody"], "nobody"),
    ],
)
def test_wrong_arguments_exit_with_2_and_say_what_is_right(tmp_path: Path, arguments: list[str], says: str) -> None:
    root = project(tmp_path, hello=HELLO)
    done = beira(*arguments, "--dir", str(root))
    assert done.returncode == 2
    assert says in done.stderr.decode()
    assert "Traceback" not in done.stderr.decode()


def test_check_loads_every_function(tmp_path: Path) -> None:
    root = project(tmp_path, hello=HELLO)
    good = beira("check", str(root))
    assert (good.returncode, "hello" in good.stdout.decode()) == (0, True)
    project(tmp_path, broken="x = 1\ny = (", nothing="x = 1")
    bad = beira("check", str(root))
    out = bad.stdout.decode()
    assert bad.returncode == 1
    assert "functions/broken.py" in out
    assert "functions/nothing.py" in out


def test_a_folder_that_is_no_project_exits_with_2(tmp_path: Path) -> None:
    for command in ("dev", "serve", "check"):
        done = beira(command, str(tmp_path))
        assert done.returncode == 2
        assert str(tmp_path / "functions") in done.stderr.decode()


def test_a_taken_port_exits_with_2(tmp_path: Path) -> None:
    root = project(tmp_path, hello=HELLO)
    with running(root) as node:
        done = beira("dev", str(root), "--port", node.url.rpartition(":")[2])
    assert done.returncode == 2
    assert "cannot listen on" in done.stderr.decode()


def test_serve_without_the_weights_exits_with_2_unless_a_stand_in_may_answer(tmp_path: Path) -> None:
    root = project(tmp_path, hello=HELLO)
    model = "qwen-qwen25-vl-3b-instruct-awq"
    done = beira("serve", str(root), "--port", "0", "--model", model)
    assert done.returncode == 2
    assert model in done.stderr.decode()
    with running(root, "--model", model, "--allow-stand-in", command="serve") as node:
        body = {"messages": [{"role": "user", "content": "Hello"}]}
        answer = node.post("/v1/chat/completions", json=body)
        assert (answer.status_code, answer.headers["x-beira-stand-in"]) == (200, "beira-tiny")


def test_serve_answers_for_loaded_models_only(tmp_path: Path) -> None:
    root = project(tmp_path, hello=HELLO)
    with running(root, command="serve") as node:
        assert text(node, "/hello") == "hello"
        body = {"model": "qwen-qwen25-vl-3b-instruct-awq", "messages": [{"role": "user", "content": "Hello"}]}
        answer = node.post("/v1/chat/completions", json=body)
        assert (answer.status_code, answer.json()["error"]["code"]) == (503, "model_not_loaded")
        assert node.stop(signal.SIGTERM) == 0


def test_models_are_listed_located_and_verified() -> None:
    listed = beira("models", "list").stdout.decode()
    assert "beira-tiny" in listed
    assert "qwen-qwen25-vl-3b-instruct-awq" in listed
    paths = beira("models", "path", "beira-tiny").stdout.decode().split()
    assert [os.path.isfile(p) for p in paths] == [True, True]
    assert b"verified" in beira("models", "verify").stdout
    assert beira("models", "path", "nobody").returncode == 2
