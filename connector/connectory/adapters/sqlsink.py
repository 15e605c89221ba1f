"""Lines out to a database: what is written for each of them, in a transaction for each flush."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from connectory.events import Listener, Noticed, ignore
from connectory.interfaces import Sink
from connectory.sql.databases import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from connectory.sql.databases import Database, Work
    from connectory.sql.statements import Writing

MOST = 1000
"""Lines that are held at most."""


class SqlSink(Sink):
    """Write every line into a database.

    It has no position: a run that was killed gives the last lines again, so what is written should do no harm when it
    is written twice. Lines of failed records are not for it. Raises ConfigError for a line that is not as the
    configuration says, StorageError when the database refuses: nothing of a transaction is done then.
    """

    failures = False

    def __init__(self, database: Database, writing: Writing, *, listen: Listener = ignore) -> None:
        self._database, self._writing, self._listen = database, writing, listen
        self._waiting: list[Work] = []
        self._turn = asyncio.Lock()
        self._idle = 0

    async def write(self, lines: Iterable[Any]) -> None:
        """Take lines; they are written when a thousand have gathered, or at `flush`."""
        for line in lines:
            self._waiting.append(self._writing.of(line))
        if len(self._waiting) >= MOST:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits, in one transaction."""
        async with self._turn:
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._idle += await asyncio.to_thread(self._database.execute, waiting)

    async def write_records(self, groups: Sequence[Sequence[Any]]) -> Mapping[int, str]:
        """Write the lines of several records, of each all or none; say which the database refused, and why."""
        await self.flush()
        works: dict[int, list[Work]] = {}
        refused: dict[int, str] = {}
        for number, lines in enumerate(groups):
            try:
                works[number] = [self._writing.of(line) for line in lines]
            except RefusedError as error:
                refused[number] = str(error)
        works = {number: work for number, work in works.items() if work}
        async with self._turn:
            refused |= await asyncio.to_thread(self._settle, works)
        return refused

    async def close(self) -> None:
        """Write what waits, and tell how many lines changed nothing."""
        try:
            await self.flush()
        finally:
            self._database.close()
        if self._idle:
            self._listen(
                Noticed(f"{self._idle} lines changed no row of the database {self._database.name!r}")
            )
            self._idle = 0

    async def abandon(self) -> None:
        """Let go of what waits: a run that goes on gives it again."""
        self._waiting = []
        self._database.close()

    def _settle(self, works: Mapping[int, Sequence[Work]]) -> dict[int, str]:
        """Write everything at once; where something of it is refused, the lines of each record by themselves."""
        together = [one for work in works.values() for one in work]
        if not together:
            return {}
        try:
            self._idle += self._database.execute(together)
        except RefusedError as error:
            if len(works) == 1:
                return dict.fromkeys(works, str(error))
        else:
            return {}
        refused: dict[int, str] = {}
        for number, work in works.items():
            refused |= self._settle({number: work})
        return refused
