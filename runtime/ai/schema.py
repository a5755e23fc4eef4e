"""The JSON schema of a chat request: what `checks` enforces and what `/v1/openapi.json` publishes. Data only.

The rules are those of the model page that the project was created from, and of contract.md. Where that page says
`oneOf`, this says if/then: the same documents pass, and a refusal can name the one rule that was broken.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

Schema = dict[str, Any]
MAX_N = 128
MAX_STOPS = 4
MAX_TOOLS = 1024
"""OpenAI takes 128; a grammar over many thousands takes seconds to make."""
MAX_TOP_LOGPROBS = 20
MAX_ARGUMENTS = 2**20
"""Characters of a past call's arguments: more than a context holds, and parsed within milliseconds."""


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _optional(kind: str, **rules: Any) -> Schema:
    """`null` equals absent."""
    return {"type": [kind, "null"], **rules}


def _choice(*values: str) -> Schema:
    return {"type": ["string", "null"], "enum": [*values, None]}


def _object(required: list[str], **properties: Schema) -> Schema:
    return {"type": "object", "required": required, "properties": properties}


def _when(key: str, value: str, then: Schema) -> Schema:
    # the type, too: `required` says nothing of what is no object
    return {"if": {"type": "object", "required": [key], "properties": {key: {"const": value}}}, "then": then}


def _has(**properties: Schema) -> Schema:
    """An object that has all of these."""
    return {"required": list(properties), "properties": properties}


@dataclass(frozen=True, slots=True)
class Rule:
    """What one field asks of others: unless its value is an `idle` one, or absent, the request has what it `needs`."""

    field: str
    """The one that is refused."""
    text: str
    idle: Schema
    needs: Schema

    @property
    def schema(self) -> Schema:
        # anyOf and not if/then: generators of examples can solve it
        return {"anyOf": [{"properties": {self.field: self.idle}}, self.needs]}


_KEPT = (
    "A JSON schema. Where it is enforced, an object that lists properties gets no others, unless the schema says "
    "`additionalProperties` or several rules speak of that object. What cannot be enforced is refused by name."
)
_TEXT = {"type": "string"}
_PIXELS = _optional("integer", minimum=1)
_ROLES = {
    "system": "SystemMessage",
    "user": "UserMessage",
    "assistant": "AssistantMessage",
    "tool": "ToolMessage",
    "developer": "SystemMessage",  # OpenAI's newer name for the system's messages
}

UNSUPPORTED: dict[str, tuple[Any, ...]] = {
    # OpenAI's
    "audio": (),
    "function_call": (),
    "functions": (),
    "modalities": (["text"],),
    "moderation": (),
    "prediction": (),
    "prompt_cache_key": (),
    "prompt_cache_options": (),
    "prompt_cache_retention": (),
    "reasoning_effort": (),
    "safety_identifier": (),
    "service_tier": ("auto", "default"),
    "store": (False,),
    "verbosity": (),
    "web_search_options": (),
    # vLLM's
    "add_generation_prompt": (True,),
    "add_special_tokens": (False,),
    "allowed_token_ids": (),
    "bad_words": ([],),
    "best_of": (1,),
    "cache_salt": (),
    "chat_template": (),
    "chat_template_kwargs": ({},),
    "continue_final_message": (False,),
    "documents": (),
    "ec_transfer_params": (),
    "echo": (False,),
    "guided_choice": (),
    "guided_decoding_backend": (),
    "guided_grammar": (),
    "guided_json": (),
    "guided_regex": (),
    "guided_whitespace_pattern": (),
    "include_reasoning": (True,),
    "include_stop_str_in_output": (False,),
    "kv_transfer_params": (),
    "length_penalty": (1,),
    "logits_processors": (),
    "logprob_token_ids": (),
    "media_io_kwargs": (),
    "min_tokens": (0,),
    "mm_processor_kwargs": ({},),
    "priority": (0,),
    "prompt_logprobs": (),
    "repetition_detection": (),
    "request_id": (),
    "return_prompt_text": (False,),
    "return_token_ids": (False,),
    "return_token_offsets": (False,),
    "return_tokens_as_token_ids": (False,),
    "routed_experts_prompt_start": (0,),
    "session_id": (),
    "skip_special_tokens": (True,),
    "spaces_between_special_tokens": (True,),
    "stop_token_ids": ([],),
    "stream_interval": (1,),
    "structural_tag": (),
    "structured_outputs": (),
    "thinking_token_budget": (),
    "truncate_prompt_tokens": (),
    "truncation_side": (),
    "use_beam_search": (False,),
    "vllm_xargs": ({},),
    "watermarking": (False,),
    # ours, of a later version
    "lora": (),
}
"""Fields of the two APIs that are known and not supported, with the values that ask for nothing: those pass."""

