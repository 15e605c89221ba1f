"""Lines of a stream of bytes, and the record that each one holds."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, Any, NamedTuple

from connectory.errors import RecordError
from connectory.formats.foreign import BYTE_ORDER_MARK, LOOK, ONE_LIST, Foreign, is_json, judge
from connectory.formats.gzip import Unpacker
from connectory.interfaces import Item
from connectory.text.json import JsonTextError, loads_unique

if TYPE_CHECKING:
    from collections.abc import Iterator

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes; a longer line is one bad record and is skipped without being held in memory."""

SHOWN = 1000
"""Bytes that are kept of a line that is too long."""


class Line(NamedTuple):
    """A line without its line feed; of one that is too long, and so not `whole`, the text is only the beginning.

    `start` is the offset of its first byte in the stream (where that was packed: in what it holds), `end` that of the
    first byte of the next line, `length` counts its bytes. `lines` is more than 1 for what takes several.
    """

    number: int
    text: bytes
    start: int
    end: int
    length: int
    whole: bool = True
    lines: int = 1

    @property
    def mark(self) -> dict[str, int]:
        """Where the stream is read on after this line."""
        return {"line": self.number + self.lines - 1, "offset": self.end}


class LineSplitter:
    """Cut a stream of bytes at line feeds and count; a gzip stream is undone first.

    A stream may begin after so many lines, at an offset. `name` is the file's name in messages, `-` for standard
    input. `ours` are lines that a run has written itself: they are never taken for anything else.
    """

    def __init__(self, number: int = 0, offset: int = 0, *, name: str = "-", ours: bool = False) -> None:
        self._number, self._start, self._name = number, offset, name
        self._unpacker = Unpacker(name)
        self._first: bytearray | None = None if number or ours else bytearray()
        self._alone, self._list = self._first is not None, list[Line]()
        self._rest = bytearray()
        self._skipped = 0
        self._prefix = b""

    @property
    def packed(self) -> bool:
        """Say whether the stream is packed: offsets are then none of the file."""
        return bool(self._unpacker.packed)

    @property
    def judged(self) -> bool:
        """Say whether its beginning was seen, and is that of lines."""
        return self._first is None and not self._list

    def numbered(self, chunk: bytes) -> Iterator[Line]:
        """Give the lines that this chunk completes, without the blank ones; an empty chunk ends the stream.

        Raises InputError before the first line when the stream is clearly no JSON Lines, RunStoppedError when it is a
        gzip stream that is damaged.
        """
        lines = chain.from_iterable(map(self._given, self._unpacker.pieces(chunk)))
        return self._unless_one_list(lines, ended=not chunk) if self._alone else lines

    def _unless_one_list(self, lines: Iterator[Line], *, ended: bool) -> Iterator[Line]:
        """Hold a first line that begins as a list back until another follows: alone it is what `json.dump` writes."""
        for line in lines:
            if self._alone and not self._list and line.text.lstrip()[:1] == b"[":
                self._list.append(line)
                continue
            self._alone = False
            yield from self._list
            self._list.clear()
            yield line
        if ended and self._list:
            line = self._list.pop()
            if not line.whole or is_json(line.text):
                raise ONE_LIST.error(self._name, packed=self.packed)
            yield line

    def _given(self, piece: bytes) -> Iterator[Line]:
        return self._completed(piece) if self._first is None else self._judged(piece)

    def _judged(self, piece: bytes) -> Iterator[Line]:
        """Hold the beginning back until it is clear that it is lines."""
        assert self._first is not None  # noqa: S101 - for the type checkers: who calls has looked
        known = len(self._first)
        self._first += piece
        if piece and known and b"\n" not in piece and known + len(piece) < LOOK:
            return
        verdict = judge(bytes(self._first[:LOOK]), ended=not piece and len(self._first) <= LOOK)
        if isinstance(verdict, Foreign):
            raise verdict.error(self._name, packed=self.packed)
        if verdict == "lines":
            held, self._first = bytes(self._first), None
            if held:
                yield from self._completed(held)
            if not piece:
                yield from self._completed(b"")

    def _completed(self, piece: bytes) -> Iterator[Line]:
        if (
            piece.isspace() and not self._rest and not self._skipped
        ):  # a packed gigabyte of nothing is soon passed
            self._number += piece.count(b"\n")
            self._rest += piece[piece.rfind(b"\n") + 1 :]
            self._start += len(piece) - len(self._rest)
            return
        first, *others = piece.split(b"\n")
        if others or not piece:
            self._rest += first
            if others or self._rest or self._skipped:
                yield from self._line(bytes(self._rest), feed=1 if others else 0)
            self._rest = bytearray(others.pop() if others else b"")
            for text in others:
                if text.isspace() or not text or len(text) > LONGEST_LINE or not self._start:
                    yield from self._line(text, feed=1)
                    continue
                start, self._number = self._start, self._number + 1
                self._start = start + len(text) + 1
                yield Line(self._number, text, start, self._start, len(text))
        else:
            self._rest += first
        if len(self._rest) > LONGEST_LINE:
            self._skip()

    def _skip(self) -> None:
        if not self._skipped:
            self._prefix = bytes(self._rest[:SHOWN])
        self._skipped += len(self._rest)
        self._rest.clear()

    def _line(self, text: bytes, *, feed: int) -> Iterator[Line]:
        """Count a line, and give it unless it is blank."""
        start, length = self._start, self._skipped + len(text)
        self._number += 1
        self._start = start + length + feed
        if self._skipped or length > LONGEST_LINE:
            yield Line(self._number, self._prefix or text[:SHOWN], start, self._start, length, whole=False)
            self._prefix, self._skipped = b"", 0
            return
        if start == 0 and text.startswith(BYTE_ORDER_MARK):
            text = text[len(BYTE_ORDER_MARK) :]
        if text and not text.isspace():
            yield Line(self._number, text, start, self._start, length)


def item_of(line: Line, mark: Any = None) -> Item:
    """Read one line as a record; what cannot be read is an item with an error. `mark` is the item's."""
    place = f"line {line.number} (byte {line.start})"
    if not line.whole:
        long = (
            f"{line.length} bytes long, and a record has at most {LONGEST_LINE}; only its beginning is kept"
        )
        return _unread(line, _text(line.text), f"{place}: {long}{_list_hint(line)}", mark)
    try:
        record = loads_unique(line.text.rstrip())
    except JsonTextError as error:
        reason = str(error).replace("at line 1 column", "at column")
        return _unread(line, _text(line.text), f"{place}: not JSON: {reason}", mark)
    if not isinstance(record, dict):
        what = f"a record must be a JSON object, this is {_kind(record)}"
        return _unread(line, record, f"{place}: {what}{_list_hint(line)}", mark)
    return Item(str(line.number), record, None, mark)


def _unread(line: Line, record: Any, problem: str, mark: Any) -> Item:
    return Item(str(line.number), record, RecordError(problem), mark)


def _list_hint(line: Line) -> str:
    """Say how a file that is one list becomes lines."""
    is_list = line.number == 1 and line.text.lstrip()[:1] == b"["
    return "; if the file is one list: jq -c '.[]' gives its items as lines" if is_list else ""


def _kind(value: object) -> str:
    names: dict[type, str] = {list: "an array", str: "a string", bool: "a boolean", type(None): "null"}
    return names.get(type(value), "a number")


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace")
