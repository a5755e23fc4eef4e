"""What the clients ask: the embedded model answers these reliably, in form where it is too small for sense."""

from __future__ import annotations

import base64
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from tests.ai import seed
from tests.node import picture

MODEL = "beira-tiny"
PARIS = "The capital of France is Paris."
FRANCE: list[dict[str, Any]] = [{"role": "user", "content": "What is the capital of France?"}]
WEATHER: list[dict[str, Any]] = seed.TOOLS["messages"]
TOOL = seed.WEATHER


class Place(BaseModel):
    """A form whose every answer is short."""

    model_config = ConfigDict(extra="forbid")
    kind: Literal["city", "country"]
    is_capital: bool
    population: int = Field(ge=1, le=99)


class Where(BaseModel):
    """The arguments of a tool, for where they must be short whatever the model makes of them."""

    model_config = ConfigDict(extra="forbid")
    location: Literal["London", "Paris"]


def looking() -> list[dict[str, Any]]:
    """A question about a picture: a red circle."""
    url = f"data:image/png;base64,{base64.b64encode(picture()).decode()}"
    content = [{"type": "image_url", "image_url": {"url": url}}, {"type": "text", "text": "What is in this image?"}]
    return [{"role": "user", "content": content}]
