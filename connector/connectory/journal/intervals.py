"""A set of whole numbers that is mostly without holes: a few numbers tell millions."""

from __future__ import annotations

from array import array
from bisect import bisect_right
from typing import TYPE_CHECKING, Self

if TYPE_CHECKING:
    from collections.abc import Iterator


class Intervals:
    """Whole numbers from 0, kept as the bounds of their runs: `[lo, hi, lo, hi, ...]`, each hi exclusive."""

    def __init__(self, packed: bytes = b"") -> None:
        bounds = array("q")
        bounds.frombytes(packed)
        self._bounds = list(bounds)

    @classmethod
    def below(cls, number: int) -> Self:
        """Make the set of all numbers below one."""
        return cls(array("q", [0, number]).tobytes())

    def __contains__(self, number: int) -> bool:
        return bisect_right(self._bounds, number) % 2 == 1

    def __iter__(self) -> Iterator[tuple[int, int]]:
        return zip(self._bounds[::2], self._bounds[1::2], strict=True)

    def __len__(self) -> int:
        return sum(hi - lo for lo, hi in self)

    def add(self, number: int) -> bool:
        """Put a number in; False for one that is there already."""
        bounds = self._bounds
        place = bisect_right(bounds, number)
        if place % 2:
            return False
        touches_left = place > 0 and bounds[place - 1] == number
        touches_right = place < len(bounds) and bounds[place] == number + 1
        if touches_left and touches_right:
            del bounds[place - 1 : place + 1]
        elif touches_left:
            bounds[place - 1] = number + 1
        elif touches_right:
            bounds[place] = number
        else:
            bounds[place:place] = (number, number + 1)
        return True

    @property
    def reach(self) -> int:
        """Give the first number that is not in the set: all below it are."""
        return self._bounds[1] if self._bounds and self._bounds[0] == 0 else 0

    @property
    def end(self) -> int:
        """Give the number after the last one in the set; 0 for an empty set."""
        return self._bounds[-1] if self._bounds else 0

    def pack(self) -> bytes:
        """Give the set as bytes, from which it can be made again on the same kind of machine."""
        return array("q", self._bounds).tobytes()
