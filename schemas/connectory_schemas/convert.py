"""OpenAPI schemas as plain JSON Schema (2020-12): structure only, no prose, known mistakes repaired."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory_schemas.errors import SchemaError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

Schema: TypeAlias = dict[str, Any]
NULL: Schema = {"type": "null"}
COMPONENTS = "#/components/schemas/"
DEFS = "#/$defs/"

# Everything else (prose, examples, defaults, x-*, misspelt keywords) is left out.
# fmt: off
_PLAIN = frozenset(
    [
        "type", "enum", "const", "format", "pattern", "minimum", "maximum", "exclusiveMinimum",
        "exclusiveMaximum", "multipleOf", "minLength", "maxLength", "minItems", "maxItems",
        "uniqueItems", "minProperties", "maxProperties", "minContains", "maxContains", "required",
        "dependentRequired", "contentEncoding", "contentMediaType", "deprecated", "readOnly",
        "writeOnly",
    ]
)
_ONE = frozenset(
    [
        "items", "not", "additionalProperties", "propertyNames", "contains", "if", "then", "else",
        "unevaluatedItems", "unevaluatedProperties",
    ]
)
# fmt: on
_MANY = frozenset(["anyOf", "oneOf", "allOf", "prefixItems"])
_NAMED = frozenset(["properties", "patternProperties", "dependentSchemas"])


def convert(schema: Any, component: str | None = None) -> Any:
    """Convert one schema; `component` is the one that a recursive reference in it means."""
    if not isinstance(schema, dict):
        return schema
    source = _hoist_nullable(cast("Schema", schema))
    result: Schema = {}
    for keyword, value in source.items():
        _convert_keyword(result, keyword, value, component)
    _repair_bounds(result)
    if "required" in result:
        _repair_required(result)
    return _add_null(result) if source.get("nullable") is True else result


def convert_one(schema: Any) -> Schema:
    """Convert a schema that stands outside the components."""
    return cast("Schema", convert(schema))


def _convert_keyword(result: Schema, keyword: str, value: Any, component: str | None) -> None:
    if keyword in _PLAIN:
        result[keyword] = value
    elif keyword in _ONE:
        result[keyword] = convert(value, component)
    elif keyword in _MANY:
        # Overlapping branches are common, and "exactly one" then refuses good values.
        target = "anyOf" if keyword == "oneOf" else keyword
        branches = [convert(branch, component) for branch in value]
        _put_branches(result, target, branches)
    elif keyword in _NAMED:
        result[keyword] = {name: convert(one, component) for name, one in value.items()}
    elif keyword in ("$ref", "$recursiveRef"):
        result["$ref"] = _reference(value, component)


def _put_branches(result: Schema, keyword: str, branches: list[Any]) -> None:
    if keyword not in result:
        result[keyword] = branches
    else:  # both anyOf and oneOf: both must hold
        result.setdefault("allOf", []).append({keyword: branches})


def _reference(value: str, component: str | None) -> str:
    if value.startswith(COMPONENTS):
        return DEFS + value.removeprefix(COMPONENTS)
    if value == "#" and component:
        return DEFS + component
    raise SchemaError(f"reference {value!r} does not point into #/components/schemas")


def _hoist_nullable(schema: Schema) -> Schema:
    """Move `nullable` out of an allOf branch that says nothing else: there it means the whole."""
    branches: list[Schema] = schema.get("allOf", [])
    bare = [branch for branch in branches if branch.get("nullable") is True and not _says_something(branch)]
    if not bare:
        return schema
    rest = [branch for branch in branches if branch not in bare]
    return {**schema, "allOf": rest, "nullable": True}


def _says_something(branch: Schema) -> bool:
    return any(
        key in _PLAIN or key in _ONE or key in _MANY or key in _NAMED or key == "$ref" for key in branch
    )


def _add_null(schema: Schema) -> Schema:
    if "type" in schema and not schema.keys() & {"const", "allOf", "anyOf", "$ref", "not"}:
        stated: Any = schema["type"]
        kinds = cast("list[str]", stated if isinstance(stated, list) else [stated])
        result: Schema = {**schema, "type": list(dict.fromkeys([*kinds, "null"]))}
        if "enum" in schema and None not in schema["enum"]:
            result["enum"] = [*schema["enum"], None]
        return result
    if schema.keys() == {"anyOf"}:
        return schema if NULL in schema["anyOf"] else {"anyOf": [*schema["anyOf"], dict(NULL)]}
    if schema.keys() == {"allOf"} and len(schema["allOf"]) == 1:
        schema = schema["allOf"][0]
    return {"anyOf": [schema, dict(NULL)]} if schema else {}


def _repair_bounds(schema: Schema) -> None:
    for flag, bound in (("exclusiveMinimum", "minimum"), ("exclusiveMaximum", "maximum")):
        if schema.get(flag) is True and bound in schema:
            schema[flag] = schema.pop(bound)
        elif isinstance(schema.get(flag), bool):
            del schema[flag]


def _repair_required(schema: Schema) -> None:
    required = schema["required"]
    if isinstance(required, list):
        schema["required"] = list(dict.fromkeys(cast("list[str]", required)))
    else:
        del schema["required"]


def references(schema: Any) -> Iterator[str]:
    """Give the name of every definition that a converted schema refers to."""
    if isinstance(schema, dict):
        for key, value in cast("Schema", schema).items():
            if key == "$ref" and isinstance(value, str):
                yield value.removeprefix(DEFS).split("/")[0].replace("~1", "/").replace("~0", "~")
            else:
                yield from references(value)
    elif isinstance(schema, list):
        for value in cast("Sequence[Any]", schema):
            yield from references(value)


def reachable(roots: Any, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Keep the definitions that the roots need, sorted by name."""
    kept: dict[str, Schema] = {}
    waiting = list(references(roots))
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        if name not in definitions:
            raise SchemaError(f"reference to schema {name!r}, which the document does not have")
        kept[name] = definitions[name]
        waiting += references(kept[name])
    return dict(sorted(kept.items()))


def follow(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Look up a reference until a schema that is none."""
    seen: set[str] = set()
    while "$ref" in schema:
        name = next(references(schema))
        if name in seen or name not in definitions:
            return {}
        seen.add(name)
        schema = definitions[name]
    return schema


def properties(schema: Schema, definitions: Mapping[str, Schema]) -> dict[str, Schema]:
    """Give an object's properties, those of its allOf parts included; of a union, its first branch's."""
    schema = follow(schema, definitions)
    found: dict[str, Schema] = dict(schema.get("properties", {}))
    for part in [*schema.get("allOf", []), *schema.get("anyOf", [])[:1]]:
        found = {**properties(part, definitions), **found}
    return found


def required(schema: Schema, definitions: Mapping[str, Schema]) -> set[str]:
    """Give the names an object must have, those of its allOf parts included."""
    schema = follow(schema, definitions)
    names: set[str] = set(schema.get("required", []))
    for part in schema.get("allOf", []):
        names |= required(part, definitions)
    branches = [required(branch, definitions) for branch in schema.get("anyOf", [])]
    return names | {name for name in (branches or [set[str]()])[0] if all(name in one for one in branches)}


def any_branch(schema: Schema, definitions: Mapping[str, Schema], test: Callable[[Schema], bool]) -> bool:
    """Say whether the schema, or one branch of its unions, passes the test."""
    schema = follow(schema, definitions)
    branches = [*schema.get("anyOf", []), *schema.get("allOf", [])]
    return test(schema) or any(any_branch(branch, definitions, test) for branch in branches)
