"""An answer in the form that a schema wants, with every fact in it that the schema has a place for."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any, cast

from jsonschema import Draft202012Validator

from connectory.errors import ConfigError
from connectory.sandbox.checking import OFFLINE, is_valid
from connectory.schemas.examples import full

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.catalogue import Catalogue

_LATER = (
    "_at",
    "error",
    "errors",
    "_details",
    "_error",
    "required_action",
    "expires_after",
    "output_file_id",
    "error_file_id",
    "usage",
)
"""How fields end that a fresh item does not have yet."""

ABSENT: Any = type("Absent", (), {"__slots__": ()})()
"""The value of a fact that says: the answer has no such field."""


class Shape:
    """One schema of the catalogue, with the example that facts are laid over.

    A fresh shape is that of an item just made: what may be null is null, and what comes later is absent.
    """

    def __init__(self, catalogue: Catalogue, schema: Mapping[str, Any], *, fresh: bool) -> None:
        self.catalogue, self.schema, self.fresh = catalogue, schema, fresh
        self.validator = Draft202012Validator(catalogue.schema(schema), registry=OFFLINE)
        self.examples: dict[str, Any] = {}
        self.names: dict[str, frozenset[str]] = {}

    def fit(self, facts: Mapping[str, Any]) -> Any:
        """Give the example with the facts in it: all of them, or one by one those that the schema accepts."""
        variant = facts.get("type")
        key = self.prepared(variant if isinstance(variant, str) else "")
        example, names = self.examples[key], self.names[key]
        if not isinstance(example, dict):
            return example
        laid = {**cast("dict[str, Any]", example)}
        laid = {name: value for name, value in laid.items() if facts.get(name) is not ABSENT}
        known = {name: value for name, value in facts.items() if name in names and value is not ABSENT}
        if self.accepts(laid | known):
            return laid | known
        for name, value in known.items():
            if self.accepts(laid | {name: value}):
                laid[name] = value
        return laid

    def accepts(self, value: Any) -> bool:
        """Say whether the value is a valid answer."""
        return is_valid(self.validator, value)

    def prepared(self, variant: str) -> str:
        """Make the example of a variant, told by the tag `type`; an unknown tag gives the first."""
        if variant in self.examples:
            return variant
        schema: Any = self.schema
        if variant:
            tag = {"type": "object", "properties": {"type": {"const": variant}}, "required": ["type"]}
            schema = {"allOf": [self.schema, tag]}
        try:
            example = full(schema, self.catalogue.resolve, seed=variant)
        except ConfigError:
            return self.prepared("")
        if not self.accepts(example) and variant:
            return self.prepared("")
        self.names[variant] = frozenset(cast("dict[str, Any]", example) if isinstance(example, dict) else ())
        self.examples[variant] = self.freshened(example) if self.fresh else example
        return variant

    def freshened(self, example: Any) -> Any:
        """Take out of an example what a new item does not have yet."""
        if not isinstance(example, dict):
            return example
        kept = {**cast("dict[str, Any]", example)}
        for name in list(kept):
            if name in {"id", "object", "type", "created_at"}:
                continue
            without = {one: value for one, value in kept.items() if one != name}
            if self.accepts(kept | {name: None}):
                kept[name] = None
            elif name.endswith(_LATER) and self.accepts(without):
                kept = without
        return kept


class Shapes:
    """The shapes that were needed so far, one for each schema."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.catalogue = catalogue
        self.known: dict[tuple[str, bool], Shape] = {}
        self.keys: dict[int, tuple[Any, str]] = {}

    def key(self, schema: Mapping[str, Any]) -> str:
        """Give a text that equal schemas share."""
        if (found := self.keys.get(id(schema))) is None:
            # the schema is kept beside its key, so that its id cannot come to mean another one
            found = self.keys[id(schema)] = (schema, json.dumps(schema, sort_keys=True))
        return found[1]

    def of(self, schema: Mapping[str, Any], *, fresh: bool) -> Shape:
        """Give the shape of a schema."""
        key = (self.key(schema), fresh)
        if key not in self.known:
            self.known[key] = Shape(self.catalogue, schema, fresh=fresh)
        return self.known[key]

    def items(self, schema: Mapping[str, Any], field: str) -> Mapping[str, Any] | None:
        """Give the schema of a list's items."""
        known: Mapping[str, Any] = self.catalogue.resolve(schema)
        if field == "@":
            return cast("Mapping[str, Any] | None", known.get("items"))
        for part in (known, *map(self.catalogue.resolve, known.get("allOf", ()))):
            if field in part.get("properties", {}):
                listed = self.catalogue.resolve(part["properties"][field])
                return cast("Mapping[str, Any] | None", listed.get("items"))
        return None
