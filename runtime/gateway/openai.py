"""The OpenAI-compatible face of `ai/`: `/v1/chat/completions`, `/v1/models` and the schema of both."""

from __future__ import annotations

import asyncio
import hashlib
import hmac
import importlib.metadata
import logging
from collections.abc import AsyncIterator, Awaitable, Sequence
from typing import Any, TypeVar

import orjson

from runtime.ai.openapi import document
from runtime.ai.service import Service
from runtime.errors import AIError, EngineError, InvalidRequest, ModelNotFound, Unauthorized
from runtime.gateway.body import ClientLeft, read_object
from runtime.gateway.cors import Cors
from runtime.gateway.exchange import Exchange
from runtime.isolate.streams import server_sent

log = logging.getLogger("beira")
requests = logging.getLogger("beira.request")
PATHS = ("/v1/chat/completions", "/v1/models", "/v1/openapi.json")
T = TypeVar("T")


class OpenAI:
    """Answers every path below `/v1`."""

    def __init__(self, service: Service, api_keys: Sequence[str] = (), cors_origins: Sequence[str] = ()) -> None:
        self._service = service
        self._keys = [_digest(k.encode()) for k in api_keys]
        self._cors = Cors(cors_origins)
        self._document = document(importlib.metadata.version("beira"), needs_key=bool(api_keys))

    async def serve(self, exchange: Exchange) -> None:
        """Answer one request; an error is answered in OpenAI's shape."""
        begin = asyncio.get_running_loop().time()
        try:
            await self._route(exchange)
        except ClientLeft:
            pass
        except AIError as e:
            await self.refuse(exchange, e)
        except Exception:
            error = _failed(exchange)
            if not exchange.is_started:
                await self.refuse(exchange, error)
        elapsed = (asyncio.get_running_loop().time() - begin) * 1000
        requests.info(
            "[%s] %s %s status=%d ms=%.1f bytes=%d",
            exchange.request_id, exchange.method, exchange.path, exchange.status, elapsed, exchange.sent_bytes,
        )  # fmt: skip

    async def _route(self, exchange: Exchange) -> None:
        preflight = self._cors.preflight(exchange)
        if preflight is not None:  # a browser sends it without the key
            await exchange.start(204, (), self._head(exchange, preflight))
            await exchange.finish()
            return
        self._authorize(exchange)
        path, method = exchange.path.rstrip("/"), exchange.method
        if path == "/v1/chat/completions":
            _allow(method, ("POST",), path)
            await self._complete(exchange)
            return
        known = path in PATHS or path.startswith("/v1/models/")
        if not known:
            raise _NotFound(f"no such path: {method} {path[:80]}; known: {', '.join(PATHS)}")
        _allow(method, ("GET", "HEAD"), path)
        await exchange.answer(200, self._page(path), self._head(exchange))

    def _page(self, path: str) -> dict[str, Any]:
        if path == "/v1/openapi.json":
            return self._document
        if path == "/v1/models":
            return {"object": "list", "data": self._service.models()}
        return self._model(path.removeprefix("/v1/models/"))

    def _authorize(self, exchange: Exchange) -> None:
        if not self._keys:
            return
        scheme, _, key = (exchange.header("authorization") or "").partition(" ")
        given = _digest(key.strip().encode("latin-1")) if scheme.lower() == "bearer" else b""
        matches = [hmac.compare_digest(given, key) for key in self._keys]  # all of them: the time tells nothing
        if not any(matches):
            raise Unauthorized("the API key is missing or wrong: send 'Authorization: Bearer KEY'")

    def _model(self, name: str) -> dict[str, Any]:
        for model in self._service.models():
            if name.lower() in (model["id"].lower(), *(a.lower() for a in model.get("aliases", ()))):
                return model
        known = ", ".join(m["id"] for m in self._service.models())
        raise ModelNotFound(f"The model {name[:80]!r} does not exist; known models: {known}", param="model")

    async def _complete(self, exchange: Exchange) -> None:
        client = exchange.scope.get("client")
        caller = f"v1:{client[0]}" if client else "v1"
        # the inputs stay unnamed: nothing holds their megabytes while the answer is generated
        accepted = self._service.run(await read_object(exchange), caller=caller)
        completion = await _while_connected(exchange, accepted)
        try:
            head = self._head(exchange)
            if completion.stand_in is not None:
                head["x-beira-stand-in"] = completion.stand_in
            if completion.is_stream:
                head |= {"content-type": "text/event-stream; charset=utf-8", "cache-control": "no-cache"}
                await exchange.start(200, (), head)
                await _while_connected(exchange, _send_events(exchange, completion.chunks()))
            else:
                await exchange.answer(200, await _while_connected(exchange, completion.result()), head)
        finally:
            await completion.aclose()

    async def refuse(self, exchange: Exchange, error: AIError) -> None:
        """Answer with an error, in OpenAI's shape."""
        extra: dict[str, str] = {}
        if error.status in (429, 503):
            extra["retry-after"] = str(error.retry_after or 1)
        if isinstance(error, Unauthorized):
            extra["www-authenticate"] = "Bearer"
        if isinstance(error, _MethodNotAllowed):
            extra["allow"] = ", ".join(error.allowed)
        await exchange.answer(error.status, error.body(), self._head(exchange, extra))

    def _head(self, exchange: Exchange, more: dict[str, str] | None = None) -> dict[str, str]:
        """The headers of every response, and `more`."""
        return {"x-beira-request-id": exchange.request_id} | self._cors.headers(exchange) | (more or {})


class _NotFound(InvalidRequest):
    status = 404
    default_code = "not_found"


class _MethodNotAllowed(InvalidRequest):
    status = 405
    default_code = "method_not_allowed"

    def __init__(self, message: str, allowed: tuple[str, ...]) -> None:
        super().__init__(message)
        self.allowed = allowed


def _allow(method: str, allowed: tuple[str, ...], path: str) -> None:
    if method not in allowed:
        raise _MethodNotAllowed(f"{path} takes {' and '.join(allowed)}, got {method}", allowed)


def _digest(key: bytes) -> bytes:
    """Of one length whatever the key, so that comparing tells not even that."""
    return hashlib.sha256(key).digest()


def _failed(exchange: Exchange) -> EngineError:
    """Log the exception at hand, a fault of ours, and say no more than that to the client."""
    log.exception("[%s] %s failed in the host", exchange.request_id, exchange.path)
    return EngineError("the node failed to answer; its log says why")


async def _send_events(exchange: Exchange, chunks: AsyncIterator[dict[str, Any]]) -> None:
    try:
        async for chunk in chunks:
            await exchange.write(server_sent(orjson.dumps(chunk)))
    except AIError as e:
        await exchange.write(server_sent(orjson.dumps(e.body())))
    except Exception:
        await exchange.write(server_sent(orjson.dumps(_failed(exchange).body())))
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
