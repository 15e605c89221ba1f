"""What a run remembers: intents before a request leaves, outcomes after it, cursors after the sink's flush."""

from __future__ import annotations

from connectory.journal.disk import DiskJournal
from connectory.journal.facts import Facts, Job, new_facts
from connectory.journal.known import Known, digest
from connectory.journal.memory import MemoryJournal
from connectory.journal.mending import change_cursor
from connectory.journal.names import new_run_id
from connectory.journal.plan import SHARDS, Shard, cut, read_plan, write_plan
from connectory.journal.runs import DEAD_LETTERS, Run, Runs
from connectory.journal.seen import Seen, item_row, mark_row
from connectory.journal.shard import LOCK, ShardJournal, is_begun
from connectory.journal.summary import Summary, summarise

__all__ = [
    "DEAD_LETTERS",
    "LOCK",
    "SHARDS",
    "DiskJournal",
    "Facts",
    "Job",
    "Known",
    "MemoryJournal",
    "Run",
    "Runs",
    "Seen",
    "Shard",
    "ShardJournal",
    "Summary",
    "change_cursor",
    "cut",
    "digest",
    "is_begun",
    "item_row",
    "mark_row",
    "new_facts",
    "new_run_id",
    "read_plan",
    "summarise",
    "write_plan",
]
