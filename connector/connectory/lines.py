"""Lines of a stream of bytes, and the record that each one holds."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectory.errors import RecordError
from connectory.interfaces import Item
from connectory.jsontext import JsonTextError, loads

if TYPE_CHECKING:
    from collections.abc import Iterator

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes; a longer line is one bad record and is skipped without being held in memory."""


class LineSplitter:
    """Cut a stream of bytes at line feeds and count; None stands for a line that was too long to keep.

    `offset` is that of the first byte after the line that was given last. A stream may begin after so many lines, at
    an offset.
    """

    def __init__(self, number: int = 0, offset: int = 0) -> None:
        self._rest = bytearray()
        self._skipping = 0
        self._number, self.offset = number, offset

    def numbered(self, chunk: bytes) -> Iterator[tuple[int, bytes | None]]:
        """Give the lines that this chunk completes, without the blank ones; an empty chunk ends the stream."""
        for line in self._feed(chunk):
            self._number += 1
            if self._number == 1 and line is not None:
                line = line.removeprefix(BYTE_ORDER_MARK)  # noqa: PLW2901 - the same line
            if line is None or line.strip():
                yield self._number, line

    def _feed(self, chunk: bytes) -> Iterator[bytes | None]:
        if not chunk:
            yield from self._end()
            return
        first, *others = chunk.split(b"\n")
        self._rest += first
        for part in others:
            self.offset += self._skipping + len(self._rest) + 1
            yield None if self._skipping or len(self._rest) > LONGEST_LINE else bytes(self._rest)
            self._skipping = 0
            self._rest = bytearray(part)
        if len(self._rest) > LONGEST_LINE:
            self._skipping += len(self._rest)
            self._rest.clear()

    def _end(self) -> Iterator[bytes | None]:
        self.offset += self._skipping + len(self._rest)
        if self._skipping:
            yield None
        elif self._rest:
            yield bytes(self._rest)


def item_of(number: int, line: bytes | None) -> Item:
    """Read one line as a record; what cannot be read is an item with an error."""
    position = str(number)
    if line is None:
        return Item(position, None, RecordError(f"line {number}: longer than {LONGEST_LINE} bytes"))
    try:
        record = loads(line)
    except JsonTextError as error:
        return Item(position, _text(line), RecordError(f"line {number}: not JSON: {error}"))
    if not isinstance(record, dict):
        problem = f"line {number}: a record must be a JSON object, this is {_kind(record)}"
        return Item(position, record, RecordError(problem))
    return Item(position, record)


def _kind(value: object) -> str:
    names: dict[type, str] = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
