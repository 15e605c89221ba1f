"""Runs the program and notes how much of each file was on the disk for certain: for the simulation of a power cut.

`python -m kill.synced run outgoing ...`; the notes go to the file that KILL_SYNCED names, one `INODE SIZE` a line.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from connectory.cli import main as program


class Notes:
    """How much of each file, by its inode, is there after a power cut."""

    def __init__(self, path: Path) -> None:
        self._file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        self._certain: dict[int, int] = {}

    def syncing(self, sync: Callable[[int], None]) -> Callable[[int], None]:
        """Wrap `os.fsync` or `os.fdatasync`: what was there when the call began is there after a power cut."""

        def synced(file: int) -> None:
            found = os.fstat(file)
            sync(file)
            self._note(found.st_ino, found.st_size)

        return synced

    def truncating(self, truncate: Callable[[Any, int], None]) -> Callable[[Any, int], None]:
        """Wrap `os.ftruncate` or `os.truncate`: what is written after it is uncertain again."""

        def truncated(file: Any, length: int) -> None:
            inode = os.stat(file).st_ino  # noqa: PTH116 - a path or a descriptor
            truncate(file, length)
            self._note(inode, min(length, self._certain.get(inode, length)))

        return truncated

    def _note(self, inode: int, size: int) -> None:
        self._certain[inode] = size
        os.write(self._file, f"{inode} {size}\n".encode())


def main() -> None:
    """Run the program with its eyes on the disk."""
    notes = Notes(Path(os.environ["KILL_SYNCED"]))
    os.fsync, os.fdatasync = notes.syncing(os.fsync), notes.syncing(os.fdatasync)
    os.ftruncate, os.truncate = notes.truncating(os.ftruncate), notes.truncating(os.truncate)
    program(prog_name="connectory")


if __name__ == "__main__":
    main()
