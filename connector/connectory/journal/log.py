"""The results log: one line for each delivery that has an outcome, in the order in which the outcomes came.

A delivery that is waited for (`until`) has a line before that one, of the status `begun`: what it has created.

The log is the truth about what was paid for. A line is one write to the operating system, and it ends with a checksum
of itself: what a dying machine left half written is told from what is whole.
"""

from __future__ import annotations

import os
import re
import zlib
from itertools import accumulate
from typing import TYPE_CHECKING, Any, cast

from connectory.cost.usage import Tally
from connectory.errors import StorageError
from connectory.files.storage import datasync, why
from connectory.record import Failure, Result
from connectory.text.headers import AnswerHeaders
from connectory.text.json import JsonTextError, dumps, loads

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    from connectory.record import Delivery, Record

LOG = "results.jsonl"
"""Its name in the folder of a run."""

_TAIL = len(b',"crc":"00000000"}')
_CHUNK = 1024 * 1024
_PIECE = 16 * 1024
_KEY = re.compile(rb'\{"seq":\d+,"part":\d+,"key":"([^"]+)"')


class Entry:
    """One line of the log: which delivery, in which life of the run, and its result. `start` is its byte offset."""

    __slots__ = ("key", "life", "line", "part", "seq", "start")

    def __init__(self, line: Record, start: int) -> None:
        self.seq, self.part, self.key, self.life = line["seq"], line["part"], line["key"], line["life"]
        self.line, self.start = line, start

    @property
    def status(self) -> str:
        """What became of it: `ok`, `error` or `skipped`; `begun` where a later line tells it, or none does yet."""
        return cast("str", self.line["status"])

    def result(self) -> Result:
        """Make the result again, without the record."""
        line = self.line
        error = line.get("error")
        guess = line.get("guess")
        failure = error and Failure(error["class"], error["message"], error["code"], error["retryable"])
        return Result(
            index=line["index"],
            id=line["id"],
            status=line["status"],
            http_status=line["http_status"],
            request_id=line["request_id"],
            attempts=line["attempts"],
            in_doubt=line["in_doubt"],
            usage=line["usage"],
            response=line.get("response"),
            error=failure,
            events=line.get("events"),
            headers=_headers(line.get("headers") or ""),
            requests=line.get("requests"),
            model=line.get("model", ""),
            guess=None if guess is None else (guess[0], guess[1]),
            earlier=line.get("earlier", False),
        )


class ResultsLog:
    """The file. Raises StorageError when it takes no more; then no half line stays behind."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self._file = -1
        self.length = 0
        self._tally: Tally | None = None

    def open(self) -> None:
        """Open the file at its end, and make it if it is not there."""
        flags = (
            os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0) | getattr(os, "O_NOFOLLOW", 0)
        )
        self._file = os.open(self.path, flags, 0o600)
        self.length = os.fstat(self._file).st_size

    def append(self, delivery: Delivery, life: int, result: Result) -> int:
        """Write the outcome of a delivery and give the offset of its line."""
        start = self._write(encode(delivery, life, result))
        if self._tally is not None:
            self._tally.add(result)
        return start

    def extend(self, settled: Sequence[tuple[Delivery, Result]], life: int) -> list[int]:
        """Write the outcomes of many deliveries in one piece, and give the offsets of their lines."""
        lines = [encode(delivery, life, result) for delivery, result in settled]
        start = self._write(b"".join(lines))
        if self._tally is not None:
            for _, result in settled:
                self._tally.add(result)
        return list(accumulate(map(len, lines[:-1]), initial=start))

    def _write(self, line: bytes) -> int:
        start = self.length
        try:
            written = os.write(self._file, line)
            while written < len(line):  # a full disk takes what fits; the next write says why
                written += os.write(self._file, line[written:])
        except OSError as error:
            self._cut(start)
            raise StorageError(f"cannot write to the results log {str(self.path)!r}: {why(error)}") from error
        self.length += len(line)
        return start

    def sync(self) -> None:
        """Make everything outlive the machine's power."""
        if self._file >= 0:
            datasync(self._file)

    def close(self) -> None:
        """Close the file."""
        if self._file >= 0:
            os.close(self._file)
            self._file = -1

    def scan(self, start: int) -> Iterator[Entry]:
        """Give the whole lines from an offset on, and cut off what comes after the last of them.

        A damaged line between whole ones is passed over: its delivery counts as not done.
        """
        end = min(start, self.length)
        for offset, line in _lines(self._file, end):
            parsed = decode(line)
            if parsed is not None:
                end = offset + len(line)
                yield Entry(parsed, offset)
        if end < self.length:
            self._cut(end)
            self.length = end

    def peek(self, start: int) -> Iterator[Entry]:
        """Give the whole lines from an offset on, of a log that another process may be writing; cut nothing off."""
        try:
            file = os.open(self.path, os.O_RDONLY | getattr(os, "O_BINARY", 0))
        except FileNotFoundError:
            return
        try:
            for offset, line in _lines(file, start):
                parsed = decode(line)
                if parsed is not None:
                    yield Entry(parsed, offset)
        finally:
            os.close(file)

    def places(self) -> Iterator[tuple[str, int]]:
        """Give the key of each whole line with its offset, and read nothing else of it; cut nothing off."""
        for offset, line in _lines(self._file, 0):
            body = line[:-1]
            text, tail = body[:-_TAIL], body[-_TAIL:]
            if line.endswith(b"\n") and tail == _tail(text) and (found := _KEY.match(text)) is not None:
                yield found[1].decode(), offset

    def entry(self, start: int) -> Entry:
        """Read the line at an offset that `scan` has given."""
        line = b""
        while not line.endswith(b"\n") and (piece := _read(self._file, start + len(line), _PIECE)):
            line += piece[: piece.find(b"\n") + 1] or piece
        return Entry(decode(line) or {}, start)

    def account(self, known: Mapping[str, Any]) -> Tally:
        """Add up what results use from here on, and until here; `known` is what `used` gave in an earlier life."""
        if self._tally is None:
            self._tally = self.tallied(known)
        return self._tally

    def tallied(self, known: Mapping[str, Any]) -> Tally:
        """Add up what is `known`, and what the lines behind that say."""
        tally = Tally(known.get("models"))
        for entry in self.peek(known.get("end", 0)):
            tally.add(entry.result())
        return tally

    def used(self) -> dict[str, Any]:
        """Give, for the journal, what was added up; nothing where nobody asked for it."""
        if self._tally is None:
            return {}
        return {"used": {"end": self.length, "models": self._tally.copy()}}

    def _cut(self, length: int) -> None:
        os.ftruncate(self._file, length)


