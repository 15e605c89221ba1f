"""A journal put right from outside a run: made again from its results log, or told what another run has done."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from connectory.errors import ConfigError
from connectory.journal.log import LOG, ResultsLog
from connectory.journal.store import DATABASE, Change, DamagedError, Store
from connectory.journal.using import Use

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MOST_UNDER_WAY = 1000 * 17
"""Items that can lie open behind the last result: the largest concurrency, and the window of results behind it."""

UNKNOWN_LIVES = 100
"""Lives that may have left nothing in the results log: a life's number is never used twice, also after a repair."""


def recount(folder: Path, revived: int) -> None:
    """Count records of a run as done that were dead: another run has sent them again. Nobody may have it open."""
    store = Store(folder / DATABASE)
    store.open(make=False)
    try:
        state, _ = store.load()
        counts = {**state.counts, "done": state.counts.get("done", 0) + revived}
        counts["dead"] = counts.get("dead", 0) - revived
        store.commit(Change({"counts": counts}))
    finally:
        store.close()


def repair(folder: Path) -> None:
    """Make the database of a run again from its results log.

    What has no result counts as in doubt, as far as it can have begun: nobody knows whether the file of what
    is under way is whole.
    """
    damaged = folder / DATABASE
    for name in (damaged.name, f"{damaged.name}-wal", f"{damaged.name}-shm"):
        path = damaged.with_name(name)
        if path.exists():
            path.replace(path.with_name(f"{name}.damaged"))
    store, log = Store(damaged), ResultsLog(folder / LOG)
    try:
        store.open(make=True)
        log.open()
        end = life = 0
        counts = Counter[str]()
        use = Use(lambda name, amount: counts.update({name: amount}))
        for entry in log.scan(0):
            end, life = max(end, entry.seq + 1), max(life, entry.life)
            use.add(entry)
        state = {"life": life + UNKNOWN_LIVES, "doubt_below": end + MOST_UNDER_WAY}
        store.commit(Change({**state, "counts": dict(counts), "log_end": log.length}))
    finally:
        log.close()
        store.close()


def change_cursor(folder: Path, stream: str, change: Callable[[Any], Any]) -> None:
    """Replace the cursor of a stream by what `change` makes of it; who calls it holds the job. Raises ConfigError."""
    store = Store(folder / DATABASE)
    try:
        store.open(make=False)
    except DamagedError as error:
        raise ConfigError(f"the journal of run {folder.name} is damaged: {error}") from None
    try:
        _, cursors = store.load()
        store.commit(Change({}, cursors=[(stream, change(cursors.get(stream)))]))
    finally:
        store.close()
