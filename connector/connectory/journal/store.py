"""The journal's database: what is known about a run, in a file that stays at some kilobytes."""

from __future__ import annotations

import json
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any

from connectory.errors import StorageError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Iterator, Sequence
    from pathlib import Path

    from connectory.interfaces import Row

DATABASE = "journal.db"
"""Its name in the folder of a run."""

FORMAT = 2
"""Version of the tables; a journal of a later one is refused, one of an earlier one is made again."""

_TABLES = """
CREATE TABLE state (name TEXT PRIMARY KEY, value BLOB) WITHOUT ROWID;
CREATE TABLE seen (id BLOB PRIMARY KEY, body BLOB NOT NULL) WITHOUT ROWID;
CREATE TABLE cursor (stream TEXT PRIMARY KEY, value TEXT) WITHOUT ROWID;
"""


class DamagedError(Exception):
    """The database cannot be read; what it said has to be made again from the results log."""


@dataclass(slots=True)
class State:
    """What a run has come to.

    `shown` is the packed set of the items whose lines are all in the output, `parts` the shown parts of others
    and whether they are dead letters.
    `log_from` is the offset of the first line of the results log that is not shown yet, `log_end` how long the log was
    when all this was noted. `output` and `dead` say how
    far the files have come; `mark` is where the source goes on after the items below `seq`. After a repair every item
    below `doubt_below` that has no result is in doubt. `used` is what the log's lines before its `end` say of what was
    used, by model.
    """

    life: int = 0
    shown: bytes = b""
    parts: dict[str, dict[str, bool]] = field(default_factory=dict[str, dict[str, bool]])
    log_from: int = 0
    log_end: int = 0
    output: Any = None
    dead: Any = None
    seq: int = 0
    mark: Any = None
    counts: dict[str, int] = field(default_factory=dict[str, int])
    total: int | None = None
    finished: bool = False
    doubt_below: int = 0
    used: dict[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Change:
    """One transaction: what is written together or not at all; `known` goes to a table of its own before it.

    A cursor that is None is taken away. `unsee` forgets what was seen before. `settled` are the intents that say
    nothing more once this is on the disk.
    """

    state: dict[str, Any]
    cursors: Sequence[tuple[str, Any]] = ()
    known: Sequence[Row] = ()
    seen: Sequence[Row] = ()
    unsee: bool = False
    settled: Sequence[str] = ()


class Store:
    """The database file. Every method may be called from any one thread at a time."""

    def __init__(self, path: Path, *, power: bool = False) -> None:
        self.path, self._power = path, power
        self._database: sqlite3.Connection | None = None
        self._reading: sqlite3.Connection | None = None

    def open(self, *, make: bool, only_read: bool = False) -> None:
        """Open the database. Raises DamagedError for one that is not whole or not there, StorageError else."""
        if not make and not self.path.exists():
            raise DamagedError("it is not there")
        try:
            if make:
                self.path.touch(mode=0o600)
            self._database = sqlite3.connect(
                self.path, check_same_thread=False, isolation_level=None, timeout=5
            )
            if only_read:
                self._database.execute("PRAGMA query_only = 1")
            else:
                self._prepare(make=make)
        except BaseException as error:
            self.close()
            if isinstance(error, sqlite3.Error):
                raise self._unreadable(error) from error
            raise

    def load(self) -> tuple[State, dict[str, Any]]:
        """Read everything: the state and the cursors."""
        try:
            rows = dict(self._connection.execute("SELECT name, value FROM state"))
            state = State(**{name: _unpack(name, rows[name]) for name in _NAMES if name in rows})
            cursors = {
                stream: json.loads(value)
                for stream, value in self._connection.execute("SELECT stream, value FROM cursor")
            }
        except sqlite3.Error as error:
            raise self._unreadable(error) from error
        except (ValueError, TypeError) as error:
            raise DamagedError(str(error)) from error
        return state, cursors

    def commit(self, change: Change) -> None:
        """Write a change. Raises StorageError when the disk takes no more; then nothing of it is written."""
        database = self._connection
        try:
            database.execute("BEGIN IMMEDIATE")
            if change.cursors:
                gone = ((stream,) for stream, value in change.cursors if value is None)
                database.executemany("DELETE FROM cursor WHERE stream = ?", gone)
                moved = ((stream, json.dumps(value)) for stream, value in change.cursors if value is not None)
                database.executemany("INSERT OR REPLACE INTO cursor VALUES (?, ?)", moved)
            if change.unsee:
                database.execute("DELETE FROM seen")
            if change.seen:
                database.executemany("INSERT OR REPLACE INTO seen VALUES (?, ?)", change.seen)
            state = ((name, _pack(value)) for name, value in change.state.items())
            database.executemany("INSERT OR REPLACE INTO state VALUES (?, ?)", state)
            database.execute("COMMIT")
        except BaseException as error:
            if database.in_transaction:
                database.execute("ROLLBACK")
            if isinstance(error, sqlite3.Error):
                raise StorageError(f"cannot write the journal {str(self.path)!r}: {error}") from error
            raise

    def seen(self, key: bytes) -> bytes | None:
        """Give what was noted of an item that was read; may be called beside `commit`."""
        with self._reading_it() as reader:
            row = reader.execute("SELECT body FROM seen WHERE id = ?", (key,)).fetchone()
        return None if row is None else row[0]

    def all_seen(self, size: int = 10_000) -> Iterator[Sequence[Row]]:
        """Give everything that was noted of items, in lists of so many."""
        with self._reading_it() as reader, closing(reader.execute("SELECT id, body FROM seen")) as rows:
            while chunk := rows.fetchmany(size):
                yield chunk

    @contextmanager
    def _reading_it(self) -> Generator[sqlite3.Connection, None, None]:
        """Give a connection of its own to who only reads: the other one is busy in another thread."""
        try:
            if self._reading is None:
                self._reading = sqlite3.connect(self.path, check_same_thread=False, timeout=30)
            yield self._reading
        except sqlite3.Error as error:
            raise StorageError(f"cannot read the journal {str(self.path)!r}: {error}") from error

    def close(self) -> None:
        """Close the database."""
        if self._reading is not None:
            self._reading.close()
            self._reading = None
        if self._database is not None:
            self._database.close()
            self._database = None

    @property
    def _connection(self) -> sqlite3.Connection:
        if self._database is None:
            raise StorageError(f"the journal {str(self.path)!r} is closed")
        return self._database

    def _unreadable(self, error: sqlite3.Error) -> Exception:
        """Tell a file that is not whole from a disk, or a system, that does not let it be read or written."""
        if getattr(error, "sqlite_errorcode", _DAMAGED) & 0xFF in _REFUSED:
            return StorageError(f"cannot open the journal {str(self.path)!r}: {error}")
        return DamagedError(str(error))

    def _prepare(self, *, make: bool) -> None:
        database = self._connection
        with closing(database.execute("PRAGMA user_version")) as rows:
            (version,) = rows.fetchone()
        if version > FORMAT:
            raise StorageError(
                f"the journal {str(self.path)!r} was written by a newer version of connectory; "
                "finish the run with that version, or start a new one with --new"
            )
        if not make and (version != FORMAT or not _is_whole(database.execute("PRAGMA quick_check(1)"))):
            raise DamagedError("its pages do not fit together")
        database.execute("PRAGMA journal_mode = WAL")
        database.execute(f"PRAGMA synchronous = {'FULL' if self._power else 'NORMAL'}")
        database.execute("PRAGMA wal_autocheckpoint = 100")
        if make:
            database.executescript(f"BEGIN;{_TABLES}PRAGMA user_version = {FORMAT};COMMIT;")


_DAMAGED = sqlite3.SQLITE_CORRUPT
_REFUSED = frozenset(
    {
        sqlite3.SQLITE_BUSY,
        sqlite3.SQLITE_CANTOPEN,
        sqlite3.SQLITE_FULL,
        sqlite3.SQLITE_IOERR,
        sqlite3.SQLITE_LOCKED,
        sqlite3.SQLITE_NOMEM,
        sqlite3.SQLITE_PERM,
        sqlite3.SQLITE_READONLY,
    }
)
"""What SQLite says when the file may be whole."""

_NAMES = [one.name for one in fields(State)]


def _pack(value: Any) -> Any:
    return value if isinstance(value, bytes) else json.dumps(value)


def _unpack(name: str, value: Any) -> Any:
    return value if name == "shown" else json.loads(value)


def _is_whole(rows: Iterable[Sequence[Any]]) -> bool:
    return [row[0] for row in rows] == ["ok"]
