"""JSON schemas as clients write them: what asks nothing is no fault, what a grammar would pass over is one."""

from __future__ import annotations

from typing import Any

import pytest

from runtime.ai.forms import LIGHT, checked, work
from runtime.errors import InvalidRequest

YES: dict[str, Any] = {"type": "boolean"}


def opened(*required: str, **properties: Any) -> dict[str, Any]:
    return {"type": "object", "properties": properties, "required": list(required)}


def closed(*required: str, **properties: Any) -> dict[str, Any]:
    return opened(*required, **properties) | {"additionalProperties": False}


def record(**more: Any) -> dict[str, Any]:
    return {"type": "object", "additionalProperties": YES, **more}


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        # pydantic's SecretStr and Path, OpenAPI's numbers, zod's startsWith
        ({"type": "string", "format": "password"}, {"type": "string"}),
        ({"anyOf": [{"type": "integer", "format": "int64"}]}, {"anyOf": [{"type": "integer"}]}),
        ({"type": "string", "format": "starts_with", "pattern": "^ab"}, {"type": "string", "pattern": "^ab"}),
        ({"type": "array", "items": {"format": "binary"}}, {"type": "array", "items": {}}),
        ({"$defs": {"A": {"format": "float"}}, "$ref": "#/$defs/A"}, {"$defs": {"A": {}}, "$ref": "#/$defs/A"}),
        ({"type": "string", "format": "date"}, {"type": "string", "format": "date"}),
        # zod's records
        (record(propertyNames={"type": "string"}), record()),
        (record(propertyNames=True), record()),
        (
            record(propertyNames={"type": "string", "enum": ["a", "b"]}, required=["a"]),
            {"type": "object", "properties": {"a": YES, "b": YES}, "additionalProperties": False, "required": ["a"]},
        ),
        # these are names and values, no keywords
        (closed(format={"type": "string"}), closed(format={"type": "string"})),
        (closed(propertyNames=YES), closed(propertyNames=YES)),
        ({"const": {"format": "zip"}}, {"const": {"format": "zip"}}),
    ],
)
def test_what_asks_nothing_is_left_out(schema: dict[str, Any], kept: dict[str, Any]) -> None:
    assert checked(schema, "x") == kept


@pytest.mark.parametrize(
    ("schema", "kept"),
    [
        (opened(), closed()),
        (opened("a", a=YES), closed("a", a=YES)),
        (opened(a=opened(b=YES)), closed(a=closed(b=YES))),
        (
            {"$defs": {"A": opened(a=YES)}, "type": "array", "items": {"$ref": "#/$defs/A"}},
            {"$defs": {"A": closed(a=YES)}, "type": "array", "items": {"$ref": "#/$defs/A"}},
        ),
        ({"anyOf": [opened(a=YES), {"type": "null"}]}, {"anyOf": [closed(a=YES), {"type": "null"}]}),
        # pydantic's field of another model, with its description
        (
            {"$defs": {"A": opened(b=YES)}, **opened(a={"$ref": "#/$defs/A", "description": "x"})},
            {"$defs": {"A": closed(b=YES)}, **closed(a={"$ref": "#/$defs/A", "description": "x"})},
        ),
        ({"type": "object"}, {"type": "object"}),
        ({"multipleOf": 0.01, "maximum": 5}, {"multipleOf": 0.01, "maximum": 5}),
        ({"multipleOf": 5000}, {"multipleOf": 5000}),
    ],
)
def test_an_object_has_the_properties_that_it_lists(schema: dict[str, Any], kept: dict[str, Any]) -> None:
    assert checked(schema, "x") == kept


@pytest.mark.parametrize(
    "schema",
    [
        opened(a=YES) | {"additionalProperties": True},
        opened(a=YES) | {"additionalProperties": YES},
        opened(a=YES) | {"patternProperties": {"^b": YES}},
        opened("b", a=YES),
        {"allOf": [opened("a", a=YES), opened("b", b=YES)]},
        opened("a", a=YES) | {"anyOf": [opened("b", b=YES), opened("c", c=YES)]},
        {"$defs": {"A": opened("a", a=YES)}, "$ref": "#/$defs/A", "properties": {"b": YES}},
    ],
)
def test_an_object_of_which_more_is_said_elsewhere_stays_open(schema: dict[str, Any]) -> None:
    assert checked(schema, "x") == schema


@pytest.mark.parametrize(
    ("schema", "message"),
    [
        ({"type": "string", "format": "iri"}, "Unknown format: iri"),
        (record(propertyNames={"pattern": "^a"}), 'Unimplemented keys: ["propertyNames"]'),
        (record(propertyNames={"enum": ["a", 3]}), 'Unimplemented keys: ["propertyNames"]'),
        (record(propertyNames={"enum": ["a"]}, properties={"b": YES}), 'Unimplemented keys: ["propertyNames"]'),
        ({"oneOf": [{"type": "number"}, {"type": "integer"}]}, "oneOf of schemas that one value can keep together"),
        ({"type": "integer", "minimum": 0, "exclusiveMinimum": True}, "exclusiveMinimum of an older JSON schema"),
        ({"items": {"maximum": 1, "exclusiveMaximum": False}}, "exclusiveMaximum of an older JSON schema"),
        ({"multipleOf": True}, "Expected f64 for 'multipleOf'"),
        # these take a grammar minutes, or gigabytes
        ({"multipleOf": 999_983}, "multipleOf of more than 20000 in all, decimal points left out"),
        ({"multipleOf": 1.000001}, "multipleOf of more than 20000 in all"),
        (opened(**{f"k{i}": {"multipleOf": 997 + i} for i in range(21)}), "multipleOf of more than 20000 in all"),
        ({"patternProperties": {f"^a{i}.*b{i}$": YES for i in range(101)}}, "more than 100 patternProperties"),
        (record(propertyNames={"enum": [str(i) for i in range(10_001)]}), "more than 10000 values"),
    ],
)
def test_what_cannot_be_kept_is_named(schema: dict[str, Any], message: str) -> None:
    with pytest.raises(InvalidRequest) as e:
        checked(schema, "response_format.json_schema.schema")
    assert message in e.value.message
    assert (e.value.param, e.value.code) == ("response_format.json_schema.schema", None)


@pytest.mark.parametrize(
    ("schema", "is_light"),
    [
        (opened("a", a={"type": "string"}, b={"enum": ["x", "y"]}), True),
        (opened(**{f"p{i}": YES for i in range(600)}), True),
        (opened(**{f"p{i}": YES for i in range(1200)}), False),
        (opened(a={"type": "string", "pattern": "^a"}), False),
        (opened(a={"type": "integer", "multipleOf": 3}), False),
        ({"allOf": [opened(a=YES)]}, False),
        (record(patternProperties={"^a": YES}), False),
    ],
)
def test_what_takes_long_is_known_before(schema: dict[str, Any], is_light: bool) -> None:
    assert (work(schema) <= LIGHT) == is_light
