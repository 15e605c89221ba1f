"""Databases behind an SQL source or sink: PostgreSQL, and whatever else SQLAlchemy speaks to."""

from __future__ import annotations

import time
from contextlib import contextmanager
from importlib import import_module
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any, TypeVar

from connectory.errors import ConfigError, RunStoppedError, StorageError
from connectory.sql.databases import (
    LARGE,
    PATIENCE,
    AwayError,
    Chunk,
    RefusedError,
    storable,
)
from connectory.text.values import jsonable

if TYPE_CHECKING:
    from collections.abc import Callable, Generator, Iterable, Mapping, Sequence

    from connectory.sql.databases import Work

T = TypeVar("T")

CONNECTING = 10
"""Seconds that a database server has to answer."""

PAUSE = 0.5
"""Seconds between two attempts to reach a database that was there."""

AT_ONCE = 500
"""Rows that are fetched at once where all are read."""

_DRIVERS = {"postgresql": "postgresql+psycopg", "postgres": "postgresql+psycopg"}
_PLANNING = frozenset({"postgresql", "mysql", "mariadb", "sqlite"})
"""Dialects in which EXPLAIN looks at a statement and does not run it."""

_NONE = "'database' is no URL of a database that SQLAlchemy knows"
_EXTRA = "pip install 'connectory[sql]'"


class Server:
    """A database by its URL. Raises ConfigError where SQLAlchemy or the driver is missing, or the URL is none.

    Nothing is connected before it is asked; a reading holds no connection between two chunks, a writing one until
    `close`.
    """

    def __init__(self, url: str) -> None:
        try:
            self._sql: Any = import_module("sqlalchemy")
            pool: Any = import_module("sqlalchemy.pool")
        except ModuleNotFoundError:
            raise ConfigError(f"a database other than SQLite needs SQLAlchemy: {_EXTRA}") from None
        self._errors: Any = self._sql.exc
        wrong = self._errors.ArgumentError, self._errors.NoSuchModuleError, ValueError
        try:
            parsed: Any = self._sql.make_url(url)
        except wrong:
            raise ConfigError(_NONE) from None
        driver = _DRIVERS.get(parsed.drivername, parsed.drivername)
        try:
            self._engine: Any = self._sql.create_engine(
                parsed.set(drivername=driver),
                poolclass=pool.NullPool,
                hide_parameters=True,
                connect_args=_arguments(parsed),
            )
        except wrong:
            raise ConfigError(_NONE) from None
        except ModuleNotFoundError as error:
            hint = _EXTRA if driver in _DRIVERS.values() else f"install {error.name!r}"
            raise ConfigError(f"the driver of {driver!r} is not installed: {hint}") from None
        self.name = shown(url)
        self.dialect = str(self._engine.dialect.name)
        self._held: Any = None

    def columns(self, query: str) -> Sequence[str]:
        """Give the names of a query's columns."""
        with self._asking("read"), self._reading() as connection:
            found = connection.execute(self._text(_literally(f"SELECT * {_of(query)} LIMIT 0")))
            names = [str(one) for one in found.keys()]  # noqa: SIM118 - of a result, whose rows are none of them
        for name in names:
            if names.count(name) > 1:
                raise ConfigError(f"the query has two columns {name!r}; give one another name with AS")
        return names

    def count(self, query: str, key: str, after: Any) -> int:
        """Count the rows whose key comes after one."""
        with self._telling(), self._reading() as connection:
            return int(self._run(connection, f"SELECT count(*) {_of(query)}", key, after).scalar())

    def rows(self, query: str, key: str, after: Any, most: int) -> Chunk:
        """Give the next rows in the key's order."""
        return self._patiently(lambda: self._chunk(query, key, after, most))

    def every(self, query: str, key: str) -> Generator[tuple[Any, ...], None, None]:
        """Give all rows in the key's order, as they are at one moment."""
        with self._telling(), self._reading() as connection:
            streaming = connection.execution_options(stream_results=True, yield_per=AT_ONCE)
            for row in self._ordered(streaming, query, key, None, None):
                yield tuple(jsonable(value) for value in row)

    def parameters(self, statement: str) -> frozenset[str]:
        """Give the names that a statement wants values for."""
        names = frozenset(
            str(one) for one in self._text(statement).compile(dialect=self._engine.dialect).params
        )
        if self.dialect in _PLANNING:
            with self._asking("write to"), self._connected() as connection:
                connection.execute(self._text(f"EXPLAIN {statement}"), dict.fromkeys(names))
        return names

    def quoted(self, name: str) -> str:
        """Write a name as the database wants it."""
        return _literally(str(self._engine.dialect.identifier_preparer.quote_identifier(name)))

    def execute(self, work: Iterable[Work]) -> int:
        """Run statements, all or none."""
        made = [
            (statements, {name: storable(value) for name, value in values.items()})
            for statements, values in work
        ]
        return self._patiently(lambda: self._write(made))

    def close(self) -> None:
        """Let go of the server."""
        held, self._held = self._held, None
        if held is not None:
            held.close()
        self._engine.dispose()

    def _write(self, work: Sequence[Work]) -> int:
        connection = self._held = self._held or self._engine.connect()
        idle = 0
        try:
            for statements, alike in groupby(work, itemgetter(0)):
                values = [dict(one) for _, one in alike]
                idle += _done(connection, [self._text(one) for one in statements], values)
            connection.commit()
        except (self._errors.IntegrityError, self._errors.DataError) as error:
            connection.rollback()
            raise RefusedError(f"cannot write to the database {self.name!r}: {_reason(error)}") from error
        except self._errors.DBAPIError as error:
            if error.connection_invalidated:
                raise
            connection.rollback()
            raise StorageError(f"cannot write to the database {self.name!r}: {_reason(error)}") from error
        return idle

    def _chunk(self, query: str, key: str, after: Any, most: int) -> Chunk:
        taken: list[tuple[Any, ...]] = []
        size = 0
        with self._telling(), self._reading() as connection:
            for row in self._ordered(connection, query, key, after, most + 1):
                plain = tuple(jsonable(value) for value in row)
                if len(taken) == most or size > LARGE:
                    return Chunk(taken, plain)
                taken.append(plain)
                size += sum(len(value) for value in row if isinstance(value, str | bytes))
        return Chunk(taken)

    def _ordered(self, connection: Any, query: str, key: str, after: Any, most: int | None) -> Any:
        limit = "" if most is None else f" LIMIT {int(most)}"
        return self._run(
            connection, f"SELECT * {_of(query)}", key, after, f" ORDER BY {self.quoted(key)}{limit}"
        )

    def _run(self, connection: Any, start: str, key: str, after: Any, end: str = "") -> Any:
        if after is None:
            return connection.execute(self._text(_literally(start) + end))
        if isinstance(after, str) and self.dialect not in {"postgresql", "sqlite"}:
            raise RunStoppedError(
                f"{key!r} is a text, and this database may take texts for the same that differ; "
                "`key` must name a column of numbers"
            )
        condition = f" WHERE {self.quoted(key)} > :after"
        return connection.execute(self._text(_literally(start) + condition + end), {"after": after})

    def _text(self, statement: str) -> Any:
        return self._sql.text(statement)

    @contextmanager
    def _connected(self) -> Generator[Any, None, None]:
        with self._engine.connect() as connection:
            yield connection

    @contextmanager
    def _reading(self) -> Generator[Any, None, None]:
        """Connect so that no statement can write, where the database knows how."""
        options: dict[str, Any] = {"postgresql_readonly": True} if self.dialect == "postgresql" else {}
        with self._engine.connect() as connection:
            yield connection.execution_options(**options)

    def _patiently(self, work: Callable[[], T]) -> T:
        """Do work again where the server went away meanwhile, until patience ends."""
        until = time.monotonic() + PATIENCE
        while True:
            try:
                return work()
            except (self._errors.OperationalError, self._errors.InterfaceError) as error:
                held, self._held = self._held, None
                if held is not None:
                    held.close()
                if time.monotonic() > until:
                    raise self._away(error) from error
            except AwayError:
                if time.monotonic() > until:
                    raise
            time.sleep(PAUSE)

    def _away(self, error: Any) -> AwayError:
        return AwayError(f"the database {self.name!r} is not there: {_reason(error)}")

    @contextmanager
    def _telling(self) -> Generator[None, None, None]:
        try:
            yield
        except (self._errors.OperationalError, self._errors.InterfaceError) as error:
            raise self._away(error) from error
        except self._errors.SQLAlchemyError as error:
            raise RunStoppedError(f"cannot read the database {self.name!r}: {_reason(error)}") from error

    @contextmanager
    def _asking(self, doing: str) -> Generator[None, None, None]:
        """Tell of a statement that cannot be run, before a run begins."""
        try:
            yield
        except (self._errors.OperationalError, self._errors.InterfaceError) as error:
            raise self._away(error) from None
        except self._errors.SQLAlchemyError as error:
            raise ConfigError(f"cannot {doing} the database {self.name!r}: {_reason(error)}") from None


