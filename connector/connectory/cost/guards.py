"""What ends a run that does more harm, or costs more, than its configuration allows. Decisions only."""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

from connectory.cost.prices import BILLIONTH, money

ENOUGH = 100
"""Records after which a share of them means something."""


@dataclass(frozen=True, slots=True)
class MostDead:
    """How many records may be set aside: so many, or such a share of all (once there are a hundred)."""

    count: int | None = None
    share: float | None = None

    def exceeded(self, dead: int, settled: int) -> str | None:
        """Give the reason to stop after `dead` of `settled` records were set aside, or None."""
        if self.count is not None and dead > self.count:
            return f"{dead} records were set aside, and max_dead is {self.count}"
        if self.share is not None and settled >= ENOUGH and dead > settled * self.share:
            return f"{dead} of {settled} records were set aside, and max_dead is {self.share:.4g} of them"
        return None


class Amount(NamedTuple):
    """Requests, tokens, and money in billionths of its currency."""

    requests: int = 0
    tokens: int = 0
    cost: int = 0

    def plus(self, other: Amount) -> Amount:
        """Add another one."""
        return Amount(*map(sum, zip(self, other, strict=True)))

    def minus(self, other: Amount) -> Amount:
        """Take another one away."""
        return Amount(*(one - less for one, less in zip(self, other, strict=True)))


class Standing(NamedTuple):
    """How a run stands: what it has used, what is reserved for the requests under way, and how many these are."""

    used: Amount = Amount()
    held: Amount = Amount()
    open: int = 0


class Wait:
    """A decision: not now; what is under way may use less than is reserved for it."""


WAIT = Wait()


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a run may use, in all its lives: requests, tokens as the answers' `usage` counts them, and money.

    `cost` is in billionths of the `currency`.
    """

    requests: int | None = None
    tokens: int | None = None
    cost: int | None = None
    currency: str = ""

    @property
    def forecasts(self) -> bool:
        """Say whether what a request will use has to be guessed."""
        return self.tokens is not None or self.cost is not None

    def spent(self, used: Amount) -> str | None:
        """Give the reason to send nothing more, or None."""
        if self.requests is not None and used.requests >= self.requests:
            return f"the budget of {self.requests} requests is used up"
        if self.tokens is not None and used.tokens >= self.tokens:
            return f"the budget of {self.tokens} tokens is used up ({used.tokens})"
        if self.cost is not None and used.cost >= self.cost:
            return f"the budget of {self._money(self.cost)} is used up ({self._money(used.cost)})"
        return None

    def decide(self, standing: Standing, wanted: Amount, *, alone: bool = False) -> str | Wait | None:
        """Say whether a request may leave: None for yes, to wait, or the reason to stop.

        `wanted` is what it may use; `alone`: nobody can say, so that it goes when nothing else is under way.
        """
        if (reason := self.spent(standing.used)) is not None:
            return reason
        taken = standing.used.plus(standing.held).plus(wanted)
        fits = (
            (self.requests is None or taken.requests <= self.requests)
            and (self.tokens is None or taken.tokens <= self.tokens)
            and (self.cost is None or taken.cost <= self.cost)
        )
        if fits and not (alone and standing.open):
            return None
        return WAIT if standing.open else self._too_much(standing.used.plus(standing.held), wanted)

    def note(self, standing: Standing) -> None:
        """Hear how this process stands; who shares a budget tells the others."""

    def _too_much(self, used: Amount, wanted: Amount) -> str:
        if self.tokens is not None and used.tokens + wanted.tokens > self.tokens:
            left = f"{max(0, self.tokens - used.tokens)} of {self.tokens} tokens"
            need = f"{wanted.tokens}"
        elif self.cost is not None and used.cost + wanted.cost > self.cost:
            left, need = (
                f"{self._money(max(0, self.cost - used.cost))} of {self._money(self.cost)}",
                self._money(wanted.cost),
            )
        else:
            return f"the budget of {self.requests} requests is used up"
        return f"the budget has {left} left, and the next request may need {need}"

    def _money(self, cost: int) -> str:
        return money(cost / BILLIONTH, self.currency)
