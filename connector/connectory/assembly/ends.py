"""Both ends of a run: what `input` names, as a source, and the statement of an output, as a sink."""

from __future__ import annotations

import os
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, cast

from connectory.adapters.arrowsource import ArrowSource
from connectory.adapters.csvsource import CsvSource
from connectory.adapters.folder import FolderSource
from connectory.adapters.jsonl import LineSource
from connectory.adapters.memory import NamedIterable
from connectory.adapters.sqlsink import SqlSink
from connectory.adapters.sqlsource import SqlSource
from connectory.config import (
    CsvInput,
    FilesInput,
    ParquetInput,
    SqlInput,
    SqlOutput,
    UsedInput,
    UsedOutput,
    is_csv,
    is_parquet,
    parse_input,
)
from connectory.errors import ConfigError, InputError
from connectory.formats.csv import Form
from connectory.interfaces import Sink
from connectory.plugins import load_maker
from connectory.sql.alchemy import Server, shown
from connectory.sql.databases import Database, Sqlite
from connectory.sql.statements import Statement, Table
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from connectory.config import Config, InputForm, TableOutput
    from connectory.errors import Problem
    from connectory.events import Listener
    from connectory.interfaces import NamedSource


@dataclass(frozen=True, slots=True)
class Input:
    """The records that a connection reads, not opened yet.

    `name` tells it from every other input, from every folder; `file` is the one that is read, None where there is no
    one file, `-` for standard input. `command` says whether the command line gave it.
    """

    name: str
    file: str | None
    command: bool
    _open: Callable[[int | None], NamedSource]
    _locate: Callable[[str], Problem] | None = None

    def open(self, *, limit: int | None = None) -> NamedSource:
        """Open it; `limit` ends the reading after so many records. Raises ConfigError."""
        try:
            return self._open(limit)
        except InputError:
            raise
        except ConfigError as error:
            if self._locate is None:
                raise
            raise ConfigError(self._locate(error.problems[0].message)) from None


def input_of(
    config: Config, name: str, given: str | None = None, *, kind: Literal["incoming", "outgoing"] = "outgoing"
) -> Input:
    """Find the input of a connection: what the command line gives, relative to the current folder, else the configured.

    A CSV file that the command line gives is read as the configuration says of its own. Raises ConfigError.
    """
    configured = (config.outgoing if kind == "outgoing" else config.incoming)[name].input
    if given is None:
        found = _input(configured or "-", config.folder, command=False)
        if isinstance(configured, SqlInput | FilesInput | ParquetInput | UsedInput):
            return replace(found, _locate=partial(config.problem, (kind, name, "input")))
        return found
    form = parse_input(given)
    if isinstance(form, str) and is_csv(form) and isinstance(configured, CsvInput):
        form = configured.model_copy(update={"csv": form})
    elif isinstance(form, str) and is_parquet(form) and isinstance(configured, ParquetInput):
        form = configured.model_copy(update={"parquet": form})
    return _input(form, Path(), command=True)


def known_source(file: str, fingerprint: Any) -> LineSource | ArrowSource:
    """Open the file that a run of this fingerprint read."""
    known = cast("dict[str, Any]", fingerprint)
    if "columns" in known:
        return ArrowSource(Path(file), known["columns"])
    if "csv" not in known:
        return LineSource(file)
    delimiter, quote, encoding, columns = known["csv"]
    return CsvSource(file, Form(file, delimiter, quote, encoding, columns and tuple(columns)))


def sql_sink(config: Config, settings: SqlOutput | TableOutput, *, listen: Listener) -> SqlSink:
    """Make the sink that writes every line into a database. Raises ConfigError."""
    database = _database(settings.where, config.folder)
    if isinstance(settings, SqlOutput):
        return SqlSink(database, Statement(database, settings.sql), listen=listen)
    key = (settings.key,) if isinstance(settings.key, str) else settings.key
    return SqlSink(database, Table(database, settings.table, settings.write, key), listen=listen)


