"""Rows of a stream of CSV, and the record of each."""

from __future__ import annotations

import codecs
import csv
import json
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NoReturn

from connectory.errors import InputError, RecordError, RunStoppedError
from connectory.formats.foreign import BYTE_ORDER_MARK, LOOK, by_magic
from connectory.formats.gzip import Unpacker
from connectory.formats.lines import LONGEST_LINE, SHOWN, Line
from connectory.interfaces import Item

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

_WIDE = {
    codecs.BOM_UTF32_LE: "utf-32",
    codecs.BOM_UTF32_BE: "utf-32",
    codecs.BOM_UTF16_LE: "utf-16",
    codecs.BOM_UTF16_BE: "utf-16",
}
"""Byte order marks, the longer first: one begins with another."""

_DELIMITERS = (",", ";", "\t", "|")
_BARE = re.compile(r"[A-Za-z][\w./-]*")
_TABBED = re.compile(r"\.(?:tsv|tab)(?:\.gz)?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Form:
    """How a CSV file is written. None is what the file itself says, `written` its name in the configuration."""

    written: str
    delimiter: str | None = None
    quote: str = '"'
    encoding: str | None = None
    columns: tuple[str, ...] | None = None
    empty: Literal["", "null"] = ""

    @property
    def between(self) -> str:
        """The character between the columns."""
        return self.delimiter or ("\t" if _TABBED.search(self.written) else ",")

    def with_option(self, name: str, value: str) -> str:
        """Give what to write in the configuration: all that is written already, and one option more."""
        options: dict[str, object] = {"csv": self.written}
        if self.delimiter is not None:
            options["delimiter"] = self.delimiter
        if self.quote != '"':
            options["quote"] = self.quote
        if self.encoding is not None:
            options["encoding"] = self.encoding
        if self.columns is not None:
            options["columns"] = list(self.columns)
        if self.empty:
            options["empty"] = None
        options[name] = value
        return f"input: {{{', '.join(f'{key}: {_flow(value)}' for key, value in options.items())}}}"


class RowSplitter:
    """Cut a stream of CSV into rows, each a `Line` whose text is UTF-8; a gzip stream is undone first.

    A row may take several lines: it is called by the first one. A stream may begin after so many lines, at an offset,
    where its `columns` are given. Raises InputError before the first row for a stream that is not written as the form
    says, with what to write instead.
    """

    def __init__(
        self, form: Form, number: int = 0, offset: int = 0, *, name: str, columns: Sequence[str] = ()
    ) -> None:
        csv.field_size_limit(LONGEST_LINE)
        self.form, self.columns = form, tuple(columns)
        self.encoding = "utf-8"
        self._shown = "the input" if name == "-" else repr(name)
        self._unpacker = Unpacker(name)
        self._between = form.between.encode()
        self._decoder: codecs.IncrementalDecoder | None = None
        self._head: bytearray | None = None if offset else bytearray()
        self._wants_header = not offset
        self._number, self._start = number, offset
        self._rest = bytearray()
        self._row: list[bytes] = []
        self._size = 0
        self._quoted = False

    def numbered(self, chunk: bytes) -> Iterator[Line]:
        """Give the rows that this chunk completes, without the header and blank lines."""
        for piece in self._unpacker.pieces(chunk):
            if self._head is None:
                yield from self._decoded(piece)
                continue
            self._head += piece
            if not piece or len(self._head) >= LOOK or b"\n" in piece:
                start, self._head = bytes(self._head), None
                yield from self._decoded(self._begun(start, ended=not piece))
                if start and not piece:
                    yield from self._decoded(b"")

    def item(self, line: Line) -> Item:
        """Read a row as a record; what cannot be read is an item with an error."""
        place = f"line {line.number} (byte {line.start})"
        raw = line.text.decode("utf-8", "backslashreplace")
        if not line.whole:
            long = f"a row of {line.length} bytes, and it may have {LONGEST_LINE}; is a quote in it never closed?"
            return Item(str(line.number), raw, RecordError(f"{place}: {long}"))
        try:
            values = self._values(line.text.decode())
        except UnicodeDecodeError as error:
            bad = f"not UTF-8: the byte 0x{line.text[error.start]:02x}; {self._advice()}"
            return Item(str(line.number), raw, RecordError(f"{place}: {bad}"))
        except csv.Error as error:
            return Item(str(line.number), raw, RecordError(f"{place}: {_told(error)}"))
        if len(values) != len(self.columns):
            count = f"{len(values)} values, and there are {len(self.columns)} columns"
            return Item(str(line.number), raw, RecordError(f"{place}: {count}"))
        empty = None if self.form.empty else ""
        return Item(
            str(line.number), {name: value or empty for name, value in zip(self.columns, values, strict=True)}
        )

    # -- the beginning

    def _begun(self, start: bytes, *, ended: bool) -> bytes:
        """Find out how the stream is encoded, and give its beginning without a byte order mark."""
        mark = next((one for one in _WIDE if start.startswith(one)), None)
        wanted = self.form.encoding
        if mark is None and (foreign := by_magic(start)) is not None:
            raise InputError(f"{self._shown} is no CSV: it looks like {foreign.what}; nothing was sent")
        if mark is not None:
            if wanted is not None and not codecs.lookup(wanted).name.startswith(_WIDE[mark]):
                self._refuse(f"begins as {_WIDE[mark].upper()}", "encoding", _WIDE[mark])
            self.encoding = wanted or _WIDE[mark]
        elif wanted is not None:
            self.encoding = codecs.lookup(wanted).name.replace("utf-8-sig", "utf-8")
        self._check_encoding(start, wide=mark is not None, ended=ended)
        if self.encoding == "utf-8":
            kept = start.removeprefix(BYTE_ORDER_MARK)
            self._start += len(start) - len(kept)
            return kept
        self._decoder = codecs.getincrementaldecoder(self.encoding)()
        return start

    def _check_encoding(self, start: bytes, *, wide: bool, ended: bool) -> None:
        if b"\0" in start and not wide and not self.encoding.startswith(("utf-16", "utf-32")):
            order = "utf-16-be" if start.startswith(b"\0") else "utf-16-le"
            self._refuse("has zero bytes in it, as UTF-16 has", "encoding", order)
        try:
            codecs.getincrementaldecoder(self.encoding)().decode(start, final=ended)
        except UnicodeDecodeError as error:
            line = start.count(b"\n", 0, error.start) + 1
            what = f"is not {self.encoding.upper()}: the byte 0x{start[error.start]:02x} in line {line}"
            if wide:  # the byte order mark leaves no other choice
                raise InputError(f"{self._shown} {what}; nothing was sent") from None
            self._refuse(what, "encoding", "cp1252" if self.encoding == "utf-8" else "utf-8")

    def _advice(self) -> str:
        return f"if all of it is in another encoding, write {self.form.with_option('encoding', 'cp1252')}"

    def _refuse(self, what: str, option: str, value: str) -> NoReturn:
        written = self.form.with_option(option, value)
        raise InputError(
            f"{self._shown} {what}; nothing was sent. Most likely it is right to write {written}"
        )

    def _head_row(self, line: Line) -> bool:
        """Take the columns' names; say whether the first row was used up by it."""
        self._wants_header = False
        form, text = self.form, line.text.decode("utf-8", "replace")
        try:
            values = self._values(text)
        except csv.Error as error:
            raise InputError(
                f"the first row of {self._shown} cannot be read: {_told(error)}; nothing was sent"
            ) from None
        wanted = 1 if form.columns is None else len(form.columns)
        if form.delimiter is None and len(values) == 1 <= wanted:
            other = max(_DELIMITERS, key=text.count)
            if other in text and other != form.between:
                self._refuse(f"has no {form.between!r} in its first row, but {other!r}", "delimiter", other)
        if form.columns is not None:
            self.columns = form.columns
            return False
        names = [value.strip() or f"column_{number}" for number, value in enumerate(values, 1)]
        twice = next((name for name in names if names.count(name) > 1), None)
        if twice is not None:
            raise InputError(
                f"{self._shown} has two columns {twice!r}; give one another name. Nothing was sent"
            )
        self.columns = tuple(names)
        return True

    # -- the rows

    def _decoded(self, piece: bytes) -> Iterator[Line]:
        """Give the rows of what comes, as UTF-8."""
        if self._decoder is not None:
            try:
                text = self._decoder.decode(piece, final=not piece)
            except UnicodeDecodeError as error:
                why = f"is not {self.encoding.upper()} behind line {self._number}: {error.reason}"
                raise RunStoppedError(f"{self._shown} {why}") from None
            if text:
                yield from self._rows(text.encode("utf-8", "surrogatepass"))
            if piece:
                return
        yield from self._rows(piece)

    def _rows(self, piece: bytes) -> Iterator[Line]:
        """Give the rows that this piece completes; an empty one ends the last."""
        if not piece:
            last = bytes(self._rest)
            self._rest.clear()
            if last or self._row:
                yield from self._physical(last, feed=0)
            if self._row:
                yield from self._complete()
            return
        first, *others = piece.split(b"\n")
        self._rest += first
        if others:
            line = bytes(self._rest)
            self._rest = bytearray(others.pop())
            for text in (line, *others):
                yield from self._physical(text, feed=1)
        elif len(self._rest) > LONGEST_LINE:  # not held in memory, whatever it is
            self._size += len(self._rest) - SHOWN
            del self._rest[SHOWN:]

    def _physical(self, text: bytes, *, feed: int) -> Iterator[Line]:
        """Add a line to the row; the row ends with it unless it ends within quotes."""
        if not self._row and not self._size and not text.strip() and self._between not in text:
            self._number += 1
            self._start += len(text) + feed
            return
        quote = self.form.quote.encode()
        self._quoted = bool(quote) and (self._quoted or quote in text) and self._ends_quoted(text, quote)
        self._size += len(text) + feed
        if self._size <= LONGEST_LINE or not self._row:
            self._row.append(text)
        else:
            self._row = [self._row[0][:SHOWN], *([b""] * len(self._row))]
        if not self._quoted:
            yield from self._complete(feed=feed)

    def _ends_quoted(self, text: bytes, quote: bytes) -> bool:
        """Say whether the row goes on in the next line, since a quote is open at the end of this one."""
        place, quoted = 0, self._quoted
        if not self._row:
            quoted = text.startswith(quote)
            place = len(quote) if quoted else 0
        between = self._between
        while True:
            if quoted:
                place = text.find(quote, place)
                if place < 0:
                    return True
                if text.startswith(quote, place + 1):
                    place += 2
                    continue
                place += 1
            place = text.find(between, place)
            if place < 0:
                return False
            place += 1
            quoted = text.startswith(quote, place)
            place += quoted

    def _complete(self, *, feed: int = 0) -> Iterator[Line]:
        """Give the row that was gathered."""
        count, size, text = len(self._row), self._size, b"\n".join(self._row)
        number, start = self._number + 1, self._start
        self._number, self._start = self._number + count, self._start + size
        self._row, self._size, self._quoted = [], 0, False
        whole = size <= LONGEST_LINE
        text = text.removesuffix(b"\r") if whole else text[:SHOWN]
        line = Line(number, text, start, self._start, size - feed, whole, count)
        if self._wants_header and self._head_row(line):
            return
        yield line

    def _values(self, text: str) -> list[str]:
        """Cut a row into its values. Raises csv.Error."""
        between, quote = self.form.between, self.form.quote
        if quote:
            reader = csv.reader([text], delimiter=between, quotechar=quote, strict=True)
        else:
            reader = csv.reader([text], delimiter=between, quoting=csv.QUOTE_NONE, strict=True)
        return next(reader, list[str]())


def _told(error: csv.Error) -> str:
    """Say what is wrong with a row where the words of Python's reader are for who programs it."""
    text = str(error)
    if "new-line" in text:
        return "a carriage return stands in it, which is no end of a line; a line ends with a line feed"
    if "unexpected end" in text:
        return "a quote in it is never closed, so that all lines from here to the end are this one row"
    return text


def _flow(value: object) -> str:
    """Write a value as YAML on one line."""
    if isinstance(value, str) and _BARE.fullmatch(value):
        return value
    return json.dumps(value, ensure_ascii=False)
