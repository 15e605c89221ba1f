"""JSON values as columns: the columns that an entity's items have, and values fitted into a column's type."""

from __future__ import annotations

from base64 import b64encode
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, cast

from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DataType,
    DateType,
    DoubleType,
    FloatType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructField,
    StructType,
    TimestampType,
)

from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping, Sequence

    from connectory.catalogue import Catalogue, Entity

    Resolve = Callable[[Any], Mapping[str, Any]]

RAW = "raw"
"""The column that holds all of an item as JSON."""

DEEPEST = 4
"""Levels of objects in objects that become columns; what lies deeper is JSON text."""

_PLAIN: Mapping[str, DataType] = {
    "string": StringType(),
    "integer": LongType(),
    "number": DoubleType(),
    "boolean": BooleanType(),
}
_MOST_LONG, _MOST_INTEGER = 2**63, 2**31
_CHOICES = ("anyOf", "oneOf")


def columns_of(catalogue: Catalogue, entity: Entity) -> StructType:
    """Give the columns of an entity's items as the catalogue's response schema says, and `raw` for all of an item."""
    response = entity.actions["read"].response
    resolve = cast("Resolve", catalogue.resolve)
    schema = _whole(response.schema or {}, resolve)
    if response.items not in {None, "@"}:
        schema = _whole(schema.get("properties", {}).get(response.items, {}), resolve)
    if response.items is not None:
        schema = schema.get("items", {})
    found = _type(schema, resolve, DEEPEST)
    fields = [one for one in found.fields if one.name != RAW] if isinstance(found, StructType) else []
    return StructType([*fields, StructField(RAW, StringType())])


def raw_column() -> StructType:
    """Give the one column of items whose shape nobody knows."""
    return StructType([StructField(RAW, StringType())])


def row_of(item: Any, schema: StructType) -> tuple[Any, ...]:
    """Give an item as a row. What does not fit into its column is null there; `raw` has it all the same."""
    record = cast("dict[str, Any]", item) if isinstance(item, dict) else {}
    return tuple(
        dumps(item).decode()
        if one.name == RAW and RAW not in record
        else fitted(record.get(one.name), one.dataType)
        for one in schema.fields
    )


def fitted(value: Any, kind: DataType) -> Any:
    """Give a JSON value as one of a column's type, or None where it is none."""
    if value is None:
        return None
    return next((fit(value, kind) for one, fit in _FITS if isinstance(kind, one)), None)


def json_ready(value: Any) -> Any:
    """Give a value of a row as JSON has it: times as ISO 8601, bytes as base64, decimals as numbers."""
    if value is None or isinstance(value, str | bool | int | float):
        return value
    return next((ready(value) for kind, ready in _READY if isinstance(value, kind)), str(value))


def _object_ready(value: Mapping[Any, Any]) -> dict[str, Any]:
    return {str(name): json_ready(one) for name, one in value.items()}


def _list_ready(value: Iterable[Any]) -> list[Any]:
    return [json_ready(one) for one in value]


def _time_ready(value: date) -> str:
    return value.isoformat()


def _bytes_ready(value: bytes) -> str:
    return b64encode(value).decode()


def _decimal_ready(value: Decimal) -> int | float:
    return int(value) if value == value.to_integral_value() else float(value)


_READY: Sequence[tuple[type, Callable[[Any], Any]]] = (
    (dict, _object_ready),
    (list, _list_ready),
    (tuple, _list_ready),
    (date, _time_ready),
    (bytes, _bytes_ready),
    (Decimal, _decimal_ready),
)


def _text(value: Any, _kind: Any) -> str:
    return value if isinstance(value, str) else dumps(value).decode()


def _truth(value: Any, _kind: Any) -> bool | None:
    return value if isinstance(value, bool) else None


def _list(value: Any, kind: ArrayType) -> list[Any] | None:
    if not isinstance(value, list):
        return None
    return [fitted(one, kind.elementType) for one in value]  # pyright: ignore[reportUnknownVariableType]  # any JSON