def used_sink(config: Config, settings: UsedOutput) -> Sink:
    """Make a sink of the user's own. Raises ConfigError."""
    made = load_maker("sink", settings.use, settings.options, folder=config.folder)()
    if lacking := [name for name in ("write", "flush", "close") if not callable(getattr(made, name, None))]:
        raise ConfigError(f"sink {settings.use!r} has no {lacking[0]!r}; derive it from connectory.Sink")
    if Sink not in type(made).__mro__:
        raise ConfigError(
            f"sink {settings.use!r} is not derived from connectory.Sink, which says how a run is resumed"
        )
    return cast("Sink", made)


def used_problems(config: Config) -> Iterator[Problem]:
    """Give what is wrong with the sources and sinks that are code: neither is made."""
    connections = {"incoming": config.incoming, "outgoing": config.outgoing}
    for kind, name in [(kind, name) for kind, named in connections.items() for name in named]:
        settings = connections[kind][name]
        for key, word in (("input", "source"), ("output", "sink")):
            used = getattr(settings, key, None)
            if isinstance(used, UsedInput | UsedOutput):
                try:
                    load_maker(word, used.use, used.options, folder=config.folder)
                except ConfigError as error:
                    yield from (config.problem((kind, name, key), one.message) for one in error.problems)


def _input(form: InputForm, folder: Path, *, command: bool) -> Input:
    if isinstance(form, FilesInput):
        return _files(form, folder, command=command)
    if isinstance(form, SqlInput):
        return _sql(form, folder, command=command)
    if isinstance(form, UsedInput):
        return _used(form, folder, command=command)
    return _file(form, folder, command=command)


def _file(form: str | CsvInput | ParquetInput, folder: Path, *, command: bool) -> Input:
    """Read one file, as its name or the configuration says."""
    if isinstance(form, str) and is_parquet(form):
        form = ParquetInput(parquet=form)
    written = form if isinstance(form, str) else form.csv if isinstance(form, CsvInput) else form.parquet
    path = written if written == "-" else str(folder / Path(written).expanduser())
    name = path if path == "-" else os.path.realpath(path)
    if isinstance(form, ParquetInput):
        columns = form.columns
        return Input(name, path, command, lambda limit: ArrowSource(Path(path), columns, limit=limit))
    if isinstance(form, CsvInput):
        csv = Form(form.csv, form.delimiter, form.quote, form.encoding, form.columns, form.empty)
    elif is_csv(form):
        csv = Form(form)
    else:
        return Input(name, path, command, lambda limit: LineSource(path, limit=limit))
    return Input(name, path, command, lambda limit: CsvSource(path, csv, limit=limit))


def _files(form: FilesInput, folder: Path, *, command: bool) -> Input:
    root = folder / Path(form.folder or "").expanduser()
    patterns = (form.files,) if isinstance(form.files, str) else form.files
    name = f"files {', '.join(patterns)} in {os.path.realpath(root)}"
    return Input(name, None, command, lambda limit: FolderSource(root, patterns, limit=limit))


def _sql(form: SqlInput, folder: Path, *, command: bool) -> Input:
    where = form.where
    place = shown(where) if "://" in where else os.path.realpath(folder / Path(where).expanduser())
    name = f"sql {form.statement} by {form.key} of {place}"
    return Input(
        name,
        None,
        command,
        lambda limit: SqlSource(_database(where, folder), form.statement, form.key, limit=limit),
    )


def _database(where: str, folder: Path) -> Database:
    return Server(where) if "://" in where else Sqlite(folder / Path(where).expanduser())


def _used(form: UsedInput, folder: Path, *, command: bool) -> Input:
    """Read what code gives; code that the command line names must be installed."""
    known = {"use": form.use, "options": form.options}

    def opened(limit: int | None) -> NamedIterable:
        make = load_maker("source", form.use, form.options, folder=None if command else folder)
        return NamedIterable(make, f"source {form.use!r}", known, limit=limit)

    return Input(f"use {dumps(known).decode()}", None, command, opened)
