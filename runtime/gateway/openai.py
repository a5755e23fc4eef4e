"""The OpenAI-compatible face of `ai/`: `/v1/chat/completions` and `/v1/models`."""

from __future__ import annotations

import asyncio
import hmac
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

import orjson

from runtime.ai.service import Completion, Service
from runtime.errors import AIError, EngineError, InvalidRequest, ModelNotFound, Unauthorized
from runtime.gateway.exchange import Exchange

log = logging.getLogger("beira")
requests = logging.getLogger("beira.request")
BODY_LIMIT_MB = 64
T = TypeVar("T")


class ClientLeft(Exception):
    """Nobody is there any more to take the answer."""


class OpenAI:
    """Answers every path below `/v1`."""

    def __init__(self, service: Service, api_keys: Sequence[str]) -> None:
        self._service = service
        self._keys = [k.encode() for k in api_keys]

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request; an error is answered in OpenAI's shape."""
        begin = asyncio.get_running_loop().time()
        try:
            await self._route(exchange)
        except ClientLeft:
            pass
        except AIError as e:
            await self._answer_error(exchange, e)
        except Exception:
            log.exception("[%s] %s failed in the host", exchange.request_id, exchange.path)
            if not exchange.is_started:
                await self._answer_error(exchange, EngineError("the node failed to answer; its log says why"))
        elapsed = (asyncio.get_running_loop().time() - begin) * 1000
        requests.info(
            "[%s] %s %s status=%d ms=%.1f bytes=%d",
            exchange.request_id, exchange.method, exchange.path, exchange.status, elapsed, exchange.sent_bytes,
        )  # fmt: skip

    async def _route(self, exchange: Exchange) -> None:
        self._authorize(exchange)
        path, method = exchange.path.rstrip("/"), exchange.method
        if path == "/v1/chat/completions":
            _allow(method, ("POST",), path)
            await self._complete(exchange)
        elif path == "/v1/models":
            _allow(method, ("GET", "HEAD"), path)
            await exchange.answer(200, {"object": "list", "data": self._service.models()})
        elif path.startswith("/v1/models/"):
            _allow(method, ("GET", "HEAD"), path)
            await exchange.answer(200, self._model(path.removeprefix("/v1/models/")))
        else:
            raise _NotFound(f"no such path: {method} {path}; known: /v1/chat/completions, /v1/models")

    def _authorize(self, exchange: Exchange) -> None:
        if not self._keys:
            return
        scheme, _, key = (exchange.header("authorization") or "").partition(" ")
        given = key.strip().encode("utf-8", "surrogateescape") if scheme.lower() == "bearer" else b""
        matches = [hmac.compare_digest(given, key) for key in self._keys]  # all of them: the time tells nothing
        if not any(matches):
            raise Unauthorized("the API key is missing or wrong: send 'Authorization: Bearer KEY'")

    def _model(self, name: str) -> dict[str, Any]:
        for model in self._service.models():
            if name.lower() in (model["id"].lower(), *(a.lower() for a in model.get("aliases", ()))):
                return model
        known = ", ".join(m["id"] for m in self._service.models())
        raise ModelNotFound(f"the model {name!r} does not exist; known: {known}", param="model")

    async def _complete(self, exchange: Exchange) -> None:
        inputs = await _json(exchange)
        client = exchange.scope.get("client")
        caller = f"v1:{client[0]}" if client else "v1"
        completion = await _while_connected(exchange, self._service.run(inputs, caller=caller))
        try:
            extra = {"x-beira-request-id": exchange.request_id}
            if completion.stand_in is not None:
                extra["x-beira-stand-in"] = completion.stand_in
            if completion.is_stream:
                await self._stream(exchange, completion, extra)
            else:
                await exchange.answer(200, await _while_connected(exchange, completion.result()), extra)
        finally:
            await completion.aclose()

    async def _stream(self, exchange: Exchange, completion: Completion, extra: dict[str, str]) -> None:
        head = {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"} | extra
        await exchange.start(200, (), head)
        await _while_connected(exchange, _send_events(exchange, completion.chunks()))

    async def _answer_error(self, exchange: Exchange, error: AIError) -> None:
        extra = {"retry-after": str(error.retry_after or 1)} if error.status in (429, 503) else None
        await exchange.answer(error.status, error.body(), extra)


class _NotFound(InvalidRequest):
    status = 404
    default_code = "not_found"


class _MethodNotAllowed(InvalidRequest):
    status = 405
    default_code = "method_not_allowed"


class _TooLarge(InvalidRequest):
    status = 413
    default_code = "request_too_large"


def _allow(method: str, allowed: tuple[str, ...], path: str) -> None:
    if method not in allowed:
        raise _MethodNotAllowed(f"{path} takes {' and '.join(allowed)}, got {method}")


async def _json(exchange: Exchange) -> dict[str, Any]:
    """The request's body as a JSON object."""
    kind = (exchange.header("content-type") or "application/json").split(";")[0].strip().lower()
    if kind != "application/json" and not kind.endswith("+json"):
        raise InvalidRequest(f"content-type: must be application/json, got {kind[:80]!r}")
    parts: list[bytes] = []
    total, more = 0, True
    while more:
        part = await exchange.read()
        if part is None:
            raise ClientLeft
        data, more = part
        total += len(data)
        if total > BODY_LIMIT_MB * 2**20:
            raise _TooLarge(f"the body may hold {BODY_LIMIT_MB} MB")
        parts.append(data)
    try:
        value = orjson.loads(b"".join(parts))
    except orjson.JSONDecodeError as e:
        raise InvalidRequest(f"the body is no JSON: {e}") from None
    if not isinstance(value, dict):
        raise InvalidRequest(f"the body must be a JSON object, got {type(value).__name__}")
    return value


async def _send_events(exchange: Exchange, chunks: AsyncIterator[dict[str, Any]]) -> None:
    try:
        async for chunk in chunks:
            await exchange.write(b"data: " + orjson.dumps(chunk) + b"\n\n")
    except AIError as e:
        await exchange.write(b"data: " + orjson.dumps(e.body()) + b"\n\n")
    await exchange.finish(b"data: [DONE]\n\n")


async def _while_connected(exchange: Exchange, work: Awaitable[T]) -> T:
    """The result of `work`, which is cancelled when the client leaves: then ClientLeft is raised."""
    task = asyncio.ensure_future(work)
    gone = asyncio.ensure_future(exchange.read())
    try:
        await asyncio.wait([task, gone], return_when=asyncio.FIRST_COMPLETED)
        if not task.done():
            raise ClientLeft
        return await task
    finally:
        for each in (task, gone):
            each.cancel()
        await asyncio.gather(task, gone, return_exceptions=True)
