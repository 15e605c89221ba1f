"""What is written into a database for each line: a statement of the user's own, or one made for a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal, Protocol, cast

from connectory.errors import ConfigError, did_you_mean
from connectory.sql.databases import RefusedError
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.sql.databases import Database, Work

How = Literal["insert", "update", "upsert"]

_KNOWS_CONFLICTS = frozenset({"postgresql", "sqlite"})


class Writing(Protocol):
    """Makes of a line what the database is asked to do."""

    def of(self, line: Any) -> Work:
        """Give the statements of a line with their values.

        Raises ConfigError for a line that is not as the configuration says, RefusedError for values that cannot be
        written.
        """
        ...


class Statement:
    """A statement of the user's own; `:name` in it is the field of that name. Raises ConfigError."""

    def __init__(self, database: Database, statement: str) -> None:
        self._database, self._statement = database, (statement,)
        self._names = database.parameters(statement)
        if not self._names:
            raise ConfigError(
                f"the statement for the database {database.name!r} names no field of a line; write :id for the field id"
            )

    def of(self, line: Any) -> Work:
        """Give the statement with the fields that it names."""
        fields = _fields(line)
        missing = sorted(self._names - fields.keys())
        if missing:
            raise ConfigError(
                f"a line for the database {self._database.name!r} has no {missing[0]!r}, which the statement names: "
                f"{_there(line)}; `result` of an outgoing, or `transformers` of an incoming, make its fields"
            )
        return self._statement, {name: fields[name] for name in self._names}


class Table:
    """Rows of a table: the fields of a line are its columns, and the key says which row. Raises ConfigError.

    Written twice, a line leaves the table as it was after the first time. Columns that a line has not stay as they are.
    """

    def __init__(self, database: Database, table: str, how: How, key: Sequence[str]) -> None:
        self._database, self._table, self._how, self._key = database, table, how, tuple(key)
        self._place = ".".join(database.quoted(part) for part in table.split("."))
        self._columns = frozenset(database.columns(f"SELECT * FROM {self._place}"))  # noqa: S608 - the name is quoted
        self._made: dict[tuple[str, ...], tuple[str, ...]] = {}
        if how != "update" and database.dialect not in _KNOWS_CONFLICTS:
            raise ConfigError(
                f"'write: {how}' is for PostgreSQL and SQLite; give a statement of your own with 'sql' instead"
            )
        for name in self._key:
            self._check(name, "'key' names")
        for statement in self._statements(self._key):
            database.parameters(statement)  # which also tells of a key that no row is found by

    def of(self, line: Any) -> Work:
        """Give the statements that write the fields of a line."""
        fields = _fields(line)
        names = tuple(sorted(fields))
        for name in self._key:
            if name not in fields:
                raise ConfigError(
                    f"a line for the table {self._table!r} has no {name!r}, which 'key' names: {_there(line)}; "
                    "`result` of an outgoing, or `transformers` of an incoming, make its fields"
                )
            if fields[name] is None:
                raise RefusedError(f"{name!r}, which tells the rows of {self._table!r} apart, is null")
        if names not in self._made:
            for name in names:
                self._check(name, "a line has the field")
            self._made[names] = self._statements(names)
        return self._made[names], {f"v{number}": fields[name] for number, name in enumerate(names)}

    def _check(self, name: str, what: str) -> None:
        if name not in self._columns:
            hint = did_you_mean(name, self._columns) or f"; it has {', '.join(sorted(self._columns))}"
            raise ConfigError(f"{what} {name!r}, and the table {self._table!r} has no such column{hint}")

    def _statements(self, names: Sequence[str]) -> tuple[str, ...]:
        """Make the statements for these columns, whose values are `v0`, `v1` and so on."""
        values = {name: f":v{number}" for number, name in enumerate(names)}
        if self._how == "insert":
            return (self._insertion(values, "NOTHING"),)
        others = [name for name in names if name not in self._key] or list(self._key)
        updating = self._updating(values, others)
        if self._how == "update":
            return (updating,)
        quoted = self._database.quoted
        replaced = ", ".join(f"{quoted(name)} = excluded.{quoted(name)}" for name in others)
        # the row is looked for first: an insertion wants all columns that cannot be null, also where the row is there
        return updating, self._insertion(values, f"UPDATE SET {replaced}")

    def _updating(self, values: Mapping[str, str], others: Sequence[str]) -> str:
        quoted = self._database.quoted
        changes = ", ".join(f"{quoted(name)} = {values[name]}" for name in others)
        found = " AND ".join(f"{quoted(name)} = {values[name]}" for name in self._key)
        return f"UPDATE {self._place} SET {changes} WHERE {found}"  # noqa: S608 - names are quoted

    def _insertion(self, values: Mapping[str, str], otherwise: str) -> str:
        quoted = self._database.quoted
        columns, key = ", ".join(map(quoted, values)), ", ".join(map(quoted, self._key))
        row = ", ".join(values.values())
        into = f"INSERT INTO {self._place} ({columns}) VALUES ({row})"  # noqa: S608 - names are quoted
        return f"{into} ON CONFLICT ({key}) DO {otherwise}"


def _fields(line: Any) -> Mapping[str, Any]:
    return cast("Mapping[str, Any]", line) if isinstance(line, dict) else {}


def _there(line: Any) -> str:
    fields = _fields(line)
    return f"it has {', '.join(fields)}" if fields else f"it is {dumps(line).decode():.80}"
