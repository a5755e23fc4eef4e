"""The OpenAPI document of `/v1`: requests by the very schema that is checked, answers by what `response` makes."""

from __future__ import annotations

from typing import Any

from runtime.ai.schema import SCHEMAS, Schema


def _exactly(**properties: Schema) -> Schema:
    """All of these, and nothing else."""
    return {
        "type": "object",
        "required": list(properties),
        "properties": properties,
        "additionalProperties": False,
    }


def _or_null(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def _ref(name: str) -> Schema:
    return {"$ref": f"#/components/schemas/{name}"}


def _array(items: Schema) -> Schema:
    return {"type": "array", "items": items}


_TEXT: Schema = {"type": "string"}
_TEXT_OR_NULL: Schema = {"type": ["string", "null"]}
_NULL: Schema = {"type": "null"}
_COUNT: Schema = {"type": "integer", "minimum": 0}
_REASON: Schema = {"enum": ["stop", "length", "tool_calls"]}
_CALL_ID: Schema = {"type": "string", "pattern": "^chatcmpl-tool-[0-9a-f]{32}$"}
_HEAD: dict[str, Schema] = {
    "id": {"type": "string", "pattern": "^chatcmpl-[0-9a-f]{32}$"},
    "created": _COUNT,
    "model": {**_TEXT, "description": "As asked."},
}
_TOKEN: dict[str, Schema] = {
    "token": _TEXT,
    "logprob": {"type": "number", "maximum": 0},
    "bytes": _array({"type": "integer", "minimum": 0, "maximum": 255}),
}

ANSWERS: dict[str, Schema] = {
    "ChatCompletion": _exactly(
        **_HEAD,
        object={"const": "chat.completion"},
        choices=_array(
            _exactly(
                index=_COUNT,
                message=_exactly(
                    role={"const": "assistant"},
                    reasoning_content=_NULL,
                    content=_TEXT_OR_NULL,
                    tool_calls=_array(
                        _exactly(
                            id=_CALL_ID, type={"const": "function"}, function=_exactly(name=_TEXT, arguments=_TEXT)
                        )
                    ),
                ),
                logprobs=_or_null(_ref("Logprobs")),
                finish_reason=_REASON,
                stop_reason=_TEXT_OR_NULL,
            )
        ),
        usage=_ref("Usage"),
        prompt_logprobs=_NULL,
    ),
    "ChatCompletionChunk": {
        "type": "object",
        "required": [*_HEAD, "object", "choices"],
        "properties": {
            **_HEAD,
            "object": {"const": "chat.completion.chunk"},
            "choices": _array(_ref("ChunkChoice")),
            "usage": _ref("Usage"),
        },
        "additionalProperties": False,
    },
    "Event": {
        "description": "One of the events of a stream (`stream: true`); the last one's data is [DONE].",
        "type": "object",
        "required": ["data"],
        "properties": {
            "data": {
                "anyOf": [
                    {"const": "[DONE]"},
                    {
                        "type": "string",
                        "contentMediaType": "application/json",
                        "contentSchema": {"anyOf": [_ref("ChatCompletionChunk"), _ref("Error")]},
                    },
                ]
            }
        },
    },
    "ChunkChoice": {
        "type": "object",
        "required": ["index", "delta", "logprobs", "finish_reason"],
        "properties": {
            "index": _COUNT,
            "delta": _ref("Delta"),
            "logprobs": _or_null(_ref("Logprobs")),
            "finish_reason": _or_null(_REASON),
            "stop_reason": {**_TEXT_OR_NULL, "description": "In the last delta only."},
        },
        "additionalProperties": False,
    },
    "Delta": {
        "type": "object",
        "properties": {
            "role": {"const": "assistant"},
            "content": _TEXT,
            "tool_calls": _array(
                {
                    "anyOf": [
                        _exactly(index=_COUNT, id=_CALL_ID, type={"const": "function"}, function=_exactly(name=_TEXT)),
                        _exactly(index=_COUNT, function=_exactly(arguments=_TEXT)),
                    ]
                }
            ),
        },
        "additionalProperties": False,
    },
    "Logprobs": _exactly(content=_array(_exactly(**_TOKEN, top_logprobs=_array(_exactly(**_TOKEN))))),
    "Usage": _exactly(
        prompt_tokens=_COUNT,
        total_tokens=_COUNT,
        completion_tokens=_COUNT,
        prompt_tokens_details=_or_null(_exactly(cached_tokens={"type": "integer", "minimum": 1})),
    ),
    "Model": _exactly(
        id=_TEXT,
        object={"const": "model"},
        created=_COUNT,
        owned_by=_TEXT,
        aliases=_array(_TEXT),
        capabilities=_array({"enum": ["chat", "vision", "tools"]}),
        context={"type": "integer", "minimum": 1},
        loaded={"type": "boolean"},
        stand_in={**_TEXT_OR_NULL, "description": "The model that answers under this one's name."},
    ),
    "ModelList": _exactly(object={"const": "list"}, data=_array(_ref("Model"))),
    "Error": _exactly(error=_exactly(message=_TEXT, type=_TEXT, param=_TEXT_OR_NULL, code=_TEXT_OR_NULL)),
}
"""By name, as OpenAPI's `components.schemas`."""


_PART = r"messages\[\d+\]\.content\[\d+\]\.image_url"
_PARAMETERS = r"tools\[\d+\]\.function\.parameters"
BEYOND: tuple[dict[str, str], ...] = (
    {
        "reason": "Only the model's tokenizer tells how long a prompt is.",
        "code": "context_length_exceeded",
        "param": "messages",
        "message": "This model's maximum context length is ",
    },
    {
        "reason": "An image must be found, be one, and be within the limits; 16 at most in all messages together.",
        "code": "invalid_image",
        "param": rf"{_PART}\.url|messages",
        "message": "",
    },
    {
        "reason": "No keyword compares one value with another.",
        "param": rf"{_PART}\.min_pixels",
        "message": "must be at most max_pixels, ",
    },
    {
        "reason": "A named tool must be one of the request's.",
        "param": r"tool_choice\.function\.name",
        "message": "must be one of the tools, ",
    },
    {
        "reason": "What a text holds is only annotated (contentMediaType), not checked by validators.",
        "param": r"messages\[\d+\]\.tool_calls\[\d+\]\.function\.arguments",
        "message": "must be JSON, ",
    },
    {
        "reason": "A JSON schema within the request may have no solution, or keywords that no grammar can keep.",
        "param": rf"response_format(\.json_schema\.schema)?|tools|{_PARAMETERS}",
        "message": "cannot be enforced: ",
    },
    {
        "reason": "The arguments of a tool that must be called, or strictly so, are an object.",
        "param": rf"{_PARAMETERS}\.type",
        "message": 'must be "object", ',
    },
    {
        "reason": "How many tokens there are is the model's.",
        "param": "logit_bias",
        "message": "token ids are 0 … ",
    },
    {
        "reason": "A schema bounds no request as a whole.",
        "param": "",
        "message": "must hold at most 50000 values, ",
    },
    {
        "reason": "A schema bounds no depth.",
        "param": r"[a-z].*",
        "message": "must be nested at most 64 deep, ",
    },
)
"""Why a request may be refused with 400 that the schema allows: nothing else is. `code` null where it is not given;
`param` is a pattern for the whole of it; `message` begins so, after the param."""


def document(version: str, *, needs_key: bool) -> dict[str, Any]:
    """OpenAPI 3.1, for `/v1/openapi.json`."""
    chat = _operation("Answer a chat", "ChatCompletion", {"text/event-stream": {"schema": _ref("Event")}})
    chat["requestBody"] = {"required": True, "content": _json("ChatRequest")}
    chat["x-beyond-the-schema"] = list(BEYOND)
    one = _operation("One model", "Model")
    one["parameters"] = [{"name": "model", "in": "path", "required": True, "schema": _TEXT}]
    made: dict[str, Any] = {
        "openapi": "3.1.0",
        "info": {"title": "Beira", "version": version, "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"}},
        "paths": {
            "/v1/chat/completions": {"post": chat},
            "/v1/models": {"get": _operation("The models of this node", "ModelList")},
            "/v1/models/{model}": {"get": one},
        },
        "components": {"schemas": SCHEMAS | ANSWERS},
    }
    if needs_key:
        made["components"]["securitySchemes"] = {"key": {"type": "http", "scheme": "bearer"}}
        made["security"] = [{"key": []}]
    return made


def _operation(summary: str, answer: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    return {
        "summary": summary,
        "responses": {
            "200": {"description": summary, "content": _json(answer) | (more or {})},
            "default": {"description": "An error, in OpenAI's shape", "content": _json("Error")},
        },
    }


def _json(name: str) -> dict[str, Any]:
    return {"application/json": {"schema": _ref(name)}}
