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

from connectory.errors import ConfigError, RunStoppedError
from connectory.jsontext import dumps
from connectory.lines import LineSplitter, item_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable

    from connectory.interfaces import Item

CHUNK = 256 * 1024
CHUNKS_AHEAD = 4
"""How many chunks of a pipe are read before they are asked for."""

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
            splitter, chunks = self._splitter(), chain(iter(partial(file.read, CHUNK), b""), [b""])
            lines = (1 for chunk in chunks for _ in splitter.numbered(chunk))
            self.total = sum(islice(lines, self.limit))
        return self.total

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        splitter, given = self._splitter(), 0
        chunks = _piped(self._file, owned=self.path != "-") if self._pipe else _from_disk(self._file)
        try:
            async for chunk in chunks:
                for line in splitter.numbered(chunk):
                    yield item_of(line)
                    given += 1
                    if given == self.limit:
                        return
        finally:
            await chunks.aclose()
            self.close()

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: a file does not need to hear."""

    def _splitter(self) -> LineSplitter:
        return LineSplitter(name=str(self.path))

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


def _open(path: Path, flags: int, doing: str, *, parents: bool = False) -> int:
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
        if parents:
            path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        raise ConfigError(f"cannot {doing} {str(path)!r}: {_reason(error)}") from None


def _reason(error: OSError) -> str:
    return (error.strerror or str(error)).lower()


async def _from_disk(file: int) -> AsyncGenerator[bytes, None]:
    while chunk := os.read(file, CHUNK):
        yield chunk
        await asyncio.sleep(
            0
        )  # a file without records, such as one of blank lines, must not hold up everything else
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
