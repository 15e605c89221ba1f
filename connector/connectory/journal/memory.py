"""A journal that ends with its process: for callers who keep no state."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Any

from connectory.cost.usage import Tally
from connectory.journal.names import new_run_id

if TYPE_CHECKING:
    from collections.abc import Container, Sequence

    from connectory.interfaces import Position, Row
    from connectory.record import Delivery, Intent, Result


class MemoryJournal:
    """A journal that lives as long as its process.

    It bounds its memory by the deliveries in flight: what is settled is counted and forgotten, because in one process
    no position is read twice.
    """

    durable = False
    life = 1
    start = doubtful = 0

    def __init__(self, run: str | None = None) -> None:
        self.run, self.started_at = run or new_run_id(), int(time.time())
        self.intents: dict[str, str] = {}
        self.counts: dict[str, int] = {}
        self.cursors: dict[str, Any] = {}
        self.tally: Tally | None = None

    def is_shown(self, seq: int, part: int | None = None) -> bool:  # noqa: ARG002 - the protocol's parameters
        """Say that nothing was shown before: the run began with this process."""
        return False

    def shown_parts(self, seq: int) -> Container[int]:  # noqa: ARG002 - the protocol's parameter
        """Give none, for the same reason."""
        return ()

    def recall(self, delivery: Delivery) -> Result | None:  # noqa: ARG002 - the protocol's parameter
        """Give nothing: no earlier life of the run has a result."""
        return None

    def doubt(self, delivery: Delivery) -> Intent | None:  # noqa: ARG002 - the protocol's parameter
        """Give nothing: no earlier life of the run left a delivery under way."""
        return None

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        """Note the delivery and the hash of what is about to be sent."""
        self.intents[delivery.key] = body_hash

    async def flush(self) -> None:
        """Need nothing: nothing is written."""

    async def intend_pack(self, deliveries: Sequence[Delivery], body_hash: str, pack: str) -> None:  # noqa: ARG002 - the protocol's parameter
        """Note the deliveries and the hash of what is about to be sent."""
        self.intents |= {one.key: body_hash for one in deliveries}

    def companions(self, pack: str) -> int:  # noqa: ARG002 - the protocol's parameter
        """Count nothing: no earlier life of the run left a delivery under way."""
        return 0

    async def begin(self, delivery: Delivery, result: Result) -> None:  # noqa: ARG002 - the protocol's parameters
        """Forget the intent: the request has its answer."""
        self.intents.pop(delivery.key, None)

    async def record(self, delivery: Delivery, result: Result) -> None:
        """Count the outcome, and forget the intent and what a log would have been written from."""
        self.intents.pop(delivery.key, None)
        result.raw = None
        self.count(result.status)
        if self.tally is not None:
            self.tally.add(result)

    async def record_pack(self, settled: Sequence[tuple[Delivery, Result]]) -> None:
        """Count the outcomes and forget the intents."""
        for delivery, result in settled:
            await self.record(delivery, result)

    def withdraw(self, delivery: Delivery) -> None:
        """Forget an intent whose answer was a refusal that is not to count."""
        self.intents.pop(delivery.key, None)

    def leave(self, delivery: Delivery) -> None:
        """Need nothing: no other process takes it up."""

    def read(self, seq: int, mark: Any) -> None:
        """Need nothing: no source is read again."""

    def show(self, delivery: Delivery, result: Result) -> None:
        """Need nothing: no output is made again."""

    def close_item(self, seq: int, *, dead: bool) -> None:  # noqa: ARG002 - the protocol's parameter
        """Count the item."""
        self.count("dead" if dead else "done")

    def count(self, name: str, amount: int = 1) -> None:
        """Add to one of the run's counts."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def account(self) -> Tally:
        """Add up what results use from here on."""
        self.tally = self.tally or Tally()
        return self.tally

    def set_total(self, total: int) -> None:
        """Need nothing: nobody asks later."""

    def place(self, output: Position, dead: Position) -> None:
        """Need nothing: no output is cut back."""

    async def commit(
        self,
        stream: str,
        cursor: Any,
        *,
        drop: str = "",
        seen: Sequence[Row] = (),  # noqa: ARG002 - the protocol's: nobody asks later
    ) -> None:
        """Note how far a stream has come."""
        if drop:
            self.cursors = {name: one for name, one in self.cursors.items() if not name.startswith(drop)}
        self.cursors[stream] = cursor

    def cursor(self, stream: str) -> Any:
        """Give how far a stream has come."""
        return self.cursors.get(stream)

    @property
    def in_flight(self) -> int:
        """Give how many requests may have left without an outcome yet."""
        return len(self.intents)
