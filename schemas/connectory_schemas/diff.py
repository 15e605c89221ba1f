"""What changed from one OpenAPI document or catalogue to another, for readers and as data."""

from __future__ import annotations

import argparse
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from connectory_schemas.convert import properties, reachable, required
from connectory_schemas.entities import build_entities
from connectory_schemas.errors import GenerateError
from connectory_schemas.naming import nameless
from connectory_schemas.operations import Document
from connectory_schemas.overlay import Overlay, template_of
from connectory_schemas.writing import read_document

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

Json: TypeAlias = dict[str, Any]

_SHOWN = 100


@dataclass(frozen=True, slots=True)
class Catalogue:
    """The entities of a file, and the definitions that their schemas refer to."""

    entities: Mapping[str, Json]
    definitions: Mapping[str, Json]


@dataclass(frozen=True, slots=True)
class Change:
    """One thing that changed: `what` is its kind, `place` where in the entity, as in `create.body.model`."""

    entity: str
    change: str
    what: str
    place: str = ""
    before: Any = None
    after: Any = None

    def __str__(self) -> str:
        """Give the line for a reader."""
        values = [
            json.dumps(one, ensure_ascii=False)[:_SHOWN]
            for one in (self.before, self.after)
            if one is not None
        ]
        said = f": {' -> '.join(values)}" if values else ""
        return f"{self.change:<8} {self.what:<10} {self.entity}{' ' if self.place else ''}{self.place}{said}"


def read(path: Path) -> Catalogue:
    """Read an OpenAPI document or a catalogue file, whichever it is."""
    raw = read_document(path)
    if "format" in raw:
        definitions = {**raw.get("$defs", {})}
        if "schemas" in raw:
            beside = read_document(path.parent / str(raw["schemas"]))
            definitions = {**beside.get("$defs", {}), **definitions}
        return Catalogue(raw.get("entities", {}), definitions)
    if not str(raw.get("openapi", "")).startswith("3."):
        raise GenerateError(f"{str(path)!r} is neither an OpenAPI 3 document nor a catalogue file")
    document = Document.of(raw)
    return Catalogue(build_entities(document, Overlay()), document.definitions)


def changes(before: Catalogue, after: Catalogue) -> list[Change]:
    """Give every change, by entity. An entity that kept its template and lost its name was renamed."""
    renamed = _renamed(before.entities, after.entities)
    found: list[Change] = []
    for name, old in before.entities.items():
        now = renamed.get(name, name)
        if now not in after.entities:
            found.append(Change(name, "removed", "entity", before=template_of(old)))
            continue
        if now != name:
            found.append(Change(now, "renamed", "entity", before=name, after=now))
        found += _entity(now, (old, before.definitions), (after.entities[now], after.definitions))
    for name in after.entities.keys() - before.entities.keys() - set(renamed.values()):
        found.append(Change(name, "added", "entity", after=template_of(after.entities[name])))
    return sorted(found, key=lambda one: (one.entity, one.what != "entity", one.place, one.change, one.what))


def main(arguments: Sequence[str]) -> int:
    """Run `diff A B`; the exit code is 1 when there is a difference."""
    parser = argparse.ArgumentParser(prog="python -m connectory_schemas.generate diff", description=__doc__)
    parser.add_argument("before", type=Path, help="an OpenAPI 3 document or a catalogue file")
    parser.add_argument("after", type=Path, help="the newer one")
    parser.add_argument("--json", action="store_true", help="one JSON object a line")
    options = parser.parse_args(arguments)
    found = changes(read(options.before), read(options.after))
    for one in found:
        print(json.dumps(asdict(one), ensure_ascii=False) if options.json else one)  # noqa: T201 - its output
    return 1 if found else 0


Side: TypeAlias = "tuple[Json, Mapping[str, Json]]"
"""A part of a catalogue, and the definitions beside it."""


