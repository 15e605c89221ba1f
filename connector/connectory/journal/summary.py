"""What a run has come to, read from its files while it runs, after it has ended, or after it was killed."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal

from connectory.cost.usage import Tally
from connectory.errors import StorageError
from connectory.journal.intents import INTENTS, Intents
from connectory.journal.intervals import Intervals
from connectory.journal.log import LOG, ResultsLog
from connectory.journal.plan import SHARDS, read_plan
from connectory.journal.store import DATABASE, DamagedError, Store

if TYPE_CHECKING:
    from pathlib import Path

    from connectory.cost.usage import Counts


@dataclass(frozen=True, slots=True)
class Summary:
    """Counts of a run: at every moment `total = done + dead + pending`.

    A record is done or dead when its lines are in the output; `answered` are those of the pending ones that have an
    outcome in the results log already, `begun` those whose work is created and was not at its end, `in_doubt` the
    requests that were under way. `total` and `pending` are None until the end of the input has been read.
    `deliveries` counts by status, `usage` what was used, by model: only who asks for it gets it, because the whole
    results log may have to be read.
    """

    state: Literal["running", "finished", "unfinished"]
    done: int
    dead: int
    pending: int | None
    total: int | None
    answered: int
    begun: int
    in_doubt: int
    lives: int
    deliveries: dict[str, int]
    counts: dict[str, int]
    cursors: dict[str, Any]
    pid: int | None = None
    usage: dict[str, Counts] = field(default_factory=dict[str, "Counts"])


def summarise(folder: Path, *, pid: int | None, usage: bool = False) -> Summary:
    """Read the files of a run; `pid` is the process that works on it, if one does. Raises DamagedError."""
    store = Store(folder / DATABASE)
    store.open(make=False, only_read=True)
    try:
        state, cursors = store.load()
    finally:
        store.close()
    shown, parts = (
        Intervals(state.shown),
        {int(seq): set(map(int, found)) for seq, found in state.parts.items()},
    )
    doubts = {
        one.key
        for one in Intents(folder / INTENTS).peek()
        if one.seq not in shown and one.part not in parts.get(one.seq, ())
    }
    answered: set[int] = set()
    begun: set[int] = set()
    log = ResultsLog(folder / LOG)
    for entry in log.peek(state.log_from):
        if entry.seq not in shown and entry.part not in parts.get(entry.seq, ()):
            (begun if entry.status == "begun" else answered).add(entry.seq)
            doubts.discard(entry.key)
    counts = state.counts
    done, dead = counts.get("done", 0), counts.get("dead", 0)
    return Summary(
        state="running" if pid is not None else "finished" if state.finished else "unfinished",
        done=done,
        dead=dead,
        pending=None if state.total is None else state.total - done - dead,
        total=state.total,
        answered=len(answered),
        begun=len(begun - answered),
        in_doubt=len(doubts),
        lives=state.life,
        deliveries={name: counts.get(name, 0) for name in ("ok", "error", "skipped")},
        counts=dict(counts),
        cursors=cursors,
        pid=pid,
        usage=log.tallied(state.used).models if usage else {},
    )


def is_untouched(folder: Path) -> bool:
    """Say whether nothing ever came of a run: no request was about to leave, and nothing was read, settled or noted.

    The file of intents has no bytes before the first of them, and never gets smaller. What cannot be read may have come
    to something.
    """
    try:
        if any((folder / name).stat().st_size for name in (INTENTS, LOG)):
            return False
        store = Store(folder / DATABASE)
        store.open(make=False, only_read=True)
        try:
            state, cursors = store.load()
            noted = next(store.all_seen(1), None)
        finally:
            store.close()
    except (OSError, DamagedError, StorageError):
        return False
    told = (state.finished, state.shown, state.seq, state.log_end, state.doubt_below, *state.counts.values())
    shards = (folder / SHARDS).glob(f"*/{DATABASE}")
    return not (cursors or noted or any(told) or next(shards, None))


def summarise_all(folder: Path, *, pid: int | None, usage: bool = False) -> Summary:
    """Read the files of a run; those of its shards, where several processes share it. Raises DamagedError."""
    own, shards = summarise(folder, pid=pid, usage=usage), read_plan(folder)
    if shards is None or (own.state == "finished" and not usage):  # then its own journal has the sums
        return own
    folders = (shard.folder(folder) for shard in shards)
    parts = [summarise(one, pid=None, usage=usage) for one in folders if (one / DATABASE).exists()]
    counts: Counter[str] = Counter()
    tally = Tally()
    for part in parts:
        counts.update(part.counts)
        tally.merge(part.usage)
    if own.state == "finished":
        return replace(own, usage=tally.models)
    done, dead, total = counts["done"], counts["dead"], sum(shard.count for shard in shards)
    return replace(
        own,
        done=done,
        dead=dead,
        pending=total - done - dead,
        total=total,
        answered=sum(part.answered for part in parts),
        begun=sum(part.begun for part in parts),
        in_doubt=sum(part.in_doubt for part in parts),
        deliveries={name: counts[name] for name in ("ok", "error", "skipped")},
        counts=dict(counts),
        usage=tally.models,
    )
