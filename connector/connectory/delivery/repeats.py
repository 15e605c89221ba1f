"""Ids that come twice in a run, as far as a bounded memory can tell."""

from __future__ import annotations

MOST = 20_000
"""Ids that are remembered: the first ones of a run."""

_LONGEST = 60


class Repeats:
    """Gives one note in a run, at the first id that it has heard before."""

    def __init__(self) -> None:
        self._heard: set[int] | None = set()

    def hear(self, name: str, position: str) -> str | None:
        """Take the id of a record; give the note, or None. A position that stands in for an id cannot repeat."""
        if self._heard is None or name == position:
            return None
        mark = hash(name)
        if mark not in self._heard:
            if len(self._heard) < MOST:
                self._heard.add(mark)
            return None
        self._heard = None
        shown = name if len(name) <= _LONGEST else f"{name[:_LONGEST]}…"
        return (
            f"more than one record has the id {shown!r}, again at {position}: each is sent, and the id only names its "
            "result; this is said once"
        )
