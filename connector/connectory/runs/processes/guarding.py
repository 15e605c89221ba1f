"""What bounds a run, counted over all of its processes."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from connectory.cost.guards import Amount, Budget, MostDead, Standing
from connectory.runs.processes.commons import SPENT

if TYPE_CHECKING:
    from connectory.cost.guards import Wait
    from connectory.delivery.publication import Publication
    from connectory.runs.processes.commons import Commons


@dataclass(frozen=True, slots=True, kw_only=True)
class SharedBudget(Budget):
    """How much a run may use. Who asks and may go has taken what it wanted, in the same moment."""

    commons: Commons

    def decide(self, standing: Standing, wanted: Amount, *, alone: bool = False) -> str | Wait | None:
        """Say whether a request may leave, as all processes stand together."""
        with self.commons.held():
            self.note(standing)
            requests, tokens, cost, held_tokens, held_cost, others = map(self.commons.of_others, SPENT)
            used = standing.used.plus(Amount(requests, tokens, cost))
            held = standing.held.plus(Amount(0, held_tokens, held_cost))
            decision = Budget.decide(self, Standing(used, held, standing.open + others), wanted, alone=alone)
            if decision is None:
                self.note(Standing(standing.used, standing.held.plus(wanted), standing.open + 1))
        return decision

    def note(self, standing: Standing) -> None:
        """Tell the others how this process stands; a request that is under way is a used one to them."""
        requests = standing.used.requests + standing.held.requests
        numbers = (requests, *standing.used[1:], *standing.held[1:], standing.open)
        self.commons.note(self.commons.number, **dict(zip(SPENT, numbers, strict=True)))


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
        budget=budget
        and SharedBudget(budget.requests, budget.tokens, budget.cost, budget.currency, commons=commons),
        max_dead=most and SharedMostDead(most.count, most.share, commons=commons),
    )
