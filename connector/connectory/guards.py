"""What ends a run that does more harm, or costs more, than its configuration allows. Decisions only."""

from __future__ import annotations

from dataclasses import dataclass

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


@dataclass(frozen=True, slots=True)
class Budget:
    """How much a run may use, in all its lives: requests, and tokens as the answers' `usage` counts them."""

    requests: int | None = None
    tokens: int | None = None

    def spent(self, requests: int, tokens: int) -> str | None:
        """Give the reason to send nothing more, or None."""
        if self.requests is not None and requests >= self.requests:
            return f"the budget of {self.requests} requests is used up"
        if self.tokens is not None and tokens >= self.tokens:
            return f"the budget of {self.tokens} tokens is used up ({tokens})"
        return None
