"""What bounds a run, counted over all of its processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from connectory.guards import Budget, MostDead

if TYPE_CHECKING:
    from connectory.processes.commons import Commons
    from connectory.publication import Publication


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBudget(Budget):
    """How much a run may use. Who asks and gets no reason has used one request more."""

    commons: Commons

    def spent(self, requests: int, tokens: int) -> str | None:
        """Give the reason to send nothing more, or None."""
        with self.commons.held():
            others = (self.commons.of_others("requests"), self.commons.of_others("tokens"))
            reason = Budget.spent(self, requests + others[0], tokens + others[1])
            self.commons.note(self.commons.number, requests=requests + (reason is None), tokens=tokens)
        return reason


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedMostDead(MostDead):
    """How many records of a run may be set aside."""

    commons: Commons

    def exceeded(self, dead: int, settled: int) -> str | None:
        """Give the reason to stop, or None."""
        with self.commons.held():
            self.commons.note(self.commons.number, dead=dead, settled=settled)
            dead += self.commons.of_others("dead")
            settled += self.commons.of_others("settled")
        return MostDead.exceeded(self, dead, settled)


def shared_guards(publication: Publication, commons: Commons) -> Publication:
    """Let what bounds an outgoing count what all processes have done."""
    budget, most = publication.budget, publication.max_dead
    return replace(
        publication,
        budget=budget and SharedBudget(budget.requests, budget.tokens, commons=commons),
        max_dead=most and SharedMostDead(most.count, most.share, commons=commons),
    )
