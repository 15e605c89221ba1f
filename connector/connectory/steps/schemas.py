"""A JSON Schema of a user's own, as an option of a transformer."""

from __future__ import annotations

import json
from typing import Any, cast
from urllib.parse import unquote

from connectory.errors import ConfigError
from connectory.expressions import CompiledOption
from connectory.schemas.validation import Validator


class Schema(CompiledOption):
    """A JSON Schema: an object, or its text. What it refers to stands in itself; nothing is fetched."""

    __slots__ = ("_validator",)
    written = dict[str, Any] | str

    def __init__(self, written: dict[str, Any] | str) -> None:
        schema = _read(written) if isinstance(written, str) else written
        _refuse_invalid(schema)
        self._validator = Validator(schema)

    def errors(self, value: Any, *, name: str) -> list[str]:
        """Say what is wrong with a value, at most five things; `name` is what the value is called."""
        return self._validator.errors(value, name=name)

    def __repr__(self) -> str:
        return f"Schema({self._validator.schema!r})"


def _read(text: str) -> dict[str, Any]:
    try:
        schema = json.loads(text)
    except (ValueError, RecursionError) as error:
        raise ConfigError(f"the schema is no JSON: {error}") from None
    if not isinstance(schema, dict):
        raise ConfigError("the schema is no JSON object")
    return cast("dict[str, Any]", schema)


def _refuse_invalid(schema: dict[str, Any]) -> None:
    from jsonschema import Draft202012Validator, SchemaError  # noqa: PLC0415 - slow to load, and few chains check

    try:
        Draft202012Validator.check_schema(schema)
    except SchemaError as error:
        place = ".".join(map(str, error.absolute_path)) or "its top"
        raise ConfigError(f"the schema is none: at {place}, {error.message:.200}") from None
    for reference in _references(schema):
        if not reference.startswith("#"):
            raise ConfigError(
                f"the schema refers to {reference!r}, and nothing is fetched; put it below '$defs'"
            )
        if reference.startswith("#/") and not _leads_somewhere(schema, reference):
            raise ConfigError(f"the schema refers to {reference!r}, which it does not have")


def _leads_somewhere(schema: Any, reference: str) -> bool:
    place = schema
    for step in unquote(reference[2:]).split("/"):
        key: Any = step.replace("~1", "/").replace("~0", "~")
        try:
            place = place[int(key) if isinstance(place, list) else key]
        except (LookupError, ValueError, TypeError):
            return False
    return True


def _references(value: Any) -> list[str]:
    if isinstance(value, dict):
        members = cast("dict[str, Any]", value)
        own = [one for key in ("$ref", "$dynamicRef") if isinstance(one := members.get(key), str)]
        return own + [one for member in members.values() for one in _references(member)]
    return (
        [one for member in cast("list[object]", value) for one in _references(member)]
        if isinstance(value, list)
        else []
    )
