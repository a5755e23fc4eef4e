"""Checking a request against the schema: the first broken rule becomes one line of path, rule and value."""

from __future__ import annotations

import json
import math
import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import jsonschema_rs

from runtime.ai.schema import RULES, SCHEMAS, UNSUPPORTED, UNSUPPORTED_OF_ASSISTANT, Rule
from runtime.errors import InvalidRequest

MAX_DEPTH = 64
MAX_VALUES = 50_000
"""Far more than a context can hold; checking a million would stop the event loop for seconds."""
_SHOWN = 60
_PLAIN_KEY = re.compile(r"[A-Za-z_][A-Za-z0-9_-]{0,59}")
_ARTICLES = {
    "string": "a string",
    "array": "an array",
    "object": "an object",
    "integer": "an integer",
    "number": "a number",
    "boolean": "a boolean",
}
_Trail = tuple["_Trail | None", str | int] | None

_validator = jsonschema_rs.Draft202012Validator(
    {"$ref": "#/components/schemas/ChatRequest", "components": {"schemas": SCHEMAS}}
)


def check(inputs: Any) -> None:
    """Raise InvalidRequest where `inputs` is no chat request."""
    check_json(inputs)
    try:
        # stops at the first fault: to find those of 40,000 empty messages held the interpreter's lock for 0.2 s
        _validator.validate(inputs)
    except jsonschema_rs.ValidationError as e:
        raise _refusal(e, inputs) from None


def check_json(value: Any) -> None:
    """Raise InvalidRequest where `value` is not what JSON can carry: bytes, NaN, lone surrogates, endless depth.

    The validator would pass or misread these. Walks without recursion, as depth is the sender's to choose.
    """
    left: list[tuple[Any, _Trail, int]] = [(value, None, 0)]
    n_values = 0
    while left:
        item, trail, depth = left.pop()
        if isinstance(item, dict | list):
            n_values += len(item)
            if n_values > MAX_VALUES:
                raise refuse([], f"must hold at most {MAX_VALUES} values", value)
        fault = _fault(item, depth)
        if fault:
            raise refuse(list(_unwind(trail)), fault, item)
        if isinstance(item, dict):
            left.extend((v, (trail, k), depth + 1) for k, v in item.items())
        elif isinstance(item, list):
            left.extend((v, (trail, i), depth + 1) for i, v in enumerate(item))


def refuse(path: str | Sequence[str | int], rule: str, value: Any) -> InvalidRequest:
    """The error `path: rule, got value`."""
    where = path if isinstance(path, str) else dotted(path)
    return InvalidRequest(f"{where or 'inputs'}: {rule}, got {shown(value)}", param=where or None)


def dotted(path: Sequence[str | int]) -> str:
    """`messages[1].content[0].image_url.url`"""
    text = ""
    for step in path:
        if isinstance(step, int):
            text += f"[{step}]"
        elif _PLAIN_KEY.fullmatch(step):
            text += f".{step}" if text else step
        else:
            text += f"[{shown(step)}]"
    return text


def shown(value: Any) -> str:
    """A value as one short line: long ones are abbreviated, never copied whole."""
    if isinstance(value, str):
        head = json.dumps(value[:_SHOWN], ensure_ascii=False).encode("utf-8", "backslashreplace").decode()
        return head if len(value) <= _SHOWN else f'{head[:-1]}…" ({len(value)} characters)'
    if isinstance(value, dict):
        return "an object" if value else "{}"
    if isinstance(value, list):
        return f"an array of {len(value)}" if value else "[]"
    if value is None or isinstance(value, bool):
        return json.dumps(value)
    if isinstance(value, int | float):
        # a huge int has no quick decimal form
        return "a huge number" if isinstance(value, int) and value.bit_length() > 128 else repr(value)
    return f"a {type(value).__name__}"


def _fault(item: Any, depth: int) -> str | None:
    if isinstance(item, str):
        return None if _is_unicode(item) else "must be Unicode text without lone surrogates"
    if isinstance(item, dict):
        if not all(isinstance(k, str) and _is_unicode(k) for k in item):
            return "must have keys of Unicode text"
    elif isinstance(item, float):
        if not math.isfinite(item):
            return "must be a finite number"
    elif item is not None and not isinstance(item, int | list):
        return "must be a JSON value"
    return f"must be nested at most {MAX_DEPTH} deep" if depth > MAX_DEPTH else None


def _is_unicode(text: str) -> bool:
    if text.isascii():
        return True
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _unwind(trail: _Trail) -> Iterator[str | int]:
    steps: list[str | int] = []
    while trail is not None:
        trail, step = trail
        steps.append(step)
    return reversed(steps)


def _refusal(error: jsonschema_rs.ValidationError, inputs: Any) -> InvalidRequest:
    path: list[str | int] = list(error.instance_path)
    if (rule := _broken(error)) is not None:
        return refuse(rule.field, rule.text, inputs[rule.field])
    kind = error.kind.as_dict()
    if error.kind.name == "required":
        item: Any = error.instance
        if (kinds := _known_kinds(error)) and item.get("type", kinds[0]) not in kinds:
            return refuse([*path, "type"], _one_of(kinds), item["type"])  # what such a thing would need is no news
        path.append(kind["property"])
        return InvalidRequest(f"{dotted(path)}: is required", param=dotted(path))
    if path and (path[0] in UNSUPPORTED or (len(path) == 3 and path[2] in UNSUPPORTED_OF_ASSISTANT)):
        return refuse(path, "is not supported by this server", error.instance)
    return refuse(path, _rule(error.kind.name, kind, error), error.instance)


def _broken(error: jsonschema_rs.ValidationError) -> Rule | None:
    """The rule between two fields that this is a breach of."""
    match error.schema_path:
        case ["components", "schemas", "ChatRequest", "allOf", int(number), *_]:
            return RULES[number]
    return None


def _known_kinds(error: jsonschema_rs.ValidationError) -> list[str] | None:
    """The values of `type` that the schema knows for the object in which something is wrong."""
    schema: Any = {"components": {"schemas": SCHEMAS}}
    for step in list(error.schema_path)[:-1]:
        schema = schema[step]
    kinds: list[str] | None = schema.get("properties", {}).get("type", {}).get("enum")
    return kinds


def _one_of(options: Sequence[Any]) -> str:
    named = [json.dumps(option) for option in options if option is not None]
    return f"must be {'one of ' * (len(named) > 1)}{', '.join(named)}"


def _rule(name: str, kind: Mapping[str, Any], error: jsonschema_rs.ValidationError) -> str:
    match name:
        case "type":
            names = [_ARTICLES[t] for t in kind["types"] if t != "null"]
            return f"must be {' or '.join(sorted(names, key=list(_ARTICLES.values()).index))}"
        case "enum":
            return _one_of(kind["options"])
        case "minimum":
            return f"must be at least {kind['limit']}"
        case "maximum":
            return f"must be at most {kind['limit']}"
        case "minLength" | "minItems":
            return "must not be empty"
        case "maxLength":
            return f"must have at most {kind['limit']} characters"
        case "maxItems":
            return f"must have at most {kind['limit']} items"
        case "propertyNames":
            return "must have token ids as keys"
    return error.message[:_SHOWN]