def _struct(value: Any, kind: StructType) -> tuple[Any, ...] | None:
    if not isinstance(value, dict):
        return None
    record = cast("dict[str, Any]", value)
    return tuple(fitted(record.get(one.name), one.dataType) for one in kind.fields)


def _map(value: Any, kind: MapType) -> dict[str, Any] | None:
    if not isinstance(value, dict):
        return None
    return {name: fitted(one, kind.valueType) for name, one in cast("dict[str, Any]", value).items()}


def _float(value: Any, _kind: Any) -> float | None:
    return None if isinstance(value, bool) or not isinstance(value, int | float) else float(value)


def _integer(value: Any, kind: Any) -> int | None:
    if isinstance(value, bool) or not isinstance(value, int | float) or value != int(value):
        return None
    return int(value) if abs(value) < (_MOST_LONG if isinstance(kind, LongType) else _MOST_INTEGER) else None


def _moment(value: Any, _kind: Any) -> datetime | None:
    """Read a moment: seconds since 1970, as the API writes them, or a date in ISO 8601."""
    try:
        if isinstance(value, str):
            moment = datetime.fromisoformat(value)
            return moment if moment.tzinfo else moment.replace(tzinfo=UTC)
        return None if isinstance(value, bool) else datetime.fromtimestamp(value, UTC)
    except (ValueError, TypeError, OverflowError, OSError):
        return None


def _day(value: Any, kind: Any) -> date | None:
    moment = _moment(value, kind)
    return None if moment is None else moment.date()


_FITS: Sequence[tuple[type[DataType], Callable[[Any, Any], Any]]] = (
    (StringType, _text),
    (BooleanType, _truth),
    (LongType, _integer),
    (IntegerType, _integer),
    (DoubleType, _float),
    (FloatType, _float),
    (ArrayType, _list),
    (StructType, _struct),
    (MapType, _map),
    (TimestampType, _moment),
    (DateType, _day),
)


def _type(schema: Any, resolve: Resolve, depth: int) -> DataType:
    """Give the type of a column; JSON text for what has no one type."""
    whole = _whole(schema, resolve)
    kind = whole.get("type")
    kinds = [one for one in cast("list[str]", kind) if one != "null"] if isinstance(kind, list) else [kind]
    if len(kinds) != 1:
        return StringType()
    if kinds[0] == "array":
        return ArrayType(_type(whole.get("items", {}), resolve, depth))
    if kinds[0] != "object" and whole.get("properties") is None:
        return _PLAIN.get(str(kinds[0]), StringType())
    return _object(whole, resolve, depth)


def _object(whole: Mapping[str, Any], resolve: Resolve, depth: int) -> DataType:
    properties: Mapping[str, Any] = whole.get("properties") or {}
    if properties and depth:
        return StructType(
            [StructField(name, _type(one, resolve, depth - 1)) for name, one in properties.items()]
        )
    more = whole.get("additionalProperties")
    if not properties and isinstance(more, dict) and (found := _type(more, resolve, 0)) in _PLAIN.values():
        return MapType(StringType(), found)
    return StringType()


def _whole(schema: Any, resolve: Resolve) -> dict[str, Any]:
    """Give a schema with what it refers to and consists of; of several forms that it may have only a single one."""
    made: dict[str, Any] = dict(resolve(schema))
    for part in cast("Iterable[Any]", made.get("allOf") or ()):
        for name, one in _whole(part, resolve).items():
            both = {**made.get(name, {}), **one} if name == "properties" else made.get(name, one)
            made[name] = both
    for word in _CHOICES:
        forms = [_whole(one, resolve) for one in cast("Iterable[Any]", made.get(word) or ())]
        forms = [one for one in forms if one.get("type") != "null"]
        if len(forms) == 1:
            made = {**forms[0], **{name: one for name, one in made.items() if name != word}}
    return made
