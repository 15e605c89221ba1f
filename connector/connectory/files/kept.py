"""The rows of a source that gives others when it is asked again: kept in a file of the run, the same in every life."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any

from connectory.errors import StorageError
from connectory.files.private import open_private
from connectory.files.storage import datasync, why
from connectory.text.json import dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator
    from pathlib import Path

NAME = "input.jsonl"
"""What the file is called in the run's folder."""


class Kept:
    """A file of JSON values, one a line, that only grows.

    What was added is on the disk before it is used: a journal that knows of a row never outlives the row, also when
    the machine's power fails. Raises StorageError.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / NAME
        self._end = 0

    @property
    def exists(self) -> bool:
        """Say whether anything was kept, in this life of the run or an earlier one."""
        return self.path.exists()

    def count(self) -> int:
        """Count the rows."""
        if not self.exists:
            return 0
        with self.path.open("rb") as file:
            return sum(chunk.count(b"\n") for chunk in iter(lambda: file.read(1 << 18), b""))

    def rows(self, offset: int = 0) -> Iterator[tuple[Any, int]]:
        """Give the rows from a place on, each with the place behind it. A torn last row was never used: it is cut off.

        `add` goes on behind the last row that was given.
        """
        self._end = offset
        if not self.exists:
            return
        with self.path.open("rb") as file:
            file.seek(offset)
            for line in file:
                if not line.endswith(b"\n"):
                    break
                self._end += len(line)
                yield loads(line), self._end
        os.truncate(self.path, self._end)

    def add(self, rows: Iterable[Any]) -> list[int]:
        """Add rows, and give the place behind each."""
        places: list[int] = []
        text, end = bytearray(), self._end
        for row in rows:
            text += dumps(row) + b"\n"
            places.append(end + len(text))
        try:
            self._write(self.path, [text], end)
        except OSError as error:
            raise StorageError(f"cannot keep the records in {str(self.path)!r}: {why(error)}") from error
        self._end = end + len(text)
        return places

    def fill(self, rows: Iterable[Any]) -> None:
        """Keep all there is, whole or not at all."""
        draft = self.path.with_name(f"{NAME}.part")
        try:
            self._write(draft, (dumps(row) + b"\n" for row in rows), 0)
            draft.replace(self.path)
        except OSError as error:
            raise StorageError(f"cannot keep the records in {str(self.path)!r}: {why(error)}") from error

    def _write(self, path: Path, texts: Iterable[bytes | bytearray], end: int) -> None:
        with os.fdopen(open_private(path, os.O_RDWR | os.O_CREAT), "r+b") as file:
            file.truncate(end)
            file.seek(end)
            file.writelines(texts)
            file.flush()
            datasync(file.fileno())
