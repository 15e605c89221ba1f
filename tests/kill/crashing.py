"""Runs the program and kills it at a named place: `python -m kill.crashing LABEL:VISIT run outgoing ...`.

Each place is a seam that the program has anyway: a system call on one of its files, a statement to SQLite, a step of
a delivery. The program itself knows nothing of it.
"""

from __future__ import annotations

import fcntl
import os
import re
import signal
import sqlite3
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from connectory import publisher
from connectory.cli import main as program
from connectory.client import Client
from connectory.files.storage import Lock
from connectory.journal import DiskJournal, committing, runs
from connectory.publisher import Publisher

WRITTEN = {
    "results.jsonl": "record",
    "dead_letters.jsonl.part": "dead",
    "dead_letters.jsonl": "dead",
    "output.jsonl.part": "output",
}
"""Files whose writes are places to die at, and what the places are called."""

LABELS = {
    "lock": "the job is this process's own",
    "facts": "run.json is written",
    "pointer": "the job's file names the run, or none when the run is finished",
    "job": "the same, seen from the system",
    "open": "the journal is open, the rest of the log is taken over, the life is counted",
    "cut_output": "the output is cut back",
    "cut_dead": "the dead letters are cut back",
    "cut_record": "the torn end of the results log is cut off",
    "read": "a record is read",
    "prepare": "its request is made",
    "intent": "its intent is written",
    "send": "its answer is here",
    "record": "its result is written",
    "dead": "its dead letter is written",
    "output": "its line is written",
    "show": "its line counts as shown",
    "commit": "the group of changes is written",
    "rename": "the output lies in its place",
    "finish": "the run counts as finished",
}
"""Each step, and what is true after it: `before_` and `after_` are places, and `mid_` for half a write."""


class Place:
    """Where to die: at the `visit`-th time that the place `label` is passed."""

    def __init__(self, label: str, visit: int) -> None:
        self.label, self.left = label, visit

    def __call__(self, label: str) -> None:
        """Pass a place; nothing after this line happens when it is the one."""
        if label == self.label:
            self.left -= 1
            if not self.left:
                os.kill(os.getpid(), signal.SIGKILL)
                signal.pause()  # the signal may take a moment; nothing else may


def around(passing: Place, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Make places of the moments before and after a call."""

    def surrounded(*given: Any, **named: Any) -> Any:
        passing(f"before_{name}")
        done = work(*given, **named)
        passing(f"after_{name}")
        return done

    return surrounded


def around_waiting(passing: Place, name: str, work: Callable[..., Any]) -> Callable[..., Any]:
    """Make places of the moments before and after something that is awaited."""

    async def surrounded(*given: Any, **named: Any) -> Any:
        passing(f"before_{name}")
        done = await work(*given, **named)
        passing(f"after_{name}")
        return done

    return surrounded


def named(file: int) -> str | None:
    """Tell what a file is by its name."""
    path = Path(f"/proc/self/fd/{file}").readlink()
    return "job" if path.parent.name == "jobs" else WRITTEN.get(path.name)


def writing(passing: Place, write: Callable[[int, Any], int]) -> Callable[[int, Any], int]:
    """Make places of the moments before, in the middle of and after a write."""

    def written(file: int, data: Any) -> int:
        name = named(file)
        if name is None:
            return write(file, data)
        passing(f"before_{name}")
        if passing.label == f"mid_{name}" and passing.left == 1:
            write(file, bytes(data)[: len(data) // 2])
        passing(f"mid_{name}")
        count = write(file, data)
        passing(f"after_{name}")
        return count

    return written


def cutting(passing: Place, cut: Callable[[int, int], None]) -> Callable[[int, int], None]:
    """Make places of the moments before and after a file is cut back."""

    def done(file: int, length: int) -> None:
        name = named(file)
        if name is None:
            cut(file, length)
            return
        passing(f"before_cut_{name}")
        cut(file, length)
        passing(f"after_cut_{name}")

    return done


def database(passing: Place) -> type[sqlite3.Connection]:
    """Make places of the statements to SQLite."""

    class Connection(sqlite3.Connection):
        def execute(self, sql: str, *given: Any) -> sqlite3.Cursor:
            return self._around(sql, lambda: super(Connection, self).execute(sql, *given))

        def executemany(self, sql: str, *given: Any) -> sqlite3.Cursor:
            return self._around(sql, lambda: super(Connection, self).executemany(sql, *given))

        def commit(self) -> None:
            self._around("COMMIT", super().commit)

        def _around(self, sql: str, work: Callable[[], Any]) -> Any:
            word = sql.split(None, 1)[0].upper()
            if word == "COMMIT":
                passing("before_commit")
            done = work()
            if word == "COMMIT":
                passing("after_commit")
            elif self.in_transaction:
                passing("in_commit")
            return done

        def __exit__(self, *given: object) -> Any:
            passing("before_commit")
            done = super().__exit__(*given)
            passing("after_commit")
            return done

    return Connection


def poisoned(passing: Place, attempt: Callable[..., Any]) -> Callable[..., Any]:
    """Make a place of every attempt to send each record: `poison_7` is that of record 7."""

    async def sent(client: Any, call: Any, request: Any, *given: Any) -> Any:
        for number in re.findall(rb"record-(\d+)", request.content):
            passing(f"poison_{number.decode()}")
        return await attempt(client, call, request, *given)

    return sent


def renaming(passing: Place, rename: Callable[..., None]) -> Callable[..., None]:
    """Make places of the moments before and after the output is put in its place."""

    def renamed(source: Any, target: Any, **given: Any) -> None:
        if Path(source).name != "output.jsonl.part":
            rename(source, target, **given)
            return
        passing("before_rename")
        rename(source, target, **given)
        passing("after_rename")

    return renamed


def prepare(passing: Place) -> None:
    """Make every place. Commits and writes are many: between two of them there is nothing new to see."""
    committing.LAZY = publisher.GATHER = 0
    os.write = writing(passing, os.write)
    os.ftruncate = cutting(passing, os.ftruncate)
    os.replace = renaming(passing, os.replace)
    fcntl.flock = around(passing, "lock", fcntl.flock)
    sqlite3.connect = partial(sqlite3.connect, factory=database(passing))
    runs.write_facts = around(passing, "facts", runs.write_facts)
    for owner, name, label in (
        (Lock, "write", "pointer"),
        (DiskJournal, "open", "open"),
        (DiskJournal, "read", "read"),
        (Client, "prepare", "prepare"),
        (Publisher, "_show", "show"),
    ):
        setattr(owner, name, around(passing, label, getattr(owner, name)))
    Client._attempt = poisoned(passing, Client._attempt)
    for owner, name, label in (
        (DiskJournal, "intend", "intent"),
        (DiskJournal, "intend_pack", "intent"),
        (Client, "send", "send"),
        (DiskJournal, "finish", "finish"),
    ):
        setattr(owner, name, around_waiting(passing, label, getattr(owner, name)))


def die_at(place: str) -> None:
    """Have the process killed at a place: LABEL:VISIT."""
    label, _, visit = place.partition(":")
    prepare(Place(label, int(visit or 1)))


def main() -> None:
    """Die at the place that the first word names."""
    die_at(sys.argv.pop(1))
    program(prog_name="connectory")


if __name__ == "__main__":
    main()
