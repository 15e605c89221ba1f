"""How far a run is and how fast, as numbers and in words; it draws nothing."""

from __future__ import annotations

import time
from collections import Counter, deque
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from connectory.pace.lanes import Standing

if TYPE_CHECKING:
    from collections.abc import Callable

WINDOW = 30.0
"""Seconds over which speed is measured."""

MINUTE, HOUR = 60, 3600


@dataclass(slots=True)
class Step:
    """What one connection of the run has done: records by what became of them, or pages and what was on them."""

    counts: Counter[str] = field(default_factory=Counter[str])
    records: int = 0
    pages: int = 0

    def words(self) -> list[str]:
        """Say it."""
        said = (
            [f"{self.records:,} read on {self.pages:,} page{'s' * (self.pages != 1)}"] if self.pages else []
        )
        if self.counts or not said:
            said += [f"{self.counts['ok']:,} ok", f"{self.counts['error']:,} failed"]
        return said + ([f"{self.counts['skipped']:,} skipped"] if self.counts["skipped"] else [])


class Meter:
    """Counts what is done; `standing` says what holds the requests back. The clock gives seconds."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.steps: dict[str, Step] = {}
        self.total: int | None = None
        self.retries = self.tokens = 0
        self.standing: Callable[[], Standing] = Standing
        self._clock, self.began = clock, clock()
        self._before = 0
        self._samples: deque[tuple[float, int]] = deque([(self.began, 0)])

    def step(self, connection: str) -> Step:
        """Give the step of a connection."""
        found = self.steps.get(connection)
        if found is None:
            found = self.steps[connection] = Step()
        return found

    @property
    def done(self) -> int:
        """Count what is finished: of a route that is what its last step has done."""
        steps = [*self.steps.values()]
        sent = sum(one.counts.total() for one in steps)
        return sent or sum(one.records for one in steps)

    @property
    def counts(self) -> Counter[str]:
        """Count the records of all steps by what became of them."""
        counts: Counter[str] = Counter()
        for one in [*self.steps.values()]:
            counts.update(one.counts)
        return counts

    def count_before(self) -> None:
        """Take all that is counted by now for the work of earlier lives of the run, which says nothing of the speed."""
        self._before = self.done
        self.began = self._clock()
        self._samples = deque([(self.began, self._before)])

    @property
    def seconds(self) -> float:
        """How long this life has taken."""
        return self._clock() - self.began

    def rate(self) -> float:
        """Give the records a second of late, and note how far it is now."""
        now, done = self._clock(), self.done
        samples = self._samples
        samples.append((now, done))
        while len(samples) > 2 and samples[1][0] <= now - WINDOW:  # noqa: PLR2004 - one from before the window, and now
            samples.popleft()
        began, before = samples[0]
        if done == before:  # nothing yet, or nothing any more: what comes next is measured from here
            samples.clear()
            samples.append((now, done))
            return 0.0
        return (done - before) / (now - began) if now > began else 0.0

    def fields(self) -> dict[str, Any]:
        """Give how far it is, for programs."""
        rate, counts, standing = self.rate(), self.counts, self.standing()
        left = self._left(rate)
        reads = sum(one.records for one in [*self.steps.values()])
        return {
            "ok": counts["ok"],
            "failed": counts["error"],
            "skipped": counts["skipped"],
            "records": reads or None,
            "retries": self.retries,
            "tokens": self.tokens or None,
            "total": self.total,
            "rate": round(rate, 1),
            "seconds_left": None if left is None else round(left),
            "limit": standing.held_by or None,
        }

    def words(self) -> list[str]:
        """Say how far it is, how fast, what holds it back and how long it still takes."""
        rate, standing = self.rate(), self.standing()
        steps = [*self.steps.items()]
        if len(steps) == 1:
            said = steps[0][1].words()
        else:
            said = [f"{name}: {' and '.join(one.words())}" for name, one in steps]
        said += [f"{self.retries:,} retried"] if self.retries else []
        said.append(f"{rate:,.0f}/s" if rate >= 10 else f"{rate:.1f}/s")  # noqa: PLR2004 - so that a slow one shows
        said += [f"{self.tokens:,} tokens"] if self.tokens else []
        under_way = [f"{standing.busy} under way"] if standing.busy else []
        said += under_way + ([f"waiting for {standing.held_by}"] if standing.held_by else [])
        left = self._left(rate)
        return said + ([f"{clock_of(left)} left"] if left is not None else [])

    def share(self) -> str:
        """Say how much of all is done."""
        if self.total is None:
            return f"{self.done:,}"
        percent = 100 * self.done // self.total if self.total else 100
        return f"{self.done:,} of {self.total:,} ({percent}%)"

    def _left(self, rate: float) -> float | None:
        if self.total is None or not rate:
            return None
        return max(0.0, (self.total - self.done) / rate)


def clock_of(seconds: float) -> str:
    """Write a time as on a clock: minutes and seconds, and hours where there are any."""
    whole = round(seconds)
    minutes = f"{whole % HOUR // MINUTE}:{whole % MINUTE:02}"
    return f"{whole // HOUR}:{whole % HOUR // MINUTE:02}:{whole % MINUTE:02}" if whole >= HOUR else minutes