def _renamed(before: Mapping[str, Json], after: Mapping[str, Json]) -> dict[str, str]:
    places = {nameless(template_of(entity)): name for name, entity in after.items()}
    moved = {name: places.get(nameless(template_of(entity))) for name, entity in before.items()}
    return {
        name: now
        for name, now in moved.items()
        if now is not None and now not in before and name not in after
    }


def _entity(name: str, old: Side, new: Side) -> Iterator[Change]:
    (before, defined), (after, now_defined) = old, new
    for key in ("path", "parent", "auth", "deprecated", "retired", "replacement"):
        yield from _value(name, key, "", before.get(key), after.get(key))
    for slot in ("read", "create", "delete"):
        here, there = before["actions"].get(slot), after["actions"].get(slot)
        if here is None or there is None:
            yield from _value(
                name, "action", slot, here and here.get("kind", slot), there and there.get("kind", slot)
            )
            continue
        yield from _action(name, slot, (here, defined), (there, now_defined))


def _action(name: str, slot: str, old: Side, new: Side) -> Iterator[Change]:
    (before, defined), (after, now_defined) = old, new
    for key in ("kind", "fixed_query", "headers", "deprecated", "retired", "replacement"):
        yield from _value(name, key, slot, before.get(key), after.get(key))
    here, there = before.get("response", {}), after.get("response", {})
    for key in ("kind", "items", "stream"):
        yield from _value(name, "response" if key == "kind" else key, slot, here.get(key), there.get(key))
    pages = [one.get("pagination", {}) for one in (here, there)]
    for key in sorted(pages[0].keys() | pages[1].keys()):
        yield from _value(name, "pagination", f"{slot}.{key}", pages[0].get(key), pages[1].get(key))
    yield from _fields(
        name, "parameter", f"{slot}.query", (_parameters(before), defined), (_parameters(after), now_defined)
    )
    contents = [one.get("body", {}).get("content", {}) for one in (before, after)]
    for kind in sorted(contents[0].keys() | contents[1].keys()):
        if kind not in contents[0] or kind not in contents[1]:
            yield from _value(
                name, "body", f"{slot}.{kind}", _there(kind, contents[0]), _there(kind, contents[1])
            )
            continue
        place = f"{slot}.body" if kind == "application/json" else f"{slot}.body ({kind})"
        yield from _fields(
            name, "field", place, (contents[0][kind], defined), (contents[1][kind], now_defined)
        )
    shapes = [one.get("schema", {}) for one in (here, there)]
    yield from _fields(name, "result", f"{slot}.response", (shapes[0], defined), (shapes[1], now_defined))


def _there(key: str, content: Mapping[str, Any]) -> str | None:
    return key if key in content else None


def _parameters(action: Json) -> Json:
    """Give an action's query as an object's schema, so that it is compared like a body."""
    query: Mapping[str, Json] = action.get("query", {})
    needed = [name for name, one in query.items() if one.get("required")]
    return {"properties": {name: one.get("schema", {}) for name, one in query.items()}, "required": needed}


def _fields(name: str, what: str, place: str, old: Side, new: Side) -> Iterator[Change]:
    before, after = properties(*old), properties(*new)
    needed = [required(*old), required(*new)]
    for key in sorted(before.keys() | after.keys()):
        at = f"{place}.{key}"
        if key not in before:
            yield Change(name, "added", what, at, after="required" if key in needed[1] else "optional")
        elif key not in after:
            yield Change(name, "removed", what, at)
        else:
            yield from _value(name, what, at, *("required" if key in one else "optional" for one in needed))
            if _whole(before[key], old[1]) != _whole(after[key], new[1]):
                yield Change(name, "changed", what, at, before[key], after[key])


def _whole(schema: Json, definitions: Mapping[str, Json]) -> str:
    """Give a schema and all that it refers to as a text that equal ones share."""
    return json.dumps([schema, reachable(schema, definitions)], sort_keys=True)


def _value(name: str, what: str, place: str, before: Any, after: Any) -> Iterator[Change]:
    if before != after:
        change = "added" if before is None else "removed" if after is None else "changed"
        yield Change(name, change, what, place, before, after)
