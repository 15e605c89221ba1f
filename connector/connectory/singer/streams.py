"""The streams that a configuration offers: one for each incoming, with its schema and what it is known by."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectory.assembly import input_above, levels_above
from connectory.errors import ConfigError, ConnectoryError
from connectory.reading.pages import as_record
from connectory.reading.subscription import Parent, hashed
from connectory.schemas.examples import full
from connectory.singer.schemas import as_object, fits, merged, of_value, plain, required, widened

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from connectory.assembly import Assembly
    from connectory.catalogue import Catalogue
    from connectory.reading.subscription import Subscription
    from connectory.record import Record
    from connectory.singer.schemas import Json

_NAME = re.compile(r"[A-Za-z_][\w-]*")
_SEEDS = 12
"""Made-up items that are tried at most, to see what the transformers make of them."""
_ENOUGH = 4
_SAVED: Json = {
    name: {"type": ["null", "integer" if name == "bytes" else "string"]}
    for name in ("name", "path", "url", "mime_type", "bytes", "sha256")
}
"""What a record says of an answer that became a file."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream: an incoming, its records' schema, and the properties by which a record is known.

    `replication_key` is the property by which only new items are read. `fingerprint` names what is walked: places in
    another walk mean nothing. `refused` says why it cannot be a stream, where it cannot.
    """

    name: str
    schema: Json
    keys: tuple[str, ...]
    replication_key: str | None
    incremental: bool
    single: bool
    fingerprint: str
    refused: str = ""

    @property
    def automatic(self) -> frozenset[str]:
        """Give the properties that are always there."""
        return frozenset([*self.keys, *([self.replication_key] if self.replication_key else [])])


def streams(assembly: Assembly, catalogue: Catalogue, names: Sequence[str] | None = None) -> list[Stream]:
    """Describe the streams of a configuration: the named incomings, or all that are not disabled.

    Raises ConfigError, also for a named one that cannot be a stream.
    """
    known = assembly.config.incoming
    chosen = names or [name for name, one in known.items() if not one.disabled]
    found = [_stream(assembly, catalogue, name) for name in chosen]
    if names is not None:
        for one in found:
            refuse(one)
    return found


def refuse(stream: Stream) -> None:
    """Raise ConfigError for what cannot be a stream."""
    if stream.refused:
        raise ConfigError(f"incoming {stream.name!r} cannot be a stream: {stream.refused}")


def _stream(assembly: Assembly, catalogue: Catalogue, name: str) -> Stream:
    own = assembly.subscription(name, run={})
    above = [one for one, _ in levels_above(assembly, own, None)]
    schema = _schema(catalogue, own, above)
    rule = own.incremental
    by = str(getattr(rule and rule.field, "text", ""))
    keys = _keys(own, schema)
    properties = {key: required(one) if key in keys else one for key, one in schema["properties"].items()}
    return Stream(
        name,
        {"type": "object", "properties": properties},
        keys,
        by if by in properties else None,
        incremental=rule is not None,
        single=not above and input_above(assembly, name) is None,
        fingerprint=hashed([_walked(one) for one in (*above, own)]).hex(),
        refused=_refused((*above, own)),
    )


def _refused(levels: Sequence[Subscription]) -> str:
    one = next((one for one in levels if one.only is not None), None)
    if one is None:
        return ""
    return (
        f"`only: {one.only}` remembers every item, and a Singer state would grow with each; "
        "use `incremental`, or leave `only` out and let the target update by key"
    )


def _walked(level: Subscription) -> list[Any]:
    rule = level.incremental
    return [
        level.target,
        level.parameters.template.source,
        None
        if rule is None
        else [str(getattr(rule.field, "text", "")), rule.query, rule.start, rule.lookback],
    ]


def _keys(own: Subscription, schema: Json) -> tuple[str, ...]:
    """Give the properties by which a record is known; none where that is no property of it."""
    names = [one.text for one in own.identifier] or [own.own_field]
    known = schema["properties"]
    if schema.get("many") or not all(_NAME.fullmatch(one) and one in known for one in names):
        return ()
    return tuple(names)


def _schema(catalogue: Catalogue, own: Subscription, above: Sequence[Subscription]) -> Json:
    """Say what records look like: from the response's schema, and by what the transformers make of examples."""
    if own.save is not None:
        return {"properties": dict(_SAVED)}
    item = _item_schema(catalogue, own)
    as_read = plain(item, catalogue.resolve)
    known: Json = as_read.get("properties") or {}
    if not (own.chain.steps or own.keep_parent is not None):
        return {"properties": known}
    if own.chain.steps and own.chain.waits:  # it may ask the server, and nothing is asked here
        return {"properties": {}}
    made: Json = {"type": ["object"], "properties": {}}
    many, count = False, 0
    for example, records in _shaped(catalogue, own, above, item):
        many, count = many or len(records) > 1, count + bool(records)
        for record in records:
            made = merged(made, _of_record(record, example, known))
        if count == _ENOUGH:
            break
    return {"properties": made["properties"] if count else known, "many": many}


def _of_record(record: Record, example: Record, known: Json) -> Json:
    """Give the schema of a record: a property that is as it was read keeps what is known of it."""
    properties = {
        name: known[name]
        if name in known and example.get(name) == one
        else merged(known[name], of_value(one))
        if name in known and fits(known[name], one)
        else of_value(one)
        for name, one in record.items()
    }
    return {"type": ["object"], "properties": properties}


def _shaped(
    catalogue: Catalogue, own: Subscription, above: Sequence[Subscription], item: Any
) -> Iterator[tuple[Record, list[Record]]]:
    """Give made-up items, and what becomes of each; one that the transformers cannot take is passed over."""
    for number in range(_SEEDS):
        parent: Parent | None = None
        try:
            for level in above:
                kept = level.kept(_example(catalogue, _item_schema(catalogue, level), number), parent)
                shaped = next(iter(level.chain.apply(kept, level.scope(parent))), kept)
                parent = Parent(shaped, ())
            example = own.kept(_example(catalogue, item, number), parent)
            scope = {**own.scope(parent), "input": example}
            yield example, list(own.chain.apply(example, scope))
        except ConnectoryError:  # an example is no more than that
            continue


def _example(catalogue: Catalogue, schema: Any, number: int) -> Record:
    value: Any = full(schema, catalogue.resolve, seed=str(number)) if schema else {}
    return as_record(value)


def _item_schema(catalogue: Catalogue, wanted: Subscription) -> Any:
    """Find the schema of one item in that of the response; {} where nothing is known."""
    response = wanted.action.response
    if response.kind != "json" or not response.schema:
        return {}
    if response.items is None:
        return response.schema
    schema = as_object(catalogue.resolve(response.schema))
    listed = as_object(catalogue.resolve(as_object(schema.get("properties")).get(response.items)))
    return listed.get("items", {})


def widen(schema: Json, record: Record) -> Json:
    """Give a stream's schema widened by a record, keys as they were."""
    wide = widened({**schema, "type": ["object"]}, record)
    return {**wide, "type": "object"}


def suits(schema: Json, record: Record) -> bool:
    """Say whether a record has nothing that a stream's schema does not name."""
    properties = schema["properties"]
    return all(name in properties and fits(properties[name], one) for name, one in record.items())
