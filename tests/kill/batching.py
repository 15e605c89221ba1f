"""Runs the program and kills it at a step of a delivery by batches: `python -m kill.batching LABEL:VISIT run ...`."""

from __future__ import annotations

import sys
from typing import Any

from kill.crashing import Place, around, around_waiting, prepare

from connectory.cli import main as program
from connectory.client import Client
from connectory.delivery import states
from connectory.delivery.batches import asking, driving
from connectory.delivery.batches.asking import Asking
from connectory.delivery.batches.ledger import Ledger
from connectory.delivery.batches.spool import Spool
from connectory.files import saving

STEPS = {
    "spool": "a record is in the spool's memory",
    "note": "what is known of all parts is in the journal",
    "upload": "the file of a part is at the server",
    "create": "its batch is begun",
    "look": "its batch is looked at",
    "save": "a file with answers is saved",
    "name": "the saved file gets its name",
    "sort": "its answers are sorted",
    "answers": "where they lie is written",
    "delete": "its input file is deleted at the server",
    "drop": "its input file is deleted here",
}
"""Each step of a part, and what is true after it."""


def hurry() -> None:
    """Wait for nothing."""
    named: Any = states
    named.SHORTEST, named.LONGEST = 0.005, 0.01
    asking.LAG = driving.TOKEN_WAIT = 0.01


def make_places(passing: Place) -> None:
    """Make a place before and after each step."""
    attempt = Client._attempt
    prepare(passing)
    Client._attempt = attempt  # the places in it look for records in the body, and a file is not in memory
    for owner, name, label in (
        (Ledger, "commit", "note"),
        (Asking, "upload", "upload"),
        (Asking, "create", "create"),
        (Asking, "look", "look"),
        (Asking, "save", "save"),
        (Asking, "delete", "delete"),
    ):
        setattr(owner, name, around_waiting(passing, label, getattr(owner, name)))
    for thing, name, label in (
        (Spool, "add", "spool"),
        (Spool, "note", "answers"),
        (Spool, "drop", "drop"),
        (driving, "sort", "sort"),
        (saving.Saving, "_finish", "name"),
    ):
        setattr(thing, name, around(passing, label, getattr(thing, name)))


def main() -> None:
    """Die at the place that the first word names."""
    label, _, visit = sys.argv.pop(1).partition(":")
    hurry()
    make_places(Place(label, int(visit or 1)))
    program(prog_name="connectory")


if __name__ == "__main__":
    main()
