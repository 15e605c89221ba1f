"""The results location: a folder that all machines see, with what was answered and what is under way.

results/part-00003-RUN.jsonl        what became of each row, when the write is committed
dead_letters/part-00003-RUN.jsonl   the rows that were set aside
_connectory/run.json                the write that is not at its end
_connectory/RUN/tasks/              who is at work: a file for each attempt of a task
_connectory/RUN/00003/0002-TOKEN/   what the second attempt at partition 3 has sent, and been answered
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any
from uuid import uuid4

from connectory.engines.spark.presence import STALE, TICK, fresh_in
from connectory.errors import ConfigError, JobBusyError, StorageError
from connectory.files.private import make_folder
from connectory.files.storage import why, write_whole
from connectory.journal import new_run_id

if TYPE_CHECKING:
    from collections.abc import Iterable

RESULTS, LETTERS, STATE = "results", "dead_letters", "_connectory"
"""Folders of a location; Spark's own readers pass over names that begin with an underscore."""

TASKS, OWNER, POINTER = "tasks", "owner", "run.json"
PATIENCE = 3 * STALE
"""Seconds for which the tasks of a driver that is gone are given to end."""


@dataclass(frozen=True, slots=True)
class WriteRun:
    """One write: its id, the connection and what it sends to. `lives` counts the drivers that have worked on it."""

    run: str
    kind: str
    connection: str
    target: str
    started_at: int
    lives: int = 1


@dataclass(frozen=True, slots=True)
class Attempt:
    """One attempt at a partition: its folder, what is known of it, and the folders of those before it."""

    token: str
    folder: Path
    owner: Path
    tasks: Path
    earlier: tuple[Path, ...]

    @property
    def presence(self) -> Path:
        """The file that says that it is at work."""
        return self.tasks / self.token


class Location:
    """A results location."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.state = folder, folder / STATE

    def begin(self, kind: str, connection: str, target: str, *, new: bool) -> WriteRun:
        """Take up the write that is not at its end, or begin one. Raises ConfigError, JobBusyError, StorageError."""
        try:
            make_folder(self.state)
            if new:
                self._give_up()
            earlier = self.unfinished()
            if earlier is None:
                begun = WriteRun(new_run_id(), kind, connection, target, int(time.time()))
            else:
                _refuse_other(earlier, kind, connection, target, self.folder)
                self._refuse_busy(earlier.run)
                begun = replace(earlier, lives=earlier.lives + 1)
            write_whole(self.state / POINTER, json.dumps(asdict(begun)).encode() + b"\n")
        except OSError as error:
            raise StorageError(f"cannot keep results in {str(self.folder)!r}: {why(error)}") from error
        return begun

    def stream(self, connection: str, target: str) -> WriteRun:
        """Give what the micro-batches of a stream have in common; each of them is a run with an id of its own."""
        try:
            make_folder(self.state)
        except OSError as error:
            raise StorageError(f"cannot keep results in {str(self.folder)!r}: {why(error)}") from error
        return WriteRun("", "stream", connection, target, int(time.time()))

    def unfinished(self) -> WriteRun | None:
        """Give the write that is not at its end."""
        try:
            return WriteRun(**json.loads((self.state / POINTER).read_bytes()))
        except FileNotFoundError:
            return None
        except (ValueError, TypeError) as error:
            what = f"{str(self.state / POINTER)!r} cannot be read: {error}"
            raise ConfigError(f'{what}; .option("new", "true") begins anew') from None

    def claim(self, run: str, partition: int, *, all_partitions: bool) -> Attempt:
        """Begin an attempt at a partition; from here on an earlier one that is still at work stops.

        Gives the folders of the earlier attempts once none of them is at work any more. With `all_partitions` those at
        the other partitions are among them.
        """
        base, token = self.state / run, uuid4().hex[:12]
        own, tasks = base / f"{partition:05}", base / TASKS
        try:
            for folder in (own, tasks):
                make_folder(folder)
            write_whole(own / OWNER, token.encode())
            before = _attempts(own)
            self._wait_for_end(tasks, [one.name for one in before])
            name = f"{len(before) + 1:04}-{partition:05}-{token}"
            (own / name).mkdir(mode=0o700)
        except OSError as error:
            raise StorageError(f"cannot keep results in {str(own)!r}: {why(error)}") from error
        others = [
            one for other in sorted(base.iterdir()) if other not in {own, tasks} for one in _attempts(other)
        ]
        earlier = (*(others if all_partitions else ()), *before)
        return Attempt(name, own / name, own / OWNER, tasks, earlier)

    def publish(self, run: str, parts: Iterable[tuple[Path, str]], *, overwrite: bool) -> None:
        """Put the lines of the attempts that have won in place, each with the name it is to have below the location."""
        try:
            kept = set[Path]()
            for source, name in parts:
                place = self.folder / name
                make_folder(place.parent)
                if (
                    source.exists() or not place.exists()
                ):  # put in place already, by a commit that was interrupted
                    os.replace(source, place)  # noqa: PTH105 - the word for what happens
                kept.add(place)
            if overwrite:
                for folder in (RESULTS, LETTERS):
                    for old in (self.folder / folder).glob("part-*"):
                        if old not in kept and f"-{run}." not in old.name:
                            old.unlink()
        except OSError as error:
            raise StorageError(f"cannot put the results into {str(self.folder)!r}: {why(error)}") from error

    def finish(self) -> None:
        """Note that the write is at its end, and let go of what only a retry needs."""
        found = self.unfinished()
        (self.state / POINTER).unlink(missing_ok=True)  # first: a run without its folder must not be taken up
        if found is not None:
            self.forget(found.run)

    def forget(self, run: str) -> None:
        """Delete what was kept of a run for retries."""
        shutil.rmtree(self.state / run, ignore_errors=True)

    def _give_up(self) -> None:
        """Forget the write that is not at its end. Raises JobBusyError where it is at work."""
        with suppress(ConfigError):  # what cannot be read is forgotten too
            if (earlier := self.unfinished()) is not None:
                self._refuse_busy(earlier.run)
                self.forget(earlier.run)
        (self.state / POINTER).unlink(missing_ok=True)

    def _refuse_busy(self, run: str) -> None:
        """Wait for the tasks of a driver that is gone, and raise JobBusyError where they go on."""
        tasks, until = self.state / run / TASKS, time.monotonic() + PATIENCE
        while fresh_in(tasks):
            if time.monotonic() > until:
                raise JobBusyError(
                    f"another job writes to {str(self.folder)!r}; wait for its end, or name another results location"
                )
            time.sleep(TICK)

    def _wait_for_end(self, tasks: Path, names: list[str]) -> None:
        """Wait until attempts are over, or give no sign of life any more."""
        while set(names) & fresh_in(tasks):
            time.sleep(TICK / 2)


def part_name(folder: str, run: str, partition: int, suffix: str) -> str:
    """Name the file of a partition's lines."""
    return f"{folder}/part-{partition:05}-{run}.{suffix}"


def _attempts(partition: Path) -> list[Path]:
    with suppress(NotADirectoryError):
        return sorted(one for one in partition.iterdir() if one.is_dir())
    return []


def _refuse_other(earlier: WriteRun, kind: str, connection: str, target: str, folder: Path) -> None:
    known: tuple[Any, ...] = (earlier.kind, earlier.connection, earlier.target)
    if known != (kind, connection, target):
        raise ConfigError(
            f"{str(folder)!r} holds the unfinished {earlier.kind} of outgoing {earlier.connection!r} "
            f"({earlier.target}); finish that one, name another results location, or begin anew with "
            '.option("new", "true")'
        )
