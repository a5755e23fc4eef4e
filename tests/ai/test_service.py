"""The service over a fake engine: shapes, errors, cancellation, stand-ins, shutdown."""

from __future__ import annotations

import asyncio
import base64
import re
import threading
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import orjson
import pytest

from runtime.ai.service import Completion, Service
from runtime.catalog.catalog import Catalog
from runtime.catalog.manifest import Manifest
from runtime.engine.request import Finished, Image
from runtime.errors import (
    AIError,
    ConfigError,
    ContextLengthExceeded,
    EngineError,
    ImageError,
    ModelNotFound,
    ModelNotLoaded,
    OutboundError,
    Overloaded,
)
from tests.ai.fake_engine import FakeEngine, written
from tests.ai.seed import WEATHER
from tests.ai.test_media import encoded, red

HI = {"messages": [{"role": "user", "content": "Hi"}]}
QWEN = "qwen-qwen25-vl-3b-instruct-awq"
CALL = ("<tool_call>", '\n{"name": "get_weather", "arguments": ', '{"location": "London"}', "}\n", "</tool_call>")
DATA_URL = "data:image/png;base64," + base64.b64encode(encoded(red())).decode()


def serve(engine: FakeEngine, body: Callable[[Service], Awaitable[Any]], *, is_dev: bool = True, **more: Any) -> Any:
    """Run `body` with a started service over `engine`, then close it."""

    async def main() -> Any:
        options = {"default": "beira-tiny", "load": (), "allow_stand_in": False, **more}
        catalog = options.pop("catalog", None) or Catalog([])
        service = Service(catalog, lambda _: engine, is_dev=is_dev, **options)
        await service.start()
        assert service.is_ready
        try:
            return await asyncio.wait_for(body(service), 20)
        finally:
            await service.aclose()
            assert engine.is_closed

    return asyncio.run(main())


def answer(engine: FakeEngine, inputs: dict[str, Any], *, model: str | None = None, **more: Any) -> dict[str, Any]:
    """The whole answer as it goes out."""

    async def body(service: Service) -> dict[str, Any]:
        return await (await service.run(inputs, model=model)).result()

    result: dict[str, Any] = orjson.loads(orjson.dumps(serve(engine, body, **more)))
    return result


def stream(engine: FakeEngine, inputs: dict[str, Any]) -> list[dict[str, Any]]:
    async def body(service: Service) -> list[dict[str, Any]]:
        completion = await service.run({**inputs, "stream": True})
        assert completion.is_stream
        return [chunk async for chunk in completion.chunks()]

    chunks: list[dict[str, Any]] = serve(engine, body)
    return chunks


def picture(url: str = DATA_URL, **more: Any) -> dict[str, Any]:
    return {"messages": [{"role": "user", "content": [{"type": "image_url", "image_url": {"url": url, **more}}]}]}


def test_an_answer_field_for_field() -> None:
    result = answer(FakeEngine(cached=5), HI)
    assert re.fullmatch("chatcmpl-[0-9a-f]{32}", result.pop("id"))
    assert isinstance(result.pop("created"), int)
    prompt = 59
    assert result == {
        "object": "chat.completion",
        "model": "beira-tiny",
        "choices": [
            {
                "index": 0,
                "message": {"role": "assistant", "reasoning_content": None, "content": "Hello.", "tool_calls": []},
                "logprobs": None,
                "finish_reason": "stop",
                "stop_reason": None,
            }
        ],
        "usage": {
            "prompt_tokens": prompt,
            "total_tokens": prompt + 3,
            "completion_tokens": 3,
            "prompt_tokens_details": {"cached_tokens": 5},
        },
        "prompt_logprobs": None,
    }


def test_a_stream_field_for_field() -> None:
    chunks = stream(FakeEngine(), {**HI, "stream_options": {"include_usage": True}})
    for key in ("id", "created", "model", "object"):
        assert len({chunk[key] for chunk in chunks}) == 1
    assert chunks[0]["object"] == "chat.completion.chunk"
    assert set(chunks[0]) == {"id", "object", "created", "model", "choices"}
    head = {"index": 0, "logprobs": None}
    assert [c["choices"] for c in chunks] == [
        [{**head, "delta": {"role": "assistant", "content": ""}, "finish_reason": None}],
        [{**head, "delta": {"content": "Hello"}, "finish_reason": None}],
        [{**head, "delta": {"content": "."}, "finish_reason": None}],
        [{**head, "delta": {}, "finish_reason": "stop", "stop_reason": None}],
        [],
    ]
    assert chunks[-1]["usage"] == {
        "prompt_tokens": 59,
        "total_tokens": 62,
        "completion_tokens": 3,
        "prompt_tokens_details": None,
    }


