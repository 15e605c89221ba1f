"""The files of a run's batches: its records, the requests of each lot, and where the answers lie."""

from __future__ import annotations

import errno
import os
import shutil
import struct
from array import array
from typing import TYPE_CHECKING

from connectory.errors import ConfigError, StorageError
from connectory.files.private import make_folder, open_private
from connectory.files.storage import datasync, why

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectory.delivery.batches.ledger import Lot

WAITING, SETTLED = -1, -2
"""Of a record: its answer is not there yet; its result is in the results log."""

OUT, ERR, OWN = range(3)
"""Whose lines: what the API answered, what it refused, and what was decided here."""

_ROW = struct.Struct("<24sqq")
_KINDS, _OFFSET = 4, 40
_NAMES = {OUT: "out", ERR: "err", OWN: "own"}
_PIECE = 64 * 1024
_FLAGS = os.O_RDWR | os.O_CREAT
MOST_OPEN = 32
"""Files of answers that are open at once."""


class Spool:
    """The files, below a folder of their own. Raises StorageError when the disk takes no more.

    Each record has a number; `answers` holds where the line with its answer lies, eight bytes a record. What is added
    is in memory until `flush`.
    """

    def __init__(self, folder: Path, run: str) -> None:
        self.folder, self._run = folder, run
        self.answers = array("q")
        self.items = 0
        self._buffer = bytearray()
        self._written = self._noted = 0
        self._items = self._answers = -1
        self._lots: dict[int, _LotFile] = {}
        self._reading: dict[int, int] = {}

    def open(self, *, items: int, records: int, lots: list[Lot]) -> None:
        """Open the files at a place that the journal knows, without what came after it."""
        try:
            make_folder(self.folder)
            self._items = open_private(self.folder / "items.jsonl", _FLAGS)
            self._answers = open_private(self.folder / "answers", _FLAGS)
            if os.fstat(self._items).st_size < items or os.fstat(self._answers).st_size < records * 8:
                raise ConfigError(
                    f"the requests of an unfinished run are gone from {str(self.folder)!r}; start anew with --new"
                )
            os.ftruncate(self._items, items)
            os.ftruncate(self._answers, records * 8)
            self.answers.frombytes(_read_at(self._answers, 0, records * 8))
            for lot in lots:
                if lot.state == "open":
                    self._lots[lot.number] = _LotFile(self.input(lot), self._rows(lot), lot)
        except OSError as error:
            raise self._failed(error) from error
        self.items = self._written = items
        self._noted = records

    def input(self, lot: Lot) -> Path:
        """Name the file that is uploaded for a lot: the same name tells it there."""
        return self.folder / f"connectory-{self._run}-{lot.number}.jsonl"

    def answer_file(self, lot: Lot, kind: int) -> Path:
        """Name the file with the answers of a lot."""
        return self.folder / f"{lot.number}.{_NAMES[kind]}.jsonl"

    @property
    def records(self) -> int:
        """Count the records."""
        return len(self.answers)

    @property
    def gathered(self) -> int:
        """Count the bytes that are not written yet."""
        return len(self._buffer) + sum(one.gathered for one in self._lots.values())

    def add(self, line: bytes, *, settled: bool) -> tuple[int, int]:
        """Take the line of a record; give its number and its place."""
        number, place = len(self.answers), self.items
        self.answers.append(SETTLED if settled else WAITING)
        self._buffer += line
        self.items += len(line)
        return number, place

    def lot_file(self, lot: Lot) -> _LotFile:
        """Give the file of an open lot."""
        if lot.number not in self._lots:
            try:
                self._lots[lot.number] = _LotFile(self.input(lot), self._rows(lot), lot)
            except OSError as error:
                raise self._failed(error) from error
        return self._lots[lot.number]

    def flush(self) -> None:
        """Hand everything to the operating system; the lots then say how much they hold."""
        try:
            _write(self._items, self._written, self._buffer)
            self._written, self._buffer = self.items, bytearray()
            _write(self._answers, self._noted * 8, self.answers[self._noted :].tobytes())
            self._noted = len(self.answers)
            for one in self._lots.values():
                one.flush()
        except OSError as error:
            raise self._failed(error) from error

    def seal(self, lot: Lot) -> None:
        """Close the file of a lot that takes no more, when it is on the disk; it is flushed."""
        self._lots.pop(lot.number).close(sync=True)

    def sync(self) -> None:
        """Make what was flushed outlive the machine's power."""
        for file in (self._items, self._answers, *(n for one in [*self._lots.values()] for n in one.files)):
            try:
                if file >= 0:
                    datasync(file)
            except OSError as error:
                if error.errno != errno.EBADF:  # sealed meanwhile, which has synced it
                    raise

    def rows(self, lot: Lot) -> Iterator[tuple[str, int, int]]:
        """Give key, number and place of each request of a lot, in the order of its lines."""
        with self._rows(lot).open("rb") as file:
            while chunk := file.read(_ROW.size * 1024):
                for key, number, place in _ROW.iter_unpack(chunk):
                    yield key.decode(), number, place

    def answer(self, number: int, lot: Lot, kind: int, place: int) -> None:
        """Note where the answer of a record lies."""
        self.answers[number] = (lot.number * _KINDS + kind) << _OFFSET | place

    def note(self, numbers: list[int]) -> None:
        """Write down where answers lie: a kill afterwards loses none of it."""
        try:
            for number in numbers:
                _write(self._answers, number * 8, self.answers[number : number + 1].tobytes())
        except OSError as error:
            raise self._failed(error) from error

    def answered(self, number: int) -> tuple[int, int, bytes]:
        """Give the lot, the kind and the line of the answer of a record."""
        code, place = divmod(self.answers[number], 1 << _OFFSET)
        lot, kind = divmod(code, _KINDS)
        if code not in self._reading:
            if len(self._reading) >= MOST_OPEN:
                os.close(self._reading.pop(next(iter(self._reading))))
            path = self.folder / f"{lot}.{_NAMES[kind]}.jsonl"
            try:
                self._reading[code] = os.open(path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
            except OSError as error:
                raise self._failed(error) from error
        return lot, kind, _line_at(self._reading[code], place)

    def item(self, place: int) -> bytes:
        """Give the line of a record that is flushed."""
        return _line_at(self._items, place)

    @property
    def readable(self) -> int:
        """Give how far the items' file can be read."""
        return self._written

    def copy(self, lot: Lot, wanted: set[int], into: Lot) -> None:
        """Write the requests of a lot that are wanted, by their line, into the file of another one."""
        try:
            made = _LotFile(self.input(into), self._rows(into), into, fresh=True)
            with self.input(lot).open("rb") as lines:
                for index, (line, row) in enumerate(zip(lines, self.rows(lot), strict=True)):
                    if index in wanted:
                        made.add(line, *row)
                        if made.gathered > _PIECE * 16:
                            made.flush()
            made.flush()
            made.close(sync=True)
        except OSError as error:
            raise self._failed(error) from error

    def drop(self, lot: Lot) -> None:
        """Delete the requests of a lot whose answers are noted."""
        self.input(lot).unlink(missing_ok=True)

    def close(self) -> None:
        """Close everything."""
        for file in (self._items, self._answers, *self._reading.values()):
            if file >= 0:
                os.close(file)
        for one in self._lots.values():
            one.close()
        self._items = self._answers = -1
        self._reading.clear()
        self._lots.clear()

    def remove(self) -> None:
        """Close everything, and delete it."""
        self.close()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _rows(self, lot: Lot) -> Path:
        return self.folder / f"{lot.number}.rows"

    def _failed(self, error: OSError) -> StorageError:
        return StorageError(f"cannot keep the requests of batches in {str(self.folder)!r}: {why(error)}")


class _LotFile:
    """The input file of a lot, and beside it which record each line is of."""

    def __init__(self, path: Path, rows: Path, lot: Lot, *, fresh: bool = False) -> None:
        self._lot = lot
        self.files = (open_private(path, _FLAGS), open_private(rows, _FLAGS))
        begun = (0, 0, 0) if fresh else (lot.requests, lot.size, lot.inputs)
        self.requests, self.size, self.inputs = begun
        os.ftruncate(self.files[0], self.size)
        os.ftruncate(self.files[1], self.requests * _ROW.size)
        self._lines, self._rows = bytearray(), bytearray()

    @property
    def gathered(self) -> int:
        return len(self._lines)

    def add(self, line: bytes, key: str, number: int, place: int) -> None:
        """Take a line; `number` and `place` are the record's."""
        self._lines += line
        self._rows += _ROW.pack(key.encode(), number, place)
        self.requests += 1
        self.size += len(line)

    def flush(self) -> None:
        lot = self._lot
        _write(self.files[0], self.size - len(self._lines), self._lines)
        _write(self.files[1], self.requests * _ROW.size - len(self._rows), self._rows)
        self._lines, self._rows = bytearray(), bytearray()
        lot.requests, lot.size, lot.inputs = self.requests, self.size, self.inputs

    def close(self, *, sync: bool = False) -> None:
        for file in self.files:
            if sync:
                datasync(file)
            os.close(file)


def _write(file: int, place: int, data: bytes | bytearray) -> None:
    if not data:
        return
    os.lseek(file, place, os.SEEK_SET)
    pending = memoryview(data)
    while pending:
        pending = pending[os.write(file, pending) :]


def _read_at(file: int, place: int, size: int) -> bytes:
    os.lseek(file, place, os.SEEK_SET)
    pieces: list[bytes] = []
    while size > 0 and (piece := os.read(file, size)):
        pieces.append(piece)
        size -= len(piece)
    return b"".join(pieces)


def _line_at(file: int, place: int) -> bytes:
    os.lseek(file, place, os.SEEK_SET)
    pieces: list[bytes] = []
    while piece := os.read(file, _PIECE):
        end = piece.find(b"\n")
        if end >= 0:
            pieces.append(piece[: end + 1])
            break
        pieces.append(piece)
    return b"".join(pieces)
