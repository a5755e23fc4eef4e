"""Functions over a real socket: what they answer, and what their failures look like from outside."""

from __future__ import annotations

import asyncio
import json
import socket
import time

import httpx
import pytest

from tests.node import Node, children, is_alive, until


def test_an_answer_carries_the_request_id_and_is_logged_once(node: Node) -> None:
    answer = node.get("/hello", params={"name": "Ana"})
    assert (answer.status_code, answer.text) == (200, "hello Ana")
    assert node.outcomes(answer.headers["x-beira-request-id"]) == ["ok"]


def test_a_handler_is_given_the_whole_request(node: Node) -> None:
    answer = node.client.put("/echo/a%20b?x=1", content=b"\x00\xff", headers=[("X-Two", "1"), ("X-Two", "2")])
    got = answer.json()
    assert got["method"] == "PUT"
    assert got["body"] == "\x00\xff"
    assert got["env"] == "olá"
    assert got["args"] == {"size": 3}
    assert got["function"] == "echo"
    assert [v for k, v in got["headers"] if k == "x-two"] == ["1", "2"]
    request_id = answer.headers["x-beira-request-id"]
    until(lambda: f"[{request_id}] echo | echo was here" in node.log)


@pytest.mark.parametrize(
    ("path", "status", "outcome"),
    [
        ("/number", 500, "invalid_response"),
        ("/boom", 500, "exception"),
        ("/never", 504, "exceeded_wall"),
        ("/leave", 500, "crashed"),
        ("/spin", 503, "exceeded_cpu"),
        ("/hog", 503, "exceeded_memory"),
        ("/broken", 500, "startup_failed"),
        ("/nothing-here", 404, "not_found"),
    ],
)
def test_a_failure_has_its_outcome_as_status_code_and_line(node: Node, path: str, status: int, outcome: str) -> None:
    answer = node.get(path)
    error = answer.json()["error"]
    assert (answer.status_code, error["code"]) == (status, outcome)
    assert error["request_id"] == answer.headers["x-beira-request-id"]
    assert node.outcomes(error["request_id"]) == [outcome]
    assert node.get("/hello").status_code == 200


def test_the_log_tells_what_the_client_is_not_told(node: Node) -> None:
    assert "kaboom" not in node.get("/boom").text.replace("ValueError: kaboom", "")
    node.get("/number")
    until(lambda: "ValueError: kaboom" in node.log and "int" in node.log)


def test_a_module_that_does_not_import_is_named_with_its_line(node: Node) -> None:
    answer = node.get("/broken")
    assert "'broken'" in answer.json()["error"]["message"]
    until(lambda: "functions/broken.py" in node.log and "line 3" in node.log)


def test_an_error_after_the_first_byte_cuts_the_connection(node: Node) -> None:
    with node.client.stream("GET", "/late") as answer:
        assert answer.status_code == 200
        with pytest.raises(httpx.RemoteProtocolError):
            answer.read()
    assert node.outcomes(answer.headers["x-beira-request-id"]) == ["exception"]


def test_a_body_that_does_not_fit_its_content_length_is_cut(node: Node) -> None:
    with node.client.stream("GET", "/badhead") as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()
    assert node.outcomes(answer.headers["x-beira-request-id"]) == ["invalid_response"]


def test_a_status_without_a_body_has_none(node: Node) -> None:
    answer = node.get("/empty")
    assert (answer.status_code, answer.content) == (204, b"")
    assert node.get("/hello").text == "hello world"  # on the same connection


def test_bodies_stream_through_both_ways(node: Node) -> None:
    data = bytes(range(256)) * 4096 * 4  # 4 MB: many windows
    parts = (data[i : i + 100_000] for i in range(0, len(data), 100_000))
    answer = node.post("/mirror", content=parts)
    assert answer.content == data


def test_a_body_over_the_limit_is_refused_announced_or_not(node: Node) -> None:
    data = bytes(4 * 2**20)
    announced = node.post("/count", content=data)
    assert (announced.status_code, announced.json()["error"]["code"]) == (413, "body_too_large")
    streamed = node.post("/count", content=iter([data[: 2**20]] * 4))
    assert (streamed.status_code, streamed.json()["error"]["code"]) == (413, "body_too_large")
    assert node.post("/count", content=data[: 2**20]).text == str(2**20)


def test_a_response_over_the_limit_is_cut(node: Node) -> None:
    assert len(node.get("/flood?kb=1000").content) == 1000 * 1024
    with node.client.stream("GET", "/flood?kb=2000") as answer, pytest.raises(httpx.RemoteProtocolError):
        answer.read()
    assert node.outcomes(answer.headers["x-beira-request-id"]) == ["exceeded_response"]


def test_a_client_that_leaves_ends_the_invocation(node: Node) -> None:
    with node.client.stream("GET", "/ticks") as answer:
        next(answer.iter_bytes())
    assert node.outcomes(answer.headers["x-beira-request-id"]) == ["canceled"]


def test_a_handler_that_ignores_its_cancellation_is_ended(node: Node) -> None:
    before = children(node.pid)
    with pytest.raises(httpx.ReadTimeout):
        node.get("/stubborn", timeout=0.3)
    until(lambda: "I do not care" in node.log and "stubborn GET /stubborn outcome=canceled" in node.log)
    until(lambda: len(children(node.pid)) <= len(before) + 1)


