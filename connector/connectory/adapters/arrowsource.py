"""Parquet and Arrow files in: one record a row, a batch of rows in memory at a time."""

from __future__ import annotations

import asyncio
from importlib import import_module
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, InputError, RecordError, did_you_mean
from connectory.files.storage import known_by, why
from connectory.formats.arrow import arrow
from connectory.interfaces import Item
from connectory.text.json import JsonTextError, dumps
from connectory.text.values import jsonable

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from pathlib import Path

ROWS = 1000
"""Rows of a batch at most."""

_MAGIC = b"PAR1"


class ArrowSource:
    """Read the rows of a Parquet or Arrow file (IPC, Feather); a position is the row's number, from 1.

    A resumed run goes on at its row: what lies before it is not read. Only `columns` are read, where they are named.
    Raises ConfigError for a file that is none, or lacks a column, and InputError while it is read for a damaged one.
    """

    def __init__(self, path: Path, columns: Sequence[str] | None = None, *, limit: int | None = None) -> None:
        self.path, self.limit = path, limit
        self.total: int | None = None
        self._arrow = arrow()
        self._given = 0
        try:
            with path.open("rb") as file:
                self._parquet = file.read(len(_MAGIC)) == _MAGIC
            self._file: Any = self._opened()
        except OSError as error:  # Arrow's own errors are too
            reason = why(error) if error.errno else "it is no Parquet or Arrow file, or is damaged"
            raise ConfigError(f"cannot read records from {str(path)!r}: {reason}") from None
        except self._arrow.ArrowInvalid:
            raise ConfigError(
                f"cannot read records from {str(path)!r}: it is no Parquet or Arrow file"
            ) from None
        schema = self._file.schema_arrow if self._parquet else self._file.schema
        self._columns = _chosen(list(schema.names), columns)
        self._exact = [name for name in self._columns if _is_finer(schema.field(name).type, self._arrow)]

    def count(self) -> int | None:
        """Count the rows."""
        found = sum(self._sizes())
        self.total = found if self.limit is None else min(found, self.limit)
        return self.total

    def fingerprint(self) -> Any:
        """Say by what the file is known again; with other columns it is another file."""
        return {**known_by(self.path), "columns": self._columns}

    def keep_in(self, folder: Path) -> None:
        """Do nothing: a file is read again from where it lies."""

    def resume(self, mark: Any, given: int) -> None:
        """Go on after the `given`-th row."""
        self._given = mark["row"] if mark else given

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        number = self._given
        batches = self._batches(number)
        while number != self.limit:
            records = await asyncio.to_thread(next, batches, None)
            if records is None:
                return
            for record in records:
                number += 1
                yield _item(number, record)
                if number == self.limit:
                    return

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: a file does not need to hear."""

    def close(self) -> None:
        """Close the file."""
        if self._parquet:
            self._file.close()

    def _opened(self) -> Any:
        if self._parquet:
            return import_module("pyarrow.parquet").ParquetFile(self.path, pre_buffer=False)
        return import_module("pyarrow.ipc").open_file(self._arrow.memory_map(str(self.path)))

    def _sizes(self) -> list[int]:
        """Give the rows of each row group, or of each batch of an Arrow file."""
        if self._parquet:
            groups = self._file.metadata
            return [groups.row_group(index).num_rows for index in range(groups.num_row_groups)]
        return [self._file.get_batch(index).num_rows for index in range(self._file.num_record_batches)]

    def _batches(self, skipped: int) -> Iterator[list[dict[str, Any]]]:
        """Give the records of each batch, without the first ones."""
        try:
            for index, size in enumerate(self._sizes()):
                if skipped >= size:
                    skipped -= size
                    continue
                for batch in self._group(index):
                    kept = batch.slice(skipped)
                    skipped = max(0, skipped - batch.num_rows)
                    if kept.num_rows:
                        yield self._plain(kept)
        except (OSError, self._arrow.ArrowException) as error:
            raise InputError(f"{str(self.path)!r} cannot be read any further: {error}") from error

    def _group(self, index: int) -> Iterator[Any]:
        if self._parquet:
            yield from self._file.iter_batches(ROWS, row_groups=[index], columns=self._columns)
            return
        whole = self._file.get_batch(index).select(self._columns)
        for start in range(0, whole.num_rows, ROWS):
            yield whole.slice(start, ROWS)

    def _plain(self, batch: Any) -> list[dict[str, Any]]:
        for name in self._exact:  # Python's times know no nanoseconds
            place = batch.schema.get_field_index(name)
            batch = batch.set_column(place, name, batch.column(name).cast(self._arrow.string()))
        records: list[dict[str, Any]] = jsonable(batch.to_pylist())
        return records


def _chosen(names: list[str], wanted: Sequence[str] | None) -> list[str]:
    for name in names:
        if names.count(name) > 1:
            raise ConfigError(f"the file has two columns {name!r}")
    for name in wanted or ():
        if name not in names:
            hint = did_you_mean(name, names) or f"; there are {', '.join(names)}"
            raise ConfigError(f"the file has no column {name!r}, which 'columns' names{hint}")
    return list(wanted or names)


def _is_finer(found: Any, arrow: Any) -> bool:
    kinds = arrow.types
    timed = kinds.is_timestamp(found) or kinds.is_time(found) or kinds.is_duration(found)
    return bool(timed and found.unit == "ns")


def _item(number: int, record: dict[str, Any]) -> Item:
    mark = {"row": number}
    try:
        dumps(record)
    except JsonTextError as error:
        shown = {name: str(value) for name, value in record.items()}
        return Item(str(number), shown, RecordError(f"row {number}: {error}"), mark=mark)
    return Item(str(number), record, mark=mark)
