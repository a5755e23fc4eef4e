"""A prompt's parts as tokens: markup by name, text that never becomes a special token, images by their size."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from collections.abc import Sequence as Items

from runtime.engine.request import Image, Markup, Part, Text
from runtime.engine.sequence import ImageShape, PromptBuilder, TokenisedPrompt
from runtime.errors import EngineError, ImageError, InvalidRequest

MAX_ASPECT = 200

Measure = Callable[[int, int], tuple[list[int], ImageShape, list[int]]]
"""Width and height of an image → tokens before it, its shape, tokens after it."""


class Tokenizer:
    """Thread-safe: it only reads."""

    def __init__(
        self,
        tokenize: Callable[[str], list[int]],
        markup: Mapping[str, int],
        user_defined: Iterable[str],
        measure: Measure | None,
    ) -> None:
        self._tokenize = tokenize
        self._markup = markup
        self._measure = measure
        spellings = sorted((s for s in user_defined if len(s) > 1), key=len, reverse=True)
        self._spelling = re.compile("|".join(map(re.escape, spellings))) if spellings else None

    def prepare(self, parts: Items[Part]) -> TokenisedPrompt:
        """Raises InvalidRequest, ImageError."""
        prompt = PromptBuilder()
        for part in _joined(parts):
            if isinstance(part, Text):
                prompt.add_tokens(self.text(part.text))
            elif isinstance(part, Markup):
                prompt.add_tokens([self._markup_token(part.name)])
            else:
                before, shape, after = self._measured(part)
                prompt.add_tokens(before)
                prompt.add_image(part, shape)
                prompt.add_tokens(after)
        made = prompt.build()
        if not made.ids:
            raise InvalidRequest("the prompt is empty: it must have at least one token")
        return made

    def text(self, text: str) -> list[int]:
        """Plain text. A user-defined token's spelling is cut after its first character, which the tokenizer would
        otherwise turn into that token."""
        tokens: list[int] = []
        for piece in self._cut(text):
            tokens += self._tokenize(piece)
        return tokens

    def _cut(self, text: str) -> Iterator[str]:
        start = 0
        # the search goes on inside the spelling: what is left after the cut may hold another one
        while self._spelling and (found := self._spelling.search(text, start)):
            yield text[start : found.start() + 1]
            start = found.start() + 1
        if start < len(text):
            yield text[start:]

    def _markup_token(self, name: str) -> int:
        token = self._markup.get(name)
        if token is None:
            raise EngineError(f"the model's vocabulary has no token {name!r}, which the chat layout needs")
        return token

    def _measured(self, image: Image) -> tuple[list[int], ImageShape, list[int]]:
        if self._measure is None:
            raise InvalidRequest("this model takes no images: it was loaded without a projector")
        width, height = image.width, image.height
        if width < 1 or height < 1 or len(image.rgb) != width * height * 3:
            raise ImageError(f"an image of {width} x {height} pixels with {len(image.rgb)} bytes; expected 3 a pixel")
        if max(width, height) > MAX_ASPECT * min(width, height):
            raise ImageError(f"an image of {width} x {height} pixels: its sides may differ {MAX_ASPECT} times at most")
        return self._measure(width, height)


def _joined(parts: Items[Part]) -> Iterator[Part]:
    """Adjacent texts as one: tokenised apart they give other tokens."""
    texts: list[str] = []
    for part in parts:
        if isinstance(part, Text):
            texts.append(part.text)
            continue
        if texts:
            yield Text("".join(texts))
            texts = []
        yield part
    if texts:
        yield Text("".join(texts))
