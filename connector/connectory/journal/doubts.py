"""Deliveries whose requests were about to leave and that have no outcome: those of this life, and of earlier ones."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING

from connectory.record import Intent

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.record import Delivery


class Doubts:
    """What is to be noted of intents, and what earlier lives left of them.

    Every item below `below` that has no result is in doubt: after a repair nobody knows which ones were under way.
    """

    def __init__(self, earlier: Mapping[str, Intent], below: int) -> None:
        self._earlier, self._below = dict(earlier), below
        self._together = Counter[str]()
        self._new: list[Intent] = []
        self._settled: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._earlier)

    def of(self, delivery: Delivery) -> Intent | None:
        """Give the intent that an earlier life left without an outcome."""
        earlier = self._earlier.get(delivery.key)
        if earlier is None and delivery.seq < self._below:
            return Intent(delivery.key, delivery.seq, delivery.part, "", 1)
        return earlier

    def count_packs(self, below: int) -> None:
        """Hear that all outcomes are known: what is left of each pack goes together again."""
        self._together.update(one.pack for one in self._earlier.values())
        self._below = below

    def companions(self, pack: str) -> int:
        """Count the deliveries that an earlier life left under way in one request."""
        return self._together[pack]

    def intend(self, deliveries: Sequence[Delivery], body_hash: str, pack: str = "") -> None:
        """Note that deliveries are about to be sent, in one request."""
        for one in deliveries:
            lives = earlier.lives + 1 if (earlier := self.of(one)) else 1
            self._settled.pop(one.key, None)  # it was refused with others, and goes again
            self._new.append(Intent(one.key, one.seq, one.part, body_hash, lives, pack))

    def settle(self, key: str) -> None:
        """Note that a delivery has its outcome, or needs none."""
        self._settled[key] = None
        self._earlier.pop(key, None)

    def adopt(self, key: str) -> None:
        """Hear that a delivery of an earlier life has its outcome in the results log."""
        if key in self._earlier:
            self.settle(key)

    def take(self) -> tuple[Sequence[Intent], Sequence[str]]:
        """Give what was noted since the last time: intents, and the keys of those that are settled."""
        new, settled = self._new, list(self._settled)
        self._new, self._settled = [], {}
        return new, settled

    def give_back(self, settled: Sequence[str]) -> None:
        """Note again what could not be written; who waits for an intent is told, and sends nothing."""
        again = {one.key for one in self._new}
        self._settled = dict.fromkeys(key for key in settled if key not in again) | self._settled