UNSUPPORTED_OF_ASSISTANT = ("audio", "function_call", "refusal")
"""Of an assistant's message; OpenAI's clients send them back as null."""

RULES = (
    Rule("stream_options", "is only for stream: true", {"type": "null"}, _has(stream={"const": True})),
    Rule("top_logprobs", "needs logprobs: true", {"enum": [0, None]}, _has(logprobs={"const": True})),
    Rule("tool_choice", "needs tools", {"enum": ["none", None]}, _has(tools={"type": "array", "minItems": 1})),
    Rule(
        "ignore_eos",
        "cannot be combined with an answer of a given form",
        {"enum": [False, None]},
        {
            "properties": {
                "response_format": {"properties": {"type": {"const": "text"}}},
                "tool_choice": {"enum": ["none", "auto", None]},
                "tools": {"items": {"properties": {"function": {"properties": {"strict": {"enum": [False, None]}}}}}},
            },
        },
    ),
)

SCHEMAS: dict[str, Schema] = {
    "ChatRequest": _object(
        ["messages"],
        model=_optional("string"),
        messages={"type": "array", "minItems": 1, "items": _ref("Message")},
        temperature=_optional("number", minimum=0, maximum=2),
        top_p=_optional("number", minimum=0, maximum=1),
        top_k=_optional("integer", minimum=-1, maximum=2**31 - 1),
        min_p=_optional("number", minimum=0, maximum=1),
        repetition_penalty=_optional("number", minimum=0.01, maximum=100),
        presence_penalty=_optional("number", minimum=-2, maximum=2),
        frequency_penalty=_optional("number", minimum=-2, maximum=2),
        n=_optional("integer", minimum=1, maximum=MAX_N),
        stream=_optional("boolean"),
        stream_options=_optional(
            "object",
            properties={
                "include_usage": _optional("boolean"),
                "continuous_usage_stats": {"enum": [False, None]},
                "include_obfuscation": {"enum": [False, None]},
            },
        ),
        max_tokens=_optional("integer", minimum=1),
        max_completion_tokens=_optional("integer", minimum=1),
        stop={
            "type": ["string", "array", "null"],
            "minLength": 1,
            "maxItems": MAX_STOPS,
            "items": {"type": "string", "minLength": 1},
        },
        ignore_eos=_optional("boolean"),
        seed=_optional("integer", minimum=-(2**63), maximum=2**63 - 1),
        logprobs=_optional("boolean"),
        top_logprobs=_optional("integer", minimum=0, maximum=MAX_TOP_LOGPROBS),
        logit_bias=_optional(
            "object",
            propertyNames={"pattern": "^[0-9]{1,9}$"},
            additionalProperties={"type": "number", "minimum": -100, "maximum": 100},
        ),
        tools=_optional("array", maxItems=MAX_TOOLS, items=_ref("ToolDefinition")),
        tool_choice=_ref("ToolChoice"),
        parallel_tool_calls=_optional("boolean"),
        response_format=_ref("ResponseFormat"),
        user=_optional("string"),
        metadata=_optional("object"),
    )
    | {"allOf": [*(rule.schema for rule in RULES), _ref("UnsupportedFields")]},
    # apart: with all of them in one object, generators of examples find the request too large
    "UnsupportedFields": {
        "type": "object",
        "properties": {name: {"enum": [*neutral, None]} for name, neutral in UNSUPPORTED.items()},
        "description": "Known to OpenAI or vLLM, and not supported here: only values that ask for nothing.",
    },
    "Message": {
        "type": "object",
        "required": ["role"],
        "properties": {"role": {"type": "string", "enum": list(_ROLES)}, "name": _optional("string")},
        "allOf": [_when("role", role, _ref(name)) for role, name in _ROLES.items()],
    },
    "SystemMessage": _object(["content"], content=_ref("TextContent")),
    "UserMessage": _object(["content"], content={"type": ["string", "array"], "items": _ref("ContentItem")}),
    "AssistantMessage": {
        "type": "object",
        "properties": {
            "tool_calls": _optional("array", items=_ref("ToolCall")),
            **{name: {"enum": [None]} for name in UNSUPPORTED_OF_ASSISTANT},
        },
        "if": {"required": ["tool_calls"], "properties": {"tool_calls": {"type": "array"}}},
        "then": {
            "properties": {"content": {"type": ["string", "array", "null"], "items": _ref("TextContentItem")}},
        },
        "else": {"required": ["content"], "properties": {"content": _ref("TextContent")}},
    },
    "ToolMessage": _object(["content", "tool_call_id"], content=_ref("TextContent"), tool_call_id=_TEXT),
    "TextContent": {
        "type": ["string", "array"],
        "items": _ref("TextContentItem"),
        "description": "Text, either as a string or as an array of text items.",
    },
    "TextContentItem": _object(["type", "text"], type={"type": "string", "enum": ["text"]}, text=_TEXT),
    "ContentItem": {
        "type": "object",
        "required": ["type"],
        "properties": {"type": {"type": "string", "enum": ["text", "image_url"]}},
        "allOf": [
            _when("type", "text", _ref("TextContentItem")),
            _when("type", "image_url", _ref("ImageContentItem")),
        ],
    },
    "ImageContentItem": _object(
        ["image_url"],
        image_url=_object(
            ["url"],
            url={**_TEXT, "description": "An http, https or data URL."},
            detail=_choice("low", "high", "auto"),
            min_pixels=_PIXELS,
            max_pixels=_PIXELS,
        ),
        min_pixels=_PIXELS,
        max_pixels=_PIXELS,
    ),
    "ToolCall": _object(
        ["function", "id", "type"],
        function=_object(
            ["name", "arguments"],
            name=_TEXT,
            arguments={**_TEXT, "maxLength": MAX_ARGUMENTS, "contentMediaType": "application/json"},
        ),
        id=_TEXT,
        type={"type": "string", "enum": ["function"]},
    ),
    "ToolDefinition": _object(
        ["type", "function"],
        type={"type": "string", "enum": ["function"]},
        function=_object(
            ["name"],
            name=_TEXT,
            description=_optional("string"),
            parameters=_optional("object", additionalProperties=True, description=_KEPT),
            strict=_optional("boolean"),
        ),
    ),
    "ToolChoice": {
        "type": ["string", "object", "null"],
        "if": {"type": "string"},
        "then": {"enum": ["none", "auto", "required"]},
        "required": ["type", "function"],
        "properties": {
            "type": {"type": "string", "enum": ["function"]},
            "function": _object(["name"], name=_TEXT),
        },
    },
    "ResponseFormat": {
        "type": ["object", "null"],
        "required": ["type"],
        "properties": {"type": {"type": "string", "enum": ["text", "json_object", "json_schema"]}},
        **_when(
            "type",
            "json_schema",
            _object(
                ["json_schema"],
                json_schema=_object(
                    ["name", "schema"],
                    name=_TEXT,
                    description=_optional("string"),
                    schema={"type": "object", "description": _KEPT},
                    strict=_optional("boolean"),
                ),
            ),
        ),
    },
}
"""By name, as OpenAPI's `components.schemas`."""
