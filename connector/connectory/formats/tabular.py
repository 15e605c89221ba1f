"""What is read or answered, one after the other and as a stream of Arrow; the columns that the catalogue knows."""

from __future__ import annotations

from collections.abc import Generator, Iterator
from itertools import islice
from typing import TYPE_CHECKING, Any, Generic, TypeVar, cast

from connectory.errors import ConfigError
from connectory.formats.arrow import Shape, arrow
from connectory.listeners.logs import logger

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectory.catalogue import Action, Catalogue

T = TypeVar("T")

BATCH = 1000
"""Rows of a batch: as many are in memory at once."""

_DEEPEST = 8
"""Levels of objects that become columns inside columns; what lies deeper is text."""


class Rows(Iterator[T], Generic[T]):
    """Gives what is read or answered, one after the other, as it arrives; once.

    It is a stream of Arrow too (`__arrow_c_stream__`): pyarrow, polars, pandas and DuckDB take it as it is, a thousand
    rows at a time. `close` ends it early.
    """

    def __init__(
        self,
        items: Generator[T, None, None],
        *,
        lines: Callable[[T], Sequence[Any]],
        types: Callable[[], Mapping[str, Any]],
    ) -> None:
        self._items, self._lines, self._types = items, lines, types
        self._rows = (line for item in items for line in lines(item))
        self._peeked: list[Any] | None = None

    def __iter__(self) -> Iterator[T]:  # noqa: PYI034 - the generator itself
        return self._items  # a loop over it costs no more than one over the generator

    def __next__(self) -> T:
        return next(self._items)

    def close(self) -> None:
        """Let go of what is under way."""
        self._items.close()

    def __arrow_c_stream__(self, requested_schema: Any = None) -> Any:
        """Give the rows that are left as a stream of Arrow; its schema is that of the catalogue and of the first rows.

        Fields that come later and are in no column are left out, and the log says so once. With a requested schema the
        rows are made to fit that one. Raises ConfigError where pyarrow is not installed.
        """
        pyarrow = arrow()
        if self._peeked is None:  # some ask several times, and read the last stream
            self._peeked = list(islice(self._rows, BATCH))
        if requested_schema is None:
            shape = Shape(self._types())
            shape.learn(self._peeked)
            schema = shape.schema
        else:
            shape = Shape()
            schema = pyarrow.Schema._import_from_c_capsule(requested_schema)  # noqa: SLF001 - there is no other way
        return pyarrow.RecordBatchReader.from_batches(
            schema, self._batches(shape, schema)
        ).__arrow_c_stream__()

    def _batches(self, shape: Shape, schema: Any) -> Generator[Any, None, None]:
        known, told = set(schema.names), set[str]()
        rows, self._peeked = self._peeked, []
        try:
            while rows:
                if missing := _names(rows) - known - told:
                    logger.warning(
                        "the stream of Arrow has no column for the field %s", ", ".join(sorted(missing))
                    )
                    told |= missing
                yield shape.batch(rows, schema)
                rows = list(islice(self._rows, BATCH))
        finally:
            self.close()


def _names(rows: Sequence[Any]) -> set[str]:
    objects = [cast("Mapping[str, Any]", row) for row in rows if isinstance(row, dict)]
    return {name for row in objects for name in row}


def columns_of(catalogue: Catalogue, action: Action) -> Mapping[str, Any]:
    """Give the columns of what an action reads, with the type of each; None is the type of what differs."""
    response = action.response
    if response.schema is None or response.kind != "json":
        return {}
    schema = _object(catalogue.resolve(response.schema))
    if response.items is not None and response.items != "@":
        schema = _object(catalogue.resolve(_properties(schema).get(response.items)))
    if response.items is not None:
        schema = _object(catalogue.resolve(schema.get("items")))
    try:
        return {name: _type(catalogue, one, 0) for name, one in _properties(schema).items()}
    except ConfigError:  # a catalogue of the user's own may name what it does not have
        return {}


def _object(value: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", value) if isinstance(value, dict) else {}


def _properties(schema: Mapping[str, Any]) -> Mapping[str, Any]:
    return _object(schema.get("properties"))


def _type(catalogue: Catalogue, schema: Any, depth: int) -> Any:
    """Give the type of a value, None where it may be of several."""
    found = _only(catalogue, schema)
    if found is None or depth > _DEEPEST:
        return None
    kinds: Any = found.get("type")
    given = cast("Sequence[Any]", kinds) if isinstance(kinds, list) else [kinds]
    named = [one for one in given if one != "null"]
    if len(named) != 1:
        return None
    pyarrow = arrow()
    simple = {"string": "string", "integer": "int64", "number": "float64", "boolean": "bool_"}.get(named[0])
    if simple is not None:
        return getattr(pyarrow, simple)()
    if named[0] == "array":
        inner = _type(catalogue, found.get("items", {}), depth + 1)
        return None if inner is None else pyarrow.list_(inner)
    fields = {name: _type(catalogue, one, depth + 1) for name, one in _properties(found).items()}
    if not fields or None in fields.values() or found.get("additionalProperties"):
        return None
    return pyarrow.struct(list(fields.items()))


def _only(catalogue: Catalogue, schema: Any) -> Mapping[str, Any] | None:
    """Follow references, and what may be null besides, to the only schema that is left."""
    found = _object(catalogue.resolve(schema))
    for word in ("anyOf", "oneOf", "allOf"):
        if word in found:
            some = [one for one in map(_object, found[word]) if one.get("type") != "null"]
            return _only(catalogue, some[0]) if len(some) == 1 else None
    return found or None
