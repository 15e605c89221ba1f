"""Names and words that a schema lets pass and does not know: misspelt fields, models it has not heard of."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from connectory.schemas.validation.wording import Path

Schema: TypeAlias = "Mapping[str, Any]"
Holds: TypeAlias = "Callable[[Schema, Any], bool]"

_JSON_TYPES: Mapping[type, tuple[str, ...]] = {
    dict: ("object",),
    list: ("array",),
    str: ("string",),
    bool: ("boolean",),
    int: ("integer", "number"),
    float: ("number", "integer"),
    type(None): ("null",),
}
_BESIDE = frozenset(["type", "minLength", "maxLength"])
"""What may be said of a text that can still be any text."""


@dataclass(frozen=True, slots=True)
class Notice:
    """A field that is not named (`is_name`), or a text outside an open list; `known` is what is."""

    path: Path
    name: str
    known: tuple[str, ...]
    is_name: bool


_Chain: TypeAlias = "tuple[str, dict[str, Any], Any]"


@dataclass(slots=True)
class _Parts:
    """The schemas that apply to one value, without references and unions; free: any further name is fine."""

    schemas: list[Schema]
    free: bool = False


class Walker:
    """Walks through a value and its schema side by side; `holds` decides conditions."""

    def __init__(self, root: Schema, holds: Holds) -> None:
        self._root, self._holds = root, holds
        self._listed: dict[int, tuple[str, ...]] = {}
        self._chains: dict[int, _Chain | None] = {}
        self._definitions: dict[str, Any] = {}

    def notices(self, value: Any) -> Iterator[Notice]:
        """Give every notice about the value."""
        return self._walk([self._root], value, ())

    def _walk(self, schemas: Sequence[Any], value: Any, path: Path) -> Iterator[Notice]:
        if isinstance(value, dict):
            yield from self._object(schemas, cast("dict[str, Any]", value), path)
        elif isinstance(value, list):
            yield from self._array(schemas, value, path)  # pyright: ignore[reportUnknownArgumentType] - any JSON
        elif isinstance(value, str):
            known = self._open_list(schemas)
            if known and value not in known:
                yield Notice(path, value, known, is_name=False)

    def _object(self, schemas: Sequence[Any], value: dict[str, Any], path: Path) -> Iterator[Notice]:
        parts = self._parts(schemas, value)
        named = [one for one in parts.schemas if "properties" in one or "patternProperties" in one]
        for name, own in value.items():
            below = [one["properties"][name] for one in named if name in one.get("properties", ())]
            below += [
                schema
                for one in named
                for pattern, schema in one.get("patternProperties", {}).items()
                if re.search(pattern, name)
            ]
            if below or not named or parts.free:
                below = below or [one["additionalProperties"] for one in parts.schemas if _more(one)]
                yield from self._walk(below, own, (*path, name))
            else:
                known = dict.fromkeys(known for one in named for known in one.get("properties", ()))
                yield Notice(path, name, tuple(known), is_name=True)

    def _array(self, schemas: Sequence[Any], value: list[Any], path: Path) -> Iterator[Notice]:
        if not any(isinstance(own, dict | list) for own in value):
            return
        parts = self._parts(schemas, value).schemas
        items = [one["items"] for one in parts if "items" in one]
        for number, own in enumerate(value):
            first = [one["prefixItems"][number] for one in parts if number < len(one.get("prefixItems", ()))]
            if isinstance(own, dict | list):
                yield from self._walk(first or items, own, (*path, number))

    def _parts(self, schemas: Sequence[Any], value: Any) -> _Parts:
        parts = _Parts([])
        for schema in schemas:
            self._collect(schema, value, parts)
        return parts

    def _collect(self, schema: Any, value: Any, parts: _Parts) -> None:
        if not isinstance(schema, dict):
            return
        own = cast("dict[str, Any]", schema)
        parts.schemas.append(own)
        parts.free = parts.free or _more(own)
        if "$ref" in own:
            self._collect(self._definition(own["$ref"]), value, parts)
        for part in own.get("allOf", ()):
            self._collect(part, value, parts)
        if "if" in own:
            self._collect_consequence(own, value, parts)
        for keyword in ("anyOf", "oneOf"):
            for branch in self._meant(own[keyword], value) if keyword in own else ():
                before = len(parts.schemas)
                self._collect(branch, value, parts)
                added = parts.schemas[before:]
                # a branch that asks for nothing of an object lets everything through
                bare = not any(one.keys() & {"properties", "required", "not"} for one in added)
                parts.free = parts.free or bare

    def _meant(self, branches: Sequence[Any], value: Any) -> list[Any]:
        """Give the branches that the value could be meant for, by its JSON type and tags."""
        typed = [one for one in branches if self._may_hold(one, value)]
        wrong = [self._other_tags(one, value) for one in typed]
        if not any(wrong):
            return typed
        fitting = [one for one, tags in zip(typed, wrong, strict=True) if not tags]
        named = {name for one in self._parts(fitting, value).schemas for name in one.get("properties", ())}
        return fitting if set[str]().union(*wrong) <= named else typed

    def _collect_consequence(self, schema: Schema, value: Any, parts: _Parts) -> None:
        if id(schema) not in self._chains:
            self._chains[id(schema)] = _chain(schema)
        chain = self._chains[id(schema)]
        if not isinstance(value, dict) or chain is None:
            keyword = "then" if self._holds(schema["if"], value) else "else"
            self._collect(schema.get(keyword), value, parts)
            return
        tag, variants, rest = chain
        given: Any = cast("dict[str, Any]", value).get(tag)
        if isinstance(given, str) and given in variants:
            self._collect(variants[given], value, parts)
        elif rest is not None and tag not in value:
            self._collect(rest, value, parts)
        else:
            parts.free = True  # a variant that nobody knows, let alone its names

    def _definition(self, reference: str) -> Any:
        if reference not in self._definitions:
            found: Any = self._root
            for key in reference.removeprefix("#/").split("/"):
                found = found.get(key.replace("~1", "/").replace("~0", "~"), {})
            self._definitions[reference] = found
        return self._definitions[reference]

    def _may_hold(self, branch: Any, value: Any) -> bool:
        """Say whether the value could be meant for a branch, by its JSON type."""
        if not isinstance(branch, dict):
            return bool(branch)
        own = cast("dict[str, Any]", branch)
        if "$ref" in own and not self._may_hold(self._definition(own["$ref"]), value):
            return False
        kind: type = type(value)  # pyright: ignore[reportUnknownVariableType] - any JSON
        types = own.get("type")
        wanted = [types] if isinstance(types, str) else types
        if wanted is not None and not any(one in wanted for one in _JSON_TYPES.get(kind, ())):
            return False
        branches = own.get("anyOf", own.get("oneOf", ()))
        return not branches or any(self._may_hold(one, value) for one in branches)

    def _other_tags(self, branch: Any, value: Any) -> set[str]:
        """Give the properties that have another value than the one or few that the branch wants."""
        if not isinstance(branch, dict) or not isinstance(value, dict):
            return set()
        own, given = cast("dict[str, Any]", branch), cast("dict[str, Any]", value)
        properties: Mapping[str, Any] = own.get("properties", {})
        found = {
            name for name in given.keys() & properties.keys() if _is_other(properties[name], given[name])
        }
        below = [self._definition(own["$ref"])] if "$ref" in own else []
        return found.union(*(self._other_tags(one, value) for one in [*below, *own.get("allOf", ())]))

    def _open_list(self, schemas: Sequence[Any]) -> tuple[str, ...]:
        """Give the texts that are listed where any other text is accepted too; nothing where there is no list."""
        found: list[str] = []
        for schema in schemas:
            if isinstance(schema, dict):
                own = cast("dict[str, Any]", schema)
                if id(own) not in self._listed:
                    self._listed[id(own)] = self._listed_texts(own)
                found += self._listed[id(own)]
        return tuple(found)

    def _listed_texts(self, schema: Schema) -> tuple[str, ...]:
        branches = list(self._branches(schema))
        if not any(one.get("type") == "string" and not one.keys() - _BESIDE for one in branches):
            return ()
        listed = [
            word for one in branches for word in one.get("enum", [one["const"]] if "const" in one else [])
        ]
        return tuple(word for word in listed if isinstance(word, str))

    def _branches(self, schema: Schema) -> Iterator[Schema]:
        if list(schema) == ["$ref"]:
            yield from self._branches(self._definition(schema["$ref"]))
        elif "anyOf" in schema:
            for branch in schema["anyOf"]:
                yield from self._branches(branch)
        else:
            yield schema


def _more(schema: Schema) -> bool:
    """Say whether a schema invites names that it does not list."""
    return schema.get("additionalProperties", False) is not False


def _chain(schema: Schema) -> _Chain | None:
    """Read conditions on one tag, one in the other's `else`, as a table; None where they are something else."""
    tag, variants = "", dict[str, Any]()
    rest: Any = schema
    while isinstance(rest, dict) and "if" in rest and (found := _tag_condition(cast("Schema", rest)["if"])):
        name, words = found
        if tag not in {"", name}:
            break
        tag = name
        variants = {**dict.fromkeys(words, cast("Schema", rest).get("then", True)), **variants}
        rest = cast("Schema", rest).get("else")
    if isinstance(rest, dict) and cast("Schema", rest).get("if") == {"required": [tag]}:
        rest = cast("Schema", rest).get("else")  # what may go without the tag
    return (tag, variants, cast("Any", rest)) if tag else None


def _tag_condition(condition: Any) -> tuple[str, list[str]] | None:
    """Give the tag and the words that a condition asks for, if that is what it asks."""
    if not isinstance(condition, dict) or set(cast("Schema", condition)) != {"properties", "required"}:
        return None
    own = cast("Schema", condition)
    properties: Schema = own["properties"]
    if len(properties) != 1 or list(properties) != own["required"]:
        return None
    ((name, wanted),) = properties.items()
    if not isinstance(wanted, dict) or set(cast("Schema", wanted)) not in ({"const"}, {"enum"}):
        return None
    rule = cast("Schema", wanted)
    words: list[Any] = rule["enum"] if "enum" in rule else [rule["const"]]
    fits = all(one is None or isinstance(one, str) for one in words)
    return (name, [one for one in words if one is not None]) if fits else None


def _is_other(schema: Any, value: Any) -> bool:
    if not isinstance(schema, dict):
        return False
    own = cast("Schema", schema)
    return ("const" in own and own["const"] != value) or ("enum" in own and value not in own["enum"])
