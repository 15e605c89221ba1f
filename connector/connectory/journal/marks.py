"""Where a source goes on behind each of its items that is not done yet."""

from __future__ import annotations

from collections import deque
from typing import Any

MANY_MARKS, EVERY = 1024, 64
"""Behind one stuck item so many marks are kept, and then one of so many: what lies between is passed over again."""


class Marks:
    """The marks of the items in their order."""

    def __init__(self) -> None:
        self._marks: deque[tuple[int, Any]] = deque()

    def note(self, seq: int, mark: Any) -> None:
        """Keep where the source goes on after an item."""
        if len(self._marks) < MANY_MARKS or not seq % EVERY:
            self._marks.append((seq, mark))

    def passed(self, reach: int) -> tuple[int, Any] | None:
        """Forget the items below a number, and give the last of them with its mark."""
        last = None
        while self._marks and self._marks[0][0] < reach:
            last = self._marks.popleft()
        return last
