"""The messages of the Singer protocol: read from lines, each checked, and written as lines."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, cast

from connectory.errors import RunStoppedError
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.interfaces import Item
    from connectory.record import Record


class MessageError(RunStoppedError):
    """A line is no message that can be dealt with: what came before it is finished, and nothing after it is taken."""


@dataclass(frozen=True, slots=True)
class SchemaMessage:
    """What the records of a stream look like, and the properties by which they are known."""

    stream: str
    keys: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class RecordMessage:
    """One record of a stream."""

    stream: str
    record: Record


@dataclass(frozen=True, slots=True)
class StateMessage:
    """How far the tap had come after the records before it."""

    value: Any


@dataclass(frozen=True, slots=True)
class VersionMessage:
    """A new version of a stream begins: rows of older ones are to be deleted."""

    stream: str


Message: TypeAlias = SchemaMessage | RecordMessage | StateMessage | VersionMessage

_KINDS = ("SCHEMA", "RECORD", "STATE", "ACTIVATE_VERSION")


def read_message(item: Item) -> Message:
    """Read a line as a message. Raises MessageError, which names the line."""
    if item.error is not None:
        raise MessageError(f"reading the Singer messages: {item.error}")
    fields, place = cast("Record", item.record), f"reading the Singer messages: line {item.position}"
    kind = fields.get("type")
    if kind == "BATCH":
        raise MessageError(
            f"{place}: a BATCH message names files, and this target takes records only; "
            "take `batch_config` out of the tap's settings"
        )
    if kind not in _KINDS:
        raise MessageError(f"{place}: 'type' is {_shown(kind)}; a message is one of {', '.join(_KINDS)}")
    if kind == "STATE":
        if "value" not in fields:
            raise MessageError(f"{place}: a STATE message has a 'value', and this one has none")
        return StateMessage(fields["value"])
    stream = fields.get("stream")
    if not isinstance(stream, str) or not stream:
        raise MessageError(f"{place}: a {kind} message names its 'stream', and this one does not")
    if kind == "RECORD":
        record = fields.get("record")
        if not isinstance(record, dict):
            raise MessageError(
                f"{place}: the 'record' of a RECORD message is a JSON object, and this one has none"
            )
        return RecordMessage(stream, cast("Record", record))
    return VersionMessage(stream) if kind == "ACTIVATE_VERSION" else _schema(fields, stream, place)


def _schema(fields: Record, stream: str, place: str) -> SchemaMessage:
    schema: Any = fields.get("schema")
    if not isinstance(schema, dict) or not isinstance(cast("Record", schema).get("properties"), dict):
        raise MessageError(
            f"{place}: the 'schema' of stream {stream!r} is a JSON Schema that has 'properties'"
        )
    keys: Any = fields.get("key_properties") or []
    if not isinstance(keys, list) or not all(isinstance(one, str) for one in cast("Sequence[Any]", keys)):
        raise MessageError(f"{place}: the 'key_properties' of stream {stream!r} are a list of names")
    return SchemaMessage(stream, tuple(cast("list[str]", keys)))


def schema_line(
    stream: str, schema: Mapping[str, Any], keys: Sequence[str], bookmarks: Sequence[str]
) -> bytes:
    """Write what the records of a stream look like."""
    message = {"type": "SCHEMA", "stream": stream, "schema": schema, "key_properties": list(keys)}
    return _line(message | ({"bookmark_properties": list(bookmarks)} if bookmarks else {}))


def record_line(stream: str, record: Record, at: str) -> bytes:
    """Write a record; `at` is when it was read."""
    return _line({"type": "RECORD", "stream": stream, "record": record, "time_extracted": at})


def state_line(value: Any) -> bytes:
    """Write how far the tap has come."""
    return _line({"type": "STATE", "value": value})


def _line(message: Record) -> bytes:
    return dumps(message) + b"\n"


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:40]
