"""Which records earlier runs of a connection have had answered: what `only: new` and `only: changed` ask."""

from __future__ import annotations

import asyncio
import hashlib
import sqlite3
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from connectory.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Collection, Iterable
    from pathlib import Path

_TABLE = "CREATE TABLE IF NOT EXISTS known (id BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID"


class Known:
    """A table from the hash of a record's identifier to the hash of what was sent: 32 bytes a record.

    Runs of the same connection share it. It is written before a run's own transaction, and again when a run is taken
    up after a crash: a record that has its answer is never missing in it.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self._new: dict[bytes, bytes] = {}
        self._writing: dict[bytes, bytes] = {}
        self._under_way: dict[str, asyncio.Event] = {}
        self._reader = self._open()
        try:
            self._writer = self._open()
        except StorageError:
            self._reader.close()
            raise

    def body(self, identifier: str) -> bytes | None:
        """Give the hash of what was sent for a record; None for one that has no answer."""
        key = digest(identifier)
        if (body := self._new.get(key) or self._writing.get(key)) is not None:
            return body
        return self.row(key)

    def row(self, key: bytes) -> bytes | None:
        """Give what is written under a key."""
        try:
            row = self._reader.execute("SELECT body FROM known WHERE id = ?", (key,)).fetchone()
        except sqlite3.Error as error:
            raise StorageError(f"cannot read {str(self.path)!r}: {error}") from error
        return None if row is None else row[0]

    def add(self, identifier: str, body: bytes) -> None:
        """Note that a record has its answer."""
        self._new[digest(identifier)] = body

    @asynccontextmanager
    async def alone(self, identifier: str) -> AsyncGenerator[None, None]:
        """Wait until no other record with this identifier is under way: when that has its answer, this needs none."""
        while (other := self._under_way.get(identifier)) is not None:
            await other.wait()
        ended = self._under_way[identifier] = asyncio.Event()
        try:
            yield
        finally:
            del self._under_way[identifier]
            ended.set()

    @asynccontextmanager
    async def together(self, identifiers: Collection[str]) -> AsyncGenerator[None, None]:
        """Wait until none of these is under way, and hold all of them: nobody waits while holding some."""
        while other := next(filter(None, map(self._under_way.get, identifiers)), None):
            await other.wait()
        ended = asyncio.Event()
        self._under_way |= dict.fromkeys(identifiers, ended)
        try:
            yield
        finally:
            for identifier in identifiers:
                del self._under_way[identifier]
            ended.set()

    def take(self) -> list[tuple[bytes, bytes]]:
        """Give what was noted since the last time, for `write`."""
        new, self._writing, self._new = list(self._new.items()), self._new, {}
        return new

    def give_back(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Note again what could not be written."""
        self._new = {**dict(rows), **self._new}

    def write(self, rows: Iterable[tuple[bytes, bytes]]) -> None:
        """Write notes down; may be called from another thread. Raises StorageError."""
        try:
            with self._writer:
                self._writer.executemany("INSERT OR REPLACE INTO known VALUES (?, ?)", rows)
        except sqlite3.Error as error:
            raise StorageError(f"cannot write {str(self.path)!r}: {error}") from error

    def close(self) -> None:
        """Close the file."""
        self._reader.close()
        self._writer.close()

    def _open(self) -> sqlite3.Connection:
        database: sqlite3.Connection | None = None
        try:
            self.path.touch(mode=0o600)
            database = sqlite3.connect(self.path, check_same_thread=False, timeout=30)
            database.execute("PRAGMA journal_mode = WAL")
            database.execute("PRAGMA synchronous = NORMAL")
            database.execute(_TABLE)
            database.commit()
        except (sqlite3.Error, OSError) as error:
            if database is not None:
                database.close()
            raise StorageError(f"cannot open {str(self.path)!r}: {error}") from error
        return database


def digest(text: str) -> bytes:
    """Hash an identifier to 16 bytes."""
    return hashlib.blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
