"""The JSON Schema of the configuration, for editors: made from the models and the catalogue."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from connectory.config.model import ConfigModel

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectory.catalogue import Catalogue
    from connectory.plugins import Listed

_DRAFT = "https://json-schema.org/draft/2020-12/schema"
_FROM_ENVIRONMENT = {"type": "string", "pattern": r"\$\{", "description": "From the environment: ${NAME}"}
_KEPT = ("description", "default")
_NEVER_TEXT = frozenset({"integer", "number", "boolean"})


def config_schema(catalogue: Catalogue, transformers: Iterable[Listed] = ()) -> dict[str, Any]:
    """Give the schema, the same for the same catalogue; the catalogue's names are only suggestions.

    A step with the name of one of the `transformers` has its options; other names may be those of chains.
    """
    schema = ConfigModel.model_json_schema(mode="validation")
    definitions = cast("dict[str, dict[str, Any]]", schema["$defs"])
    for model in (schema, *definitions.values()):
        for name, described in cast("dict[str, dict[str, Any]]", model.get("properties", {})).items():
            _tidy(described)
            if name != "version":
                _accept_environment(described)
    incoming = definitions["IncomingConfig"]["properties"]
    outgoing = definitions["OutgoingConfig"]["properties"]
    incoming["transformer"] = {
        **incoming["input_transformers"],
        "description": "Another name for input_transformers (default: none)",
    }
    _suggest(incoming["entity"], _names(catalogue, ("read",)))
    _suggest(outgoing["entity"], _names(catalogue, ("create", "delete")))
    _suggest(outgoing["dialect"], sorted(catalogue.dialects))
    _suggest(definitions["ClientConfig"]["properties"]["prototype"], sorted(catalogue.prototypes))
    _offer(definitions["StepConfig"], list(transformers))
    # nothing below a section's name, or below `request_parameters`, is the same as an empty mapping
    for section in ("clients", "incoming", "outgoing", "routes", "transformers", "tests"):
        _accept_nothing(schema["properties"][section])
    return {"$schema": _DRAFT, **schema, "title": "Connectory configuration"}


def _names(catalogue: Catalogue, actions: Iterable[str]) -> list[str]:
    """Give the entities that take one of the actions."""
    wanted = set(actions)
    return sorted(name for name in catalogue if wanted & catalogue[name].actions.keys())


def _suggest(described: dict[str, Any], names: list[str]) -> None:
    kept: dict[str, Any] = {key: described[key] for key in _KEPT if key in described}
    described.clear()
    described.update(kept, anyOf=[{"enum": names}, {"type": "string", "minLength": 1}])


def _offer(step: dict[str, Any], transformers: list[Listed]) -> None:
    """Put the names of transformers and their options into the forms that a step can have."""
    if not transformers:
        return
    name, _, long, mapping = cast("list[dict[str, Any]]", step["anyOf"])
    names = [one.name for one in transformers]
    name.pop("type")
    name["anyOf"] = [
        {"enum": [one.name for one in transformers if one.alone]},
        # another name is that of a chain
        {"type": "string", "minLength": name.pop("minLength"), "not": {"enum": names}},
    ]
    long["properties"]["prototype"]["examples"] = names
    mapping["properties"] = {one.name: _described(one) for one in transformers}


def _described(one: Listed) -> dict[str, Any]:
    """Give the schema of a step's options; what an option refers to elsewhere in its own schema is not followed."""
    known: dict[str, Any] = (
        {} if one.schema is None or "$ref" in json.dumps(one.schema) else _lenient(one.schema)
    )
    if one.alone and known:
        known = {"anyOf": [known, {"type": "null"}]}
    return {"description": one.doc or one.problem, **known}


def _lenient(schema: Any) -> Any:
    """Let a reference to the environment stand wherever no text may."""
    if isinstance(schema, list):
        return [_lenient(one) for one in schema]  # pyright: ignore[reportUnknownVariableType] - JSON holds anything
    if not isinstance(schema, dict):
        return schema
    given = cast("dict[str, Any]", schema)
    made: dict[str, Any] = {
        key: {name: _lenient(inner) for name, inner in value.items()}
        if key == "properties"
        else _lenient(value)
        if key in {"anyOf", "oneOf", "allOf", "items", "additionalProperties", "prefixItems"}
        else value
        for key, value in given.items()
        if key != "title"
    }
    return {"anyOf": [made, dict(_FROM_ENVIRONMENT)]} if made.get("type") in _NEVER_TEXT else made


def _tidy(described: dict[str, Any]) -> None:
    """Drop the titles that pydantic makes of names, and `null` where it is only the default."""
    described.pop("title", None)
    branches = cast("list[dict[str, Any]]", described.get("anyOf", []))
    if {"type": "null"} in branches:
        branches.remove({"type": "null"})
        if len(branches) == 1:
            del described["anyOf"]
            described.update({key: value for key, value in branches[0].items() if key not in described})
    if "default" in described and described["default"] is None:
        del described["default"]


def _accept_environment(described: dict[str, Any]) -> None:
    """Let a reference stand where a number, a boolean or one of several words is wanted."""
    if described.get("type") in _NEVER_TEXT or "enum" in described:
        kept: dict[str, Any] = {key: described.pop(key) for key in _KEPT if key in described}
        branch = dict(described)
        described.clear()
        described.update(kept, anyOf=[branch, dict(_FROM_ENVIRONMENT)])
        return
    branches = cast("list[dict[str, Any]]", described.get("anyOf", []))
    if any(branch.get("type") in _NEVER_TEXT for branch in branches):
        branches.append(dict(_FROM_ENVIRONMENT))


def _accept_nothing(described: dict[str, Any]) -> None:
    described["type"] = [described["type"], "null"]
