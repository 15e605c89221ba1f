"""One schema out of two: what both accept."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.schemas.examples.patterns import fits
from connectory.schemas.examples.terms import NoValueError, Schema, same

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

UNIONS = "unions"
"""Where a flat schema keeps its anyOf and oneOf lists, one list for each."""

CHECKS = "checks"
"""Where a flat schema keeps the rules that only a whole value can show to be met."""

_LISTS = {UNIONS, CHECKS, "required"}


def extra_schema(schema: Mapping[str, Any], name: str) -> Schema:
    """Give the schema of a property that is not listed."""
    patterns: Mapping[str, Schema] = schema.get("patternProperties", {})
    for pattern, sub in patterns.items():
        if fits(pattern, name):
            return sub
    extra: Schema = schema.get("additionalProperties", True)
    return extra


def merge(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Give the flat schema that accepts what both accept."""
    merged = {**one, **two}
    for key in one.keys() & two.keys():
        if one[key] != two[key] or key in _LISTS:
            merged[key] = _both(key, one[key], two[key])
    properties: dict[str, Schema] = merged.get("properties", {})
    for schema, other in ((one, two), (two, one)):
        for name in other.get("properties", {}).keys() - schema.get("properties", {}).keys():
            rule = extra_schema(schema, name)
            properties = (
                properties if rule is True else {**properties, name: {"allOf": [rule, properties[name]]}}
            )
    return {**merged, "properties": properties} if properties else merged


def _both(key: str, one: Any, two: Any) -> Any:
    if key == "const":
        raise NoValueError(f"{one!r} is not {two!r}")
    if key.startswith(("min", "exclusiveMin")):
        return max(one, two)
    if key.startswith(("max", "exclusiveMax")):
        return min(one, two)
    return _RULES[key](one, two) if key in _RULES else two


def _shared_types(one: str | list[str], two: str | list[str]) -> list[str]:
    first, second = ([kinds] if isinstance(kinds, str) else kinds for kinds in (one, two))
    kinds = [kind for kind in first if kind in second or (kind == "integer" and "number" in second)]
    return kinds + [
        "integer" for kind in second if kind == "integer" and "number" in first and "integer" not in first
    ]


def _shared_properties(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    shared = {name: {"allOf": [one[name], two[name]]} for name in one.keys() & two.keys()}
    return {**one, **two, **shared}


_RULES: Mapping[str, Callable[[Any, Any], Any]] = {
    "enum": lambda one, two: [value for value in one if any(same(value, other) for other in two)],
    "type": _shared_types,
    **dict.fromkeys(_LISTS, lambda one, two: [*one, *two]),
    **dict.fromkeys(("properties", "patternProperties"), _shared_properties),
    **dict.fromkeys(("items", "additionalProperties", "contains"), lambda one, two: {"allOf": [one, two]}),
}
