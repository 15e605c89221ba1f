"""What the schema lets stand beside a plain value: nothing, an empty list, a reference to the environment."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, cast

from connectory.config.shapes import is_list, is_map

if TYPE_CHECKING:
    from collections.abc import Mapping

Schema = dict[str, Any]

ENVIRONMENT: Schema = {"type": "string", "pattern": r"\$\{"}
"""A text with `${NAME}` in it: what it will be is not known before the run."""

NOTHING: Schema = {"not": {"type": ["string", "number", "boolean", "object", "array"]}}
"""Null, in words that make no editor offer it."""

_NULL = {"type": "null"}
_NO_ITEMS = {"type": "array", "maxItems": 0}
_ABOUT = ("description", "default", "examples")
_NEVER_TEXT = frozenset({"integer", "number", "boolean"})
_LISTS = ("allOf", "prefixItems")
_ONES = ("items", "additionalProperties", "if", "then", "else")


def admit(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Give a schema that lets everything stand that the models take; `definitions` are what it refers to."""
    made: Schema = {
        key: value for key, value in schema.items() if key not in {"title", "oneOf", "discriminator"}
    }
    if is_map(made.get("properties")):
        made["properties"] = {name: admit(one, definitions) for name, one in made["properties"].items()}
    for key in _ONES:
        if is_map(made.get(key)):
            made[key] = admit(made[key], definitions)
    for key in _LISTS:
        if is_list(made.get(key)):
            made[key] = [admit(one, definitions) for one in made[key]]
    if not made.get("default", True) and not isinstance(made["default"], (bool, int, float)):
        del made["default"]  # an editor would write it
    branches = _branches(schema)
    if {} in branches:
        return {key: value for key, value in made.items() if key != "anyOf"}
    if branches:
        return _joined({key: value for key, value in made.items() if key != "anyOf"}, branches, definitions)
    return _joined(_about(made), [_plain(made)], definitions) if _wants_no_text(made) else made


def admit_unset(schema: Schema) -> Schema:
    """Let a reference to the environment stand for an object or a list too: such options are not looked at before."""
    made = {
        key: [admit_unset(one) for one in value]
        if key in ("anyOf", *_LISTS)
        else {name: admit_unset(one) for name, one in value.items()}
        if key == "properties"
        else admit_unset(value)
        if key in _ONES and is_map(value) and key != "if"
        else value
        for key, value in schema.items()
    }
    given: Any = schema.get("type", [])
    types: list[str] = [given] if isinstance(given, str) else given
    if "string" not in types and not {"object", "array"}.isdisjoint(types):
        made |= {"type": [*types, "string"], "pattern": ENVIRONMENT["pattern"]}
    return made


def literally(text: str) -> str:
    """Escape a text for a pattern, as every dialect of patterns reads it."""
    return re.sub(r"[\^$.*+?()\[\]{}|\\/]", r"\\\g<0>", text)


def _branches(schema: Schema) -> list[Schema]:
    """Give the alternatives, those of alternatives too."""
    found: list[Schema] = []
    given = [*schema.get("anyOf", []), *schema.get("oneOf", [])]
    for one in cast("list[Schema]", given):
        inner = _branches(one) if one.keys() <= {"anyOf", "oneOf"} else []
        found += inner or [one]
    return found


def _joined(about: Schema, branches: list[Schema], definitions: Mapping[str, Schema]) -> Schema:
    """Put alternatives together; an object or a list that may be nothing stays one, so that an editor lays it out."""
    plain = [one for one in branches if one not in (_NULL, _NO_ITEMS)]
    no_items, nothing = _NO_ITEMS in branches, _NULL in branches
    if len(plain) == 1 and (only := _laid_out(plain[0], definitions)) is not None:
        types = [only["type"], *["array"] * (no_items and only["type"] != "array"), *["null"] * nothing]
        limit = {"maxItems": 0} if no_items else {}
        return {**only, **limit, "type": types if len(types) > 1 else types[0], **about}
    settled = [_settled(one, definitions) for one in plain]
    if any(map(_wants_no_text, plain)):
        settled.append(ENVIRONMENT)
    settled += [_NO_ITEMS] * no_items + [NOTHING] * nothing
    return {**about, "anyOf": settled} if len(settled) > 1 else {**settled[0], **about}


def _laid_out(schema: Schema, definitions: Mapping[str, Schema]) -> Schema | None:
    """Give the object or the list that a schema describes itself, or by a definition; None for anything else."""
    name = str(schema.get("$ref", "")).removeprefix("#/$defs/")
    found = definitions.get(name, schema)
    if found.get("type") not in ("object", "array") or (name and "properties" not in found):
        return None
    return admit(found, definitions)


def _settled(schema: Schema, definitions: Mapping[str, Schema]) -> Schema:
    """Settle what stands inside an alternative; that it wants no text is said beside it."""
    if _wants_no_text(schema):
        return {key: value for key, value in schema.items() if key != "title"}
    return admit(schema, definitions)


def _wants_no_text(schema: Schema) -> bool:
    return schema.get("type") in _NEVER_TEXT or not schema.keys().isdisjoint({"enum", "const", "pattern"})


def _about(schema: Schema) -> Schema:
    return {key: schema[key] for key in _ABOUT if key in schema}


def _plain(schema: Schema) -> Schema:
    return {key: value for key, value in schema.items() if key not in _ABOUT}
