"""JSON Lines in: one JSON object a line, from files and pipes."""

from __future__ import annotations

import asyncio
import errno
import os
import stat
import threading
from contextlib import suppress
from functools import partial
from hashlib import blake2b
from itertools import chain, islice
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from connectory.errors import ConfigError, RunStoppedError
from connectory.files.storage import known_by, why
from connectory.formats.gzip import MAGIC
from connectory.formats.lines import LineSplitter, item_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator

    from connectory.formats.lines import Line
    from connectory.interfaces import Item

CHUNK = 256 * 1024
CHUNKS_AHEAD = 4
"""How many chunks of a pipe are read before they are asked for."""


class Splitter(Protocol):
    """Cuts a stream of bytes into lines, or into what stands for lines."""

    def numbered(self, chunk: bytes) -> Iterator[Line]:
        """Give what this chunk completes; an empty chunk ends the stream."""
        ...


class LineSource:
    """Read records from a file, a pipe, or standard input (`-`).

    A position is the line's number, from 1. Blank lines are passed over. A line that is no JSON object becomes an
    item with an error. `limit` ends the reading after so many records. Raises ConfigError when the file cannot be
    opened, and InputError at once for a file, while it is read for a pipe, that is clearly no JSON Lines.
    """

    def __init__(self, path: str | Path, *, limit: int | None = None) -> None:
        self.path, self.limit = path, limit
        self.total: int | None = None
        self._mark: Any = None
        self._given = 0
        self._file = 0 if path == "-" else _open(Path(path), os.O_RDONLY, "read records from")
        # A pipe blocks until its writer writes, and what was counted in it could not be read again.
        self._pipe = path == "-" or not stat.S_ISREG(os.fstat(self._file).st_mode)
        self._seekable = not self._pipe and os.pread(self._file, len(MAGIC), 0) != MAGIC
        if not self._pipe:
            try:
                self._look()
            except BaseException:
                self.close()
                raise

    def count(self) -> int | None:
        """Count the records of a file; None for a pipe."""
        if self._pipe:
            return None
        self.total = sum(1 for _ in self.lines())
        return self.total

    @property
    def seekable(self) -> bool:
        """Say whether it can be read from any place: a file, not packed, in UTF-8."""
        return self._seekable

    def lines(self) -> Iterator[Line]:
        """Give each line of a file that holds a record."""
        with Path(self.path).open("rb") as file:
            splitter, chunks = self._splitter(), chain(iter(partial(file.read, CHUNK), b""), [b""])
            yield from islice((line for chunk in chunks for line in splitter.numbered(chunk)), self.limit)

    def fingerprint(self) -> Any:
        """Say by what a file is known again: its size, and a hash of both its ends. None for a pipe."""
        if self._pipe:
            return None
        return known_by(Path(self.path))

    def keep_in(self, folder: Path) -> None:
        """Do nothing: a file is read again from where it lies."""

    def resume(self, mark: Any, given: int) -> None:
        """Go on after the item that had this mark, the `given`-th one.

        A pipe is read from its start and held against the mark: ConfigError is raised while it is read when its first
        lines are not those of then.
        """
        self._mark, self._given = mark, given

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        given, splitter = self._given, self._splitter()
        if self._mark is not None and self._seekable:
            splitter = self._splitter(self._mark["line"], self._mark["offset"])
            os.lseek(self._file, self._mark["offset"], os.SEEK_SET)
        chunks = self._chunks()
        hashing = None if self._seekable else _Hashing(self.path, self._mark)
        try:
            async for chunk in chunks:
                for line in splitter.numbered(chunk):
                    mark = line.mark if hashing is None else hashing.mark(line)
                    if mark is None:
                        continue
                    if given == self.limit:
                        return
                    yield self._item(line, mark)
                    given += 1
                    if given == self.limit:
                        return
            if hashing is not None:
                hashing.end()
        finally:
            await chunks.aclose()
            self.close()

    def _item(self, line: Line, mark: Any) -> Item:
        return item_of(line, mark)

    def _chunks(self) -> AsyncGenerator[bytes, None]:
        """Give the bytes from where the file stands; an empty chunk ends them."""
        return _piped(self._file, owned=self.path != "-") if self._pipe else _from_disk(self._file)

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: a file does not need to hear."""

    def _look(self) -> None:
        """Refuse what is clearly no JSON Lines before a run begins with it."""
        splitter, place, chunk = LineSplitter(name=str(self.path)), 0, b"?"
        with suppress(RunStoppedError):  # a damaged gzip file gives what is whole, and stops the run then
            while chunk and not splitter.judged:
                chunk = os.pread(self._file, CHUNK, place)
                place += len(chunk)
                next(splitter.numbered(chunk), None)

    def _splitter(self, number: int = 0, offset: int = 0) -> Splitter:
        return LineSplitter(number, offset, name=str(self.path))

    def close(self) -> None:
        """Close the file."""
        if self._file > 0 and not self._pipe:  # the thread that reads a pipe may be in the middle of it
            os.close(self._file)
            self._file = -1


class _Hashing:
    """Marks each line by a hash of all until there: what is read from its start again is held against it."""

    def __init__(self, path: str | Path, mark: Any) -> None:
        self._path, self._skipping = path, mark
        self._running = blake2b(digest_size=16)

    def mark(self, line: Line) -> dict[str, Any] | None:
        """Give the mark of the next line; None up to that where an earlier life ended."""
        self._running.update(line.text)
        mark = {"line": line.number, "hash": self._running.copy().hexdigest()}
        if self._skipping is None:
            return mark
        if line.number >= self._skipping["line"]:
            if mark != self._skipping:
                raise _changed(self._path, line.number)
            self._skipping = None
        return None

    def end(self) -> None:
        """Hear that there are no more lines. Raises ConfigError when the mark was not reached."""
        if self._skipping is not None:
            raise _changed(self._path, self._skipping["line"])


def _open(path: Path, flags: int, doing: str) -> int:
    try:
        if path.is_dir():
            raise IsADirectoryError(errno.EISDIR, "it is a directory")
        return os.open(path, flags | getattr(os, "O_BINARY", 0), 0o600)
    except OSError as error:
        raise ConfigError(f"cannot {doing} {str(path)!r}: {why(error)}") from None


def _changed(path: str | Path, line: int) -> ConfigError:
    name = "stdin" if path == "-" else repr(str(path))
    return ConfigError(
        f"the records on {name} are not those that the unfinished run began with: the first {line} lines differ; "
        "nothing was sent. Give the same records, or start anew with --new"
    )


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
                raise RunStoppedError(f"reading the records failed: {why(chunk)}") from chunk
            yield chunk
    finally:
        left.set()
        room.release()