def test_without_include_usage_no_chunk_has_it() -> None:
    assert not any("usage" in chunk for chunk in stream(FakeEngine(), HI))


def test_several_choices() -> None:
    result = answer(FakeEngine(), {**HI, "n": 3})
    assert [c["index"] for c in result["choices"]] == [0, 1, 2]
    assert result["usage"]["completion_tokens"] == 9
    chunks = stream(FakeEngine(), {**HI, "n": 3})
    assert [c["choices"][0]["index"] for c in chunks[:3]] == [0, 1, 2]
    assert sum(c["choices"][0]["finish_reason"] == "stop" for c in chunks) == 3


@pytest.mark.parametrize(
    ("end", "reason", "stop"),
    [
        (Finished(0, "stop", None, 3), "stop", None),
        (Finished(0, "stop", "END", 3), "stop", "END"),
        (Finished(0, "length", None, 3), "length", None),
    ],
)
def test_why_it_ended(end: Finished, reason: str, stop: str | None) -> None:
    choice = answer(FakeEngine(end=end), HI)["choices"][0]
    assert (choice["finish_reason"], choice["stop_reason"]) == (reason, stop)
    last = stream(FakeEngine(end=end), HI)[-1]["choices"][0]
    assert (last["finish_reason"], last["stop_reason"]) == (reason, stop)


def test_a_tool_call() -> None:
    choice = answer(FakeEngine(CALL), {**HI, "tools": [WEATHER]})["choices"][0]
    assert choice["finish_reason"] == "tool_calls"
    message = choice["message"]
    assert re.fullmatch("chatcmpl-tool-[0-9a-f]{32}", message["tool_calls"][0].pop("id"))
    assert message == {
        "role": "assistant",
        "reasoning_content": None,
        "content": None,
        "tool_calls": [
            {"type": "function", "function": {"name": "get_weather", "arguments": '{"location": "London"}'}}
        ],
    }


def test_a_tool_call_streamed() -> None:
    chunks = stream(FakeEngine(("Sure", ".\n", *CALL)), {**HI, "tools": [WEATHER]})
    deltas = [c["choices"][0]["delta"] for c in chunks]
    call_id = deltas[3]["tool_calls"][0].pop("id")
    assert re.fullmatch("chatcmpl-tool-[0-9a-f]{32}", call_id)
    assert deltas == [
        {"role": "assistant", "content": ""},
        {"content": "Sure"},
        {"content": "."},
        {"tool_calls": [{"index": 0, "type": "function", "function": {"name": "get_weather"}}]},
        {"tool_calls": [{"index": 0, "function": {"arguments": '{"location": "London"}'}}]},
        {},
    ]
    assert chunks[-1]["choices"][0]["finish_reason"] == "tool_calls"


def test_a_call_cut_short_is_text_and_not_a_call() -> None:
    engine = FakeEngine(CALL[:3], end=Finished(0, "length", None, 9))
    choice = answer(engine, {**HI, "tools": [WEATHER]})["choices"][0]
    assert choice["finish_reason"] == "length"
    assert choice["message"]["tool_calls"] == []
    assert choice["message"]["content"] == "".join(CALL[:3])


def test_without_tools_markup_is_text() -> None:
    assert answer(FakeEngine(CALL), HI)["choices"][0]["message"]["content"] == "".join(CALL)


def test_tool_choice_none_rules_the_markup_out() -> None:
    engine = FakeEngine()
    answer(engine, {**HI, "tools": [WEATHER], "tool_choice": "none"})
    assert engine.params[0].logit_bias == ((7, -1e9),)
    assert "get_weather" not in written(engine.prompts[0].parts)


def test_one_call_only_where_parallel_calls_are_off() -> None:
    twice = {**HI, "tools": [WEATHER]}
    assert len(answer(FakeEngine((*CALL, "\n", *CALL)), twice)["choices"][0]["message"]["tool_calls"]) == 2
    once = {**twice, "parallel_tool_calls": False}
    assert len(answer(FakeEngine((*CALL, "\n", *CALL)), once)["choices"][0]["message"]["tool_calls"]) == 1


