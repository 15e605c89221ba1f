"""What another document knows of operations that both have: more fields, query parameters and values."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory_schemas.naming import nameless
from connectory_schemas.operations import Document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory_schemas.operations import Operation

Json: TypeAlias = dict[str, Any]

_UNIONS = ("anyOf", "oneOf")


def widened(raw: Mapping[str, Any], other: Mapping[str, Any]) -> Json:
    """Give a document with what requests of its operations may also hold by the other one, all of it optional.

    What is added refers to the other's components, which the document has already.
    """
    whole = deepcopy(dict(raw))
    both = _Both(Document(whole, {}), Document(other, {}))
    known = {(one.action, nameless(one.template)): one for one in both.ours.operations()}
    for theirs in both.theirs.operations():
        if (ours := known.get((theirs.action, nameless(theirs.template)))) is not None:
            both.widen_query(ours, theirs)
            both.widen_bodies(ours, theirs)
    return whole


@dataclass(frozen=True, slots=True)
class _Both:
    """The two documents; `ours` is changed in place."""

    ours: Document
    theirs: Document
    seen: dict[tuple[int, int], Any] = field(default_factory=dict[tuple[int, int], Any])

    def widen_query(self, ours: Operation, theirs: Operation) -> None:
        own = {_name(one): one for one in ours.parameters if one["in"] == "query"}
        own |= {name: {} for name in _fixed(ours)}
        for one in theirs.parameters:
            if one["in"] == "query" and _name(one) in own:
                self.widen(own[_name(one)].get("schema", {}), one["schema"])
            elif one["in"] == "query":
                cast("Json", ours.raw).setdefault("parameters", []).append({**one, "required": False})

    def widen_bodies(self, ours: Operation, theirs: Operation) -> None:
        own, more = _contents(ours, self.ours), _contents(theirs, self.theirs)
        known = {name for one in own.values() for name in _properties(one, self.ours)}
        for media, schema in own.items():
            if media in more:
                self.widen_object(schema, _properties(more[media], self.theirs))
            for name, one in self._of_other_types(more, media).items():
                if name not in known and _properties(schema, self.ours):
                    _add(self.ours.look_up(schema), name, one)

    def _of_other_types(self, contents: Mapping[str, Json], media: str) -> Json:
        """Give the fields of the bodies of other types, but for files: not every type can carry them."""
        found = {
            name: one
            for other, schema in contents.items()
            for name, one in _properties(schema, self.theirs).items()
            if other != media
        }
        return {name: one for name, one in found.items() if not _has_file(one, self.theirs)}

    def widen(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        own, more = self.ours.look_up(ours), self.theirs.look_up(theirs)
        if (id(own), id(more)) in self.seen:
            return
        self.seen[id(own), id(more)] = own, more  # kept, so that no other schema comes to have their ids
        mine, other = _only(own, self.ours), _only(more, self.theirs)
        if mine is None or other is None:
            self.widen_variants(own, more)
            return
        _widen_values(list(_listed(own, self.ours)), list(_listed(more, self.theirs)))
        self.widen_object(mine, _properties(other, self.theirs))
        if isinstance(mine.get("items"), dict) and isinstance(other.get("items"), dict):
            self.widen(mine["items"], other["items"])

    def widen_variants(self, ours: Mapping[str, Any], theirs: Mapping[str, Any]) -> None:
        """Widen the variants that a tag says are the same, add new ones, and the values that texts may have."""
        own, more = _variants(ours, self.ours), _variants(theirs, self.theirs)
        for tag in sorted(own.keys() & more.keys()):
            self.widen(own[tag], more[tag])
        if own and (union := next((ours[key] for key in _UNIONS if key in ours), None)) is not None:
            for tag in sorted(more.keys() - _tags(ours, self.ours)):
                if "type" in self.theirs.look_up(more[tag]).get("required", ()):
                    union.append(more[tag])
        lists = _lists(ours, self.ours), _lists(theirs, self.theirs)
        if all(len(one) == 1 for one in lists):
            self.widen(lists[0][0], lists[1][0])
        if not own and not more:
            _widen_values(list(_listed(ours, self.ours)), list(_listed(theirs, self.theirs)))

    def widen_object(self, ours: Mapping[str, Any], more: Json) -> None:
        own, is_one = _properties(ours, self.ours), _only(ours, self.ours) is not None
        for name, schema in more.items():
            if name in own and is_one:
                self.widen(own[name], schema)
            elif own and name not in own:
                _add(self.ours.look_up(ours), name, schema)


def _add(schema: Mapping[str, Any], name: str, one: Any) -> None:
    cast("Json", schema).setdefault("properties", {})[name] = one


def _name(parameter: Mapping[str, Any]) -> str:
    return str(parameter["name"]).removesuffix("[]")


def _fixed(operation: Operation) -> list[str]:
    query = operation.template.partition("?")[2]
    return [pair.partition("=")[0] for pair in query.split("&") if pair]


def _contents(operation: Operation, document: Document) -> dict[str, Json]:
    content: Json = document.look_up(operation.raw.get("requestBody", {})).get("content", {})
    return {media: document.look_up(one).get("schema", {}) for media, one in content.items()}


def _branches(schema: Mapping[str, Any]) -> list[Any]:
    return [branch for key in _UNIONS for branch in schema.get(key, ())]


def _properties(schema: Mapping[str, Any], document: Document) -> Json:
    """Give an object's properties, with those of its parts; of variants, what any of them says."""
    schema = document.look_up(schema)
    found: Json = {}
    for branch in _branches(schema):
        for name, one in _properties(branch, document).items():
            found[name] = one if found.get(name, one) == one else {"anyOf": [found[name], one]}
    for part in schema.get("allOf", ()):
        found |= _properties(part, document)
    return {**found, **schema.get("properties", {})}


