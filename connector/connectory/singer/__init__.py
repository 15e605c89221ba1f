"""Singer: the incomings of a configuration as the streams of a tap, its outgoings as what a target does with records.

The protocol is lines of JSON. Nothing of Singer's own libraries is needed for it: they bring a loop for streams, a
state and a way to shape records of their own, where this project has its own.
"""

from __future__ import annotations

from connectory.singer.catalog import read_catalog, selected
from connectory.singer.settings import TapSettings, TargetSettings, about
from connectory.singer.state import TapState, read_state
from connectory.singer.streams import streams
from connectory.singer.tap import Tap
from connectory.singer.target import Target

__all__ = [
    "Tap",
    "TapSettings",
    "TapState",
    "Target",
    "TargetSettings",
    "about",
    "read_catalog",
    "read_state",
    "selected",
    "streams",
]
