"""Databases behind an SQL source or sink: what they are asked for, and SQLite, from Python's own library."""

from __future__ import annotations

import re
import sqlite3
from contextlib import closing, contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias
from urllib.parse import quote

from connectory.errors import ConfigError, RunStoppedError, StorageError
from connectory.text.json import dumps
from connectory.text.values import jsonable

if TYPE_CHECKING:
    from collections.abc import Generator, Iterable, Mapping, Sequence
    from pathlib import Path

Work: TypeAlias = "tuple[tuple[str, ...], Mapping[str, Any]]"
"""Statements with their values: the first, and the next one only where it changed no row."""

PATIENCE = 30.0
"""Seconds that a database may be locked by another program."""

LARGE = 8 * 1024 * 1024
"""Bytes of texts after which a chunk of rows ends, however few they are."""


_HALVES = re.compile("[\ud800-\udfff]")
"""What UTF-8 has no bytes for, and JSON can write."""


@dataclass(frozen=True, slots=True)
class Undecodable:
    """A text that is no UTF-8."""

    shown: str


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some rows, and the one that follows them, if there is one."""

    rows: Sequence[tuple[Any, ...]]
    following: tuple[Any, ...] | None = None


class RefusedError(StorageError):
    """The database does not take these values: a constraint, a number too large; others it may take."""


class AwayError(StorageError):
    """The database cannot be reached."""


class Database(Protocol):
    """What an SQL source or sink needs of a database. All of it is called in one thread at a time, and may wait."""

    name: str
    dialect: str

    def quoted(self, name: str) -> str:
        """Write a name of a table or a column as the database wants it."""
        ...

    def columns(self, query: str) -> Sequence[str]:
        """Give the names of a query's columns. Raises ConfigError for what is no query."""
        ...

    def count(self, query: str, key: str, after: Any) -> int:
        """Count the rows whose key comes after one; all for None."""
        ...

    def rows(self, query: str, key: str, after: Any, most: int) -> Chunk:
        """Give the next rows in the key's order, at least one unless there is none.

        Nothing stays open behind it: a program that writes to the database is not held up. Raises RunStoppedError.
        """
        ...

    def every(self, query: str, key: str) -> Generator[tuple[Any, ...], None, None]:
        """Give all rows in the key's order, as they are at one moment. Raises RunStoppedError."""
        ...

    def parameters(self, statement: str) -> frozenset[str]:
        """Give the names that a statement wants values for. Raises ConfigError for what is no statement."""
        ...

    def execute(self, work: Iterable[Work]) -> int:
        """Run statements, all or none; give how many sets of values changed no row.

        Raises RefusedError for values that it does not take, StorageError when it takes nothing.
        """
        ...

    def close(self) -> None:
        """Let go of it."""
        ...


