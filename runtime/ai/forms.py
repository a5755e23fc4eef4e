"""JSON schemas that an answer or a tool's arguments must keep: made ready for a grammar, or refused by the rule's name.

What asks nothing of an answer is taken out, since llguidance refuses every keyword that it does not know: names of
formats that are no JSON schema's (pydantic, zod and OpenAPI write such), and rules on property names that hold anyway.
An object that lists its properties gets no others unless it says so, as with vLLM: what keeps that keeps the schema,
and a small model that may write more properties writes them without end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from llguidance import LLMatcher

from runtime.errors import InvalidRequest

Json = Mapping[str, Any]
# JSON as the model's own tool calls have it: free white space would let a small model write nothing else
_SPACING = {"whitespace_flexible": False, "item_separator": ", ", "key_separator": ": "}
MAX_VALUES = 10_000
"""A grammar of 2,000 properties takes 0.7 s to make, of 10,000 it took 14."""
MAX_JOINED_PATTERNS = 12
"""24 took a minute."""
MAX_STEPS = 20_000
"""Of all `multipleOf` together, without their decimal points: a grammar has a state for each. 100,000 took 0.6 s."""
MAX_PATTERN_PROPERTIES = 100
"""Each is held against each other: 100 took 0.2 s, 300 took 11."""
LIGHT = 2_000
"""Values of all schemas that are kept without being asked for: of 3,200 (128 tools of 4 arguments) it took 0.16 s."""
_MAPS = ("properties", "patternProperties", "$defs", "definitions")
_SCHEMAS = ("items", "prefixItems", "additionalItems", "additionalProperties", "anyOf", "oneOf", "allOf")
_JOINING = frozenset(("allOf", "anyOf", "oneOf", "$ref"))
_JOINED = _JOINING | {"properties", "patternProperties", "additionalProperties", "required"}
_LONG = frozenset(("allOf", "multipleOf", "pattern", "patternProperties"))
_OPENING = frozenset(("patternProperties", "additionalProperties", "propertyNames", "unevaluatedProperties"))
_FORMATS = frozenset((
    "date", "date-time", "duration", "email", "hostname", "idn-email", "idn-hostname", "ipv4", "ipv6", "iri",
    "iri-reference", "json-pointer", "regex", "relative-json-pointer", "time", "uri", "uri-reference", "uri-template",
    "uuid",
))  # fmt: skip
"""Of the vocabulary of JSON schema; any other is an annotation."""
_PLAINER = {
    "oneOf constraints are not supported": "oneOf of schemas that one value can keep together: use anyOf",
    "NoExtensionBias": "nothing can keep it",
}
"""What llguidance says to its own users, for ours."""


def dumped(schema: Json) -> str:
    """For a grammar's `%json`."""
    return json.dumps({**schema, "x-guidance": _SPACING})


def checked(schema: Json, path: str) -> Json:
    """The schema that a grammar can keep in place of `schema`. Raises InvalidRequest naming what none can."""
    # where several rules hold for one object, each may name properties that the others do not
    plain: Json = _plain(schema, is_closing=not any(map(_is_joined, _nodes(schema))))
    fault = _fault(plain)
    if fault is None:
        is_error, messages = LLMatcher.validate_grammar_with_warnings(LLMatcher.grammar_from_json_schema(dumped(plain)))
        fault = " ".join(messages) if is_error or messages else None
    if fault is not None:
        raise refusal(path, fault)
    return plain


def work(schema: Json) -> int:
    """Values that a grammar of it is made from; more than LIGHT where a rule may take long whatever their number."""
    return sum(LIGHT + 1 if isinstance(each, dict) and _LONG & each.keys() else len(each) for each in _nodes(schema))


def refusal(path: str, fault: str) -> InvalidRequest:
    """The error for a form that cannot be kept; `fault` is ours or llguidance's."""
    return InvalidRequest(f"{path}: cannot be enforced: {line(fault)}", param=path)


def line(text: str) -> str:
    """One line of llguidance's messages, for those who never heard of it."""
    for said, plainer in _PLAINER.items():
        if text.startswith(said):
            return plainer
    text = " ".join(text.partition("<state>")[0].split())  # what follows is for llguidance's own developers
    return text if len(text) <= 200 else text[:200] + "…"


