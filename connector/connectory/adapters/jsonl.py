"""JSON Lines: one JSON value a line, from and to files and pipes."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import stat
import sys
import threading
from contextlib import suppress
from functools import partial
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, RecordError, RunStoppedError
from connectory.interfaces import Item
from connectory.jsontext import JsonTextError, dumps, loads
from connectory.private import make_folder, open_private

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Iterator

CHUNK = 256 * 1024
CHUNKS_AHEAD = 4
"""How many chunks of a pipe are read before they are asked for."""

BYTE_ORDER_MARK = b"\xef\xbb\xbf"

LONGEST_LINE = 64 * 1024 * 1024
"""Bytes; a longer line is one bad record and is skipped without being held in memory."""

BUFFERED = 1024 * 1024
"""Bytes a sink holds at most before it writes."""


class LineSource:
    """Read records from a file, a pipe, or standard input (`-`).

    A position is the line's number, from 1. Blank lines are passed over. A line that is no JSON object becomes an
    item with an error. `limit` ends the reading after so many records. Raises ConfigError when the file cannot be
    opened.
    """

    def __init__(self, path: str | Path, *, limit: int | None = None) -> None:
        self.path, self.limit = path, limit
        self.total: int | None = None
        self._file = 0 if path == "-" else _open(Path(path), os.O_RDONLY, "read records from")
        # A pipe blocks until its writer writes, and what was counted in it could not be read again.
        self._pipe = path == "-" or not stat.S_ISREG(os.fstat(self._file).st_mode)

    def count(self) -> int | None:
        """Count the records of a file; None for a pipe."""
        if self._pipe:
            return None
        with Path(self.path).open("rb") as file:
            splitter, chunks = _Splitter(), chain(iter(partial(file.read, CHUNK), b""), [b""])
            lines = (1 for chunk in chunks for _ in splitter.numbered(chunk))
            self.total = sum(islice(lines, self.limit))
        return self.total

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        splitter, given = _Splitter(), 0
        chunks = _piped(self._file, owned=self.path != "-") if self._pipe else _from_disk(self._file)
        try:
            async for chunk in chunks:
                for number, line in splitter.numbered(chunk):
                    yield _item(number, line)
                    given += 1
                    if given == self.limit:
                        return
        finally:
            await chunks.aclose()
            self.close()

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: a file does not need to hear."""

    def close(self) -> None:
        """Close the file."""
        if self._file > 0 and not self._pipe:  # the thread that reads a pipe may be in the middle of it
            os.close(self._file)
            self._file = -1


class LineSink:
    """Write JSON values to a file, or to standard output (`-`).

    What a file held before is replaced when the first line comes, or at the end of a run without lines; `abandon`
    leaves it as it was if none came. `lazy` opens the file at the first line only, and makes its folder. Raises
    ConfigError when the file cannot be opened, RunStoppedError when it takes no more.
    """

    def __init__(self, path: str | Path, *, lazy: bool = False) -> None:
        self.path = path
        self._buffer = bytearray()
        self._file = -1
        self._turn = asyncio.Lock()
        self._untouched = path != "-"
        if not lazy:
            self._open()

    @property
    def opened(self) -> bool:
        """Say whether there is a file."""
        return self._file >= 0

    async def write(self, lines: Iterable[Any]) -> None:
        """Take values; they leave when a mebibyte has gathered, or at `flush`."""
        for line in lines:
            self._buffer += dumps(line)
            self._buffer += b"\n"
        if len(self._buffer) >= BUFFERED:
            await self.flush()

    async def flush(self) -> None:
        """Hand everything to the operating system."""
        async with self._turn:  # two steps of a route share a sink: their lines must not mix
            pending, self._buffer = self._buffer, bytearray()
            if not pending:
                return
            if not self.opened:
                self._open(parents=True)
            self._replace()
            try:
                if self.path == "-":  # a pipe whose reader is slow must not hold up the requests under way
                    await asyncio.to_thread(_write_all, self._file, pending)
                else:
                    _write_all(self._file, pending)
            except BrokenPipeError:  # who reads has enough
                raise
            except OSError as error:
                raise RunStoppedError(f"cannot write to {str(self.path)!r}: {_reason(error)}") from error

    async def close(self) -> None:
        """Flush and close; without a line the file is empty then."""
        if self.opened:
            self._replace()
        await self.abandon()

    async def abandon(self) -> None:
        """Flush and close after a run that failed: without a line the file stays as it was."""
        try:
            await self.flush()
        finally:
            if self.path != "-" and self.opened:
                os.close(self._file)
                self._file = -1

    def _replace(self) -> None:
        if self._untouched:
            self._untouched = False
            if stat.S_ISREG(os.fstat(self._file).st_mode):
                os.ftruncate(self._file, 0)

    def _open(self, *, parents: bool = False) -> None:
        if self.path == "-":
            self._file = sys.stdout.fileno()
        else:
            flags = os.O_WRONLY | os.O_CREAT
            self._file = _open(Path(self.path), flags, "write to", parents=parents)


def _write_all(file: int, data: bytearray) -> None:
    pending = memoryview(data)
    while pending:
        try:
            pending = pending[os.write(file, pending) :]
        except BlockingIOError:  # another program that shares the terminal or pipe made it non-blocking
            select.select([], [file], [])


class _Splitter:
    """Cut a stream of bytes at line feeds and count; None stands for a line that was too long to keep."""

    def __init__(self) -> None:
        self._rest = bytearray()
        self._skipping = False
        self._number = 0

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
            yield None if self._skipping or len(self._rest) > LONGEST_LINE else bytes(self._rest)
            self._skipping = False
            self._rest = bytearray(part)
        if len(self._rest) > LONGEST_LINE:
            self._rest.clear()
            self._skipping = True

    def _end(self) -> Iterator[bytes | None]:
        if self._skipping:
            yield None
        elif self._rest:
            yield bytes(self._rest)


def _item(number: int, line: bytes | None) -> Item:
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


def _open(path: Path, flags: int, doing: str, *, parents: bool = False) -> int:
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
        if parents:
            make_folder(path.parent)
        if flags & os.O_CREAT:
            return open_private(path, flags)
        return os.open(path, flags | getattr(os, "O_BINARY", 0))
    except OSError as error:
        raise ConfigError(f"cannot {doing} {str(path)!r}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


async def _from_disk(file: int) -> AsyncGenerator[bytes, None]:
    while chunk := os.read(file, CHUNK):
        yield chunk
    yield b""


async def _piped(file: int, *, owned: bool) -> AsyncGenerator[bytes, None]:
    """Read a pipe, which blocks until its writer writes, in a daemon thread: an interrupted run can end."""
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[bytes | OSError] = asyncio.Queue()
    room, left = threading.Semaphore(CHUNKS_AHEAD), threading.Event()

    def hand_over(chunk: bytes | OSError) -> None:
        with suppress(RuntimeError):  # the loop is closed: nobody listens any more
            loop.call_soon_threadsafe(queue.put_nowait, chunk)

    def read() -> None:
        chunk = b"?"
        while chunk and room.acquire() and not left.is_set():
            try:
                chunk = os.read(file, CHUNK)
            except OSError as error:
                hand_over(error)
                break
            hand_over(chunk)
        if owned:
            os.close(file)

    threading.Thread(target=read, name="connectory-pipe", daemon=True).start()
    try:
        chunk: bytes | OSError = b"?"
        while chunk:
            chunk = await queue.get()
            room.release()
            if isinstance(chunk, OSError):
                raise RunStoppedError(f"reading the records failed: {_reason(chunk)}") from chunk
            yield chunk
    finally:
        left.set()
        room.release()
