"""Failures that are not written down yet: as long as all fail alike, their records may have to stay pending."""

from __future__ import annotations

from typing import TYPE_CHECKING

from connectory.delivery.results import signature
from connectory.retry import Alarm

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectory.delivery.publication import Part
    from connectory.interfaces import Journal
    from connectory.record import Result


class Holding:
    """Holds back the failures at the beginning of a run; a journal that ends with its process needs none of it."""

    def __init__(self, journal: Journal) -> None:
        self._journal, self._alarm = journal, Alarm()
        self._held: list[tuple[Part, Result]] = []

    @property
    def rang(self) -> bool:
        """Say that all failed alike: what is held back stays pending."""
        return self._alarm.rang and self._journal.durable

    @property
    def holds(self) -> bool:
        """Say whether any failure is held back."""
        return bool(self._held)

    @property
    def undecided(self) -> bool:
        """Say whether all that was heard so far was the same failure, or nothing was heard yet."""
        return self._alarm.undecided

    @property
    def settled(self) -> bool:
        """Say that nothing is held back, and that nothing ever will be: nobody need listen any more."""
        return not (self._held or self._alarm.undecided or self._alarm.rang)

    async def settle(self, part: Part, result: Result) -> None:
        """Write down what became of a delivery, unless it is a failure that may not have to count."""
        if self._has_to_wait(result):
            self._held.append((part, result))
        else:
            await self._journal.record(part.delivery, result)

    async def settle_pack(self, settled: Sequence[tuple[Part, Result]]) -> None:
        """Write down, in one piece, what became of deliveries that went together."""
        held = [pair for pair in settled if self._has_to_wait(pair[1])]
        self._held += held
        if not held:
            await self._journal.record_pack([(part.delivery, result) for part, result in settled])

    def _has_to_wait(self, result: Result) -> bool:
        undecided = self._alarm.undecided or self._alarm.rang
        return self._journal.durable and result.error is not None and undecided

    async def hear(self, result: Result) -> str | None:
        """Hear what became of a delivery; give the reason to stop once the first ones have all failed alike."""
        message = result.error.message if result.error else None
        reason = self._alarm.hear(result.ok, signature(result), message)
        if self.rang:
            self._forget()
        elif not self._alarm.undecided:
            await self.release()
        return reason

    async def dismiss(self) -> None:
        """Let the failures count after so much else passed by: what does not fail is not sent, or was done before."""
        self._alarm.dismiss()
        await self.release()

    async def release(self) -> None:
        """Write down the failures that were held back."""
        held, self._held = self._held, []
        for part, result in held:
            await self._journal.record(part.delivery, result)

    def let_pend(self) -> None:
        """Take the failures that are held back for the fault of what stops the run: their records stay pending."""
        if self._held:
            self._alarm.ring()
            self._forget()

    def _forget(self) -> None:
        """Forget the failures that were held back; what may have been done stays in doubt."""
        held, self._held = self._held, []
        for part, result in held:
            if not result.in_doubt:
                self._journal.withdraw(part.delivery)
