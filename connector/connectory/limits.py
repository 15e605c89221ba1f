"""How often requests may leave: a bucket of tokens that says how long to wait, and never waits itself."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass(slots=True)
class Throttle:
    """So many requests a minute, evenly spread: at once at most those of one second, and at least one.

    Who takes a turn must wait as long as it is told and has that turn for certain, so that turns come in the order
    in which they were asked for. `now` is in seconds of any clock that never goes back.
    """

    per_minute: float
    _free: float = field(init=False)
    _seen: float | None = field(init=False, default=None)

    def __post_init__(self) -> None:
        self._free = self.burst

    @property
    def rate(self) -> float:
        """Requests a second."""
        return self.per_minute / 60

    @property
    def burst(self) -> float:
        """Requests that may leave at once after a pause."""
        return max(1.0, self.rate)

    def take(self, now: float) -> float:
        """Take the next turn, and give the seconds until it comes."""
        elapsed = 0.0 if self._seen is None else max(0.0, now - self._seen)
        self._seen = now
        self._free = min(self.burst, self._free + elapsed * self.rate) - 1
        return max(0.0, -self._free / self.rate)
