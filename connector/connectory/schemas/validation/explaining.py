"""What jsonschema found, told shortly: unions are followed into the branch that the value was meant for."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from connectory.schemas.validation.wording import (
    LONGEST,
    Path,
    as_list,
    did_you_mean,
    kind,
    nearest,
    one_of_types,
    one_of_values,
    place,
    shown,
)

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from jsonschema.exceptions import ValidationError

MOST = 5
"""How many errors are told of one value."""

_CHOICES = frozenset(["type", "enum", "const"])
_UNIONS = frozenset(["anyOf", "oneOf"])


@dataclass(frozen=True, slots=True)
class Finding:
    """One thing that is wrong; `values` and `types` are what the place allows, where that is what is wrong."""

    path: Path
    rule: str
    value: Any = None
    text: str = ""
    values: tuple[Any, ...] = ()
    types: tuple[str, ...] = ()

    def message(self, name: str) -> str:
        """Write place and trouble; `name` is what the whole value is called."""
        return f"{place(name, self.path)}: {self.text or self._choice()}"

    def _choice(self) -> str:
        if self.rule == "type":
            return f"{kind(self.value)}, must be {one_of_types(self.types)}"
        return f"{shown(self.value)} is not allowed; {one_of_values(self.values, self.value, self.types)}"


class Explainer:
    """Explains the errors of values of one schema; the schema is needed to look up what branches name."""

    def __init__(self, root: Mapping[str, Any]) -> None:
        self._root = root

    def messages(self, errors: Iterable[ValidationError], name: str) -> list[str]:
        """Give the messages for jsonschema's errors, one for each place and trouble."""
        told: dict[tuple[Any, ...], Finding] = {}
        for one in (finding for error in errors for finding in self._findings(error)):
            key = (one.path, "choice" if one.rule in _CHOICES else one.text)
            if key not in told or (told[key].rule == "type" and one.rule != "type"):
                told[key] = one
        return [one.message(name) for one in list(told.values())[:MOST]]

    def _findings(self, error: ValidationError) -> list[Finding]:
        context = cast("Sequence[ValidationError]", error.context or ())
        if context and error.validator in _UNIONS:
            return self._of_union(error, context)
        path: Path = tuple(cast("Iterable[str | int]", error.absolute_path))
        rule, wanted = str(error.validator), cast("Any", error.validator_value)
        value = cast("Any", error.instance)
        if rule == "type":
            return [Finding(path, rule, value, types=tuple(as_list(wanted)))]
        if rule in _CHOICES:
            return [Finding(path, rule, value, values=tuple(wanted) if rule == "enum" else (wanted,))]
        if rule in _LISTS:
            return [Finding(path, rule, value, text) for text in _LISTS[rule](value, wanted, error)]
        text = _TEXTS[rule](value, wanted) if rule in _TEXTS else "is not allowed in this form"
        return [Finding(path, rule, value, text)]

    def _of_union(self, error: ValidationError, context: Sequence[ValidationError]) -> list[Finding]:
        here: Path = tuple(cast("Iterable[str | int]", error.absolute_path))
        branches: dict[int, list[Finding]] = {}
        for one in context:
            branches.setdefault(int(one.relative_schema_path[0]), []).extend(self._findings(one))
        others = [one for found in branches.values() for one in found if _is_type(one, here)]
        types = tuple(dict.fromkeys(kind for one in others for kind in one.types))
        meant = {
            number: found
            for number, found in branches.items()
            if not any(_is_type(one, here) for one in found)
        }
        if not meant:
            return [Finding(here, "type", error.instance, types=types)]
        if all(_is_choice(found, here) for found in meant.values()):
            return _merged(list(meant.values()), types)
        schemas = cast("Sequence[Any]", error.validator_value)
        listed = {number: found for number, found in meant.items() if not _is_choice(found, here)}
        return _likeliest(self._without_other_tags(listed, schemas, here), here)

    def _without_other_tags(
        self, branches: Mapping[int, list[Finding]], schemas: Sequence[Any], here: Path
    ) -> list[list[Finding]]:
        """Drop the branches whose tag is another one, where a branch is left that has such a tag too."""
        tags = {number: _other_tags(found, here) for number, found in branches.items()}
        named: set[str] = set()
        for number, other in tags.items():
            named |= set() if other else self._names(schemas[number])
        return [found for number, found in branches.items() if not tags[number] & named]

    def _names(self, schema: Any) -> set[str]:
        """Give the properties that a branch names."""
        if not isinstance(schema, dict):
            return set()
        own = cast("dict[str, Any]", schema)
        names = set(own.get("properties", ()))
        if "$ref" in own:
            names |= self._names(self._root.get("$defs", {}).get(str(own["$ref"]).removeprefix("#/$defs/")))
        for part in own.get("allOf", ()):
            names |= self._names(part)
        return names


