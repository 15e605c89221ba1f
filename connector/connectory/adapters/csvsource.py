"""CSV in: one record a row, from files and pipes."""

from __future__ import annotations

import os
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connectory.adapters.jsonl import CHUNK, LineSource
from connectory.formats.csv import RowSplitter

if TYPE_CHECKING:
    from pathlib import Path

    from connectory.formats.csv import Form
    from connectory.formats.lines import Line
    from connectory.interfaces import Item


class CsvSource(LineSource):
    """Read the rows of a file, a pipe, or standard input (`-`); a position is the number of a row's first line.

    A file in UTF-8 is resumed at its place; another one, and a pipe, is read from its start and held against a hash.
    Raises InputError at once for a file, and while it is read for a pipe, that is not written as its form says.
    """

    def __init__(self, path: str | Path, form: Form, *, limit: int | None = None) -> None:
        self.form = form
        self._columns: tuple[str, ...] = ()
        self.path = path
        self._rows = self._splitter()
        super().__init__(path, limit=limit)

    def fingerprint(self) -> Any:
        """Say by what the file is known again; read in another way it is another file."""
        known, form = super().fingerprint(), self.form
        columns = form.columns and list(form.columns)
        return known and {**known, "csv": [form.delimiter, form.quote, form.encoding, columns]}

    def _look(self) -> None:
        """Read the header."""
        place, chunk = 0, b"?"
        while chunk and not self._rows.columns:
            chunk = os.pread(self._file, CHUNK, place)
            place += len(chunk)
            next(self._rows.numbered(chunk), None)
        self._columns = self._rows.columns
        self._seekable = self._seekable and self._rows.encoding == "utf-8"

    def _splitter(self, number: int = 0, offset: int = 0) -> RowSplitter:
        self._rows = RowSplitter(
            self.form, number, offset, name=str(self.path), columns=self._columns if offset else ()
        )
        return self._rows

    def _item(self, line: Line, mark: Any) -> Item:
        return replace(self._rows.item(line), mark=mark)