def _plain(schema: Any, *, is_closing: bool) -> Any:
    """`schema` without what asks nothing, and, where that can be, without properties that it does not list."""
    if isinstance(schema, list):
        return [_plain(each, is_closing=is_closing) for each in schema]
    if not isinstance(schema, dict):
        return schema
    made = {
        k: _plain(v, is_closing=is_closing) if k in _SCHEMAS else v for k, v in schema.items() if not _is_idle(k, v)
    }
    for key in _MAPS:
        if isinstance(made.get(key), dict):
            made[key] = {name: _plain(each, is_closing=is_closing) for name, each in made[key].items()}
    return _closed(made) if is_closing else _with_named_keys(made)


def _is_idle(key: str, value: Any) -> bool:
    if key == "format":
        return isinstance(value, str) and value not in _FORMATS
    return key == "propertyNames" and value in (True, {}, {"type": "string"})


def _closed(schema: dict[str, Any]) -> dict[str, Any]:
    schema = _with_named_keys(schema)
    match schema:
        case {"properties": dict(properties)} if not _OPENING & schema.keys():
            required = schema.get("required", [])
            if isinstance(required, list) and all(name in properties for name in required):
                return schema | {"additionalProperties": False}
    return schema


def _is_joined(schema: Json | list[Any]) -> bool:
    """Whether several rules of it speak of one object."""
    if isinstance(schema, list):
        return False
    branches = schema.get("allOf")
    several = isinstance(branches, list) and len(branches) > 1
    return several or (bool(_JOINING & schema.keys()) and len(_JOINED & schema.keys()) > 1)


def _with_named_keys(schema: dict[str, Any]) -> dict[str, Any]:
    """A record by an enum of its keys, as zod and pydantic write it, is an object of these properties."""
    match schema:
        case {"propertyNames": {"enum": [*names], **rest}} if rest in ({}, {"type": "string"}):
            if _MAPS[0] in schema or _MAPS[1] in schema or not all(isinstance(n, str) for n in names):
                return schema
            value = schema.get("additionalProperties", True)
            made = {k: v for k, v in schema.items() if k != "propertyNames"}
            return made | {"properties": dict.fromkeys(names, value), "additionalProperties": False}
    return schema


def _fault(schema: Json) -> str | None:
    """What llguidance would pass over, or take too long for: nothing can stop a grammar's making once it has begun."""
    n_values = n_patterns = n_steps = 0
    has_joins = False
    for item in _nodes(schema):
        n_values += len(item)
        if n_values > MAX_VALUES:
            return f"more than {MAX_VALUES} values"
        if isinstance(item, list):
            continue
        has_joins = has_joins or "allOf" in item or ("$ref" in item and len(item) > 1)
        n_patterns += "pattern" in item
        n_steps += _steps(item.get("multipleOf"))
        if n_steps > MAX_STEPS:
            return f"multipleOf of more than {MAX_STEPS} in all, decimal points left out"
        patterns = item.get("patternProperties")
        if isinstance(patterns, dict) and len(patterns) > MAX_PATTERN_PROPERTIES:
            return f"more than {MAX_PATTERN_PROPERTIES} patternProperties of one object"
        for key in ("exclusiveMinimum", "exclusiveMaximum"):
            if isinstance(item.get(key), bool):
                return f"{key} of an older JSON schema: it must be the bound itself, not {json.dumps(item[key])}"
    if "x-guidance" in schema:
        return 'Unimplemented keys: ["x-guidance"]'
    # every one that must hold together with the others doubles the time
    if has_joins and n_patterns > MAX_JOINED_PATTERNS:
        return f"more than {MAX_JOINED_PATTERNS} patterns in a schema with allOf, or with other rules beside a $ref"
    return None


def _steps(multiple: Any) -> int:
    """How many states a grammar counts through; 0 where this is no number."""
    if not isinstance(multiple, int | float) or isinstance(multiple, bool):
        return 0
    if abs(multiple) > MAX_STEPS:
        return MAX_STEPS + 1
    _, digits, exponent = Decimal(repr(multiple)).normalize().as_tuple()
    return int(Decimal((0, digits, max(int(exponent), 0))))


def _nodes(schema: Json) -> Iterator[Json | list[Any]]:
    """Every object and array within it, itself included."""
    left: list[Any] = [schema]
    while left:
        item = left.pop()
        yield item
        left.extend(
            each for each in (item.values() if isinstance(item, dict) else item) if isinstance(each, dict | list)
        )
