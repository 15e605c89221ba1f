"""A user's own JSON Schema: what it says of a value, and what is no schema."""

from __future__ import annotations

import pytest

from connectory import ConfigError, Schema

OWN = {
    "$defs": {"id": {"type": "integer"}},
    "properties": {"id": {"$ref": "#/$defs/id"}, "all": {"items": {"$ref": "#/$defs/id"}}},
}


def test_what_is_wrong_is_said_with_its_place():
    schema = Schema(OWN)
    assert schema.errors({"id": 1, "all": [1]}, name="record") == []
    [error] = schema.errors({"all": [1, "x"]}, name="record")
    assert error.startswith("record.all[1]")


def test_a_schema_may_be_a_text():
    assert Schema('{"type": "object"}').errors([], name="it")[0].startswith("it")
    assert repr(Schema('{"type": "object"}')) == "Schema({'type': 'object'})"


@pytest.mark.parametrize(
    ("written", "words"),
    [
        ("{", "the schema is no JSON"),
        ("[" * 100_000, "the schema is no JSON"),
        ("3", "the schema is no JSON object"),
        ({"properties": {"a": {"type": 3}}}, "the schema is none: at properties.a.type"),
        (
            {"anyOf": [{"$ref": "other.json#/x"}]},
            "the schema refers to 'other.json#/x', and nothing is fetched",
        ),
        ({"$ref": "#/$defs/none"}, "the schema refers to '#/$defs/none', which it does not have"),
    ],
)
def test_what_is_no_schema_is_refused_before_anything_runs(written, words):
    with pytest.raises(ConfigError) as caught:
        Schema(written)
    assert words in str(caught.value)
