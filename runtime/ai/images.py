"""The images of a request: fetched and decoded together, off the event loop, in the prompt's order."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from runtime.ai import decoding, media
from runtime.ai.checks import shown
from runtime.ai.request import ImageSource
from runtime.engine.request import Image
from runtime.errors import EngineError, ImageError, OutboundError

FetchImage = Callable[[str], Awaitable[bytes]]


class Images:
    """Owns the threads that decode: few, as a picture of 40 megapixels takes 120 MB while it is decoded."""

    def __init__(self, fetch: FetchImage | None, max_tokens: int) -> None:
        """`fetch` gets the bytes of a web address, and raises OutboundError; an image may take `max_tokens`."""
        self._fetch = fetch
        self._max_tokens = max_tokens
        self._threads = ThreadPoolExecutor(2, "beira-media")
        self._is_closed = False

    async def load(self, sources: Sequence[ImageSource]) -> list[Image]:
        """Raises ImageError for the first that fails; the others are given up."""
        if len(sources) > media.MAX_IMAGES:
            text = f"messages: a request may have at most {media.MAX_IMAGES} images, got {len(sources)}"
            raise ImageError(text, param="messages")
        try:
            async with asyncio.TaskGroup() as group:
                tasks = [group.create_task(self._load(source)) for source in sources]
        except BaseExceptionGroup as errors:
            raise errors.exceptions[0] from None
        return [task.result() for task in tasks]

    def close(self) -> None:
        """What is being decoded ends by itself, within seconds."""
        self._is_closed = True
        self._threads.shutdown(wait=False)

    async def _load(self, source: ImageSource) -> Image:
        decode = partial(decoding.decode, fit=media.fit_of(source, self._max_tokens), path=source.path)
        if media.is_data(source):
            return await self._off_loop(lambda: decode(media.open_data(source)))
        data = await self._fetched(source)
        return await self._off_loop(lambda: decode(data))

    async def _off_loop(self, work: Callable[[], Image]) -> Image:
        if self._is_closed:
            raise EngineError("the node is shutting down")
        return await asyncio.get_running_loop().run_in_executor(self._threads, work)

    async def _fetched(self, source: ImageSource) -> bytes:
        if not media.is_web(source):
            raise media.fault(source.path, f"must be an http:, https: or data: URL, got {shown(source.url)}")
        if self._fetch is None:
            raise media.fault(source.path, "images are not fetched here; send them as data: URLs")
        try:
            data = await self._fetch(source.url)
        except OutboundError as e:
            raise media.fault(source.path, f"cannot be fetched: {e}") from e
        if len(data) > media.MAX_BYTES:
            raise media.too_large(source.path)
        return data
