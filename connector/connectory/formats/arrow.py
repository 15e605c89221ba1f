"""Records as Arrow has them: the types of their fields, found out or given, and batches of them."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError, RecordError
from connectory.sql.databases import storable
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

VALUE = "value"
"""The column of what is no object."""

MOST_FIELDS = 100
"""Fields of an object that become columns of their own inside it: one with more is a dictionary, and becomes text."""


def arrow() -> Any:
    """Import pyarrow. Raises ConfigError where it is not installed."""
    try:
        return import_module("pyarrow")
    except ModuleNotFoundError:
        raise ConfigError("Arrow and Parquet need pyarrow: pip install 'connectory[arrow]'") from None


class Shape:
    """The columns that records have, and the type of each.

    It learns from records: what has one type everywhere gets it; a column of objects is a structure of their fields.
    What differs from record to record, and an object without fields or with very many, is JSON text. `types` are known
    beforehand.
    """

    def __init__(self, types: Mapping[str, Any] | None = None) -> None:
        self._arrow = arrow()
        self._types: dict[str, Any] = dict(types or {})
        self._texts = {name for name, one in self._types.items() if one is None}
        self._wrong = (
            self._arrow.ArrowInvalid,
            self._arrow.ArrowTypeError,
            self._arrow.ArrowNotImplementedError,
            OverflowError,
            UnicodeEncodeError,
        )

    @property
    def names(self) -> Sequence[str]:
        """The columns, in the order in which they were met."""
        return tuple(self._types)

    @property
    def schema(self) -> Any:
        """What was learned until now, as Arrow's schema; a column that had no value is text."""
        fields = [(name, self._type(name)) for name in self._types]
        return self._arrow.schema(fields)

    def learn(self, records: Iterable[Any]) -> None:
        """Learn from records."""
        values: dict[str, list[Any]] = {}
        for record in records:
            for name, value in _columns(record).items():
                values.setdefault(name, []).append(value)
        for name, found in values.items():
            self._learn(name, found)

    def batch(self, records: Sequence[Any], schema: Any) -> Any:
        """Make a batch of records; what they have beyond the schema's columns is left out.

        Raises RecordError for a value that does not fit its column.
        """
        rows = [_columns(record) for record in records]
        columns = [self._column(field, [row.get(field.name) for row in rows]) for field in schema]
        return self._arrow.RecordBatch.from_arrays(columns, schema=schema)

    def _type(self, name: str) -> Any:
        found = self._types[name]
        return (
            self._arrow.string()
            if found is None or self._arrow.types.is_null(found)
            else _filled(found, self._arrow)
        )

    def _learn(self, name: str, values: Sequence[Any]) -> None:
        if name in self._texts:
            return
        try:
            found = self._found(values)
            if name in self._types:
                before = self._arrow.schema([(name, self._types[name])])
                after = self._arrow.schema([(name, found)])
                found = self._arrow.unify_schemas([before, after], promote_options="permissive").field(0).type
        except self._wrong:
            self._types[name] = None
            self._texts.add(name)
            return
        self._types[name] = found
        if _is_dictionary(found, self._arrow):
            self._types[name] = None
            self._texts.add(name)

    def _found(self, values: Sequence[Any]) -> Any:
        try:
            return self._arrow.array(values).type
        except UnicodeEncodeError:
            return self._arrow.array([_whole(value) for value in values]).type

    def _column(self, field: Any, values: Sequence[Any]) -> Any:
        if field.name in self._texts and self._arrow.types.is_string(field.type):
            values = [None if value is None else dumps(value).decode() for value in values]
        try:
            return self._arrow.array(values, field.type)
        except self._wrong as error:
            return self._fitted(field, values, error)

    def _fitted(self, field: Any, values: Sequence[Any], problem: Exception) -> Any:
        """Make a column of values that do not fit as they are: half characters, numbers and objects as text."""
        kinds = self._arrow.types
        if kinds.is_string(field.type) or kinds.is_large_string(field.type):
            texts = [
                value
                if value is None
                else storable(value if isinstance(value, str) else dumps(value).decode())
                for value in values
            ]
            return self._arrow.array(texts, field.type)
        try:
            return self._arrow.array([_whole(value) for value in values], field.type)
        except self._wrong:
            raise RecordError(
                f"a value of {field.name!r} does not fit its type {str(field.type)!r}: {problem}; ask for a schema in "
                "which it is text"
            ) from problem


def _columns(record: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", record) if isinstance(record, dict) else {VALUE: record}


def _is_dictionary(found: Any, arrow: Any) -> bool:
    """Say whether there is an object in it whose fields are no columns."""
    if arrow.types.is_list(found):
        return _is_dictionary(found.value_type, arrow)
    if not arrow.types.is_struct(found):
        return False
    fields = [found.field(index).type for index in range(found.num_fields)]
    return not 0 < len(fields) <= MOST_FIELDS or any(_is_dictionary(one, arrow) for one in fields)


def _filled(found: Any, arrow: Any) -> Any:
    """Give a type without parts that never had a value: those are text, which every reader knows."""
    if arrow.types.is_null(found):
        return arrow.string()
    if arrow.types.is_list(found):
        return arrow.list_(_filled(found.value_type, arrow))
    if arrow.types.is_struct(found):
        fields = [found.field(index) for index in range(found.num_fields)]
        return arrow.struct([(one.name, _filled(one.type, arrow)) for one in fields])
    return found


def _whole(value: Any) -> Any:
    """Give a number without a fraction as an integer, half characters as the mark for one, everywhere in a value."""
    if isinstance(value, float) and value.is_integer():
        return int(value)
    if isinstance(value, str):
        return storable(value)
    if isinstance(value, list):
        return [_whole(one) for one in cast("Sequence[Any]", value)]
    if isinstance(value, dict):
        return {name: _whole(one) for name, one in cast("Mapping[str, Any]", value).items()}
    return value
