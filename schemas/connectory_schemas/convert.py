"""OpenAPI schemas as plain JSON Schema (2020-12): structure only, no prose, known mistakes repaired."""

from __future__ import annotations

import json
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


# Unions: what the document writes as "one of these" says, refined, which one a value is meant to be.


def refine(schema: Any, definitions: Mapping[str, Schema]) -> Any:
    """Let the unions of a converted schema name what is wrong, without changing what is accepted.

    `X or null` becomes a list of types where X is plain; objects that a constant tag tells apart become a chain of
    conditions on the tag, whose property lists the tags there are. `definitions` are those before refining.
    """
    if not isinstance(schema, dict):
        return schema
    result: Schema = {}
    for keyword, value in cast("Schema", schema).items():
        if keyword in _ONE:
            result[keyword] = refine(value, definitions)
        elif keyword in _NAMED:
            result[keyword] = {name: refine(one, definitions) for name, one in value.items()}
        elif keyword in _MANY and keyword != "anyOf":
            result[keyword] = [refine(one, definitions) for one in value]
        elif keyword != "anyOf":
            result[keyword] = value
    branches = cast("Schema", schema).get("anyOf")
    return result if branches is None else _joined(result, _union(branches, definitions))


def refine_entities(entities: Mapping[str, Schema], definitions: Mapping[str, Schema]) -> None:
    """Refine, in place, every schema that stands in an entity itself."""
    for entity in entities.values():
        for holder in entity.get("parameters", {}).values():
            holder["schema"] = refine(holder["schema"], definitions)
        for action in entity["actions"].values():
            for holder in (*action.get("query", {}).values(), action.get("response", {})):
                if "schema" in holder:
                    holder["schema"] = refine(holder["schema"], definitions)
            content: Schema = action.get("body", {}).get("content", {})
            content.update({media: refine(one, definitions) for media, one in content.items()})


def _joined(beside: Schema, union: Schema) -> Schema:
    """Give one schema that asks for both."""
    if any(beside[key] != union[key] for key in beside.keys() & union.keys()):
        return {**beside, "allOf": [*beside.get("allOf", []), union]}
    return {**beside, **union}


def _union(branches: Sequence[Schema], definitions: Mapping[str, Schema], *, without: str = "") -> Schema:
    """Give the refined form of a union, which may not be told apart by the property `without`."""
    leaves = [leaf for branch in branches for leaf in _leaves(branch, definitions)]
    objects = [leaf for leaf in leaves if _is_object(leaf, definitions)]
    others = [leaf for leaf in leaves if leaf not in objects]
    chain = _dispatch(objects, definitions, without)
    kept, chains = (branches, []) if chain is None else (others, [chain])
    refined = [refine(one, definitions) for one in kept] + chains
    refined.sort(key=NULL.__eq__)  # null comes last
    if len(refined) == 2 and refined[1] == NULL and "if" not in refined[0]:  # noqa: PLR2004 - X or null
        return _add_null(refined[0])
    return refined[0] if len(refined) == 1 else {"anyOf": refined}


def _leaves(branch: Schema, definitions: Mapping[str, Schema]) -> list[Schema]:
    """Give the variants of a union of objects within a union, or the branch itself."""
    target = follow(branch, definitions) if _says_only(branch, "$ref") else branch
    if not _says_only(target, "anyOf"):
        return [branch]
    leaves = [leaf for one in target["anyOf"] for leaf in _leaves(one, definitions)]
    return leaves if all(_is_object(leaf, definitions) for leaf in leaves) else [branch]


def _says_only(schema: Schema, keyword: str) -> bool:
    """Say whether nothing is beside the keyword, but that it is about objects."""
    return {"type": "object", **schema} == {"type": "object", keyword: schema.get(keyword)}


def _is_object(schema: Schema, definitions: Mapping[str, Schema]) -> bool:
    schema = follow(schema, definitions)
    if "type" in schema:
        return bool(schema["type"] == "object")
    return "properties" in schema or any(_is_object(part, definitions) for part in schema.get("allOf", []))


def _dispatch(variants: Sequence[Schema], definitions: Mapping[str, Schema], without: str) -> Schema | None:
    """Tell variants of an object apart by a tag, where there is one."""
    tag, groups = _best_tag(variants, definitions, without)
    if len(groups) < 2:  # noqa: PLR2004 - nothing to tell apart
        return None
    untagged = [one for one in variants if tag not in required(one, definitions)]
    chain: Schema = {}
    if untagged:
        chain = {"if": {"required": [tag]}, "else": _union(untagged, definitions, without=tag)}
    for values, group in reversed(groups):
        condition: Schema = {"properties": {tag: _one_of(values)}, "required": [tag]}
        chain = {"if": condition, "then": _union(group, definitions), **({"else": chain} if chain else {})}
    tags = [value for values, _ in groups for value in values]
    must: Schema = {} if untagged else {"required": [tag]}
    return {"type": "object", **must, "properties": {tag: {"enum": tags}}, **chain}


def _one_of(values: Sequence[Any]) -> Schema:
    return {"const": values[0]} if len(values) == 1 else {"enum": list(values)}


Group: TypeAlias = tuple["list[Any]", "list[Schema]"]


def _best_tag(
    variants: Sequence[Schema], definitions: Mapping[str, Schema], without: str
) -> tuple[str, list[Group]]:
    """Find the property that tells most variants apart; variants that share a value of it are one group."""
    best: tuple[str, list[Group]] = ("", [])
    names = dict.fromkeys(
        name for one in variants[:1] for name in properties(one, definitions) if name != without
    )
    for name in sorted(names, key=lambda one: one != "type"):
        values = [_tag_values(one, name, definitions) for one in variants]
        if None not in values:
            groups = _grouped(cast("list[list[Any]]", values), variants)
            best = max(best, (name, groups), key=lambda one: len(one[1]))
    return best


def _grouped(values: Sequence[list[Any]], variants: Sequence[Schema]) -> list[Group]:
    groups: list[Group] = []
    for own, variant in zip(values, variants, strict=True):
        shared = [group for group in groups if any(_same(one, other) for one in group[0] for other in own)]
        rest = [group for group in groups if group not in shared]
        merged = [one for group in shared for one in group[0]]
        merged += [one for one in own if not any(_same(one, other) for other in merged)]
        joined = ([*merged], [*(one for group in shared for one in group[1]), variant])
        place = groups.index(shared[0]) if shared else len(rest)
        groups = [*rest[:place], joined, *rest[place:]]
    return groups


def _same(one: Any, other: Any) -> bool:
    return json.dumps(one) == json.dumps(other)


def _tag_values(schema: Schema, name: str, definitions: Mapping[str, Schema]) -> list[Any] | None:
    """Give the values that a variant allows for a property; None where any would do."""
    schema = follow(schema, definitions)
    if name in schema.get("properties", {}):
        values = _constants(schema["properties"][name], definitions)
        if values is not None:
            return values
    found = (_tag_values(part, name, definitions) for part in schema.get("allOf", []))
    return next((values for values in found if values is not None), None)


def _constants(schema: Schema, definitions: Mapping[str, Schema]) -> list[Any] | None:
    schema = follow(schema, definitions)
    if "const" in schema:
        return [schema["const"]]
    if "enum" in schema:
        return list(schema["enum"])
    if schema == NULL:
        return [None]
    branches = [_constants(branch, definitions) for branch in schema.get("anyOf", [])]
    if not branches or None in branches:
        return None
    return [value for branch in cast("list[list[Any]]", branches) for value in branch]
