"""What the connections of a configuration need of this machine: packages, files and folders."""

from __future__ import annotations

from shlex import quote
from typing import TYPE_CHECKING, Any

from connectory.cli.examining import Finding
from connectory.config.input import CsvInput, FilesInput, ParquetInput, UsedInput, is_parquet
from connectory.errors import ConfigError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from connectory.config import Config

_ELSEWHERE = "put it there, or write another one into the configuration"


def provisions(config: Config) -> Iterator[Finding]:
    """Look at what each connection reads and writes: one finding for each thing that is not there."""
    found = 0
    for kind, named in (("incoming", config.incoming), ("outgoing", config.outgoing)):
        for name, settings in named.items():
            for key in ("input", "output", "dead_letters"):
                form: Any = getattr(settings, key, None)
                if form is None or settings.disabled:
                    continue
                for text, do in _lacking(config, form, reads=key == "input"):
                    found += 1
                    yield Finding(f"{kind} {name}: {key}", "warn", text, do)
    count = len(config.incoming) + len(config.outgoing)
    if count and not found:
        yield Finding("connections", "ok", f"the packages, files and folders of all {count} are there")


def _lacking(config: Config, form: Any, *, reads: bool) -> Iterator[tuple[str, str]]:
    """Give what one input or output lacks, each with what to do about it."""
    if isinstance(form, FilesInput):
        yield from _folder(config.file(form.folder or "."))
        return
    if isinstance(form, UsedInput):
        return  # lint loads it
    where = getattr(form, "where", None)
    if where is not None:
        yield from _database(config, where)
        return
    name = (
        form.csv if isinstance(form, CsvInput) else form.parquet if isinstance(form, ParquetInput) else form
    )
    if not isinstance(name, str) or name == "-":
        return
    if is_parquet(name) or isinstance(form, ParquetInput):
        yield from _arrow()
    path = config.file(name)
    if not reads:
        yield from _folder(path.parent)
    elif not path.exists():
        yield f"there is no file {str(path)!r}", _ELSEWHERE


def _folder(path: Path) -> Iterator[tuple[str, str]]:
    if not path.is_dir():
        yield f"there is no folder {str(path)!r}", f"mkdir -p {quote(str(path))}"


def _arrow() -> Iterator[tuple[str, str]]:
    from connectory.formats.arrow import arrow

    try:
        arrow()
    except ConfigError as error:
        yield _told(error)


def _database(config: Config, where: str) -> Iterator[tuple[str, str]]:
    """Look for the packages that a database's URL needs, or for the file of SQLite; nothing is connected."""
    if "://" not in where:
        path = config.file(where)
        if not path.is_file():
            yield f"there is no database {str(path)!r}", _ELSEWHERE
    elif "${" not in where:
        from connectory.sql.alchemy import Server

        try:
            Server(where)
        except ConfigError as error:
            yield _told(error)


def _told(error: ConfigError) -> tuple[str, str]:
    """Part what is wrong from the command that mends it."""
    text, _, command = str(error).partition(": pip ")
    return (text, f"pip {command}") if command else (text, "")
