"""The schema of a step: its forms, and the options of each transformer that is there."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from connectory.config.admitting import ENVIRONMENT, admit, admit_unset, literally
from connectory.config.shapes import is_list, is_map
from connectory.config.steps import FORMS
from connectory.plugins import A_STEP

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from connectory.config.admitting import Schema
    from connectory.plugins import Listed

_NEEDY = "this transformer has options that it needs: write '- name: options'"
STEP: Schema = {"$ref": "#/$defs/StepConfig"}
_DATA = frozenset({"examples", "default", "enum", "const"})
_UNKNOWN = (
    "no transformer of this name, as far as this schema knows; 'connectory transformers list' shows all, and "
    "'connectory schema --write' writes the schema anew"
)


def offer_steps(
    definitions: dict[str, Schema], transformers: Sequence[Listed], chains: Collection[str]
) -> None:
    """Put the forms of a step among the definitions, and each transformer's options."""
    for one in transformers:
        definitions[_definition(one.name)] = _options(one, definitions)
    definitions["StepConfig"] = {
        "description": f"One step of a chain: {FORMS}",
        "anyOf": [_bare(transformers, chains), _mapping(transformers, chains)],
    }


def _bare(transformers: Sequence[Listed], chains: Collection[str]) -> Schema:
    alone = [one for one in transformers if one.alone]
    needy = [literally(one.name) for one in transformers if not one.alone]
    # a name that is not known is that of a chain; what stands first speaks for all where none fits
    other = {
        "type": "string",
        "pattern": f"^(?!(?:{'|'.join(needy)})$)." if needy else ".",
        "patternErrorMessage": _NEEDY,
    }
    kinds: list[Schema] = [
        {"enum": [one.name for one in alone], "enumDescriptions": [one.doc for one in alone]},
        {"enum": sorted(chains), "description": "A chain of this configuration"},
    ]
    return {
        "description": "A transformer without options, or a named chain",
        "anyOf": [other, *(one for one in kinds if one["enum"])],
    }


def _mapping(transformers: Sequence[Listed], chains: Collection[str]) -> Schema:
    """Tell the forms apart by the key that only one of them has."""
    long = _long(transformers, chains)
    return {
        "type": "object",
        "if": {"type": "object", "required": ["use"]},
        "then": _code(),
        "else": {
            "if": {"type": "object", "required": ["prototype"]},
            "then": long,
            "else": _named(transformers, long),
        },
    }


def _named(transformers: Sequence[Listed], long: Schema) -> Schema:
    """Describe a name with its options; a name that is not known may be that of a chain, which takes none."""
    names = [one.name for one in transformers]
    known = f"^(?:{'|'.join(map(literally, names))})$"
    unknown: Schema = {
        "if": {"not": {"propertyNames": {"pattern": known}}},
        "then": {"additionalProperties": {"type": "null", "errorMessage": _UNKNOWN}},
    }
    others = {"use": _code()["properties"]["use"], "prototype": long["properties"]["prototype"]}
    return {
        "properties": {name: {"$ref": f"#/$defs/{_definition(name)}"} for name in names} | others,
        "minProperties": 1,
        "maxProperties": 1,
        "description": "A transformer's name and its options",
        **(unknown if names else {}),
    }


def _code() -> Schema:
    use = {
        "anyOf": [
            {"type": "string", "pattern": "^[^:]+:[^:]+$", "patternErrorMessage": "write module:function"},
            ENVIRONMENT,
        ],
        "description": "Code of one's own, as module:function",
        "examples": ["my_package.masks:mask_email"],
    }
    options = {"description": "The transformer's options (default: none)", "examples": [{"field": "email"}]}
    return {
        "type": "object",
        "properties": {"use": use, "options": options},
        "required": ["use"],
        "additionalProperties": False,
        "description": "Code of one's own",
    }


def _long(transformers: Sequence[Listed], chains: Collection[str]) -> Schema:
    names = [one.name for one in transformers]
    prototype = {
        "anyOf": [{"enum": [*names, *sorted(chains)]}, {"type": "string", "minLength": 1}],
        "description": "The transformer's name (required)",
        "examples": ["set"],
    }
    parameters = {"description": "The transformer's options (default: none)", "examples": [{"status": "new"}]}
    return {
        "type": "object",
        "properties": {"prototype": prototype, "parameters": parameters},
        "required": ["prototype"],
        "additionalProperties": False,
        "description": "The long form",
        **({"allOf": [_by_prototype(name) for name in names]} if names else {}),
    }


def _by_prototype(name: str) -> Schema:
    chosen = {"prototype": {"type": "string", "pattern": f"^{literally(name)}$"}}
    options = {"parameters": {"$ref": f"#/$defs/{_definition(name)}"}}
    return {"if": {"properties": chosen, "required": ["prototype"]}, "then": {"properties": options}}


def _definition(name: str) -> str:
    return f"step.{name}"


def _options(one: Listed, definitions: dict[str, Schema]) -> Schema:
    """Give the schema of a step's options; what it refers to in itself comes among the definitions."""
    home = _definition(one.name)
    known: Schema = {} if one.schema is None else _lifted(one.schema, home, definitions)
    if one.alone and known:
        known = _or_nothing(known)
    described = {**admit_unset(admit(known, {})), "description": one.doc or one.problem or one.name}
    return {**described, "examples": _shown(one, described)} if one.examples else described


def _shown(one: Listed, described: Schema) -> list[Any]:
    """Give the examples; an editor writes an only one, and the lines of an object would stand at the name's depth."""
    alone = len(one.examples) == 1 and is_map(one.examples[0]) and "properties" not in described
    return [*one.examples, *one.examples] if alone else list(one.examples)


def _or_nothing(schema: Schema) -> Schema:
    """Let a step that needs no options end with its colon."""
    if "if" in schema:
        return {**schema, "else": {"anyOf": [schema["else"], {"type": "null"}]}}
    return {"anyOf": [schema, {"type": "null"}]}


def _lifted(value: Any, home: str, definitions: dict[str, Schema]) -> Any:
    """Move the definitions that stand beside an option to the others, under names of their own; find steps in it."""
    if is_list(value):
        return [_lifted(one, home, definitions) for one in value]
    if not is_map(value):
        return value
    if value == A_STEP:
        return STEP
    schema: Schema = value
    if "$defs" in schema:
        text = json.dumps(schema)
        for name in schema["$defs"]:
            text = text.replace(json.dumps(f"#/$defs/{name}"), json.dumps(f"#/$defs/{home}.{name}"))
        schema = json.loads(text)
        for name, one in schema.pop("$defs").items():
            definitions[f"{home}.{name}"] = admit_unset(
                admit(_lifted(one, f"{home}.{name}", definitions), {})
            )
    return {
        key: one if key in _DATA else _lifted(one, f"{home}.{key}", definitions)
        for key, one in schema.items()
    }
