"""Delivery by the Batch API: requests are spooled, uploaded as files, answered in files, and joined again."""

from __future__ import annotations

from connectory.delivery.batches.cancelling import cancel, note_cancelled
from connectory.delivery.batches.flow import Batched
from connectory.delivery.batches.planning import Line, line_of, plan
from connectory.delivery.batches.scratch import ScratchJournal

__all__ = [
    "Batched",
    "Line",
    "ScratchJournal",
    "cancel",
    "line_of",
    "note_cancelled",
    "plan",
]
