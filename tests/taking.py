"""A process that takes requests from a pace which others share; in a module of its own, for it has to be imported there."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectory.pace.lanes import Limits
from connectory.runs.processes import Commons
from connectory.runs.processes.pacing import SharedPace

if TYPE_CHECKING:
    from pathlib import Path


def take(path: Path, number: int, amount: int) -> None:
    """Try so often to let a request out, and note how many left."""
    commons = Commons(path, number)
    pace = SharedPace(commons, (commons.cell("r"), commons.cell("t")), Limits(requests_per_minute=6_000_000))
    sent = 0
    for _ in range(amount):
        if pace.wait(100.0, 0.0) <= 0:
            sent += pace.take(100.0, 0.0) is not None
    commons.note(number, requests=sent)
    commons.close()
