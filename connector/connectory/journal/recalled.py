"""Where in the results log the results lie that are not in the output yet."""

from __future__ import annotations

from array import array


class Recalled:
    """Offsets by item and part. Parts 0 lie in an array, eight bytes each, because there may be millions."""

    def __init__(self, base: int = 0) -> None:
        self._base = base
        self._first = array("q")
        self._others: dict[tuple[int, int], int] = {}

    def put(self, seq: int, part: int, offset: int) -> None:
        """Note where a result lies; a later one of the same delivery replaces it."""
        place = seq - self._base
        if part or place < 0:
            self._others[seq, part] = offset
            return
        missing = place + 1 - len(self._first)
        if missing > 0:
            self._first.extend(array("q", [-1]) * missing)
        self._first[place] = offset

    def get(self, seq: int, part: int) -> int | None:
        """Give where a result lies, or None."""
        place = seq - self._base
        if part or place < 0:
            return self._others.get((seq, part))
        offset = self._first[place] if place < len(self._first) else -1
        return None if offset < 0 else offset
