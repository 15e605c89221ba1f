"""How many requests may be under way at once: as many as make the server faster, and no more."""

from __future__ import annotations

FIRST = 4
"""How many are under way at first where nobody has said how many the server takes."""

LEAST = 2
"""How far the number falls by itself: one that is worked on and one that is on its way."""

GAIN = 0.3
"""The share of the hoped-for gain in speed that must come true for a larger number to be kept."""

LOSS = 0.05
"""The share of speed that a smaller number may cost and still be kept."""

REST = 8
"""Measurements that a number is kept before the next one is tried."""

MOSTLY = 0.8
"""The share of answers that come while all places are taken, for the bound to be what slows down."""

SAMPLE = 8
"""Answers at least that make a measurement."""


class Crowd:
    """Bounds the requests under way, and finds the bound by measuring answers a second.

    While everybody waits for a place, another bound is tried: a larger one is kept when speed grows with it (a server
    that works on one at a time answers no faster for being asked more), a smaller one when speed does not suffer. A
    refusal halves the bound; it grows back by one for each round of answers. `most` is never exceeded. With `adapts`
    False the bound is `most` at once and only refusals lower it.
    """

    __slots__ = (
        "_answers", "_base", "_crowded", "_down", "_met_full", "_rest", "_since", "_skip", "_up",
        "adapts", "busy", "limit", "most",
    )  # fmt: skip

    def __init__(self, most: int, *, adapts: bool) -> None:
        self.most, self.adapts = most, adapts
        self.limit = min(FIRST, most) if adapts else most
        self.busy = 0
        self._base: tuple[int, float] | None = None
        self._up, self._down, self._rest = True, False, 0
        self._begin(0.0, skip=1)

    @property
    def full(self) -> bool:
        """Say whether nobody more may come in."""
        return self.busy >= self.limit

    def trust(self) -> None:
        """Hear that the server tells its limits: what it refuses is known, so nothing is tried out."""
        if self.adapts:
            self.adapts, self.limit, self._base = False, self.most, None

    def shrink(self) -> None:
        """Hear that the server refuses more: half as many."""
        self.limit = max(1, self.limit // 2)
        self._base, self._up, self._rest = None, False, REST
        self._skip = self._answers = 0

    def met_full(self) -> None:
        """Hear that somebody found no place."""
        self._met_full += 1

    def answered(self, now: float) -> None:
        """Hear of an answer."""
        if self._skip:
            self._skip -= 1
            if not self._skip:
                self._begin(now, skip=0)
            return
        self._answers += 1
        self._crowded += self.busy + 1 >= self.limit
        if not self.adapts:
            if self.limit < self.most and self._answers >= self.limit:
                self.limit, self._answers = self.limit + 1, 0
            return
        if self._answers < max(SAMPLE, 2 * self.limit):
            return
        speed = self._answers / max(now - self._since, 1e-9)
        before = self.limit
        rounds = self._answers / self.limit
        if self._crowded >= MOSTLY * self._answers or self._met_full >= rounds / 2:
            self._judge(speed)
        self._begin(now, skip=self.limit if self.limit != before else 0)

    def _begin(self, now: float, *, skip: int) -> None:
        self._since, self._answers, self._met_full, self._skip = now, 0, 0, skip
        self._crowded = 0

    def _judge(self, speed: float) -> None:
        if self._base is None:
            if self._rest:
                self._rest -= 1
            else:
                self._try(speed)
            return
        limit, before = self._base
        hoped = self.limit / limit - 1
        kept = speed / before - 1 >= (GAIN * hoped if hoped > 0 else -LOSS)
        if kept:
            self._try(speed)
            return
        self.limit, self._base = limit, None
        self._up, self._down, self._rest = False, hoped > 0, REST

    def _try(self, speed: float) -> None:
        """Try the next number: twice as many as long as that helps, later a quarter more or a quarter less."""
        if self._down:
            number = max(LEAST, self.limit - max(1, self.limit // 4))
        else:
            number = min(self.most, self.limit * 2 if self._up else self.limit + max(1, self.limit // 4))
        if number == self.limit:
            self._base, self._down, self._rest = None, not self._down, REST
            return
        self._base, self.limit = (self.limit, speed), number
