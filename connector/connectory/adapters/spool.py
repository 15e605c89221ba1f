"""A file between two steps of a route: one writes, the other reads as far as what is written is certain."""

from __future__ import annotations

import asyncio
import os
from typing import TYPE_CHECKING

from connectory.adapters.jsonl import CHUNK, LineSource
from connectory.adapters.linesink import LineSink
from connectory.formats.lines import LineSplitter

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator
    from pathlib import Path

    from connectory.interfaces import Position


class Spool:
    """The file. What its sink has written can be read once `reach` has said that the writer's journal knows of it."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.sink = LineSink(path, staged=False)
        self.certain = 0
        self.ended = False
        self._changed = asyncio.Event()

    def reach(self, position: Position) -> None:
        """Let everything up to a position be read."""
        if position is not None and position["bytes"] > self.certain:
            self.certain = position["bytes"]
            self._changed.set()

    def end(self) -> None:
        """Say that nothing follows."""
        self.ended = True
        self._changed.set()

    def source(self) -> SpoolSource:
        """Read the lines, those that are still to come too."""
        return SpoolSource(self)

    async def grown(self, place: int) -> bool:
        """Wait until there is something after a place; False when nothing will be."""
        while self.certain <= place:
            if self.ended:
                return False
            self._changed.clear()
            await self._changed.wait()
        return True


class SpoolSource(LineSource):
    """Read a spool while it grows."""

    def __init__(self, spool: Spool) -> None:
        super().__init__(spool.path)
        self._spool = spool

    async def _chunks(self) -> AsyncGenerator[bytes, None]:
        while await self._spool.grown(place := os.lseek(self._file, 0, os.SEEK_CUR)):
            yield os.read(self._file, min(CHUNK, self._spool.certain - place))
        yield b""

    def _look(self) -> None:
        """Do nothing: the lines are those of the step before, and may be half written."""

    def _splitter(self, number: int = 0, offset: int = 0) -> LineSplitter:
        return LineSplitter(number, offset, name=str(self.path), ours=True)
