"""Files that are sent: found below a folder that nothing leads out of, and read piece by piece."""

from __future__ import annotations

import asyncio
import os
import stat
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from connectory.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

PIECE = 256 * 1024
"""Bytes that are read at once."""

_SPECIAL = (Path("/proc"), Path("/sys"))
_PLAIN = os.O_RDONLY | getattr(os, "O_CLOEXEC", 0) | getattr(os, "O_BINARY", 0)
_CAREFUL = _PLAIN | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
_FOLDER = _PLAIN | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_DIRECTORY", 0)
_WALKS = os.open in os.supports_dir_fd


@dataclass(frozen=True, slots=True)
class LocalFile:
    """A file, or a stretch of it, as it was when it was found; `modified` is in nanoseconds.

    `root` is the folder below which it has to stay, None for one that the program itself named.
    """

    path: Path
    root: Path | None
    whole: int
    modified: int
    start: int = 0
    size: int = 0

    @property
    def identity(self) -> str:
        """Name the content without reading it."""
        return f"{self.path.name}\n{self.whole}\n{self.modified}\n{self.start}\n{self.size}"

    def part(self, start: int, size: int) -> LocalFile:
        """Give a stretch of the file."""
        return LocalFile(
            self.path, self.root, self.whole, self.modified, start, min(size, self.whole - start)
        )

    def content(self) -> bytes:
        """Read all of it at once. Raises RequestError when it is no longer what it was."""
        with self._open() as file:
            return file.read(self.size)

    async def pieces(self) -> AsyncGenerator[bytes, None]:
        """Read it from its start, in a thread. Raises RequestError when it is no longer what it was."""
        left = self.size
        with self._open() as file:  # in no thread: cancelled there, it would stay open
            while left:
                piece = await asyncio.to_thread(file.read, min(PIECE, left))
                if not piece:
                    raise self._changed()
                left -= len(piece)
                yield piece
            if os.fstat(file.fileno()).st_size != self.whole:
                raise self._changed()

    def _open(self) -> BinaryIO:
        file = _opened(self.path, self.root)
        found = os.fstat(file.fileno())
        if (found.st_size, found.st_mtime_ns) != (self.whole, self.modified):
            file.close()
            raise self._changed()
        file.seek(self.start)
        return file

    def _changed(self) -> RequestError:
        return RequestError(
            f"file {str(self.path)!r} changed while it was being sent; send it when it is complete"
        )


def locate(named: str | Path, root: Path | None, *, called: str = "files_root") -> LocalFile:
    """Find a file. A name, which comes from data, has to stay below `root`; a Path comes from the program itself.

    `called` is what messages call the root. Raises RequestError for a name that leads elsewhere and for anything that
    is no ordinary file.
    """
    if isinstance(named, Path):
        path, root = named.absolute(), None
    else:
        path, root = _confined(named, root, called)
    with _opened(path, root) as file:
        found = os.fstat(file.fileno())
    return LocalFile(path, root, found.st_size, found.st_mtime_ns, 0, found.st_size)


def _confined(name: str, root: Path | None, called: str) -> tuple[Path, Path]:
    if root is None:
        raise RequestError(
            f"the record names the file {name!r}; set `files_root` to the folder whose files may be sent"
        )
    given = Path(name)
    if not name or "\0" in name or given.is_absolute() or given.anchor or ".." in given.parts:
        raise RequestError(f"file {name!r} must be a path below {called}, without '..'")
    try:
        root = root.resolve(strict=True)
        path = (root / given).resolve(strict=True)
    except (OSError, RuntimeError) as error:
        raise _unreadable(name, error) from None
    if not path.is_relative_to(root):
        raise RequestError(f"file {name!r} leads out of {called}")
    return path, root


def _opened(path: Path, root: Path | None) -> BinaryIO:
    if any(path.is_relative_to(folder) for folder in _SPECIAL):
        raise RequestError(f"file {str(path)!r} is no ordinary file")
    try:
        number = (
            _walk(path, root)
            if root is not None and _WALKS
            else os.open(path, _PLAIN | getattr(os, "O_NONBLOCK", 0))
        )
    except (OSError, ValueError) as error:
        raise _unreadable(str(path), error) from None
    if not stat.S_ISREG(os.fstat(number).st_mode):
        os.close(number)
        raise RequestError(f"file {str(path)!r} is no ordinary file")
    return os.fdopen(number, "rb")


def _walk(path: Path, root: Path) -> int:
    """Open a resolved path from its root downwards, so that no folder can become a link on the way."""
    folder = os.open(root, _PLAIN | getattr(os, "O_DIRECTORY", 0))
    try:
        *folders, name = path.relative_to(root).parts or (".",)
        for one in folders:
            inner = os.open(one, _FOLDER, dir_fd=folder)
            os.close(folder)
            folder = inner
        return os.open(name, _CAREFUL, dir_fd=folder)
    finally:
        os.close(folder)


def _unreadable(name: str, error: Exception) -> RequestError:
    reason = (error.strerror if isinstance(error, OSError) else None) or str(error)
    return RequestError(f"file {name!r} cannot be read: {reason.lower()}")
