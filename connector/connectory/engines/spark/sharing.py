"""A client's limits, divided evenly over the tasks that are at work, and a run's budget, counted over all of them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from connectory.cost.guards import Amount, Budget, MostDead, Standing
from connectory.limits import Bucket, Pace
from connectory.pace.crowd import Crowd
from connectory.pace.gate import Gate
from connectory.pace.lanes import Lane
from connectory.text.hints import told

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.cost.guards import Wait
    from connectory.delivery.publication import Publication
    from connectory.engines.spark.presence import Company
    from connectory.events import Listener
    from connectory.limits import Taken
    from connectory.pace.lanes import Limits, Visit
    from connectory.requests.building import ClientOptions
    from connectory.retry import Policy


_USED = ("requests", "tokens", "cost")


class TaskShare:
    """What a task has in common with the others: `most` requests are under way at once in all of them."""

    def __init__(self, company: Company, most: int) -> None:
        self._company, self._most = company, most

    def gate(self, options: ClientOptions, listen: Listener) -> Gate:
        """Make what lets the requests of a client out."""
        most = min(self._most, options.limits.most_at_once)
        return TaskGate(options.policy, options.limits, company=self._company, most=most, listen=listen)

    def guard(self, publication: Publication) -> Publication:
        """Let what bounds a run count what the others have used, as of half a second ago."""
        budget, most = publication.budget, publication.max_dead
        company = self._company
        return replace(
            publication,
            budget=budget
            and TaskBudget(budget.requests, budget.tokens, budget.cost, budget.currency, company=company),
            max_dead=most and TaskMostDead(most.count, most.share, company=company),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskBudget(Budget):
    """How much a run may use, with what the other tasks have told."""

    company: Company

    def decide(self, standing: Standing, wanted: Amount, *, alone: bool = False) -> str | Wait | None:
        """Say whether a request may leave, with what all others were known to have used."""
        self.note(standing)
        others = Amount(*map(self.company.of_others, _USED))
        together = standing._replace(used=standing.used.plus(others))
        return Budget.decide(self, together, wanted, alone=alone)

    def note(self, standing: Standing) -> None:
        """Tell the others what this task has used; a request that is under way is a used one to them."""
        requests = standing.used.requests + standing.held.requests
        used = standing.used._replace(requests=requests)
        self.company.note(**dict(zip(_USED, used, strict=True)))


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskMostDead(MostDead):
    """How many records of a run may be set aside, with what the other tasks have told."""

    company: Company

    def exceeded(self, dead: int, settled: int) -> str | None:
        """Give the reason to stop, or None."""
        self.company.note(dead=dead, settled=settled)
        others = self.company.of_others("dead"), self.company.of_others("settled")
        return MostDead.exceeded(self, dead + others[0], settled + others[1])


class TaskCrowd(Crowd):
    """Bounds the requests under way in this task by its share, and always lets one go."""

    __slots__ = ("_company", "_total")

    def __init__(self, company: Company, total: int, *, adapts: bool) -> None:
        self._company, self._total = company, total
        super().__init__(self._share(), adapts=adapts)

    @property
    def full(self) -> bool:
        """Say whether nobody more may come in."""
        share = self._share()
        if share != self.most:
            if not self.adapts and self.limit == self.most:
                self.limit = share
            self.most = share
        return self.busy >= min(self.limit, share)

    def _share(self) -> int:
        return max(1, self._total // self._company.live)


class TaskPace(Pace):
    """The rate of one kind of request, of which this task has its share: that of a limit that answers told, too."""

    def __init__(
        self, company: Company, requests: Bucket | None, tokens: Bucket | None, limits: Limits
    ) -> None:
        super().__init__(requests, tokens)
        self._company = company
        self._totals = {"requests": limits.requests_per_minute, "tokens": limits.tokens_per_minute}

    def wait(self, now: float, cost: float) -> float:
        """Give the seconds until a request with this many tokens may leave."""
        self._divide()
        return super().wait(now, cost)

    def learn(self, headers: Mapping[str, str], taken: Taken, now: float) -> bool:
        """Take in what an answer's headers say of the limits of all tasks together."""
        for name, learns, one in zip(
            ("requests", "tokens"), (self.learns_requests, self.learns_tokens), told(headers), strict=True
        ):
            if learns and one.per_minute is not None:
                self._totals[name] = one.per_minute
        said = super().learn(headers, taken, now)
        self._divide()
        return said

    def _divide(self) -> None:
        for name, bucket in (("requests", self.requests), ("tokens", self.tokens)):
            total = self._totals[name]
            if bucket is not None and total is not None:
                share = total / self._company.live
                if bucket.per_minute != share:
                    bucket.resize(share)


class TaskGate(Gate):
    """Lets the requests of one task out. A pause that the server asks for is waited by the task that was asked.

    It begins with nothing in its buckets: tasks that follow each other quickly are not to begin with a burst each.
    """

    def __init__(
        self, policy: Policy, limits: Limits, *, company: Company, most: int, listen: Listener
    ) -> None:
        super().__init__(policy, limits, listen=listen)
        self._company, self._limits = company, limits
        self.crowd = TaskCrowd(company, most, adapts=limits.concurrency is None)
        for bucket in (self._requests, self._tokens):
            if bucket is not None:
                bucket.level = 0.0

    def _lane(self, key: str) -> Lane:  # noqa: ARG002 - the same limits for every key, or learned anew
        """Make the lane of a key that comes for the first time."""
        return Lane(TaskPace(self._company, self._requests, self._tokens, self._limits))

    def _wait(self, visit: Visit, now: float) -> float | None:
        """Give the seconds until a request may leave; who waits for a place looks again, as others may have ended."""
        wait = super()._wait(visit, now)
        return LOOK_AGAIN if wait is None and self.crowd.full else wait


LOOK_AGAIN = 0.5
"""Seconds after which who waits for a place looks whether the share has grown."""