def _likeliest(branches: Sequence[list[Finding]], here: Path) -> list[Finding]:
    """Choose the branch that the value is nearest to; branches that find the same places wrong speak together."""
    same_places = len({tuple(one.path for one in found) for found in branches}) == 1
    if same_places and all(one.rule in _CHOICES for found in branches for one in found):
        return _merged(branches, ())

    def distance(found: Sequence[Finding]) -> tuple[int, int, int]:
        near = sum(one.path == here for one in found) + len(_other_tags(found, here))
        return near, sum(one.rule == "type" for one in found), len(found)

    return min(branches, key=distance)


def _is_type(finding: Finding, here: Path) -> bool:
    """Say whether the value is of another JSON type than this branch wants."""
    return finding.path == here and finding.rule == "type"


def _is_choice(found: Sequence[Finding], here: Path) -> bool:
    """Say whether a branch wants one of some values, and the value is another."""
    return all(one.path == here and one.rule in {"enum", "const"} for one in found)


def _other_tags(found: Sequence[Finding], here: Path) -> set[str]:
    """Give the properties right here that have the value of another variant, it may be."""
    return {
        str(one.path[-1])
        for one in found
        if one.rule in {"enum", "const"} and one.path != here and one.path[:-1] == here
    }


def _merged(branches: Sequence[Sequence[Finding]], types: tuple[str, ...]) -> list[Finding]:
    """Make one finding a place of branches that find the same places wrong."""
    first, *rest = branches
    result = list(first)
    for found in rest:
        for number, other in enumerate(found):
            one = result[number]
            rule = one.rule if one.rule != "type" else other.rule
            both = (one.values + other.values, one.types + other.types)
            result[number] = replace(one, rule=rule, values=both[0], types=both[1])
    return [replace(one, types=tuple(dict.fromkeys(one.types + types))) for one in result]


def _missing(value: Any, wanted: Any, error: ValidationError) -> list[str]:
    known: Mapping[str, Any] = cast("Mapping[str, Any]", error.schema).get("properties", {})
    strange = [one for one in value if one not in known]
    near = {name: nearest(name, strange) for name in wanted if name not in value}
    return [f"{name!r} is missing" + (f"; there is {one!r}" if one else "") for name, one in near.items()]


def _needed(value: Any, wanted: Any, _error: ValidationError) -> list[str]:
    pairs = [(name, need) for name, needs in wanted.items() if name in value for need in needs]
    return [f"{need!r} is missing, which {name!r} needs" for name, need in pairs if need not in value]


def _surplus(value: Any, _wanted: Any, error: ValidationError) -> list[str]:
    schema = cast("Mapping[str, Any]", error.schema)
    known: Mapping[str, Any] = schema.get("properties", {})
    patterns: Mapping[str, Any] = schema.get("patternProperties", {})
    extra = [one for one in value if one not in known and not any(re.search(two, one) for two in patterns)]
    return [f"{_short(one)} is not known{did_you_mean(one, known)}" for one in extra] or [
        "has a name too many"
    ]


def _short(name: str) -> str:
    return repr(name if len(name) <= LONGEST else f"{name[:LONGEST]}…")


_LISTS: Mapping[str, Callable[[Any, Any, ValidationError], list[str]]] = {
    "required": _missing,
    "dependentRequired": _needed,
    "additionalProperties": _surplus,
    "unevaluatedProperties": _surplus,
}


def _sized(word: str, limit: str) -> Callable[[Any, Any], str]:
    def text(value: Any, wanted: Any) -> str:
        holder = "a text" if isinstance(value, str) else kind(value)
        return f"{holder} of {len(value)} {word}; must have {limit} {wanted}"

    return text


def _bounded(limit: str) -> Callable[[Any, Any], str]:
    return lambda value, wanted: f"{shown(value)} is not allowed; must be {limit} {wanted}"


_TEXTS: Mapping[str, Callable[[Any, Any], str]] = {
    "minimum": _bounded("at least"),
    "maximum": _bounded("at most"),
    "exclusiveMinimum": _bounded("more than"),
    "exclusiveMaximum": _bounded("less than"),
    "multipleOf": _bounded("a multiple of"),
    "minLength": _sized("characters", "at least"),
    "maxLength": _sized("characters", "at most"),
    "minItems": _sized("items", "at least"),
    "maxItems": _sized("items", "at most"),
    "minProperties": _sized("properties", "at least"),
    "maxProperties": _sized("properties", "at most"),
    "pattern": lambda _value, wanted: f"the text does not match {wanted!r}",
    "uniqueItems": lambda _value, _wanted: "has equal items",
    "contains": lambda _value, _wanted: "lacks an item that must be there",
    "None": lambda _value, _wanted: "must not be there",
}
