"""Rows of a query in: read in the order of a key, a chunk at a time."""

from __future__ import annotations

import asyncio
import math
import re
from contextlib import closing
from itertools import pairwise
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, RecordError, RunStoppedError, did_you_mean
from connectory.files.kept import Kept
from connectory.interfaces import Item
from connectory.sql.databases import Undecodable
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence
    from pathlib import Path

    from connectory.sql.databases import Database

ROWS = 500
"""Rows of a chunk at most."""

_TOGETHER = re.compile(
    r"\b(?:limit|offset|fetch|top|over|window|qualify|group|having|distinct|count|sum|avg|min|max)\b",
    re.IGNORECASE,
)
"""Words of a query in which a row depends on the others: without those that were taken out, it gives different ones."""

_INFINITIES = (math.inf, -math.inf)
_NUMERIC = re.compile(r"[-+]?\d.*")


class SqlSource:
    """Read the rows of a query; a position is the value of the key.

    Rows are kept in the run's folder before they are used, so that a resumed run meets the same rows in the same order,
    whatever became of the table: what the run writes back may take rows out of its own query. After them the query is
    read on, from the last key. A query whose rows depend on each other (LIMIT, a window, a group) is read whole at
    once: asked again, it would give others instead of those that were taken out. Raises ConfigError for a query that
    cannot be read so.
    """

    def __init__(self, database: Database, query: str, key: str, *, limit: int | None = None) -> None:
        self.database, self.query, self.key, self.limit = database, query, key, limit
        self.total: int | None = None
        self._columns = _checked(database.columns(query), key)
        self._kept: Kept | None = None
        self._offset = self._given = 0
        self._last: Any = None
        self._whole = _TOGETHER.search(query) is not None

    def count(self) -> int | None:
        """Count the rows that were kept and those that follow."""
        kept, last, whole = 0, None, False
        if self._kept is not None:
            whole = self._whole and self._kept.exists
            for row, _ in self._kept.rows():
                kept, last = kept + 1, row[0]
        try:
            found = kept + (0 if whole else self.database.count(self.query, self.key, last))
        except RunStoppedError:  # a run that stops for the same reason says so itself
            return None
        self.total = found if self.limit is None else min(found, self.limit)
        return self.total

    def fingerprint(self) -> Any:
        """Say nothing: a table may change between two lives of a run."""
        return None

    def keep_in(self, folder: Path) -> None:
        """Keep the rows in this folder."""
        self._kept = Kept(folder)

    def resume(self, mark: Any, given: int) -> None:
        """Go on after the `given`-th row."""
        self._offset, self._last, self._given = mark["offset"], mark["key"], given

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        last, given = self._last, self._given
        if self._kept is not None:
            if self._whole and not self._kept.exists:
                await asyncio.to_thread(self._kept.fill, self._every())
            for row, offset in self._kept.rows(self._offset):
                if given == self.limit:
                    return
                last, given = row[0], given + 1
                yield _item(row, offset)
            if self._whole:
                return
        while given != self.limit:
            most = ROWS if self.limit is None else min(ROWS, self.limit - given)
            rows = await asyncio.to_thread(self._read, last, most)
            places = self._kept.add(rows) if self._kept is not None else [0] * len(rows)
            if not rows:
                return
            for row, offset in zip(rows, places, strict=True):
                last, given = row[0], given + 1
                yield _item(row, offset if self._kept is not None else None)

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: what became of a row is the output's to say."""

    def _read(self, after: Any, most: int) -> list[list[Any]]:
        """Read the next chunk, each row as its key, its record, and what is wrong with it."""
        chunk = self.database.rows(self.query, self.key, after, most)
        found = [*chunk.rows, *([chunk.following] if chunk.following is not None else [])]
        keys = [row[self._columns.index(self.key)] for row in found]
        for key in keys:
            self._check(key)
        for one, other in pairwise(keys):
            self._check(other, behind=one)
        return [self._row(key, row) for key, row in zip(keys, chunk.rows, strict=False)]

    def _every(self) -> Iterator[list[Any]]:
        """Read all rows, each as its key, its record, and what is wrong with it."""
        place, last = self._columns.index(self.key), None
        with closing(self.database.every(self.query, self.key)) as rows:
            for row in rows:
                self._check(row[place], behind=last)
                last = row[place]
                yield self._row(last, row)

    def _check(self, key: Any, *, behind: Any = None) -> None:
        """Refuse a key by which rows cannot be put in an order."""
        if not isinstance(key, int | float | str) or key in _INFINITIES:
            raise RunStoppedError(
                f"a row of the query has no usable {self.key!r}; `key` must name a column in which every row has "
                "a number or a text"
            )
        if key == behind:
            raise RunStoppedError(
                f"two rows of the query have the {self.key!r} {key!r}; `key` must name a column in which no two "
                "rows have the same value"
            )

    def _row(self, key: Any, row: tuple[Any, ...]) -> list[Any]:
        record: dict[str, Any] = dict(zip(self._columns, row, strict=True))
        bad = [name for name, value in record.items() if isinstance(value, Undecodable)]
        for name in bad:
            record[name] = record[name].shown
        if bad:
            return [key, record, f"{self.key} {key!r}: the text in {bad[0]!r} is not UTF-8"]
        try:
            dumps(record)
        except JsonTextError as error:
            return [key, {name: str(value) for name, value in record.items()}, f"{self.key} {key!r}: {error}"]
        return [key, record, None]


def _checked(columns: Sequence[str], key: str) -> list[str]:
    names = list(columns)
    if key not in names:
        hint = did_you_mean(key, names) or f"; there are {', '.join(names)}"
        raise ConfigError(f"the query has no column {key!r}, which `key` names{hint}")
    return names


def _item(row: Sequence[Any], offset: int | None) -> Item:
    key, record, problem = row
    position = key if isinstance(key, str) and not _NUMERIC.fullmatch(key) else dumps(key).decode()
    error = None if problem is None else RecordError(problem)
    return Item(position, record, error, mark=None if offset is None else {"offset": offset, "key": key})