def _only(schema: Mapping[str, Any], document: Document) -> Mapping[str, Any] | None:
    """Give what a schema is beside null; None where that is more than one thing."""
    schema = document.look_up(schema)
    kept = [one for one in _branches(schema) if document.look_up(one).get("type") != "null"]
    parts = schema.get("allOf", [])
    if len(kept) + len(parts) == 1 and "properties" not in schema:
        return _only([*kept, *parts][0], document)
    return None if kept else schema


def _variants(schema: Mapping[str, Any], document: Document) -> dict[str, Mapping[str, Any]]:
    """Give the variants of a union of objects by their tag, those that have one of their own."""
    found: dict[str, list[Mapping[str, Any]]] = {}
    for one in _leaves(schema, document):
        values = _tag_values(one, document)
        found.setdefault(values[0] if len(values) == 1 else "", []).append(one)
    return {tag: ones[0] for tag, ones in found.items() if tag and len(ones) == 1}


def _tags(schema: Mapping[str, Any], document: Document) -> set[str]:
    return {tag for one in _leaves(schema, document) for tag in _tag_values(one, document)}


def _tag_values(schema: Mapping[str, Any], document: Document) -> list[str]:
    return [
        str(one) for one in document.look_up(_properties(schema, document).get("type", {})).get("enum", ())
    ]


def _leaves(schema: Mapping[str, Any], document: Document) -> Iterator[Mapping[str, Any]]:
    """Give the variants of a union, and of the unions in it, as they are referred to."""
    branches = _branches(document.look_up(schema))
    if not branches:
        yield schema
    for branch in branches:
        yield from _leaves(branch, document)


def _lists(schema: Mapping[str, Any], document: Document) -> list[Mapping[str, Any]]:
    return [one for one in _leaves(schema, document) if "items" in document.look_up(one)]


def _listed(schema: Mapping[str, Any], document: Document) -> Iterator[list[Any]]:
    """Give every list of texts that a value may be one of."""
    schema = document.look_up(schema)
    values = schema.get("enum", [])
    if values and all(isinstance(one, str | None) for one in values):
        yield values
    for branch in [*_branches(schema), *schema.get("allOf", ())]:
        yield from _listed(branch, document)


def _widen_values(ours: list[list[Any]], theirs: list[list[Any]]) -> None:
    known = {one for values in ours for one in values}
    if ours:
        ours[-1] += dict.fromkeys(one for values in theirs for one in values if one not in known)


def _has_file(schema: Mapping[str, Any], document: Document) -> bool:
    schema = document.look_up(schema)
    parts = [*_branches(schema), *([schema["items"]] if isinstance(schema.get("items"), dict) else [])]
    return schema.get("format") == "binary" or any(_has_file(one, document) for one in parts)
