"""How many requests the outcomes in a results log took."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectory.journal.log import Entry


class Use:
    """Counts requests, outcome after outcome; `intended` of each are counted with its intent already."""

    def __init__(self, count: Callable[[str, int], None], *, intended: int = 0) -> None:
        self._count, self._intended = count, intended
        self._begun: set[tuple[int, int]] = set()

    def pass_over(self, entry: Entry) -> None:
        """Take note of an outcome that is counted already."""
        if entry.status == "begun":
            self._begun.add((entry.seq, entry.part))
        else:
            self._begun.discard((entry.seq, entry.part))

    def add(self, entry: Entry) -> None:
        """Count an outcome; what was begun has two lines, and its requests are in the first."""
        result, place = entry.result(), (entry.seq, entry.part)
        if place in self._begun:
            self._begun.remove(place)
        else:
            requests = result.attempts if result.requests is None else result.requests
            self._count("requests", max(0, requests - self._intended))
        if entry.status == "begun":
            self._begun.add(place)