def test_sampling_is_the_requests_over_the_manifests_over_the_defaults(tmp_path: Path) -> None:
    text = 'id = "m"\ncontext = 500\n[weights]\ntext = { file = "m.gguf" }\n[sampling]\ntemperature = 0.5\ntop_k = 9\n'
    (tmp_path / "m.toml").write_text(text)
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    engine = FakeEngine()
    more = {"stop": "x", "seed": 3, "max_tokens": 7, "logprobs": True, "top_logprobs": 2, "logit_bias": {"5": -1}}
    answer(engine, {**HI, "top_k": -1, "min_p": 0.1, **more}, catalog=Catalog([tmp_path]), default="m")
    params = engine.params[0]
    assert (params.temperature, params.top_k, params.min_p, params.top_p) == (0.5, 0, 0.1, 1.0)
    assert (params.repetition_penalty, params.presence_penalty, params.frequency_penalty) == (1.0, 0.0, 0.0)
    assert (params.stop, params.seed, params.max_tokens, params.logprobs) == (("x",), 3, 7, 2)
    assert params.logit_bias == ((5, -1.0),)


def test_max_completion_tokens_beats_max_tokens_and_null_is_absent() -> None:
    engine = FakeEngine()
    answer(engine, {**HI, "max_tokens": 5, "max_completion_tokens": 6.0, "temperature": None, "n": None})
    assert engine.params[0].max_tokens == 6
    assert engine.params[0].temperature == 1e-6


@pytest.mark.parametrize(("more", "total", "completion"), [({}, 1001, 0), ({"max_tokens": 10}, 1011, 10)])
def test_a_prompt_that_does_not_fit(more: dict[str, int], total: int, completion: int) -> None:
    inputs = {"messages": [{"role": "user", "content": "x" * (1001 - 57)}], **more}
    with pytest.raises(ContextLengthExceeded) as e:
        answer(FakeEngine(), inputs)
    assert e.value.message == (
        f"This model's maximum context length is 1000 tokens. However, you requested {total} tokens "
        f"(1001 in the messages, {completion} in the completion). Please reduce the length of the messages or "
        "completion."
    )
    assert (e.value.code, e.value.status) == ("context_length_exceeded", 400)


def test_what_cannot_fit_is_refused_before_it_is_tokenised(monkeypatch: pytest.MonkeyPatch) -> None:
    engine = FakeEngine()
    monkeypatch.setattr(engine, "prepare", lambda _: pytest.fail("tokenised"))
    with pytest.raises(ContextLengthExceeded, match=r"However, you requested 2513 tokens \(2513 in the messages"):
        answer(engine, {"messages": [{"role": "user", "content": "x" * 10_000}]})


def test_the_manifests_context_bounds_the_engines(tmp_path: Path) -> None:
    (tmp_path / "m.toml").write_text('id = "m"\ncontext = 100\n[weights]\ntext = { file = "m.gguf" }\n')
    (tmp_path / "m.gguf").write_bytes(b"GGUF")
    engine = FakeEngine()
    answer(engine, HI, catalog=Catalog([tmp_path]), default="m")
    assert engine.params[0].max_tokens == 41
    with pytest.raises(ContextLengthExceeded, match="maximum context length is 100 tokens"):
        answer(FakeEngine(), {**HI, "max_tokens": 42}, catalog=Catalog([tmp_path]), default="m")


def test_an_image_reaches_the_engine() -> None:
    engine = FakeEngine()
    answer(engine, picture())
    image = next(p for p in engine.prompts[0].parts if isinstance(p, Image))
    assert (image.width, image.height) == (112, 84)


def test_images_from_the_web_are_fetched_and_keep_their_order() -> None:
    sizes = {"https://a.test/1": (112, 84), "http://a.test/2": (56, 112)}

    async def fetch(url: str) -> bytes:
        await asyncio.sleep(0.01 if url.endswith("1") else 0)
        return encoded(red(*sizes[url]))

    engine = FakeEngine()
    content = [{"type": "image_url", "image_url": {"url": url}} for url in sizes]
    answer(engine, {"messages": [{"role": "user", "content": content}]}, fetch_image=fetch)
    images = [(p.width, p.height) for p in engine.prompts[0].parts if isinstance(p, Image)]
    assert images == [(112, 84), (56, 112)]


PATH = "messages[0].content[0].image_url.url"


