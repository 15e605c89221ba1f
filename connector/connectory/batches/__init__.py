"""Delivery by the Batch API: requests are spooled, uploaded as files, answered in files, and joined again."""

from __future__ import annotations

from connectory.batches.cancelling import cancel, note_cancelled
from connectory.batches.flow import Batched
from connectory.batches.ledger import STREAM
from connectory.batches.planning import Line, Plan, line_of, plan
from connectory.batches.scratch import ScratchJournal

__all__ = [
    "STREAM",
    "Batched",
    "Line",
    "Plan",
    "ScratchJournal",
    "cancel",
    "line_of",
    "note_cancelled",
    "plan",
]
