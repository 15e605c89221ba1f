"""The maker of examples: one run over one schema."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import reduce
from hashlib import sha256
from math import ceil, floor
from typing import Any

from connectory.schemas.examples.acceptance import accepts, consequence
from connectory.schemas.examples.merging import CHECKS, UNIONS, extra_schema, merge
from connectory.schemas.examples.patterns import matching
from connectory.schemas.examples.terms import NoValueError, Resolve, Schema, is_number

FULL_DEPTH = 6
REPEATED_REFS = 2
"""How often one definition may stand inside itself before optional parts are left out."""

_FORMATS = {
    "uri": "https://example.com/",
    "url": "https://example.com/",
    "uri-reference": "/example",
    "date-time": "2025-01-01T00:00:00Z",
    "date": "2025-01-01",
    "time": "00:00:00Z",
    "duration": "P1D",
    "uuid": "00000000-0000-4000-8000-000000000000",
    "email": "someone@example.com",
    "hostname": "example.com",
    "ipv4": "127.0.0.1",
    "ipv6": "::1",
    "base64": "ZXhhbXBsZQ==",
    "byte": "ZXhhbXBsZQ==",
}
_FIXED: Mapping[str, Any] = {"boolean": False, "null": None}
_IMPLIED_TYPES = {
    "properties": "object",
    "required": "object",
    "additionalProperties": "object",
    "patternProperties": "object",
    "minProperties": "object",
    "items": "array",
    "prefixItems": "array",
    "minItems": "array",
    "pattern": "string",
    "format": "string",
    "minLength": "string",
    "maxLength": "string",
    "contentEncoding": "string",
    "minimum": "number",
    "maximum": "number",
    "multipleOf": "number",
}


class Maker:
    """One run over one schema; `seed` is None for the smallest value."""

    def __init__(self, resolve: Resolve, seed: str | None) -> None:
        self.resolve, self.seed = resolve, seed

    def make(self, schema: Schema, path: str, refs: tuple[str, ...]) -> Any:
        """Make a value of a schema, at a path, reached through these definitions."""
        flat, refs = self.flatten(schema, refs)
        return self.choose(flat, path, refs)

    def flatten(self, schema: Schema, refs: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Give one schema without `$ref` and `allOf`, and the definitions it came through."""
        if isinstance(schema, bool):
            if not schema:
                raise NoValueError("nothing is allowed")
            return {UNIONS: [], CHECKS: []}, refs
        parts: list[dict[str, Any]] = []
        if "$ref" in schema:
            name = str(schema["$ref"])
            if refs.count(name) > REPEATED_REFS:
                raise NoValueError(f"{name} contains itself")
            part, refs = self.flatten(self.resolve({"$ref": name}), (*refs, name))
            parts.append(part)
        for sub in schema.get("allOf", ()):
            part, refs = self.flatten(sub, refs)
            parts.append(part)
        own = {
            key: value
            for key, value in schema.items()
            if key not in {"$ref", "allOf", "anyOf", "oneOf", "$defs"}
        }
        own[UNIONS] = [schema[key] for key in ("anyOf", "oneOf") if key in schema]
        checks = {key: schema[key] for key in ("oneOf", "not", "if", "then", "else") if key in schema}
        own[CHECKS] = [checks] if checks else []
        return reduce(merge, parts, own), refs

    def choose(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> Any:
        """Take the first branch of every union that leads to a value, then check the whole."""
        if not flat[UNIONS]:
            return self.settle(flat, path, refs)
        branches, *others = flat[UNIONS]
        reason: Exception = NoValueError(f"{path or 'the value'} has no branch")
        for branch in sorted(branches, key=self.rank):
            try:
                part, deeper = self.flatten(branch, refs)
                return self.choose(merge({**flat, UNIONS: others}, part), path, deeper)
            except NoValueError as error:
                reason = error
        raise reason

    def rank(self, branch: Schema) -> int:
        """Say how late a branch is tried: a choice of words first, objects without a tag late, null last."""
        while isinstance(branch, Mapping) and "$ref" in branch and len(branch) == 1:
            branch = self.resolve(branch)
        if isinstance(branch, bool):
            return 3
        if branch.get("type") == "null" or branch.get("const", 0) is None or branch.get("enum") == [None]:
            return 4
        if "enum" in branch or "const" in branch:
            return 0
        properties: Mapping[str, Schema] = branch.get("properties", {})
        if not properties:
            return 1
        return 1 if any(map(self.is_tag, properties.values())) else 2

    def is_tag(self, schema: Schema) -> bool:
        """Say whether a property's schema is a choice of words, as the tag of a union is."""
        known: Schema = self.resolve(schema) if isinstance(schema, Mapping) and "$ref" in schema else schema
        return isinstance(known, Mapping) and ("const" in known or "enum" in known)

    def settle(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> Any:
        """Make a value of a flat schema; a condition adds its consequence, and the value is made again."""
        checks = flat[CHECKS]
        value = self.value(flat, path, refs)
        for check in checks:
            if "if" in check and (self.seed is not None or not self.accepts(check, value)):
                rest = {**flat, CHECKS: [one for one in checks if one is not check]}
                part, refs = self.flatten(consequence(check, value, self.resolve), refs)
                return self.choose(merge(rest, part), path, refs)
        if not all(self.accepts(check, value) for check in checks):
            if self.seed is not None:
                return Maker(self.resolve, None).settle(flat, path, refs)
            raise NoValueError(f"{path or 'the value'} breaks a rule of its schema")
        return value

    def value(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> Any:
        """Make a value of a flat schema by its type."""
        if "const" in flat:
            return self.first([flat["const"]], flat, path)
        if "enum" in flat:
            return self.first(flat["enum"], flat, path)
        kind = type_of(flat)
        if kind in _FIXED:
            return _FIXED[kind]
        if kind in {"number", "integer"}:
            return self.a_number(flat, path, whole=kind == "integer")
        if kind == "string":
            return self.a_text(flat, path)
        return (self.an_object if kind == "object" else self.an_array)(flat, path, refs)

    def first(self, values: list[Any], flat: dict[str, Any], path: str) -> Any:
        """Take the first of these values that the rest of the schema accepts; null only where nothing else is."""
        rest = {key: value for key, value in flat.items() if key not in {CHECKS, UNIONS}}
        rules = [rest, *flat[CHECKS]]
        allowed = [value for value in values if all(self.accepts(rule, value) for rule in rules)]
        if not allowed:
            raise NoValueError(f"{path or 'the value'} has no allowed value")
        return next((value for value in allowed if value is not None), None)

    def an_object(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> dict[str, Any]:
        """Make an object: the required properties, or all while it is not too deep."""
        properties: Mapping[str, Schema] = flat.get("properties", {})
        required = set(flat.get("required", ()))
        made: dict[str, Any] = {}
        deep = path.count(".") >= FULL_DEPTH or any(refs.count(ref) > REPEATED_REFS for ref in refs)
        listed = [name for name in properties if name in required or not (deep or self.seed is None)]
        for name in dict.fromkeys([*listed, *sorted(required)]):
            schema = properties.get(name, extra_schema(flat, name))
            try:
                made[name] = self.make(schema, f"{path}.{name}", refs)
            except NoValueError:
                if name in required:
                    raise
        self.fill(made, flat, path=path, refs=refs)
        return made

    def fill(self, made: dict[str, Any], flat: dict[str, Any], *, path: str, refs: tuple[str, ...]) -> None:
        """Add properties until there are enough: known ones first, then invented names."""
        wanted = flat.get("minProperties", 0)
        for name in flat.get("properties", {}):
            if len(made) < wanted and name not in made:
                made[name] = self.make(flat["properties"][name], f"{path}.{name}", refs)
        patterns = [matching(pattern, 0) for pattern in flat.get("patternProperties", {})]
        invented = iter([*patterns, *(f"key{number}" for number in range(1, wanted + 1))])
        while len(made) < wanted:
            name = next(invented)
            made[name] = self.make(extra_schema(flat, name), f"{path}.{name}", refs)

    def an_array(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> list[Any]:
        """Make a list: as short as it may be, or with one item where that shows what items are."""
        least, most = flat.get("minItems", 0), flat.get("maxItems", 1 << 30)
        prefix, items = flat.get("prefixItems", []), flat.get("items", True)
        deep = path.count(".") >= FULL_DEPTH
        wanted = max(least, 1 if self.seed is not None and not deep else 0, 1 if flat.get("contains") else 0)
        made: list[Any] = []
        while len(made) < min(wanted, most):
            here = prefix[len(made)] if len(made) < len(prefix) else flat.get("contains") or items
            try:
                made.append(self.make(here, f"{path}[{len(made)}]", refs))
            except NoValueError:
                if len(made) < least:
                    raise
                break
        if flat.get("uniqueItems") and any(made[i] in made[:i] for i in range(len(made))):
            made = self.distinct(made, items, path=path)
        return made

    def distinct(self, made: list[Any], items: Schema, *, path: str) -> list[Any]:
        """Make a list of different values out of equal ones, where texts, numbers or an enum allow it."""
        flat, _ = self.flatten(items, ())
        if "enum" in flat and len(flat["enum"]) >= len(made):
            return list(flat["enum"][: len(made)])
        if all(isinstance(one, str) for one in made):
            return [f"{one}{number}" for number, one in enumerate(made, 1)]
        if all(is_number(one) for one in made):
            return [one + number for number, one in enumerate(made)]
        raise NoValueError(f"{path or 'the value'} needs items that differ")

    def a_number(self, flat: dict[str, Any], path: str, *, whole: bool) -> float:
        """Make a number: the lowest, or zero, or for a full example one that differs from others."""
        step = flat.get("multipleOf") or (1 if whole else None)
        low = flat.get("minimum", flat.get("exclusiveMinimum"))
        high = flat.get("maximum", flat.get("exclusiveMaximum"))
        nudge = step or (((high - low) / 2) if low is not None and high is not None else 1)
        value: float = low if low is not None else min(0, high) if high is not None else 0
        if self.seed is not None and low is None and high is None:
            stamp = path.endswith("_at") or flat.get("format") == "unixtime"
            value = (1_700_000_000 if stamp else 1) + self.noise(path) % (10_000_000 if stamp else 99)
        if step:
            value = ceil(value / step) * step
            if high is not None and value > high:
                value = floor(high / step) * step
        if value == flat.get("exclusiveMinimum"):
            value += nudge
        if value == flat.get("exclusiveMaximum"):
            value -= nudge
        if not self.accepts({**_bounds(flat), "type": "integer" if whole else "number"}, value):
            raise NoValueError(f"{path or 'the value'} has no number between its bounds")
        return int(value) if whole else value

    def a_text(self, flat: dict[str, Any], path: str) -> str:
        """Make a text of the wanted form and length."""
        least, most = flat.get("minLength", 0), flat.get("maxLength", 1 << 30)
        if "pattern" in flat:
            texts = (matching(flat["pattern"], extra) for extra in range(max(1, min(least, 4096) + 1)))
            text = next((one for one in texts if len(one) >= least), "")
        else:
            text = self.plain_text(flat, path)
            text = text + "x" * (least - len(text))
            text = text if flat.get("format") in _FORMATS else text[:most]
        if not self.accepts({**_bounds(flat), "type": "string"}, text):
            raise NoValueError(f"{path or 'the value'} has no text within its bounds")
        return text

    def plain_text(self, flat: dict[str, Any], path: str) -> str:
        """Make a text that says what it is."""
        if flat.get("format") in _FORMATS:
            return _FORMATS[flat["format"]]
        if flat.get("contentEncoding") == "base64":
            return _FORMATS["base64"]
        name = re.sub(r"\[\d+\]", "", path).rpartition(".")[2] or "text"
        return name if self.seed is None else f"{name}-{self.noise(path):08x}"

    def noise(self, path: str) -> int:
        """Give a number that seed and path decide."""
        return int.from_bytes(sha256(f"{self.seed}\n{path}".encode()).digest()[:4])

    def accepts(self, schema: Schema, value: Any) -> bool:
        """Say whether the value satisfies the schema."""
        return accepts(schema, value, self.resolve)


def type_of(flat: Mapping[str, Any]) -> str:
    """Give the type to make: the first that is not null, or what the other keywords are about."""
    kinds: str | list[str] | None = flat.get("type")
    if kinds is None:
        return next((kind for key, kind in _IMPLIED_TYPES.items() if key in flat), "string")
    listed = [kinds] if isinstance(kinds, str) else list(kinds)
    if not listed:
        raise NoValueError("no type is left")
    return next((kind for kind in listed if kind != "null"), "null")


def _bounds(flat: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("Length", "imum")
    return {key: value for key, value in flat.items() if key.endswith(keys) or key == "pattern"}
