"""Examples satisfy the schemas that they are made from."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from jsonschema import Draft202012Validator
from referencing import Registry

from connectory.catalogue import Catalogue
from connectory.errors import ConfigError
from connectory.schemas.examples import full, minimal

CATALOGUE = Catalogue.load()
BODIES = [
    pytest.param(schema, id=f"{name}-{action.name}-{kind}")
    for name, entity in CATALOGUE.items()
    for action in entity.actions.values()
    if action.body
    for kind, schema in action.body.content.items()
]
ANSWERS = [
    pytest.param(action.response.schema, id=f"{name}-{action.name}")
    for name, entity in CATALOGUE.items()
    for action in entity.actions.values()
    if action.response.schema
]
PARAMETERS = [
    pytest.param(parameter.schema, id=f"{name}-{action.name}-{parameter.name}")
    for name, entity in CATALOGUE.items()
    for action in entity.actions.values()
    for parameter in action.query.values()
]


def plain(schema: Any) -> Any:
    return schema


def violations(schema: Any, value: Any) -> list[str]:
    validator = Draft202012Validator(schema, registry=Registry())
    return [f"{error.json_path}: {error.message}"[:300] for error in validator.iter_errors(value)]


@pytest.mark.parametrize("schema", BODIES)
def test_the_smallest_body_of_every_operation_is_valid(schema):
    assert violations(CATALOGUE.schema(schema), minimal(schema, CATALOGUE.resolve)) == []


@pytest.mark.parametrize("schema", [*BODIES, *ANSWERS])
def test_the_full_example_of_every_body_and_answer_is_valid_and_repeatable(schema):
    value = full(schema, CATALOGUE.resolve, seed="one")
    assert violations(CATALOGUE.schema(schema), value) == []
    assert full(schema, CATALOGUE.resolve, seed="one") == value


def test_the_smallest_value_of_every_query_parameter_is_valid():
    for parameter in PARAMETERS:
        (schema,) = parameter.values
        assert violations(CATALOGUE.schema(schema), minimal(schema, CATALOGUE.resolve)) == [], parameter.id


MINIMAL: list[tuple[dict[str, Any] | bool, Any]] = [
    ({"type": "string"}, "text"),
    ({"type": "string", "minLength": 6}, "textxx"),
    ({"type": "string", "maxLength": 2}, "te"),
    ({"type": "string", "format": "date-time"}, "2025-01-01T00:00:00Z"),
    ({"type": "string", "format": "uuid"}, "00000000-0000-4000-8000-000000000000"),
    ({"type": "string", "contentEncoding": "base64"}, "ZXhhbXBsZQ=="),
    ({"type": "string", "pattern": "^[a-z]{3}$"}, "aaa"),
    ({"type": "string", "pattern": "^tunnel_[a-z0-9]{4}$"}, "tunnel_aaaa"),
    ({"type": "string", "pattern": r"^(ab|cd)+-\d{2,3}\.x?$"}, "ab-00.x"),
    ({"type": "string", "pattern": "^[A-Z_]+$", "minLength": 3}, "AAA"),
    ({"type": "string", "pattern": "^(?:a|b)*$"}, ""),
    ({"type": "integer"}, 0),
    ({"type": "integer", "minimum": 3}, 3),
    ({"type": "integer", "exclusiveMinimum": 3}, 4),
    ({"type": "integer", "maximum": -3}, -3),
    ({"type": "integer", "minimum": 5, "multipleOf": 4}, 8),
    ({"type": "number", "exclusiveMinimum": 0, "exclusiveMaximum": 1}, 0.5),
    ({"type": "boolean"}, False),
    ({"type": "null"}, None),
    ({"type": ["null", "string"]}, "text"),
    ({"type": "array"}, []),
    ({"type": "array", "items": {"type": "integer"}, "minItems": 2}, [0, 0]),
    ({"type": "array", "items": {"type": "string"}, "minItems": 2, "uniqueItems": True}, ["text1", "text2"]),
    ({"type": "array", "items": {"enum": [1, 2, 3]}, "minItems": 2, "uniqueItems": True}, [1, 2]),
    ({"prefixItems": [{"const": 1}, {"type": "string"}], "minItems": 2}, [1, "text"]),
    ({"type": "object", "properties": {"a": {}, "b": {"type": "string"}}, "required": ["b"]}, {"b": "b"}),
    ({"type": "object", "required": ["free"]}, {"free": "free"}),
    ({"type": "object", "minProperties": 1, "properties": {"a": {"type": "integer"}}}, {"a": 0}),
    ({"type": "object", "minProperties": 1, "additionalProperties": {"type": "integer"}}, {"key1": 0}),
    (
        {"minProperties": 1, "patternProperties": {"^x-": {"const": 1}}, "additionalProperties": False},
        {"x-": 1},
    ),
    ({"const": {"a": [1]}}, {"a": [1]}),
    ({"enum": ["b", "a"]}, "b"),
    ({"enum": [None, "a"]}, "a"),
    ({"enum": [1, "a"], "type": "string"}, "a"),
    ({"allOf": [{"minimum": 2}, {"type": "integer", "minimum": 4}]}, 4),
    ({"allOf": [{"enum": [1, 2]}, {"enum": [2, 3]}]}, 2),
    (
        {
            "allOf": [
                {"properties": {"a": {"minimum": 1}}},
                {"properties": {"a": {"type": "integer"}}, "required": ["a"]},
            ]
        },
        {"a": 1},
    ),
    ({"anyOf": [{"type": "null"}, {"type": "integer"}]}, 0),
    ({"anyOf": [{"type": "string"}, {"enum": ["known"]}]}, "known"),
    ({"anyOf": [False, {"type": "integer"}]}, 0),
    (
        {"type": "object", "anyOf": [{"required": ["a"], "properties": {"a": False}}, {"required": ["b"]}]},
        {"b": "b"},
    ),
    ({"oneOf": [{"type": "integer"}, {"type": "number"}]}, None),
    ({"oneOf": [{"type": "integer"}, {"type": "integer", "minimum": 1}, {"type": "string"}]}, 0),
    ({"enum": ["a", "b"], "not": {"const": "a"}}, "b"),
    ({"type": "string", "not": {"const": "x"}}, "text"),
    (True, "text"),
]


@pytest.mark.parametrize(("schema", "value"), MINIMAL)
def test_the_smallest_value_is_the_expected_one(schema, value):
    if value is None and schema != {"type": "null"}:
        with pytest.raises(ConfigError, match="no value satisfies"):
            minimal(schema, plain)
        return
    assert violations(schema, value) == []
    assert minimal(schema, plain) == value


def test_a_condition_adds_what_it_asks_for():
    kinds = {"card": "number", "bank": "iban"}
    schema = {
        "type": "object",
        "properties": {"kind": {"enum": list(kinds)}},
        "required": ["kind"],
        "allOf": [
            {
                "if": {"properties": {"kind": {"const": kind}}},
                "then": {"properties": {field: {"type": "string"}}, "required": [field]},
            }
            for kind, field in kinds.items()
        ],
    }
    assert minimal(schema, plain) == {"kind": "card", "number": "number"}
    assert violations(schema, full(schema, plain, seed="x")) == []


TREE = {
    "$defs": {
        "node": {
            "type": "object",
            "properties": {
                "name": {"type": "string"},
                "below": {"type": "array", "items": {"$ref": "#/$defs/node"}},
                "next": {"$ref": "#/$defs/node"},
            },
        }
    }
}


def resolve_tree(schema: Any) -> Any:
    return TREE["$defs"][schema["$ref"].rpartition("/")[2]] if "$ref" in schema else schema


def test_a_schema_that_contains_itself_ends():
    value = full({"$ref": "#/$defs/node"}, resolve_tree, seed="x")
    assert violations({**TREE, "$ref": "#/$defs/node"}, value) == []
    assert value["below"][0]["name"].startswith("name-")


def test_a_schema_that_must_contain_itself_has_no_example():
    endless = {"type": "object", "properties": {"next": {"$ref": "#"}}, "required": ["next"]}
    with pytest.raises(ConfigError, match="contains itself"):
        minimal(endless, lambda schema: endless if "$ref" in schema else schema)


@pytest.mark.parametrize("pattern", ["^(?=a)b$", "^$x", r"^\p{L}$"])
def test_a_pattern_that_is_not_understood_is_said(pattern):
    with pytest.raises(ConfigError):
        minimal({"type": "string", "pattern": pattern}, plain)


def test_other_seeds_give_other_values():
    schema = {"type": "object", "properties": {"id": {"type": "string"}, "created_at": {"type": "integer"}}}
    one, other = (full(schema, plain, seed=seed) for seed in "ab")
    assert one != other
    assert 1_700_000_000 <= one["created_at"] < 1_710_000_000


SCALARS = st.one_of(
    st.builds(
        lambda low, size: {"type": "integer", "minimum": low, "maximum": low + size},
        st.integers(-9, 9),
        st.integers(0, 9),
    ),
    st.builds(
        lambda low, size: {"type": "string", "minLength": low, "maxLength": low + size},
        st.integers(0, 9),
        st.integers(0, 9),
    ),
    st.builds(
        lambda values: {"enum": values},
        st.lists(st.one_of(st.none(), st.booleans(), st.integers(), st.text()), min_size=1),
    ),
)


def composite(inner: st.SearchStrategy[Any]) -> st.SearchStrategy[Any]:
    names = st.dictionaries(st.sampled_from("abcd"), inner, max_size=3)
    return st.one_of(
        st.builds(
            lambda items, low: {"type": "array", "items": items, "minItems": low}, inner, st.integers(0, 2)
        ),
        st.builds(
            lambda found, strict: {
                "type": "object",
                "properties": found,
                "required": list(found)[:1],
                "additionalProperties": not strict,
            },
            names,
            st.booleans(),
        ),
        st.builds(lambda branches: {"anyOf": branches}, st.lists(inner, min_size=1, max_size=3)),
        st.builds(lambda one: {"allOf": [one, {"$comment": "x"}]}, inner),
    )


@given(st.recursive(SCALARS, composite, max_leaves=8))
def test_examples_of_any_schema_are_valid(schema):
    assert violations(schema, minimal(schema, plain)) == []
    assert violations(schema, full(schema, plain, seed="x")) == []
