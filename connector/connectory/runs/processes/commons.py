"""What the processes of a run share: a small file in memory, and a lock on it."""

from __future__ import annotations

import mmap
import os
import struct
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, TypeAlias

from connectory.files.storage import hold, let_go

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence
    from pathlib import Path

COMMONS = "commons"
"""The file's name; it is made anew in each life of a run."""

MOST = 64
"""Processes at most."""

SPENT = ("requests", "tokens", "cost", "held_tokens", "held_cost", "open")
"""What a budget counts: used, then reserved for the requests under way; money in billionths."""

COUNTERS = (*SPENT, "dead", "settled")

CELLS = 1024
"""Places for limits: up to two for each of the 256 lanes of a client, and some for its own."""

_COUNTS = struct.Struct(f"<{len(COUNTERS)}q")
_ALL_COUNTS = struct.Struct(f"<{len(COUNTERS) * MOST}q")
_KEY = struct.Struct("16s")
_CELL = struct.Struct("<8d")
_CELLS_AT = MOST + MOST * _COUNTS.size
_SIZE = _CELLS_AT + CELLS * (_KEY.size + _CELL.size)

Values: TypeAlias = tuple[float, ...]
"""Eight numbers of a cell; all are 0 until somebody has written any."""


class Commons:
    """Counters of each process and cells of numbers, which all of them read and change.

    What belongs together is read and changed while it is `held`. A process that dies lets go.
    """

    def __init__(self, path: Path, number: int = 0) -> None:
        self.number = number
        flags = os.O_RDWR | os.O_CREAT | getattr(os, "O_BINARY", 0) | getattr(os, "O_CLOEXEC", 0)
        self._file = os.open(path, flags, 0o600)
        if os.fstat(self._file).st_size < _SIZE:
            os.ftruncate(self._file, _SIZE)
        self._bytes = mmap.mmap(self._file, _SIZE)
        self._held = 0

    def close(self) -> None:
        """Let go of the file."""
        self._bytes.close()
        os.close(self._file)

    @contextmanager
    def held(self) -> Generator[None, None, None]:
        """Keep the other processes out for the moment that a change takes."""
        if not self._held:
            hold(self._file)
        self._held += 1
        try:
            yield
        finally:
            self._held -= 1
            if not self._held:
                let_go(self._file)

    # Who takes part, and what each has counted

    def enter(self, number: int) -> None:
        """Let a process have its share."""
        self._bytes[number - 1] = 1

    def leave(self, number: int) -> None:
        """Let the others have the share of a process that has ended."""
        self._bytes[number - 1] = 0

    def share(self, total: int) -> int:
        """Give how much of something this process may have: as much as each other that is at work."""
        working = self._bytes[:MOST]
        before, others = working.count(1, 0, self.number - 1), max(1, working.count(1))
        return total // others + (before < total % others)

    def counts(self, number: int) -> dict[str, int]:
        """Give what a process has counted."""
        place = MOST + (number - 1) * _COUNTS.size
        return dict(zip(COUNTERS, _COUNTS.unpack_from(self._bytes, place), strict=True))

    def note(self, number: int, **counts: int) -> None:
        """Replace some of what a process has counted."""
        place = MOST + (number - 1) * _COUNTS.size
        _COUNTS.pack_into(self._bytes, place, *({**self.counts(number), **counts}).values())

    def of_others(self, name: str) -> int:
        """Sum up what the other processes have counted."""
        of_each: Sequence[int] = _ALL_COUNTS.unpack_from(self._bytes, MOST)[
            COUNTERS.index(name) :: len(COUNTERS)
        ]
        return sum(of_each) - (of_each[self.number - 1] if self.number else 0)

    # Cells

    def cell(self, name: str) -> Cell:
        """Find a place by its name, or take a free one; where none is left, many names share the last."""
        key = blake2b(name.encode(), digest_size=_KEY.size).digest()
        with self.held():
            place = int.from_bytes(key[:4], "little") % CELLS
            for step in range(CELLS):
                at = _CELLS_AT + ((place + step) % CELLS) * (_KEY.size + _CELL.size)
                (found,) = _KEY.unpack_from(self._bytes, at)
                if found == key:
                    break
                if not any(found):
                    _KEY.pack_into(self._bytes, at, key)
                    break
            else:
                at = _SIZE - _KEY.size - _CELL.size
        return Cell(self._bytes, at + _KEY.size)


class Cell:
    """Eight numbers that all processes see."""

    __slots__ = ("_at", "_bytes")

    def __init__(self, data: mmap.mmap, at: int) -> None:
        self._bytes, self._at = data, at

    def read(self) -> Values:
        """Give the numbers."""
        return _CELL.unpack_from(self._bytes, self._at)

    def write(self, values: Values) -> None:
        """Replace the numbers."""
        _CELL.pack_into(self._bytes, self._at, *values)