def encode(delivery: Delivery, life: int, result: Result) -> bytes:
    """Give the line of an outcome, with its line feed; the result keeps its own part of it for the output."""
    whole = _line_of(result)
    result.text = (result.status, whole)
    start = b'{"seq":%d,"part":%d,"key":"%b","life":%d,' % (
        delivery.seq, delivery.part, delivery.key.encode(), life
    )  # fmt: skip
    more: Record = {}
    if result.response is not None and result.error is not None:
        more["response"] = result.response
    if result.events is not None:
        more["events"] = list(result.events)
    if result.requests is not None:
        more["requests"] = result.requests
    if result.model:
        more["model"] = result.model
    if result.guess is not None:
        more["guess"] = list(result.guess)
    if result.earlier:
        more["earlier"] = True
    if result.headers:
        more["headers"] = _block(result.headers)
    text = start + whole[1:-1]
    if more:
        text += b"," + dumps(more, finite=True)[1:-1]
    return text + _tail(text) + b"\n"


def _line_of(result: Result) -> bytes:
    """Write the result line; a large response as it came."""
    fields, raw, result.raw = result.as_dict(), result.raw, None
    if raw is None or raw[0] is not fields.get("response"):
        return dumps(fields, finite=True)
    del fields["response"]
    return b'%b,"response":%b}' % (dumps(fields, finite=True)[:-1], raw[1])


def _block(headers: Mapping[str, str]) -> str:
    """Write headers as one text, a line each; cookies are secrets."""
    if isinstance(headers, AnswerHeaders):
        return headers.lasting()
    return AnswerHeaders.of((name.encode(), value.encode()) for name, value in headers.items()).lasting()


def _headers(block: str) -> AnswerHeaders:
    return AnswerHeaders(f"\n{block}".encode() if block else b"")


def decode(line: bytes) -> dict[str, Any] | None:
    """Read a line; None when it is not whole."""
    body = line[:-1]
    text, tail = body[:-_TAIL], body[-_TAIL:]
    if not line.endswith(b"\n") or tail != _tail(text):
        return None
    try:
        return cast("dict[str, Any]", loads(text + b"}"))
    except JsonTextError:
        return None


def _tail(text: bytes) -> bytes:
    return b',"crc":"%08x"}' % zlib.crc32(text)


def _lines(file: int, start: int) -> Iterator[tuple[int, bytes]]:
    """Give the lines from an offset on, each with its own; the last one may lack its line feed."""
    rest, offset, place = b"", start, start
    while chunk := _read(file, place, _CHUNK):
        place += len(chunk)
        *lines, rest = (rest + chunk).split(b"\n")
        for line in lines:
            yield offset, line + b"\n"
            offset += len(line) + 1
    if rest:
        yield offset, rest


def _read(file: int, place: int, size: int) -> bytes:
    if hasattr(os, "pread"):
        return os.pread(file, size, place)
    os.lseek(file, place, os.SEEK_SET)  # Windows; appending goes to the end all the same
    return os.read(file, size)
