"""JSON Lines out: to a file, which others see when it is whole, or to a pipe."""

from __future__ import annotations

import asyncio
import errno
import os
import select
import shutil
import stat
import sys
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from connectory.errors import ConfigError, ConnectoryError, StorageError
from connectory.files.private import make_folder, open_private, refuse_link
from connectory.files.storage import datasync, lock, why
from connectory.interfaces import Sink
from connectory.record import Unchanged
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectory.formats.pouring import Pouring
    from connectory.interfaces import Position

BUFFERED = 1024 * 1024
"""Bytes a sink holds at most before it writes."""

PACKING = 1024
"""Bytes by which packed lines may be larger than plain ones, and a thousandth of those."""

PART = ".part"
"""What follows the name of a file while it is being written."""

_FULL = frozenset({errno.ENOSPC, errno.EDQUOT, errno.EFBIG, errno.EIO})
_FLAGS = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)


class LineSink(Sink):
    """Write JSON values to a file, or to standard output (`-`).

    A file is written beside its place, as `NAME.part`, and put there when the sink is closed: it replaces what was
    there, or is added to its end (`mode: append`). `abandon` leaves the `.part` for who goes on. Not `staged`: the file
    itself is written, and replaced when the first line comes. `lazy` opens it at the first line only, and makes its
    folder. Pipes, devices and standard output are written as lines come. With a `pouring` the file is made of the lines
    when it is put in its place. Raises ConfigError when the file cannot be opened, StorageError when it takes no more.
    """

    def __init__(
        self,
        path: str | Path,
        *,
        lazy: bool = False,
        mode: Literal["replace", "append"] = "replace",
        staged: bool = True,
        pouring: Pouring | None = None,
    ) -> None:
        self.path, self._mode, self._pouring = str(path), mode, pouring
        self._name = "standard output" if self.path == "-" else repr(self.path)
        self._buffer = bytearray()
        self._file = -1
        self._written = 0
        self._base: int | None = None
        self._turn = asyncio.Lock()
        self._place = None if path == "-" else _regular(Path(path))
        self._target = self._place and _beside(self._place) if staged else self._place
        self._fresh, self._redirected = True, False
        if self._place is None or not staged:
            self._pouring = None
        if self._pouring is not None and mode == "append" and not self._pouring.appends:
            raise ConfigError(
                f"{self.path!r} is written whole: nothing can be added to its end (output_mode: append)"
            )
        if not lazy:
            self._open()

    @property
    def opened(self) -> bool:
        """Say whether there is a file."""
        return self._file >= 0

    @property
    def position(self) -> Position:
        """Say how far the file has come: what `restore` takes. None for a pipe or a device."""
        if self._redirected:
            return {"path": self.path, "bytes": os.lseek(self._file, 0, os.SEEK_CUR), "base": None}
        if self._place is None:
            return None
        return {"path": str(self._place), "bytes": self._written, "base": self._base}

    def restore(self, position: Position) -> bool:
        """Go on from a position, without what was written after it; False when the file is not what it was then."""
        if self._redirected:  # the shell may have emptied the file, and others may have written to it
            return position is not None and self._is_behind(position)
        if position is None or self._place is None or self._target is None:
            return position is None and self._place is None
        if position["path"] != str(self._place):
            return False
        if position["base"] is not None:  # the adding to the end of the file was interrupted
            with suppress(FileNotFoundError):
                most = position["bytes"]
                most += 0 if self._pouring is None else PACKING + most // 1000
                if self._place.stat().st_size <= position["base"] + most:
                    os.truncate(self._place, position["base"])
        if not self._target.exists() or self._target.stat().st_size < position["bytes"]:
            return bool(position["bytes"] == 0)
        if not self.opened:
            self._open()
        self._fresh, self._written = False, position["bytes"]
        os.ftruncate(self._file, self._written)
        os.lseek(self._file, self._written, os.SEEK_SET)
        return True

    def _is_behind(self, position: Position) -> bool:
        return bool(position["path"] == self.path and os.fstat(self._file).st_size >= position["bytes"])

    def restart(self) -> None:
        """Begin from nothing: what the file holds is dropped at the first line."""
        self._fresh, self._written = True, 0
        if self.opened and self._target is not None:
            os.lseek(self._file, 0, os.SEEK_SET)

    async def write(self, lines: Iterable[Any]) -> None:
        """Take values; they leave when a mebibyte has gathered, or at `flush`."""
        finite = type(lines) is Unchanged
        for line in lines:
            self._buffer += dumps(line, finite=finite)
            self._buffer += b"\n"
        if len(self._buffer) >= BUFFERED:
            await self.flush()

    async def add(self, written: bytes) -> None:
        """Take lines that are written already, whole ones; they leave as others do."""
        self._buffer += written
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
            self._begin()
            try:
                if self._place is None:  # a pipe whose reader is slow must not hold up the requests under way
                    await asyncio.to_thread(_write_all, self._file, pending)
                else:
                    _write_all(self._file, pending)
            except BrokenPipeError:  # who reads has enough
                raise
            except OSError as error:
                self._cut_back()
                raise StorageError(f"cannot write to {self._name}: {why(error)}") from error
            self._written += len(pending)

    def sync(self) -> None:
        """Make what was flushed outlive the machine's power."""
        if self._place is not None and self.opened:
            datasync(self._file)

    async def seal(self) -> None:
        """Flush for the last time; `position` then says all that an interrupted `close` needs to be made good."""
        await self.flush()
        if self._mode == "append" and self._place is not None:
            self._base = self._place.stat().st_size if self._place.exists() else 0

    async def close(self) -> None:
        """Flush, close, and put the file in its place; without a line it is empty then."""
        if self._base is None:
            await self.seal()
        if self.opened:
            self._begin()
            if self._pouring is None:
                self._publish()
            else:
                await asyncio.to_thread(self._pour, self._pouring)
        self._close()

    async def abandon(self) -> None:
        """Flush and close after a run that did not end: what there is stays beside its place."""
        try:
            await self.flush()
        finally:
            if self._target is not None and self._target != self._place and self.opened and not self._written:
                self._target.unlink(missing_ok=True)
            self._close()

    def _close(self) -> None:
        if self.path != "-" and self.opened:
            os.close(self._file)
            self._file = -1

    def _begin(self) -> None:
        """Drop what the file held before this run."""
        if self._fresh and self._target is not None:
            os.ftruncate(self._file, 0)
        self._fresh = False

    def _cut_back(self) -> None:
        """Leave no half line behind."""
        if self._target is not None:
            with suppress(OSError):
                os.ftruncate(self._file, self._written)
                os.lseek(self._file, self._written, os.SEEK_SET)

    def _publish(self) -> None:
        place, target = self._place, self._target
        if place is None or target is None or place == target:
            return
        try:
            if self._mode == "append":
                _add(target, place, self._base or 0)
                target.unlink()
            else:
                self._replace(place, target)
        except OSError as error:
            raise StorageError(
                f"cannot put the lines into {self.path!r}: {why(error)}; they are in {str(target)!r}"
            ) from error

    def _pour(self, pouring: Pouring) -> None:
        """Make the file of its lines, beside its place, and put it there."""
        lines, place = self._target, self._place
        if lines is None or place is None:
            return
        draft = place.with_name(f"{place.name}.draft")
        try:
            with os.fdopen(open_private(draft, _FLAGS | os.O_TRUNC), "r+b") as file:
                pouring.pour(lines, file)
                file.flush()
                datasync(file.fileno())
            draft.chmod(stat.S_IMODE(lines.stat().st_mode))
            if self._mode == "append":
                _add(draft, place, self._base or 0)
                draft.unlink()
            else:
                self._replace(place, draft)
            lines.unlink()
        except (OSError, ValueError, ConnectoryError) as error:
            reason = why(error) if isinstance(error, OSError) else str(error)
            raise StorageError(
                f"cannot put the lines into {self.path!r}: {reason}; they are in {str(lines)!r}"
            ) from error

    def _replace(self, place: Path, target: Path) -> None:
        try:
            os.replace(target, place)  # noqa: PTH105 - the same, and the word for what happens
        except OSError as error:
            if error.errno not in {errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM}:
                raise
            _add(target, place, 0)  # a file that is mounted by itself can be written and not replaced
            target.unlink()

    def _open(self, *, parents: bool = False) -> None:
        if self.path == "-":
            self._file = sys.stdout.fileno()
            self._redirected = stat.S_ISREG(os.fstat(self._file).st_mode)
            return
        path = self._target or Path(self.path)
        try:
            if Path(self.path).is_dir():
                raise IsADirectoryError(errno.EISDIR, "it is a directory")
            if parents:
                make_folder(path.parent)
            refuse_link(Path(self.path))
            self._file = open_private(path, _FLAGS) if self._target else os.open(path, os.O_WRONLY)
            if self._place is not None and self._target != self._place and self._place.exists():
                path.chmod(stat.S_IMODE(self._place.stat().st_mode))
        except OSError as error:
            kind = StorageError if error.errno in _FULL else ConfigError
            raise kind(f"cannot write to {self._name}: {why(error)}") from None
        if self._target is not None and not lock(self._file):
            os.close(self._file)
            self._file = -1
            raise ConfigError(f"cannot write to {self.path!r}: another process is writing to it")


def _regular(path: Path) -> Path | None:
    """Give the file behind a path, also one that is not there yet; None for a pipe or a device."""
    with suppress(OSError):
        if not stat.S_ISREG(path.stat().st_mode) and not path.is_dir():
            return None
    return Path(os.path.realpath(path))


def _add(source: Path, place: Path, base: int) -> None:
    """Put what a file holds behind so many bytes of another one."""
    with os.fdopen(open_private(place, _FLAGS), "r+b") as end, source.open("rb") as start:
        end.truncate(base)
        end.seek(base)
        shutil.copyfileobj(start, end, BUFFERED)


def _beside(path: Path) -> Path:
    return path.with_name(path.name + PART)


def _write_all(file: int, data: bytearray) -> None:
    pending = memoryview(data)
    while pending:
        try:
            pending = pending[os.write(file, pending) :]
        except BlockingIOError:  # another program that shares the terminal or pipe made it non-blocking
            select.select([], [file], [])