@pytest.mark.parametrize(
    ("url", "message"),
    [
        ("https://a.test/x", f"{PATH}: cannot be fetched: refused: 10.0.0.1 is private"),
        ("ftp://a.test/x", f'{PATH}: must be an http:, https: or data: URL, got "ftp://a.test/x"'),
        ("/etc/passwd", f'{PATH}: must be an http:, https: or data: URL, got "/etc/passwd"'),
        ("data:image/png;base64,aGVsbG8=", f"{PATH}: must be an image of one of PNG, JPEG, WEBP, GIF, BMP, TIFF, AVIF"),
    ],
)
def test_an_image_that_cannot_be_had(url: str, message: str) -> None:
    async def fetch(_: str) -> bytes:
        raise OutboundError("refused: 10.0.0.1 is private")

    with pytest.raises(ImageError, match=re.escape(message)) as e:
        answer(FakeEngine(), picture(url), fetch_image=fetch)
    assert e.value.param == PATH


def test_without_a_fetcher_web_images_are_refused() -> None:
    with pytest.raises(ImageError, match="images are not fetched here; send them as data: URLs"):
        answer(FakeEngine(), picture("https://a.test/x"))


def test_seventeen_images() -> None:
    inputs = {"messages": [{"role": "user", "content": picture()["messages"][0]["content"] * 17}]}
    with pytest.raises(ImageError, match="may have at most 16 images, got 17"):
        answer(FakeEngine(), inputs)


def test_a_model_without_vision() -> None:
    with pytest.raises(ImageError, match="the model 'beira-tiny' takes no images"):
        answer(FakeEngine(has_vision=False), picture())


def test_an_error_before_the_first_token_is_raised_by_run() -> None:
    async def body(service: Service) -> None:
        with pytest.raises(Overloaded):
            await service.run({**HI, "stream": True})
        completion = await service.run(HI)
        with pytest.raises(Overloaded):
            await completion.result()

    serve(FakeEngine(error=Overloaded("later")), body)


def test_an_error_after_it_is_raised_by_the_chunks() -> None:
    async def body(service: Service) -> None:
        completion = await service.run({**HI, "stream": True})
        chunks = completion.chunks()
        for _ in range(3):
            await anext(chunks)
        with pytest.raises(EngineError, match="broke"):
            await anext(chunks)

    engine = FakeEngine(error_last=EngineError("broke"))
    serve(engine, body)
    assert engine.tickets[0].is_cancelled.is_set()


async def until(is_so: Callable[[], bool]) -> None:
    deadline = asyncio.get_running_loop().time() + 20
    while not is_so():
        assert asyncio.get_running_loop().time() < deadline
        await asyncio.sleep(0.001)


async def open_chunks(completion: Completion) -> Any:
    chunks = completion.chunks()
    for _ in range(3):
        await anext(chunks)
    return chunks


def test_closing_cancels_and_wakes_a_reader() -> None:
    async def body(service: Service) -> None:
        completion = await service.run(HI)
        reader = asyncio.create_task(completion.result())
        await asyncio.sleep(0)
        await completion.aclose()
        await completion.aclose()
        with pytest.raises(EngineError, match="closed"):
            await reader

    engine = FakeEngine(is_stuck=True)
    serve(engine, body)
    assert engine.tickets[0].is_cancelled.is_set()


@pytest.mark.parametrize("is_stream", [True, False])
def test_cancelling_the_reading_task_cancels_the_generation(is_stream: bool) -> None:
    async def read(service: Service) -> None:
        completion = await service.run({**HI, "stream": is_stream})
        if is_stream:
            async for _ in completion.chunks():
                pass
        else:
            await completion.result()

    async def body(service: Service) -> None:
        task = asyncio.create_task(read(service))
        await until(lambda: bool(engine.tickets))
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert engine.tickets[0].is_cancelled.is_set()

    engine = FakeEngine(is_stuck=True)
    serve(engine, body)


def test_leaving_a_stream_early_cancels_the_generation() -> None:
    async def body(service: Service) -> None:
        chunks = await open_chunks(await service.run({**HI, "stream": True}))
        assert not engine.tickets[0].is_cancelled.is_set()
        await chunks.aclose()
        assert engine.tickets[0].is_cancelled.is_set()

    engine = FakeEngine(is_stuck=True)
    serve(engine, body)


def test_shutting_down_ends_what_runs_with_an_error() -> None:
    async def body(service: Service) -> None:
        reader = asyncio.create_task((await service.run(HI)).result())
        await asyncio.sleep(0)
        await service.aclose()
        with pytest.raises(EngineError, match="the node is shutting down"):
            await reader
        with pytest.raises(AIError):
            await service.run(HI)

    serve(FakeEngine(is_stuck=True), body)


