"""The journal of a range of a run's records: that of a run whose earlier records are another's."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from connectory.files.storage import Lock
from connectory.journal.disk import DiskJournal
from connectory.journal.intervals import Intervals
from connectory.journal.log import LOG
from connectory.journal.mending import repair
from connectory.journal.plan import SHARDS, read_plan
from connectory.journal.store import DATABASE, DamagedError
from connectory.journal.summary import summarise

if TYPE_CHECKING:
    from pathlib import Path

    from connectory.journal.plan import Shard


LOCK = "lock"
"""The file in a shard's folder that its process holds: it may outlive the process that holds the job."""


class ShardJournal(DiskJournal):
    """Counts records from the start of the whole input, so that numbers and keys are those of one process."""

    def __init__(self, folder: Path, run: str, shard: Shard, **known: Any) -> None:
        super().__init__(folder, run, **known)
        self._shard = shard

    def open(self, *, make: bool) -> None:
        """Open the files, and pass over what lies before the range."""
        super().open(make=make)
        self._pass_over()

    def show_again(self) -> None:
        """Forget what is in the output; what lies before the range stays passed over."""
        super().show_again()
        self._pass_over()

    def _pass_over(self) -> None:
        if self.state.seq < self._shard.start:
            self._shown = Intervals.below(self._shard.start)
            self.state.seq, self.state.mark = self._shard.start, self._shard.mark


def is_begun(folder: Path) -> bool:
    """Say whether a shard has a journal; results without one are damage, which must be noticed."""
    log = folder / LOG
    return (folder / DATABASE).exists() or (log.exists() and log.stat().st_size > 0)


def is_worked_on(run: Path) -> bool:
    """Say whether any process has a shard of a run."""
    return any(Lock(path).is_held() for path in (run / SHARDS).glob(f"*/{LOCK}"))


def repair_shards(run: Path) -> None:
    """Make the journals of those shards again that are damaged."""
    for shard in read_plan(run) or ():
        folder = shard.folder(run)
        if is_begun(folder):
            try:
                summarise(folder, pid=None)
            except DamagedError:
                repair(folder)
