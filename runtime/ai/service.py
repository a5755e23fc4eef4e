"""What `AI.run` means: a request is checked, laid out and submitted; one service for functions and for `/v1`."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import replace
from typing import Any, TypeVar

from runtime.ai.completion import Completion, Feed
from runtime.ai.engines import Engine, Engines, Loaded, MakeEngine
from runtime.ai.images import FetchImage, Images
from runtime.ai.request import ChatRequest, parse
from runtime.ai.response import Answer, Choice
from runtime.ai.structured import is_constrained
from runtime.ai.template import CALL, lay_out
from runtime.ai.tool_calls import ToolCallParser
from runtime.catalog.catalog import Catalog
from runtime.catalog.manifest import Manifest
from runtime.config import EngineSettings
from runtime.engine.request import Part, Prompt, SamplingParams, Text
from runtime.errors import (
    ContextLengthExceeded,
    EngineError,
    ImageError,
    InvalidRequest,
)

_In = TypeVar("_In")
_Out = TypeVar("_Out")
__all__ = ["Completion", "Service"]

NEVER = -1e9
"""A logit bias that rules a token out."""
SHUTTING_DOWN = "the node is shutting down"


class Service:
    """Every model behind one call. `start` before the first `run`, `aclose` after the last."""

    def __init__(
        self,
        catalog: Catalog,
        make_engine: MakeEngine,
        *,
        default: str,
        load: Sequence[str],
        is_dev: bool,
        allow_stand_in: bool,
        fetch_image: FetchImage | None = None,
        image_max_tokens: int = EngineSettings().image_max_tokens,
    ) -> None:
        self._catalog = catalog
        self._default = default
        self._load = tuple(load)
        self._is_dev = is_dev
        self._engines = Engines(catalog, make_engine, can_load_later=is_dev, allow_stand_in=is_dev or allow_stand_in)
        self._images = Images(fetch_image, image_max_tokens)
        self._running: set[Completion] = set()
        # not the threads that decode images: a short prompt never waits behind sixteen photographs
        self._tokenizers = ThreadPoolExecutor(2, "beira-prompt")
        # nor behind a grammar, which may take seconds to make
        self._grammarians = ThreadPoolExecutor(2, "beira-grammar")
        self._created = int(time.time())
        self._is_ready = False
        self._is_closed = False

    async def start(self) -> None:
        """Load the default and the configured models. Raises ConfigError, CatalogError."""
        await self._engines.start((self._default, *self._load))
        self._is_ready = True

    async def aclose(self) -> None:
        """End what runs with an error, then close the engines."""
        self._is_ready, self._is_closed = False, True
        for completion in list(self._running):
            completion.fail(EngineError(SHUTTING_DOWN))
            await completion.aclose()
        self._images.close()
        self._tokenizers.shutdown(wait=False)
        self._grammarians.shutdown(wait=False)
        await self._engines.aclose()

    @property
    def is_ready(self) -> bool:
        """The configured models are loaded."""
        return self._is_ready

    def models(self) -> list[dict[str, Any]]:
        """The data of `/v1/models`."""
        return [self._describe(manifest) for manifest in self._catalog.manifests]

    def lines(self) -> list[str]:
        """For the start: one line a model that can be asked."""
        lines = (self._line(manifest) for manifest in self._catalog.manifests)
        return [line for line in lines if line is not None]

    async def run(self, inputs: Mapping[str, Any], *, model: str | None = None, caller: str = "") -> Completion:
        """Accept a request. Raises AIError; what it returns must be read or closed."""
        request = await self._off_loop(parse, inputs)
        name = next(n for n in (model, request.model, self._default) if n is not None)
        manifest = self._catalog.find(name)
        loaded = await self._engines.get(manifest)
        _check_abilities(request, loaded)
        mask = None
        if request.can_call_tools or is_constrained(request):
            mask = await self._off_loop(loaded.grammars.mask, request, self._grammarians)
        prompt, params = await self._prepare(request, loaded, min(manifest.context, loaded.engine.context))
        answer = Answer(
            name, _choices(request), prompt_tokens=prompt.n_tokens, should_report_usage=request.should_report_usage
        )
        feed = Feed(asyncio.get_running_loop())
        ticket = loaded.engine.submit(prompt, params, feed.sink, n=request.n, caller=caller, mask=mask)
        stand_in = None if loaded.manifest is manifest else loaded.manifest.id
        completion = Completion(
            answer, ticket, feed, is_stream=request.is_stream, stand_in=stand_in, on_close=self._running.discard
        )
        self._running.add(completion)
        if request.is_stream:
            try:
                await completion.started()
            except BaseException:
                await completion.aclose()
                raise
        return completion

    async def _prepare(self, request: ChatRequest, loaded: Loaded, limit: int) -> tuple[Prompt, SamplingParams]:
        images = await self._images.load(request.images) if request.images else ()

        def prepare(engine: Engine) -> Prompt:
            parts = lay_out(request, images)
            _check_size(parts, limit, loaded.longest_token)
            return engine.prepare(parts)

        prompt = await self._off_loop(prepare, loaded.engine)
        return prompt, _params(request, loaded, prompt, limit)

    async def _off_loop(self, work: Callable[[_In], _Out], given: _In, on: Executor | None = None) -> _Out:
        if self._is_closed:
            raise EngineError(SHUTTING_DOWN)
        return await asyncio.get_running_loop().run_in_executor(on or self._tokenizers, work, given)

    def _describe(self, manifest: Manifest) -> dict[str, Any]:
        stand_in = None if self._can_answer(manifest) else self._engines.stand_in(manifest)
        return {
            "id": manifest.id,
            "object": "model",
            "created": self._created,
            "owned_by": "beira",
            "aliases": list(manifest.aliases),
            "capabilities": list(manifest.capabilities),
            "context": manifest.context,
            "loaded": self._engines.loaded(manifest) is not None,
            "stand_in": stand_in.id if stand_in else None,
        }

    def _line(self, manifest: Manifest) -> str | None:
        loaded = self._engines.loaded(manifest)
        if loaded is not None:
            limit = min(manifest.context, loaded.engine.context)
            abilities = " ".join(manifest.capabilities)
            return f"model {manifest.id}  {abilities}  {limit} tokens  loaded in {loaded.seconds:.1f} s"
        if self._can_answer(manifest):
            return f"model {manifest.id}  loads at its first use"
        stand_in = self._engines.stand_in(manifest)
        if stand_in is not None:
            why = "not loaded" if manifest.is_on_disk else "weights absent"
            return f"model {manifest.id} answered by the stand-in {stand_in.id}: {why}"
        return None

    def _can_answer(self, manifest: Manifest) -> bool:
        """Itself, now or after loading."""
        return self._engines.loaded(manifest) is not None or (self._is_dev and manifest.is_on_disk)


def _check_abilities(request: ChatRequest, loaded: Loaded) -> None:
    name = loaded.manifest.id
    if request.images and not (loaded.engine.has_vision and "vision" in loaded.manifest.capabilities):
        raise ImageError(f"{request.images[0].path}: the model {name!r} takes no images", param=request.images[0].path)
    if request.can_call_tools and "tools" not in loaded.manifest.capabilities:
        raise InvalidRequest(f"tools: the model {name!r} calls no tools", param="tools")


def _check_size(parts: Sequence[Part], limit: int, longest_token: int) -> None:
    """Refuse at once what cannot fit however it is cut: tokenising a megabyte takes a second."""
    at_least = sum(len(part.text) for part in parts if isinstance(part, Text)) // longest_token
    if at_least > limit:
        raise ContextLengthExceeded(_overlong(limit, at_least, 0), param="messages")


def _params(request: ChatRequest, loaded: Loaded, prompt: Prompt, limit: int) -> SamplingParams:
    """Raises ContextLengthExceeded."""
    wanted, left = request.max_tokens or 0, limit - prompt.n_tokens
    # without max_tokens there must be room for one token at least
    if max(wanted, 1) > left:
        raise ContextLengthExceeded(_overlong(limit, prompt.n_tokens, wanted), param="messages")
    max_tokens = request.max_tokens or (left if limit < loaded.engine.context else None)
    params = request.params(loaded.manifest.sampling, max_tokens)
    call = loaded.engine.markup(CALL)
    if request.tools and not request.can_call_tools and call is not None:
        return replace(params, logit_bias=(*params.logit_bias, (call, NEVER)))
    return params


def _choices(request: ChatRequest) -> list[Choice]:
    limit = None if request.is_parallel else 1
    return [
        Choice(
            i,
            ToolCallParser(limit) if request.can_call_tools else None,
            has_logprobs=request.logprobs is not None,
            is_stream=request.is_stream,
        )
        for i in range(request.n)
    ]


def _overlong(limit: int, prompt: int, completion: int) -> str:
    return (
        f"This model's maximum context length is {limit} tokens. However, you requested {prompt + completion} tokens "
        f"({prompt} in the messages, {completion} in the completion). Please reduce the length of the messages or "
        "completion."
    )
