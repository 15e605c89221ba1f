"""Singer's catalogue of streams: what discovery prints, and what a user has selected of it."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError, UnknownNameError
from connectory.singer.schemas import as_object
from connectory.singer.settings import read_json
from connectory.singer.streams import refuse

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from connectory.record import Record
    from connectory.singer.schemas import Json
    from connectory.singer.streams import Stream

Place = tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Selected:
    """A stream that is to be synced, with the schema of what was selected of it.

    `left_out` are the places of the properties that were not. Where there are any, no property is added to the others.
    """

    stream: Stream
    schema: Json
    keys: tuple[str, ...]
    left_out: frozenset[Place] = frozenset()

    def of(self, record: Record) -> Record:
        """Give what was selected of a record."""
        if not self.left_out:
            return record
        known = self.schema["properties"]
        chosen = {name: one for name, one in record.items() if name in known}
        for place in self.left_out:
            if len(place) > _TOP:
                _remove(chosen, place)
        return chosen


_TOP = 2
"""How long the place of a property of the record itself is: `properties`, and its name."""


def catalog_of(streams: Sequence[Stream]) -> Record:
    """Describe streams as Singer does."""
    return {"streams": [_entry(one) for one in streams]}


def read_catalog(file: str | None) -> Record | None:
    """Read a catalogue of streams. Raises ConfigError."""
    if file is None:
        return None
    read = read_json(file, "the catalogue of streams")
    if not isinstance(read, dict) or not isinstance(cast("Record", read).get("streams"), list):
        raise ConfigError(f"the catalogue of streams in {file!r} is a JSON object with a list 'streams'")
    return cast("Record", read)


def selected(streams: Sequence[Stream], catalog: Mapping[str, Any] | None) -> list[Selected]:
    """Give what is to be synced: what the catalogue selects, or everything where there is none. Raises ConfigError."""
    if catalog is None:
        return [Selected(one, one.schema, one.keys) for one in streams if not one.refused]
    known = {one.name: one for one in streams}
    found: list[Selected] = []
    for entry in cast("list[Any]", catalog["streams"]):
        name = str(entry.get("tap_stream_id") or entry.get("stream"))
        rules = {
            tuple(one.get("breadcrumb", ())): one.get("metadata", {}) for one in entry.get("metadata", ())
        }
        if not _wanted(rules.get((), {}), entry):
            continue
        if name not in known:
            raise UnknownNameError("stream", name, known, hint="of the catalogue; discover it anew")
        refuse(known[name])
        found.append(_chosen(known[name], entry, rules))
    return found


def _entry(stream: Stream) -> Record:
    method = "INCREMENTAL" if stream.incremental else "FULL_TABLE"
    root: Json = {
        "inclusion": "unsupported" if stream.refused else "available",
        "selected-by-default": not stream.refused,
        "table-key-properties": list(stream.keys),
        "forced-replication-method": method,
    }
    root |= {"valid-replication-keys": [stream.replication_key]} if stream.replication_key else {}
    fields = [
        {
            "breadcrumb": list(place),
            "metadata": {
                "inclusion": "automatic"
                if len(place) == _TOP and place[-1] in stream.automatic
                else "available",
                "selected-by-default": True,
            },
        }
        for place in _places(stream.schema)
    ]
    entry: Json = {
        "tap_stream_id": stream.name,
        "stream": stream.name,
        "schema": stream.schema,
        "key_properties": list(stream.keys),
        "replication_method": method,
        "metadata": [{"breadcrumb": [], "metadata": root}, *fields],
    }
    return entry | ({"replication_key": stream.replication_key} if stream.replication_key else {})


def _places(schema: Json, above: Place = ()) -> Iterator[Place]:
    for name, one in as_object(schema.get("properties")).items():
        place = (*above, "properties", name)
        yield place
        if "array" not in one.get("type", ()):  # what is in lists is taken with them
            yield from _places(one, place)


def _wanted(rule: Mapping[str, Any], entry: Mapping[str, Any]) -> bool:
    """Say whether a stream was selected."""
    if rule.get("inclusion") == "unsupported":
        return False
    for said in (rule.get("selected"), entry.get("selected"), rule.get("selected-by-default")):
        if said is not None:
            return bool(said)
    return False


def _chosen(stream: Stream, entry: Json, rules: Mapping[Place, Json]) -> Selected:
    keys = rules.get((), {}).get("table-key-properties") or entry.get("key_properties") or stream.keys
    schema: Json = {**stream.schema, **(entry.get("schema") or {})}
    schema["properties"] = {**stream.schema["properties"], **(schema.get("properties") or {})}
    needed = stream.automatic | set(keys)
    left_out = frozenset(
        place
        for place, rule in rules.items()
        if place and not (len(place) == _TOP and place[-1] in needed) and not _is_in(rule)
    )
    made = Selected(stream, schema, tuple(keys), left_out)
    return replace(made, schema=_without(schema, left_out)) if left_out else made


def _is_in(rule: Mapping[str, Any]) -> bool:
    if rule.get("inclusion") in {"automatic", "unsupported"}:
        return bool(rule["inclusion"] == "automatic")
    said = rule.get("selected")
    return bool(rule.get("selected-by-default", True) if said is None else said)


def _without(schema: Json, left_out: frozenset[Place], above: Place = ()) -> Json:
    """Give a schema without the properties that were left out."""
    if "properties" not in schema:
        return schema
    kept = {
        name: _without(one, left_out, place)
        for name, one in schema["properties"].items()
        if (place := (*above, "properties", name)) not in left_out
    }
    return {**schema, "properties": kept}


def _remove(record: Record, place: Place) -> None:
    """Take a property out of the objects in a record; those on the way are copied."""
    within: Any = record
    names = place[1::2]
    for name in names[:-1]:
        inner = within.get(name)
        if not isinstance(inner, dict):
            return
        within[name] = within = dict(cast("Record", inner))
    within.pop(names[-1], None)
