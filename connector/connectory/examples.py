"""Example values made from a JSON Schema: the smallest valid one, and a full one for a server's answer."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import reduce
from hashlib import sha256
from math import ceil, floor
from typing import Any, TypeAlias, cast

from connectory.errors import ConfigError

Schema: TypeAlias = "Mapping[str, Any] | bool"
Resolve: TypeAlias = Callable[[Any], Any]

FULL_DEPTH = 6
REPEATED_REFS = 2
"""How often one definition may stand inside itself before optional parts are left out."""

_UNIONS = "unions"
"""Where a flat schema keeps its anyOf and oneOf lists, one list for each."""

_CHECKS = "checks"
"""Where a flat schema keeps the rules that only a whole value can show to be met."""

_LISTS = {_UNIONS, _CHECKS, "required"}
_REPEAT = re.compile(r"(\*|\+|\?|\{(\d+)(,(\d*))?\})?[?+]?")
_GROUP = re.compile(r"\((\?:|\?P<\w+>)?")
_ATOM = re.compile(r"\\.|\[\^?\]?(?:\\.|[^\]\\])*\]|.", re.DOTALL)
_ANCHORS = {"^", "$", r"\b", r"\A", r"\Z", r"\z"}
_SIGNS = "a0A" + "".join(map(chr, range(32, 127)))

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
_TYPES: Mapping[str, Callable[[Any], bool]] = {
    "null": lambda value: value is None,
    "boolean": lambda value: isinstance(value, bool),
    "integer": lambda value: _is_number(value) and value == int(value),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "string": lambda value: isinstance(value, str),
    "array": lambda value: isinstance(value, list),
    "object": lambda value: isinstance(value, dict),
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


class _NoValueError(Exception):
    """This branch gives no value; the next one may."""


def minimal(schema: Schema, resolve: Resolve) -> Any:
    """Give the smallest useful value that the schema accepts: required properties, short lists, first enum.

    `resolve` gives, for a schema that is a `$ref`, the schema it names. A text without rules becomes the name
    of its property, so that an example says which is which. Raises ConfigError where no value can be found.
    """
    return _made(_Maker(resolve, None), schema)


def full(schema: Schema, resolve: Resolve, *, seed: str) -> Any:
    """Give a value with all properties to a bounded depth; the same seed gives the same value."""
    return _made(_Maker(resolve, seed), schema)


def _made(maker: _Maker, schema: Schema) -> Any:
    try:
        return maker.make(schema, "", ())
    except _NoValueError as error:
        raise ConfigError(f"making an example: no value satisfies the schema ({error})") from None


class _Maker:
    """One run over one schema; `seed` is None for the smallest value."""

    def __init__(self, resolve: Resolve, seed: str | None) -> None:
        self.resolve, self.seed = resolve, seed

    def make(self, schema: Schema, path: str, refs: tuple[str, ...]) -> Any:
        flat, refs = self.flatten(schema, refs)
        if any(refs.count(ref) > REPEATED_REFS + 1 for ref in set(refs)):
            raise _NoValueError(f"{path or 'the value'} contains itself")
        return self.choose(flat, path, refs)

    def flatten(self, schema: Schema, refs: tuple[str, ...]) -> tuple[dict[str, Any], tuple[str, ...]]:
        """Give one schema without `$ref` and `allOf`, and the definitions it came through."""
        if isinstance(schema, bool):
            if not schema:
                raise _NoValueError("nothing is allowed")
            return {_UNIONS: [], _CHECKS: []}, refs
        parts: list[dict[str, Any]] = []
        if "$ref" in schema:
            name = str(schema["$ref"])
            if refs.count(name) > REPEATED_REFS:
                raise _NoValueError(f"{name} contains itself")
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
        own[_UNIONS] = [schema[key] for key in ("anyOf", "oneOf") if key in schema]
        checks = {key: schema[key] for key in ("oneOf", "not", "if", "then", "else") if key in schema}
        own[_CHECKS] = [checks] if checks else []
        return reduce(_merge, parts, own), refs

    def choose(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> Any:
        """Take the first branch of every union that leads to a value, then check the whole."""
        if not flat[_UNIONS]:
            return self.settle(flat, path, refs)
        branches, *others = flat[_UNIONS]
        reason: Exception = _NoValueError(f"{path or 'the value'} has no branch")
        for branch in sorted(branches, key=self.rank):
            try:
                part, deeper = self.flatten(branch, refs)
                return self.choose(_merge({**flat, _UNIONS: others}, part), path, deeper)
            except _NoValueError as error:
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
        known: Schema = self.resolve(schema) if isinstance(schema, Mapping) and "$ref" in schema else schema
        return isinstance(known, Mapping) and ("const" in known or "enum" in known)

    def settle(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> Any:
        """Make a value of a flat schema; a condition adds its consequence, and the value is made again."""
        checks = flat[_CHECKS]
        value = self.value(flat, path, refs)
        for check in checks:
            if "if" in check and (self.seed is not None or not self.accepts(check, value)):
                rest = {**flat, _CHECKS: [one for one in checks if one is not check]}
                part, refs = self.flatten(self.consequence(check, value), refs)
                return self.choose(_merge(rest, part), path, refs)
        if not all(self.accepts(check, value) for check in checks):
            if self.seed is not None:
                return _Maker(self.resolve, None).settle(flat, path, refs)
            raise _NoValueError(f"{path or 'the value'} breaks a rule of its schema")
        return value

    def consequence(self, check: Mapping[str, Any], value: Any) -> Schema:
        found: Schema = check.get("then" if self.accepts(check["if"], value) else "else", True)
        return found

    def value(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> Any:
        if "const" in flat:
            return self.first([flat["const"]], flat, path)
        if "enum" in flat:
            return self.first(flat["enum"], flat, path)
        kind = _type(flat)
        if kind in _FIXED:
            return _FIXED[kind]
        if kind in {"number", "integer"}:
            return self.a_number(flat, path, whole=kind == "integer")
        if kind == "string":
            return self.a_text(flat, path)
        return (self.an_object if kind == "object" else self.an_array)(flat, path, refs)

    def first(self, values: list[Any], flat: dict[str, Any], path: str) -> Any:
        rest = {key: value for key, value in flat.items() if key not in {_CHECKS, _UNIONS}}
        allowed = [value for value in values if self.accepts(rest, value)]
        if not allowed:
            raise _NoValueError(f"{path or 'the value'} has no allowed value")
        return next((value for value in allowed if value is not None), None)

    def an_object(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> dict[str, Any]:
        properties: Mapping[str, Schema] = flat.get("properties", {})
        required = set(flat.get("required", ()))
        made: dict[str, Any] = {}
        deep = path.count(".") >= FULL_DEPTH or any(refs.count(ref) > 1 for ref in refs)
        listed = [name for name in properties if name in required or not (deep or self.seed is None)]
        for name in dict.fromkeys([*listed, *sorted(required)]):
            schema = properties.get(name, _extra(flat, name))
            try:
                made[name] = self.make(schema, f"{path}.{name}", refs)
            except _NoValueError:
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
        patterns = [_matching(pattern, 0) for pattern in flat.get("patternProperties", {})]
        invented = iter([*patterns, *(f"key{number}" for number in range(1, wanted + 1))])
        while len(made) < wanted:
            name = next(invented)
            made[name] = self.make(_extra(flat, name), f"{path}.{name}", refs)

    def an_array(self, flat: dict[str, Any], path: str, refs: tuple[str, ...]) -> list[Any]:
        least, most = flat.get("minItems", 0), flat.get("maxItems", 1 << 30)
        prefix, items = flat.get("prefixItems", []), flat.get("items", True)
        deep = path.count(".") >= FULL_DEPTH
        wanted = max(least, 1 if self.seed is not None and not deep else 0, 1 if flat.get("contains") else 0)
        made: list[Any] = []
        while len(made) < min(wanted, most):
            here = prefix[len(made)] if len(made) < len(prefix) else flat.get("contains") or items
            try:
                made.append(self.make(here, f"{path}[{len(made)}]", refs))
            except _NoValueError:
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
        if all(_is_number(one) for one in made):
            return [one + number for number, one in enumerate(made)]
        raise _NoValueError(f"{path or 'the value'} needs items that differ")

    def a_number(self, flat: dict[str, Any], path: str, *, whole: bool) -> float:
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
            raise _NoValueError(f"{path or 'the value'} has no number between its bounds")
        return int(value) if whole else value

    def a_text(self, flat: dict[str, Any], path: str) -> str:
        least, most = flat.get("minLength", 0), flat.get("maxLength", 1 << 30)
        if "pattern" in flat:
            texts = (_matching(flat["pattern"], extra) for extra in range(max(1, min(least, 4096) + 1)))
            text = next((one for one in texts if len(one) >= least), "")
        else:
            text = self.plain_text(flat, path)
            text = text + "x" * (least - len(text))
            text = text if flat.get("format") in _FORMATS else text[:most]
        if not self.accepts({**_bounds(flat), "type": "string"}, text):
            raise _NoValueError(f"{path or 'the value'} has no text within its bounds")
        return text

    def plain_text(self, flat: dict[str, Any], path: str) -> str:
        if flat.get("format") in _FORMATS:
            return _FORMATS[flat["format"]]
        if flat.get("contentEncoding") == "base64":
            return _FORMATS["base64"]
        name = re.sub(r"\[\d+\]", "", path).rpartition(".")[2] or "text"
        return name if self.seed is None else f"{name}-{self.noise(path):08x}"

    def noise(self, path: str) -> int:
        return int.from_bytes(sha256(f"{self.seed}\n{path}".encode()).digest()[:4])

    def accepts(self, schema: Schema, value: Any) -> bool:
        """Say whether the value satisfies the schema, as far as making examples needs to know."""
        if isinstance(schema, bool):
            return schema
        if "$ref" in schema and not self.accepts(self.resolve({"$ref": schema["$ref"]}), value):
            return False
        if "if" in schema and not self.accepts(self.consequence(schema, value), value):
            return False
        return (
            _is_of_type(schema.get("type"), value)
            and ("const" not in schema or _same(schema["const"], value))
            and ("enum" not in schema or any(_same(one, value) for one in schema["enum"]))
            and all(self.accepts(one, value) for one in schema.get("allOf", ()))
            and ("anyOf" not in schema or any(self.accepts(one, value) for one in schema["anyOf"]))
            and ("oneOf" not in schema or sum(self.accepts(one, value) for one in schema["oneOf"]) == 1)
            and ("not" not in schema or not self.accepts(schema["not"], value))
            and all(self.accepts(sub, part) for sub, part in _parts(schema, value))
            and _within(schema, value)
        )


def _parts(schema: Mapping[str, Any], value: Any) -> Iterator[tuple[Schema, Any]]:
    """Give each part of the value with the schema it must satisfy."""
    if isinstance(value, dict):
        properties = schema.get("properties", {})
        for name, part in cast("Mapping[str, Any]", value).items():
            yield properties.get(name, _extra(schema, name)), part
    elif isinstance(value, list):
        prefix: list[Schema] = schema.get("prefixItems", [])
        for number, part in enumerate(cast("Sequence[Any]", value)):
            yield (prefix[number] if number < len(prefix) else schema.get("items", True)), part


def _within(schema: Mapping[str, Any], value: Any) -> bool:
    """Say whether a value without its parts keeps the bounds."""
    size = len(cast("Sequence[Any]", value)) if isinstance(value, str | list | dict) else 0
    if isinstance(value, str):
        return _sized(schema, size, "Length") and re.search(schema.get("pattern", ""), value) is not None
    if isinstance(value, list):
        return _sized(schema, size, "Items")
    if isinstance(value, dict):
        return _sized(schema, size, "Properties") and all(
            name in value for name in schema.get("required", ())
        )
    return not _is_number(value) or (
        ("minimum" not in schema or value >= schema["minimum"])
        and ("maximum" not in schema or value <= schema["maximum"])
        and ("exclusiveMinimum" not in schema or value > schema["exclusiveMinimum"])
        and ("exclusiveMaximum" not in schema or value < schema["exclusiveMaximum"])
    )


def _sized(schema: Mapping[str, Any], size: int, what: str) -> bool:
    return bool(schema.get(f"min{what}", 0) <= size <= schema.get(f"max{what}", size))


def _bounds(flat: Mapping[str, Any]) -> dict[str, Any]:
    keys = ("Length", "imum")
    return {key: value for key, value in flat.items() if key.endswith(keys) or key == "pattern"}


def _is_number(value: Any) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _same(one: Any, other: Any) -> bool:
    return bool(one == other) and isinstance(one, bool) == isinstance(other, bool)


def _is_of_type(kinds: str | list[str] | None, value: Any) -> bool:
    if kinds is None:
        return True
    return any(_TYPES[kind](value) for kind in ([kinds] if isinstance(kinds, str) else kinds))


def _type(flat: Mapping[str, Any]) -> str:
    """Give the type to make: the first that is not null, or what the other keywords are about."""
    kinds: str | list[str] | None = flat.get("type")
    if kinds is None:
        return next((kind for key, kind in _IMPLIED_TYPES.items() if key in flat), "string")
    listed = [kinds] if isinstance(kinds, str) else list(kinds)
    if not listed:
        raise _NoValueError("no type is left")
    return next((kind for kind in listed if kind != "null"), "null")


def _extra(schema: Mapping[str, Any], name: str) -> Schema:
    """Give the schema of a property that is not listed."""
    patterns: Mapping[str, Schema] = schema.get("patternProperties", {})
    for pattern, sub in patterns.items():
        if re.search(pattern, name):
            return sub
    extra: Schema = schema.get("additionalProperties", True)
    return extra


def _merge(one: dict[str, Any], two: dict[str, Any]) -> dict[str, Any]:
    """Give the flat schema that accepts what both accept."""
    merged = {**one, **two}
    for key in one.keys() & two.keys():
        if one[key] != two[key] or key in _LISTS:
            merged[key] = _both(key, one[key], two[key])
    properties: dict[str, Schema] = merged.get("properties", {})
    for schema, other in ((one, two), (two, one)):
        for name in other.get("properties", {}).keys() - schema.get("properties", {}).keys():
            rule = _extra(schema, name)
            properties = (
                properties if rule is True else {**properties, name: {"allOf": [rule, properties[name]]}}
            )
    return {**merged, "properties": properties} if properties else merged


def _both(key: str, one: Any, two: Any) -> Any:
    if key == "const":
        raise _NoValueError(f"{one!r} is not {two!r}")
    if key.startswith(("min", "exclusiveMin")):
        return max(one, two)
    if key.startswith(("max", "exclusiveMax")):
        return min(one, two)
    return _RULES[key](one, two) if key in _RULES else two


def _shared_types(one: str | list[str], two: str | list[str]) -> list[str]:
    first, second = ([kinds] if isinstance(kinds, str) else kinds for kinds in (one, two))
    kinds = [kind for kind in first if kind in second or (kind == "integer" and "number" in second)]
    return kinds + [
        "integer" for kind in second if kind == "integer" and "number" in first and "integer" not in first
    ]


def _shared_properties(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    shared = {name: {"allOf": [one[name], two[name]]} for name in one.keys() & two.keys()}
    return {**one, **two, **shared}


_RULES: Mapping[str, Callable[[Any, Any], Any]] = {
    "enum": lambda one, two: [value for value in one if any(_same(value, other) for other in two)],
    "type": _shared_types,
    **dict.fromkeys(_LISTS, lambda one, two: [*one, *two]),
    **dict.fromkeys(("properties", "patternProperties"), _shared_properties),
    **dict.fromkeys(("items", "additionalProperties", "contains"), lambda one, two: {"allOf": [one, two]}),
}


def _matching(pattern: str, extra: int) -> str:
    """Give a text that matches the pattern, with `extra` more of whatever may repeat."""
    text, _ = _sequence(pattern, 0, extra)
    if re.search(pattern, text) is None:
        raise _NoValueError(f"no text was found for the pattern {pattern!r}")
    return text


def _sequence(pattern: str, at: int, extra: int) -> tuple[str, int]:
    """Read up to the end of a group; of alternatives the first counts, the others are read past."""
    alternatives = [""]
    while at < len(pattern) and pattern[at] != ")":
        if pattern[at] == "|":
            alternatives.append("")
            at += 1
            continue
        piece, at = _atom(pattern, at, extra)
        found = cast("re.Match[str]", _REPEAT.match(pattern, at))
        at = found.end()
        alternatives[-1] += piece * _times(found, extra)
    return alternatives[0], at + 1


def _times(found: re.Match[str], extra: int) -> int:
    sign, least, comma, most = found.groups()
    if sign is None or sign == "?":
        return 1
    if sign in "*+":
        return (sign == "+") + extra
    return int(least) if not comma else min(int(least) + extra, int(most or least + "0000"))


def _atom(pattern: str, at: int, extra: int) -> tuple[str, int]:
    if pattern[at] == "(":
        return _sequence(pattern, at + len(cast("re.Match[str]", _GROUP.match(pattern, at))[0]), extra)
    atom = cast("re.Match[str]", _ATOM.match(pattern, at))[0]
    if atom in _ANCHORS:
        return "", at + len(atom)
    fitting = (sign for sign in _SIGNS if re.fullmatch(atom, sign))
    return next(fitting, ""), at + len(atom)
