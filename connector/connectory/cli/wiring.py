"""Where a run's records come from and go to: what the command line and the configuration say, put together."""

from __future__ import annotations

import os
import shutil
import stat
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from connectory.adapters.deadletters import read_letter
from connectory.adapters.linesink import LineSink
from connectory.cli.advising import preview_of, replay_of
from connectory.cli.causes import Causes
from connectory.cli.saying import WARNING, say, voice
from connectory.errors import ConfigError, RecordError, StorageError
from connectory.files.private import make_folder, open_private
from connectory.files.storage import why
from connectory.formats.pouring import pouring_of
from connectory.interfaces import Sink
from connectory.journal import DEAD_LETTERS
from connectory.text.json import JsonTextError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectory.config import Config, OutputForm
    from connectory.connector import AsyncConnector
    from connectory.interfaces import Position
    from connectory.journal import Facts
    from connectory.publisher import Publisher
    from connectory.record import Record, Result

OutputMode = Literal["replace", "append"]


def place(config: Config, given: str | None, configured: OutputForm | None) -> str:
    """Choose a file: the command line's, relative to here; the configuration's, relative to it; else `-`."""
    if given is not None:
        return given
    return str(config.file(configured)) if isinstance(configured, str) and configured != "-" else "-"


def suit(publisher: Publisher, sink: Sink) -> None:
    """Give a sink only the lines that it takes: failed records are in the dead letters anyway."""
    if not sink.failures:
        publisher.lines = lines_of_ok


def lines_of_ok(result: Result) -> list[Any]:
    """Give the lines of an ok result."""
    return result.lines() if result.ok else []


def refuse_same(source: str | None, output: str, letters: Iterable[Path | None] = ()) -> None:
    """Refuse to write over the records that are being read, and dead letters over the results."""
    read = None if source is None else _identity(source, 0)
    written = _identity(output, 1)
    if read is not None and read == written:
        raise ConfigError(f"input and output are the same file, {source!r}; give the results another name")
    for one in filter(None, letters):
        met = _identity(str(one), 1)
        if met is not None and met in {read, written}:
            other = "input" if met == read else "output"
            raise ConfigError(
                f"{other} and dead letters are the same file, {str(one)!r}; give 'dead_letters' another name"
            )


def _identity(path: str, standard: int) -> object:
    """Tell a file from every other, whatever its name; None for pipes and terminals."""
    try:
        status = os.fstat(standard) if path == "-" else Path(path).stat()
    except OSError:
        return None if path == "-" else os.path.realpath(path)
    return (status.st_dev, status.st_ino) if stat.S_ISREG(status.st_mode) else None


def destination(
    made: AsyncConnector,
    given: str | None,
    configured: OutputForm | None,
    *,
    mode: OutputMode = "replace",
) -> Sink:
    """Open a connection's output, or the file that was given instead."""
    if given is None and configured is not None and not isinstance(configured, str):
        return made.sink(configured)
    path = place(made.config, given, configured)
    return LineSink(path, mode=mode, pouring=pouring_of(path))


def dead_letters(made: AsyncConnector, facts: Facts, options: Mapping[str, Any]) -> DeadLetters:
    """Make the dead letters of a run: a file in its folder, and a copy where the connection wants one."""
    letters = DeadLetters(made.runs.path(facts.run) / DEAD_LETTERS, copy_of_letters(made, facts.connection))
    letters.name(facts, options)
    return letters


def copy_of_letters(made: AsyncConnector, name: str) -> Path | None:
    """Name the file in which an outgoing wants a copy of its dead letters."""
    configured = made.assembly.outgoing(name).dead_letters
    return made.config.file(configured) if configured else None


class DeadLetters(Sink):
    """The file of records that were set aside: made when the first one is, and counted by what went wrong.

    The `copy` is written when the run ends, or breaks off.
    """

    def __init__(self, path: Path, copy: Path | None = None) -> None:
        self.path = short(copy or path)
        self.causes = Causes()
        self._file, self._copy = path, copy
        self._sink = LineSink(path, lazy=True, staged=False)

    def name(self, facts: Facts, options: Mapping[str, Any]) -> None:
        """Say whose records they are, and with which options they are sent, for what is advised about them.

        What comes out of another connection, as in a route, or from another program cannot be shown without it.
        """
        alone = facts.command[1:3] == ("run", "outgoing")
        self.causes.preview = preview_of("outgoing", facts.connection, options) if alone else ""
        self.causes.replay = replay_of(facts.run, options)

    @property
    def position(self) -> Position:
        """Say how far the file has come."""
        return self._sink.position

    def restore(self, position: Position) -> bool:
        """Go on from a position; what an earlier life of the run has set aside counts among the causes."""
        restored = self._sink.restore(position)
        if restored:
            self.learn(self._file)
        return restored

    def learn(self, file: Path) -> None:
        """Take in the causes of the letters in a file, as far as there is one and its lines are whole."""
        if not file.exists():
            return
        with file.open("rb") as lines, suppress(JsonTextError, RecordError):
            for number, line in enumerate(lines, 1):
                self.causes.add(read_letter(line, number))

    def restart(self) -> None:
        """Begin from nothing."""
        self._sink.restart()

    def sync(self) -> None:
        """Make what was flushed outlive the machine's power."""
        self._sink.sync()

    async def write(self, lines: Iterable[Record]) -> None:
        """Take the lines of records that failed."""
        kept = list(lines)
        for line in kept:
            self.causes.add(line)
        await self._sink.write(kept)

    async def flush(self) -> None:
        """Write them down."""
        await self._sink.flush()

    async def close(self) -> None:
        """Close the file, if there is one."""
        await self._sink.close()
        self.give_copy()

    async def abandon(self) -> None:
        """Close the file, if there is one."""
        await self._sink.abandon()
        self.give_copy()

    def give_copy(self) -> None:
        """Copy the file to where the connection wants it."""
        if self._copy is None or not self._file.exists():
            return
        try:
            make_folder(self._copy.parent)
            os.close(open_private(self._copy, os.O_WRONLY | os.O_CREAT))
            shutil.copyfile(self._file, self._copy)
        except OSError as error:
            raise StorageError(
                f"cannot copy the dead letters to {str(self._copy)!r}: {why(error)}; they are in {str(self._file)!r}"
            ) from error

    def say_causes(self) -> None:
        """Say what went wrong how often, most frequent first, and where all of it lies."""
        if not self.causes:
            return
        lines = self.causes.lines()
        where = f"failed records, each with its reason: {self.path}"
        if voice.json:
            say(where, event="causes", level=WARNING, causes=self.causes.told())
            return
        for line in lines:
            say(line, level=WARNING)
        say(where, level=WARNING)


def short(path: Path) -> str:
    """Write a path below the current folder without the folder."""
    try:
        return str(path.relative_to(Path.cwd()))
    except ValueError:
        return str(path)