class Sqlite:
    """A file of SQLite. Raises ConfigError when there is none."""

    dialect = "sqlite"

    def __init__(self, path: Path) -> None:
        self.path, self.name = path, str(path)
        if not path.is_file():
            raise ConfigError(f"there is no database {self.name!r}")

    def columns(self, query: str) -> Sequence[str]:
        """Give the names of a query's columns."""
        with self._asking("read"), closing(self._open(writes=False)) as connection:
            found = connection.execute(f"SELECT * {_of(query)} LIMIT 0").description
        names = [one[0] for one in found]
        for name in names:
            first, colon, number = name.rpartition(":")  # SQLite calls a second column `id` so: `id:1`
            if colon and number.isdecimal() and first in names:
                raise ConfigError(f"the query has two columns {first!r}; give one another name with AS")
        return names

    def count(self, query: str, key: str, after: Any) -> int:
        """Count the rows whose key comes after one."""
        condition, values = _after(key, after)
        with self._reading(), closing(self._open(writes=False)) as connection:
            (number,) = connection.execute(f"SELECT count(*) {_of(query)}{condition}", values).fetchone()
        return int(number)

    def rows(self, query: str, key: str, after: Any, most: int) -> Chunk:
        """Give the next rows in the key's order."""
        condition, values = _after(key, after)
        ordered = f"SELECT * {_of(query)}{condition} ORDER BY {_binary(key)} LIMIT {most + 1}"
        taken: list[tuple[Any, ...]] = []
        size = 0
        with self._reading(), closing(self._open(writes=False)) as connection:
            for row in connection.execute(ordered, values):
                plain = tuple(map(_plain, row))
                if len(taken) == most or size > LARGE:
                    return Chunk(taken, plain)
                taken.append(plain)
                size += sum(len(value) for value in row if isinstance(value, str | bytes))
        return Chunk(taken)

    def every(self, query: str, key: str) -> Generator[tuple[Any, ...], None, None]:
        """Give all rows in the key's order, as they are at one moment."""
        with self._reading(), closing(self._open(writes=False)) as connection:
            for row in connection.execute(f"SELECT * {_of(query)} ORDER BY {_binary(key)}"):
                yield tuple(map(_plain, row))

    def parameters(self, statement: str) -> frozenset[str]:
        """Give the names that a statement wants values for."""
        names = _Names()
        with self._asking("write to"), closing(self._open()) as connection:
            connection.execute(f"EXPLAIN {statement}", names)
        return frozenset(names.asked)

    def quoted(self, name: str) -> str:
        """Write a name as the database wants it."""
        return _quoted(name)

    def execute(self, work: Iterable[Work]) -> int:
        """Run statements, all or none."""
        idle = 0
        try:
            with closing(self._open()) as connection:
                connection.execute("BEGIN IMMEDIATE")
                for statements, values in work:
                    made = {name: storable(value) for name, value in values.items()}
                    idle += not any(_changes(connection, statement, made) for statement in statements)
                connection.execute("COMMIT")
        except (sqlite3.IntegrityError, sqlite3.DataError, OverflowError) as error:
            raise RefusedError(f"cannot write to the database {self.name!r}: {_reason(error)}") from error
        except sqlite3.Error as error:
            raise StorageError(f"cannot write to the database {self.name!r}: {_reason(error)}") from error
        return idle

    def close(self) -> None:
        """Do nothing: the file is opened for each question."""

    def _open(self, *, writes: bool = True) -> sqlite3.Connection:
        """Open the database; what is not committed when it is closed is undone.

        Without `writes` no statement can write; the database is open for writing all the same, since what a killed
        process left half done has to be undone before anybody can read.
        """
        address = f"file:{quote(str(self.path.absolute()))}?mode=rw"
        connection = sqlite3.connect(address, uri=True, timeout=PATIENCE, isolation_level=None)
        connection.text_factory = _text
        if not writes:
            connection.execute("PRAGMA query_only = ON")
        return connection

    @contextmanager
    def _reading(self) -> Generator[None, None, None]:
        try:
            yield
        except sqlite3.Error as error:
            raise RunStoppedError(f"cannot read the database {self.name!r}: {_reason(error)}") from error

    @contextmanager
    def _asking(self, doing: str) -> Generator[None, None, None]:
        """Tell of a statement that cannot be run, before a run begins."""
        try:
            yield
        except sqlite3.Error as error:
            raise ConfigError(f"cannot {doing} the database {self.name!r}: {_reason(error)}") from None


class _Names(dict[str, Any]):
    """Hears which names a statement asks for."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[str] = []

    def __missing__(self, name: str) -> None:
        self.asked.append(name)


def _of(query: str) -> str:
    """Read from a query; it is the configuration's, and never data."""
    return f"FROM ({query}\n)"


def _binary(key: str) -> str:
    """Name a column; compared byte by byte, whatever its table says, no two keys are alike that differ."""
    return f"{_quoted(key)} COLLATE BINARY"


def _quoted(name: str) -> str:
    doubled = name.replace('"', '""')
    return f'"{doubled}"'


def _changes(connection: sqlite3.Connection, statement: str, values: Mapping[str, Any]) -> bool:
    before = connection.total_changes
    connection.execute(statement, values)
    return connection.total_changes != before


def _after(key: str, after: Any) -> tuple[str, tuple[Any, ...]]:
    return ("", ()) if after is None else (f" WHERE {_binary(key)} > ?", (after,))


def _text(raw: bytes) -> Any:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return Undecodable(raw.decode("utf-8", "backslashreplace"))


def _plain(value: Any) -> Any:
    return value if isinstance(value, Undecodable) else jsonable(value)


def storable(value: Any) -> Any:
    """Turn a list or an object into its JSON text; half a character, which JSON may hold, into the mark for one."""
    if isinstance(value, str):
        return _HALVES.sub("\N{REPLACEMENT CHARACTER}", value)
    return dumps(value).decode() if isinstance(value, list | dict) else value


def _reason(error: Exception) -> str:
    text = str(error)
    if "Binding" in text and "has no name" in text:
        return "the statement has a '?'; write the name of a field instead, such as :id"
    return text