def test_the_model_is_as_asked_and_the_argument_wins() -> None:
    async def body(service: Service) -> None:
        completion = await service.run({**HI, "model": "nobody"}, model="Qwen/Qwen2.5-VL-3B-Instruct-AWQ")
        assert completion.stand_in == "beira-tiny"
        assert (await completion.result())["model"] == "Qwen/Qwen2.5-VL-3B-Instruct-AWQ"
        completion = await service.run({**HI, "model": "BEIRA-tiny"})
        assert completion.stand_in is None
        assert (await completion.result())["model"] == "BEIRA-tiny"
        with pytest.raises(ModelNotFound):
            await service.run(HI, model="")

    serve(FakeEngine(), body)


def test_models_and_lines() -> None:
    async def body(service: Service) -> None:
        tiny, qwen = service.models()
        assert isinstance(tiny.pop("created"), int)
        assert tiny == {
            "id": "beira-tiny",
            "object": "model",
            "owned_by": "beira",
            "aliases": [],
            "capabilities": ["chat", "vision", "tools"],
            "context": 32768,
            "loaded": True,
            "stand_in": None,
        }
        assert (qwen["id"], qwen["loaded"], qwen["stand_in"]) == (QWEN, False, "beira-tiny")
        assert service.lines() == [
            "model beira-tiny  chat vision tools  1000 tokens  loaded in 0.0 s",
            f"model {QWEN} answered by the stand-in beira-tiny: weights absent",
        ]

    serve(FakeEngine(), body)


def test_serve_answers_only_for_loaded_models() -> None:
    async def body(service: Service) -> None:
        with pytest.raises(ModelNotLoaded, match=QWEN) as e:
            await service.run(HI, model=QWEN)
        assert e.value.status == 503
        assert len(service.lines()) == 1
        assert service.models()[1]["stand_in"] is None

    serve(FakeEngine(), body, is_dev=False)


def test_serve_with_stand_ins_allowed() -> None:
    async def body(service: Service) -> None:
        assert (await service.run(HI, model=QWEN)).stand_in == "beira-tiny"

    serve(FakeEngine(), body, is_dev=False, allow_stand_in=True, default=QWEN)


def test_serve_refuses_to_start_without_a_configured_models_weights() -> None:
    for more in ({"default": QWEN}, {"load": (QWEN,)}):
        with pytest.raises(ConfigError, match=f"{QWEN}.* cannot be loaded: weights absent, looked for .*gguf"):
            serve(FakeEngine(), lambda _: asyncio.sleep(0), is_dev=False, **more)


def other_model(folder: Path) -> Catalog:
    (folder / "m.toml").write_text('id = "m"\ncontext = 500\n[weights]\ntext = { file = "m.gguf" }\n')
    (folder / "m.gguf").write_bytes(b"GGUF")
    return Catalog([folder])


def test_dev_loads_a_model_once_at_its_first_use(tmp_path: Path) -> None:
    made: list[str] = []
    may_load = threading.Event()

    def make(manifest: Manifest) -> FakeEngine:
        made.append(manifest.id)
        assert manifest.id == "beira-tiny" or may_load.wait(20)
        return FakeEngine()

    async def main() -> None:
        catalog = other_model(tmp_path)
        service = Service(catalog, make, default="beira-tiny", load=(), is_dev=True, allow_stand_in=False)
        await service.start()
        assert "model m  loads at its first use" in service.lines()
        leaver, *stayers = [asyncio.create_task(service.run(HI, model="m")) for _ in range(3)]
        await until(lambda: "m" in made)
        leaver.cancel()
        may_load.set()
        for completion in await asyncio.gather(*stayers):
            assert completion.stand_in is None
            await completion.aclose()
        assert made == ["beira-tiny", "m"]
        await service.aclose()

    asyncio.run(main())


def test_a_model_that_fails_to_load_is_tried_again(tmp_path: Path) -> None:
    attempts: list[str] = []

    def make(manifest: Manifest) -> FakeEngine:
        attempts.append(manifest.id)
        if attempts.count("m") == 1:
            raise ConfigError("m.gguf: llama.cpp cannot load it")
        return FakeEngine()

    async def main() -> None:
        catalog = other_model(tmp_path)
        service = Service(catalog, make, default="beira-tiny", load=(), is_dev=True, allow_stand_in=False)
        await service.start()
        with pytest.raises(ModelNotLoaded, match=r"'m' cannot be loaded: m\.gguf"):
            await service.run(HI, model="m")
        await (await service.run(HI, model="m")).aclose()
        await service.aclose()

    asyncio.run(main())
