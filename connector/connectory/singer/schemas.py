"""JSON Schemas as targets understand them: types, properties and items, and nothing that a record could break.

Tables are made of them, and some targets refuse a record that does not fit. Servers give null, values outside of an
enum, and fields that no document names: so rules other than types are left out, everything may be null, and a schema
is widened by what a record really has.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    Resolve: TypeAlias = Callable[[Any], Any]

Json: TypeAlias = dict[str, Any]

_ORDER = ("null", "boolean", "integer", "number", "string", "array", "object")
_ANY = list(_ORDER)
_DEEPEST = 12
"""Levels to which a schema is written out; what lies below is any JSON."""


def plain(schema: Any, resolve: Resolve) -> Json:
    """Write a schema as types, properties and items; a value may be null, and what refers to itself is any JSON."""
    return _nullable(_plain(schema, resolve, ()))


def of_value(value: Any) -> Json:
    """Give the schema of which a value is an example; it may be null as well."""
    return widened({"type": ["null"]}, value)


def merged(first: Mapping[str, Any], second: Mapping[str, Any]) -> Json:
    """Give the schema of what fits either of two; one without a type is not known, and gives way to the other."""
    if not first.get("type") or not second.get("type"):
        return dict(first if first.get("type") else second)
    both: Json = {"type": _types([*first["type"], *second["type"]])}
    if "properties" in first or "properties" in second:
        ours, theirs = as_object(first.get("properties")), as_object(second.get("properties"))
        both["properties"] = {
            name: merged(ours.get(name, {}), theirs.get(name, {})) for name in {**ours, **theirs}
        }
    if "items" in first or "items" in second:
        both["items"] = merged(first.get("items") or {}, second.get("items") or {})
    return both


def fits(schema: Mapping[str, Any], value: Any) -> bool:
    """Say whether a value is of the types that a schema names, down to where it names none."""
    kind, types = _kind(value), schema.get("type")
    if types and kind not in types and not (kind == "integer" and "number" in types):
        return False
    if kind == "object" and "properties" in schema:
        properties = schema["properties"]
        return all(name not in properties or fits(properties[name], one) for name, one in value.items())
    if kind == "array" and "items" in schema:
        return all(fits(schema["items"], one) for one in value)
    return True


def widened(schema: Mapping[str, Any], value: Any) -> Json:
    """Give a schema that a value fits, with the properties that it has beyond those that were known."""
    kind, wide = _kind(value), dict(schema)
    wide["type"] = _types([*(schema.get("type") or ()), kind])
    if kind == "object":
        properties = dict(schema.get("properties") or {})
        for name, one in cast("Json", value).items():
            known = properties.get(name)
            properties[name] = of_value(one) if known is None else widened(known, one)
        wide |= {"properties": properties} if properties else {}
    elif kind == "array" and value:
        items: Json = schema.get("items") or {}
        for one in value:
            items = widened(items or {"type": ["null"]}, one)
        wide["items"] = items
    return wide


def as_object(value: Any) -> Json:
    """Give a JSON object; an empty one in place of anything else."""
    return cast("Json", value) if isinstance(value, dict) else {}


def required(schema: Mapping[str, Any]) -> Json:
    """Give a schema without null, as that of a key has to be."""
    types = [one for one in schema.get("type", ()) if one != "null"]
    return {**schema, "type": types or ["string"]}


def _plain(schema: Any, resolve: Resolve, above: tuple[str, ...]) -> Json:
    name = str(as_object(schema).get("$ref", ""))
    if not isinstance(schema, dict) or (name and name in above) or len(above) > _DEEPEST:
        return {"type": _ANY}
    above = (*above, name)
    found = cast("Json", resolve(schema))
    own = _own(found, resolve, above)
    for part in found.get("allOf", ()):
        own = _joined(own, _plain(part, resolve, above))
    variants = [_plain(one, resolve, above) for word in ("anyOf", "oneOf") for one in found.get(word, ())]
    if variants:
        either: Json = variants[0]
        for one in variants[1:]:
            either = merged(either, one)
        own = _joined(own, either)
    return own


def _own(found: Json, resolve: Resolve, above: tuple[str, ...]) -> Json:
    """Give what a schema says by itself."""
    types = found.get("type", ())
    kinds = {types} if isinstance(types, str) else set(cast("Iterable[str]", types))
    if not kinds:
        values = [*found.get("enum", ()), *([found["const"]] if "const" in found else [])]
        kinds = {_kind(one) for one in values} or ({"object"} if "properties" in found else set())
    own: Json = {"type": _types(kinds)} if kinds else {}
    if found.get("properties"):
        own["properties"] = {
            name: _nullable(_plain(one, resolve, above)) for name, one in found["properties"].items()
        }
    if found.get("items"):
        own["items"] = _nullable(_plain(found["items"], resolve, above))
    return own


def _joined(first: Json, second: Json) -> Json:
    """Give the schema of what fits both: the properties of both, the types of the narrower one."""
    both = merged(first, second)
    if first.get("type") and second.get("type"):
        common = [one for one in first["type"] if one in second["type"]]
        both["type"] = common or both["type"]
    return both


def _nullable(schema: Json) -> Json:
    return {**schema, "type": _types(["null", *schema["type"]])} if schema.get("type") else {"type": _ANY}


def _types(kinds: Iterable[str]) -> list[str]:
    found = set(kinds)
    return [one for one in _ORDER if one in found and not (one == "integer" and "number" in found)]


def _kind(value: object) -> str:
    if value is None:
        return "null"
    kinds: dict[type, str] = {bool: "boolean", int: "integer", float: "number", str: "string", list: "array"}
    return kinds.get(type(value), "object")