def shown(url: str) -> str:
    """Write the URL of a database without its password and its options."""
    scheme, _, rest = url.partition("://")
    userinfo, at, place = rest.rpartition("@")
    return f"{scheme.partition('+')[0]}://{userinfo.partition(':')[0]}{at}{place.partition('?')[0]}"


def _done(connection: Any, statements: Sequence[Any], values: Sequence[Mapping[str, Any]]) -> int:
    """Run statements; give how many sets of values changed no row."""
    if len(statements) == 1 and values:
        changed = connection.execute(statements[0], values).rowcount
        return max(0, len(values) - changed) if changed >= 0 else 0
    idle = 0
    for one in values:
        idle += not any(connection.execute(statement, one).rowcount for statement in statements)
    return idle


def _of(query: str) -> str:
    """Read from a query; it is the configuration's, and never data."""
    return f"FROM ({query}\n) AS connectory_rows"


def _literally(text: str) -> str:
    """Write a text so that SQLAlchemy sees no parameter in it."""
    return text.replace("\\:", ":").replace(":", "\\:")


def _arguments(url: Any) -> dict[str, Any]:
    """Bound the time that connecting takes, unless the URL does."""
    known = url.drivername.startswith("postgres") and "connect_timeout" not in url.query
    return {"connect_timeout": CONNECTING} if known else {}


def _reason(error: Any) -> str:
    """Give what the database said, without the statement and its values."""
    text = str(getattr(error, "orig", None) or error).strip()
    return " ".join(text.split("\n", 1)[0].split()) or type(error).__name__
