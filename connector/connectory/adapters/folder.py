"""Files of a folder in: what each is called, how large and how old it is, one record a file."""

from __future__ import annotations

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError, RecordError
from connectory.files.kept import Kept
from connectory.files.storage import why
from connectory.interfaces import Item

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterator, Sequence

_MAGIC = frozenset("*?[")


class FolderSource:
    """List the files whose names fit a pattern, in the order of their names; a position is the name.

    The list is made once, when the run begins, and kept in the run's folder: a file that comes later belongs to the
    next run, and one that is gone is an error of its record. Names are relative to the folder, with `/`. What begins
    with a dot is left out unless the pattern says so. Raises ConfigError for a folder that is not there, and for a
    pattern that cannot be used.
    """

    def __init__(self, folder: Path, patterns: Sequence[str], *, limit: int | None = None) -> None:
        self.folder, self.patterns, self.limit = folder, tuple(map(_usable, patterns)), limit
        self.total: int | None = None
        self._kept: Kept | None = None
        self._offset = self._given = 0
        for pattern in patterns:
            fixed = folder.joinpath(*_fixed(pattern))
            if not fixed.is_dir():
                raise ConfigError(f"there is no folder {str(fixed)!r}, in which {pattern!r} looks for files")

    def count(self) -> int | None:
        """Count the files."""
        found = self._kept.count() if self._kept is not None and self._kept.exists else len(self._names())
        self.total = found if self.limit is None else min(found, self.limit)
        return self.total

    def fingerprint(self) -> Any:
        """Say nothing: the list that the run began with is kept."""
        return None

    def keep_in(self, folder: Path) -> None:
        """Make the list, or find the one that an earlier life made."""
        self._kept = Kept(folder)
        if not self._kept.exists:
            self._kept.fill(self._rows())

    def resume(self, mark: Any, given: int) -> None:
        """Go on after the `given`-th file."""
        self._offset, self._given = mark["offset"], given

    async def __aiter__(self) -> AsyncGenerator[Item, None]:
        rows = (
            self._kept.rows(self._offset) if self._kept is not None else ((row, None) for row in self._rows())
        )
        for given, (row, offset) in enumerate(rows, self._given):
            if given == self.limit:
                return
            yield _item(row, offset)

    async def acknowledge(self, item: Item) -> None:
        """Do nothing: a file does not need to hear."""

    def _names(self) -> list[str]:
        found: set[str] = set()
        pattern = ""
        try:
            for pattern in self.patterns:
                hidden = any(part.startswith(".") for part in PurePosixPath(pattern).parts)
                for path in self.folder.glob(pattern):
                    name = path.relative_to(self.folder).as_posix()
                    if (hidden or not _is_hidden(name)) and path.is_file():
                        found.add(name)
        except ValueError as error:
            raise ConfigError(f"the pattern {pattern!r} cannot be used: {str(error).lower()}") from None
        except OSError as error:
            raise ConfigError(f"cannot list the files in {str(self.folder)!r}: {why(error)}") from None
        return sorted(found)

    def _rows(self) -> Iterator[list[Any]]:
        """Give each file as its record, and what is wrong with it."""
        for name in self._names():
            yield _row(self.folder, name)


def _row(folder: Path, name: str) -> list[Any]:
    path = PurePosixPath(name)
    file: dict[str, Any] = {"path": name, "name": path.name, "stem": path.stem, "suffix": path.suffix}
    try:
        status = folder.joinpath(path).stat()
        name.encode()
    except OSError as error:
        return [{"file": file}, f"cannot look at {name!r}: {why(error)}"]
    except UnicodeEncodeError:
        shown = os.fsencode(name).decode("utf-8", "backslashreplace")
        return [{"file": {"path": shown}}, f"the name of the file '{shown}' is not UTF-8"]
    return [{"file": {**file, "bytes": status.st_size, "modified": int(status.st_mtime)}}, None]


def _item(row: Sequence[Any], offset: int | None) -> Item:
    record, problem = row
    error = None if problem is None else RecordError(problem)
    return Item(record["file"]["path"], record, error, mark=None if offset is None else {"offset": offset})


def _usable(pattern: str) -> str:
    """Write a pattern so that every Python finds the same files by it; they differ in what `**` may stand beside."""
    parts = PurePosixPath(pattern).parts
    if not parts:
        raise ConfigError(
            f"the pattern {pattern!r} cannot be used: it names no file; write '*' for all of a folder"
        )
    if any("**" in part and part != "**" for part in parts):
        raise ConfigError(
            f"the pattern {pattern!r} cannot be used: '**' stands for whole folders; write it between slashes, or '*'"
        )
    return f"{pattern}/*" if parts[-1] == "**" else pattern


def _fixed(pattern: str) -> Iterator[str]:
    """Give the folders before the first part of a pattern that may mean several."""
    for part in PurePosixPath(pattern).parts[:-1]:
        if _MAGIC & set(part):
            return
        yield part


def _is_hidden(name: str) -> bool:
    return any(part.startswith(".") for part in name.split("/"))
