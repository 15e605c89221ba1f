"""One run in several processes: what they share, what they tell each other, and how their lines are joined."""

from __future__ import annotations

from connectory.processes.commons import COMMONS, Commons
from connectory.processes.crew import Crew
from connectory.processes.guarding import shared_guards
from connectory.processes.joining import LETTERS, LINES, gather, join
from connectory.processes.pacing import SharedGate

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
