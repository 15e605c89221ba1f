"""Lines out to a database: a statement for each, a transaction for each flush."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError
from connectory.events import Listener, Noticed, ignore
from connectory.interfaces import Sink
from connectory.jsontext import dumps

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectory.databases import Database

MOST = 1000
"""Lines that are held at most."""


class SqlSink(Sink):
    """Run a statement with the fields of every line as its parameters.

    It has no position: a run that was killed gives the last lines again, so the statement should do no harm when it is
    run twice. Lines of failed records are not for it. Raises ConfigError for a statement that cannot be run and for a
    line that lacks a parameter, StorageError when the database refuses: nothing of a transaction is done then.
    """

    failures = False

    def __init__(self, database: Database, statement: str, *, listen: Listener = ignore) -> None:
        self._database, self._statement, self._listen = database, statement, listen
        self._names = database.parameters(statement)
        self._waiting: list[Mapping[str, Any]] = []
        self._turn = asyncio.Lock()
        self._idle = 0
        if not self._names:
            raise ConfigError(
                f"the statement for the database {database.name!r} names no field of a line; write :id for the field id"
            )

    async def write(self, lines: Iterable[Any]) -> None:
        """Take lines; they are written when a thousand have gathered, or at `flush`."""
        for line in lines:
            self._waiting.append(self._values(line))
        if len(self._waiting) >= MOST:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits, in one transaction."""
        async with self._turn:
            waiting, self._waiting = self._waiting, []
            if waiting:
                self._idle += await asyncio.to_thread(self._database.execute, self._statement, waiting)

    async def close(self) -> None:
        """Write what waits, and tell how many lines changed nothing."""
        await self.flush()
        if self._idle:
            self._listen(
                Noticed(f"{self._idle} lines changed no row of the database {self._database.name!r}")
            )
            self._idle = 0

    async def abandon(self) -> None:
        """Let go of what waits: a run that goes on gives it again."""
        self._waiting = []

    def _values(self, line: Any) -> Mapping[str, Any]:
        fields: Mapping[str, Any] = cast("Mapping[str, Any]", line) if isinstance(line, dict) else {}
        missing = sorted(self._names - fields.keys())
        if missing:
            there = f"it has {', '.join(fields)}" if fields else f"it is {dumps(line).decode():.80}"
            raise ConfigError(
                f"a line for the database {self._database.name!r} has no {missing[0]!r}, which the statement names: "
                f"{there}; `result` of an outgoing, or `transformers` of an incoming, make its fields"
            )
        return {name: fields[name] for name in self._names}
