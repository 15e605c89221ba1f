"""One run in several processes: what they share, what they tell each other, and how their lines are joined."""

from __future__ import annotations

from connectory.runs.processes.commons import COMMONS, Commons
from connectory.runs.processes.crew import Crew
from connectory.runs.processes.guarding import shared_guards
from connectory.runs.processes.joining import LETTERS, LINES, gather, join
from connectory.runs.processes.pacing import SharedGate

__all__ = [
    "COMMONS",
    "LETTERS",
    "LINES",
    "Commons",
    "Crew",
    "SharedGate",
    "gather",
    "join",
    "shared_guards",
]
