"""Whether a value satisfies a schema, as far as making examples needs to know."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, cast

from connectory.schemas.examples.merging import extra_schema
from connectory.schemas.examples.patterns import fits
from connectory.schemas.examples.terms import Resolve, Schema, is_number, same

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: is_number(value) and (isinstance(value, int) or value.is_integer()),
    "number": is_number,
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
}


def accepts(schema: Schema, value: Any, resolve: Resolve) -> bool:
    """Say whether the value satisfies the schema, as far as making examples needs to know."""
    if isinstance(schema, bool):
        return schema
    if "$ref" in schema and not accepts(resolve({"$ref": schema["$ref"]}), value, resolve):
        return False
    if "if" in schema and not accepts(consequence(schema, value, resolve), value, resolve):
        return False
    return (
        is_of_type(schema.get("type"), value)
        and ("const" not in schema or same(schema["const"], value))
        and ("enum" not in schema or any(same(one, value) for one in schema["enum"]))
        and all(accepts(one, value, resolve) for one in schema.get("allOf", ()))
        and ("anyOf" not in schema or any(accepts(one, value, resolve) for one in schema["anyOf"]))
        and ("oneOf" not in schema or sum(accepts(one, value, resolve) for one in schema["oneOf"]) == 1)
        and ("not" not in schema or not accepts(schema["not"], value, resolve))
        and all(accepts(sub, part, resolve) for sub, part in _parts(schema, value))
        and _within(schema, value)
    )


def consequence(check: Mapping[str, Any], value: Any, resolve: Resolve) -> Schema:
    """Give what a condition asks of this value."""
    found: Schema = check.get("then" if accepts(check["if"], value, resolve) else "else", True)
    return found


def _parts(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[Schema, Any]]:
    """Give each part of the value with the schema it must satisfy."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, part in cast("Mapping[str, Any]", value).items():
            yield properties.get(name, extra_schema(schema, name)), part
    elif isinstance(value, list):
        prefix: list[Schema] = schema.get("prefixItems", [])
        for number, part in enumerate(cast("Sequence[Any]", value)):
            yield (prefix[number] if number < len(prefix) else schema.get("items", True)), part


def _within(schema: Mapping[str, Any], value: Any) -> bool:
    """Say whether a value without its parts keeps the bounds."""
    size = len(cast("Sequence[Any]", value)) if isinstance(value, str | list | dict) else 0
    if isinstance(value, str):
        return _sized(schema, size, "Length") and fits(schema.get("pattern", ""), value)
    if isinstance(value, list):
        return _sized(schema, size, "Items")
    if isinstance(value, dict):
        return _sized(schema, size, "Properties") and all(
            name in value for name in schema.get("required", ())
        )
    return not is_number(value) or (
        ("minimum" not in schema or value >= schema["minimum"])
        and ("maximum" not in schema or value <= schema["maximum"])
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _sized(schema: Mapping[str, Any], size: int, what: str) -> bool:
    return bool(schema.get(f"min{what}", 0) <= size <= schema.get(f"max{what}", size))


def is_of_type(kinds: str | list[str] | None, value: Any) -> bool:
    """Say whether the value is of one of the types; without types, any is."""
    if kinds is None:
        return True
    return any(_TYPES[kind](value) for kind in ([kinds] if isinstance(kinds, str) else kinds))
