"""What a run remembers: intents before a request leaves, outcomes after it, cursors after the sink's flush."""

from __future__ import annotations

from connectory.journal.disk import DiskJournal
from connectory.journal.known import Known, digest
from connectory.journal.marking import change_cursor
from connectory.journal.memory import MemoryJournal
from connectory.journal.names import new_run_id
from connectory.journal.runs import DEAD_LETTERS, Facts, Job, Run, Runs, new_facts
from connectory.journal.seen import Seen, item_row, mark_row
from connectory.journal.summary import Summary

__all__ = [
    "DEAD_LETTERS",
    "DiskJournal",
    "Facts",
    "Job",
    "Known",
    "MemoryJournal",
    "Run",
    "Runs",
    "Seen",
    "Summary",
    "change_cursor",
    "digest",
    "item_row",
    "mark_row",
    "new_facts",
    "new_run_id",
]
