"""What a run may still spend: reserved before a request leaves, settled when it is known what it used."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from typing import TYPE_CHECKING, Any, cast

from connectory.cost.guards import Amount, Budget, Standing
from connectory.cost.prices import billionths
from connectory.cost.usage import Tally, model_of
from connectory.errors import GuardError, SetupError
from connectory.pace.tokens import Forecast, Size

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectory.delivery.publication import Publication
    from connectory.delivery.waiting import Capacity
    from connectory.interfaces import Journal
    from connectory.record import Result

LOOK_AGAIN = 0.25
"""Seconds at most before somebody who waits looks again: another process may have settled something."""

TEMPLATE = "connectory prices template"


class Hold:
    """What is reserved for one request; `guess` are its tokens, read and answered."""

    __slots__ = ("_begun", "_spending", "guess", "model", "size", "wanted")

    def __init__(
        self, spending: Spending, request: tuple[str, Size | None], wanted: Amount, guess: tuple[int, int]
    ) -> None:
        self._spending, self.wanted, self.guess, self._begun = spending, wanted, guess, False
        self.model, self.size = request

    def begin(self) -> None:
        """Hear that the request leaves: from here on it is a used one."""
        self._begun = True
        self._spending.begin()

    def settle(self, results: Sequence[Result]) -> None:
        """Learn from what the request has used, and leave the guess with a result that does not know it."""
        first = results[0]
        if self.size is not None and (first.in_doubt or first.usage is None):
            first.guess = self.guess
        self._spending.learn(self, results)

    def release(self) -> None:
        """Let others have what was reserved: it is in the journal what was used of it, or nothing was."""
        self._spending.give_back(self.wanted._replace(requests=0 if self._begun else self.wanted.requests))


class Spending:
    """Keeps one run within its budget; who does not fit beside what is under way waits for that to be settled."""

    def __init__(
        self, publication: Publication, budget: Budget, journal: Journal, capacity: Capacity
    ) -> None:
        self._name, self._budget, self._prices = publication.name, budget, publication.prices
        self._journal, self._capacity, self._tally = journal, capacity, journal.account()
        self._held, self._open, self._changed = Amount(), 0, asyncio.Event()
        self._forecasts: dict[str, Forecast] = {}
        self._cost, self._known, self._unknown = 0, -1, dict[str, list[str]]()

    async def reserve(self, payload: Any) -> Hold | None:
        """Reserve what a request may use; None when nothing more may leave. Raises GuardError, SetupError."""
        model, size = model_of(payload), Size(payload) if self._budget.forecasts else None
        while not self._capacity.stopped:
            wanted, guess, alone = self._wanted(model, size, payload)
            decision = self._budget.decide(self._with_doubts(wanted), wanted, alone=alone)
            if decision is None:
                self._held, self._open = self._held.plus(wanted), self._open + 1
                return Hold(self, (model, size), wanted, guess)
            if isinstance(decision, str):
                raise self._over(decision)
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN):
                    await self._changed.wait()
        return None

    def plan(self, payload: Any, planned: Amount, *, check: bool) -> Amount:
        """Give what a request may use that is sent much later, beside what is `planned`.

        Raises SetupError, and GuardError where it is to `check` whether there is room for it.
        """
        size = Size(payload) if self._budget.forecasts else None
        wanted, _, _ = self._wanted(model_of(payload), size, payload)
        decision = self._budget.decide(Standing(self.standing().used, planned), wanted)
        if check and isinstance(decision, str):
            raise self._over(decision)
        return wanted

    def check(self) -> None:
        """Raise GuardError when nothing is left of what only answers use up."""
        used = self.standing().used
        if (reason := self._budget.spent(used._replace(requests=-1))) is not None:
            raise self._over(reason)

    def standing(self, *, strict: bool = True) -> Standing:
        """Say how the run stands. Raises SetupError when something of it has no price, if that is to be `strict`."""
        used = Amount(self._journal.counts.get("requests", 0), self._tally.tokens, self._spent(strict=strict))
        return Standing(used, self._held, self._open)

    def _with_doubts(self, wanted: Amount) -> Standing:
        """Say how the run stands, with what earlier lives left in doubt: each as dear as what is wanted now."""
        standing, doubts = self.standing(), self._journal.doubtful
        if not doubts:
            return standing
        doubtful = Amount(0, wanted.tokens * doubts, wanted.cost * doubts)
        return standing._replace(held=standing.held.plus(doubtful))

    def begin(self) -> None:
        """Hear that a request leaves for which something is reserved."""
        self._held = self._held.minus(Amount(1))
        self._journal.count("requests")

    def learn(self, hold: Hold, results: Sequence[Result]) -> None:
        """Take in what a request has used."""
        if hold.size is None:
            return
        tally = Tally()
        for one in results:
            tally.add(one)
        if not tally.sum("answers"):
            return
        cost = 0 if self._prices is None else billionths(self._prices.bill(tally.models).total)
        forecast = self._forecasts.setdefault(hold.model, Forecast())
        forecast.learn(hold.size, (tally.sum("input"), tally.sum("output")), cost=cost)

    def give_back(self, amount: Amount) -> None:
        """Let others have what was reserved."""
        self._held, self._open = self._held.minus(amount), self._open - 1
        self._budget.note(self.standing(strict=False))  # who asks next hears what is wrong
        self._changed.set()
        self._changed = asyncio.Event()

    def _wanted(self, model: str, size: Size | None, payload: Any) -> tuple[Amount, tuple[int, int], bool]:
        """Give what a request may use, the tokens of that, and whether nobody can say."""
        if size is None:
            return Amount(1), (0, 0), False
        forecast = self._forecasts.get(model) or Forecast()
        read, answered = guess = forecast.of(size)
        cost, bounded = 0, bool(size.answer)
        if self._budget.cost is not None and self._prices is not None:
            price = self._prices.find(model)
            if price is None or price.empty:
                raise self._unpriced(model)
            bounded = bounded and price.second is None
            cost = billionths(self._prices.factor * price.most(read, answered, images=_images(payload)))
            cost = cost if bounded else max(cost, forecast.dearest)
        return Amount(1, read + answered, cost), guess, not (bounded or forecast.seen)

    def _spent(self, *, strict: bool) -> int:
        """Count the money that is spent; what may have been charged counts with what was reserved for it."""
        if self._budget.cost is not None and self._prices is not None and self._known != self._tally.changes:
            bill = self._prices.bill(self._tally.models)
            self._cost, self._unknown = billionths(bill.total + bill.reserved), bill.unpriced
            self._known = self._tally.changes
        if strict and self._unknown:
            model, lacking = next(iter(self._unknown.items()))
            raise self._unpriced(model, lacking)
        return self._cost

    def _over(self, reason: str) -> GuardError:
        return GuardError(f"outgoing {self._name!r}: {reason}; the records left stay pending")

    def _unpriced(self, model: str, lacking: Sequence[str] = ()) -> SetupError:
        which = f"model {model!r}" if model else "a request that names no model"
        what = f"has no price for {' and '.join(lacking)}" if lacking else "has no price"
        error = SetupError(
            f"outgoing {self._name!r}: {which} {what}, and a budget by cost needs one; write it below `prices` "
            "of the client; the records left stay pending"
        )
        error.command = TEMPLATE
        return error


def _images(payload: Any) -> int:
    """Count the pictures that a request asks for, where it may ask for some."""
    wanted: Any = cast("dict[str, Any]", payload).get("n") if isinstance(payload, dict) else None
    return wanted if isinstance(wanted, int) and wanted > 0 else 1
