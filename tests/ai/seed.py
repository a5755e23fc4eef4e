"""The examples of the model page that the project was created from, and every text of their prompts."""

from __future__ import annotations

from typing import Any

from runtime.ai.request import parse
from runtime.ai.template import lay_out
from runtime.engine.request import Image, Markup, Part, Text

BASIC: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {"role": "user", "content": "Name the european capitals"},
    ]
}
WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {
        "name": "get_weather",
        "description": "Get the current weather for a location",
        "parameters": {
            "type": "object",
            "properties": {"location": {"type": "string", "description": "The city and state"}},
            "required": ["location"],
        },
    },
}
TOOLS: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant with access to tools."},
        {"role": "user", "content": "What is the weather in London?"},
    ],
    "tools": [WEATHER],
}
IMAGE: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You are a helpful assistant."},
        {
            "role": "user",
            "content": [
                {"type": "text", "text": "What is in this image?"},
                {"type": "image_url", "image_url": {"url": "https://example.com/image.jpg"}},
            ],
        },
    ]
}
CALL: list[Part] = [
    Markup("<tool_call>"),
    Text('\n{"name": "get_weather", "arguments": {"location": "London"}}\n'),
    Markup("</tool_call>"),
    Markup("<|im_end|>"),
]
"""What the model generates for the page's tool call, the end token included."""


def prompt(inputs: dict[str, Any]) -> list[Part]:
    """An example's prompt, with an image of 4 tokens for each that it names."""
    request = parse(inputs)
    return lay_out(request, [Image(56, 56, bytes(56 * 56 * 3), "seed") for _ in request.images])


KEPT = [p.text for parts in (*map(prompt, (BASIC, TOOLS, IMAGE)), CALL) for p in parts if isinstance(p, Text)]
