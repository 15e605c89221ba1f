"""What a run remembers: intents before a request leaves, outcomes after it, cursors after the sink's flush."""

from __future__ import annotations

import secrets
import time
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from connectory.record import Delivery, Result


def new_run_id() -> str:
    """Give the id of a new run: sorts by time, and two runs never share one."""
    return f"{time.strftime('%Y%m%dT%H%M%S', time.gmtime())}-{secrets.token_hex(4)}"


class MemoryJournal:
    """A journal that lives as long as its process.

    It bounds its memory by the deliveries in flight: what is settled is counted and forgotten, because in one process
    no position is read twice.
    """

    def __init__(self, run: str | None = None) -> None:
        self.run = run or new_run_id()
        self.intents: dict[str, str] = {}
        self.counts = {"ok": 0, "error": 0, "skipped": 0}
        self.cursors: dict[str, Any] = {}

    def is_done(self, delivery: Delivery) -> bool:  # noqa: ARG002 - the protocol's parameter
        """Say that nothing was settled before: the run began with this process."""
        return False

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        """Note the delivery and the hash of what is about to be sent."""
        self.intents[delivery.key] = body_hash

    async def record(self, delivery: Delivery, result: Result) -> None:
        """Count the outcome and forget the intent."""
        self.intents.pop(delivery.key, None)
        self.counts[result.status] += 1

    async def commit(self, stream: str, cursor: Any) -> None:
        """Note how far a stream has come."""
        self.cursors[stream] = cursor

    def cursor(self, stream: str) -> Any:
        """Give how far a stream has come."""
        return self.cursors.get(stream)

    @property
    def in_flight(self) -> int:
        """Give how many requests may have left without an outcome yet."""
        return len(self.intents)