def test_more_than_its_concurrency_waits_and_the_rest_is_shed(node: Node) -> None:
    async def scenario() -> list[httpx.Response]:
        async with httpx.AsyncClient(base_url=node.url, timeout=30, trust_env=False) as client:
            return await asyncio.gather(*(client.get("/slow") for _ in range(8)))

    answers = asyncio.run(scenario())
    assert sorted({a.status_code for a in answers}) == [200, 503]
    shed = [a for a in answers if a.status_code == 503]
    assert len(shed) == 3  # one runs, four wait
    assert {a.json()["error"]["code"] for a in shed} == {"load_shed"}
    assert all(int(a.headers["retry-after"]) >= 1 for a in shed)


def test_work_behind_the_answer_goes_on(node: Node) -> None:
    answer = node.get("/after")
    assert answer.text == "answered"
    request_id = answer.headers["x-beira-request-id"]
    until(lambda: f"[{request_id}] after | work behind the answer" in node.log)
    assert node.outcomes(request_id) == ["ok"]


def test_a_function_asks_the_model(node: Node) -> None:
    answer = node.get("/ask", params={"q": "What is the capital of France?"})
    assert "Paris" in answer.json()["choices"][0]["message"]["content"]
    assert "x-beira-stand-in" not in answer.headers


def test_a_stand_in_is_named_in_the_header_and_at_start(node: Node) -> None:
    answer = node.get("/ask", params={"q": "Hello", "model": "Qwen/Qwen2.5-VL-3B-Instruct"})
    assert answer.headers["x-beira-stand-in"] == "beira-tiny"
    assert answer.json()["model"] == "Qwen/Qwen2.5-VL-3B-Instruct"
    assert any("qwen-qwen25-vl-3b-instruct-awq" in line and "stand-in" in line for line in node.log.splitlines())


def test_a_stream_of_the_model_is_server_sent_events(node: Node) -> None:
    with node.client.stream("GET", "/askstream", params={"q": "What is the capital of France?"}) as answer:
        lines = [line for line in answer.iter_lines() if line]
    assert answer.headers["content-type"].startswith("text/event-stream")
    assert lines[-1] == "data: [DONE]"
    chunks = [json.loads(line.removeprefix("data: ")) for line in lines[:-1]]
    assert "Paris" in "".join(c["choices"][0]["delta"].get("content") or "" for c in chunks)
    assert len(chunks) > 3
    assert answer.headers["x-beira-stand-in"] == "beira-tiny"


def test_a_client_that_leaves_a_model_stream_ends_the_generation(node: Node) -> None:
    with node.client.stream("GET", "/endless") as answer:
        next(answer.iter_bytes())
    assert node.outcomes(answer.headers["x-beira-request-id"]) == ["canceled"]
    assert node.get("/ask", params={"q": "Hello"}).status_code == 200


def test_an_ai_error_reaches_the_handler_as_its_kind(node: Node) -> None:
    got = node.get("/badcall").json()
    assert (got["kind"], got["status"], got["code"]) == ("ModelNotFound", 404, "model_not_found")
    assert "beira-tiny" in got["message"]


def test_the_node_tells_its_health(node: Node) -> None:
    assert node.get("/_beira/health").json() == {"status": "ok"}
    assert node.get("/_beira/ready").json()["status"] == "ready"
    assert node.get("/_beira/other").status_code == 404


def test_in_a_browser_a_failure_is_a_page_in_development(node: Node) -> None:
    answer = node.get("/boom", headers={"accept": "text/html,*/*"})
    assert answer.status_code == 500
    assert answer.headers["content-type"].startswith("text/html")
    assert "ValueError: kaboom" in answer.text


def test_bytes_that_are_no_http_harm_nobody(node: Node) -> None:
    host, port = node.url.removeprefix("http://").split(":")
    for data in (
        b"\x00\xff\x00\xff\r\n\r\n",
        b"GET /hello HTTP/9.9\r\n\r\n",
        b"GET /hello HTTP/1.1\r\nContent-Length: x\r\n\r\n",
    ):
        with socket.create_connection((host, int(port)), timeout=10) as connection:
            connection.sendall(data)
            assert b" 400 " in connection.recv(4096)
    assert node.get("/hello").status_code == 200


def test_many_at_once_are_all_answered_and_leave_nothing(node: Node) -> None:
    def state() -> tuple[int, int]:
        import os

        return len(children(node.pid)), len(os.listdir(f"/proc/{node.pid}/fd"))

    async def scenario(count: int) -> set[str]:
        limits = httpx.Limits(max_connections=32)
        async with httpx.AsyncClient(base_url=node.url, timeout=60, limits=limits, trust_env=False) as client:
            answers = await asyncio.gather(*(client.get("/hello", params={"name": str(i)}) for i in range(count)))
        return {a.text for a in answers}

    assert len(asyncio.run(scenario(64))) == 64
    settled = until(lambda: state() if state() == (time.sleep(0.3), state())[1] else None)
    assert len(asyncio.run(scenario(500))) == 500
    until(lambda: state()[0] <= settled[0] and state()[1] <= settled[1] + 1)
    assert is_alive(node.pid)
