"""The journal of one attempt at a partition: it knows what earlier attempts were answered, and writes its own down.

Each attempt has files of its own, so that no two machines ever write to one: the log of its answers, and the requests
that it has under way. They are those of every run; there is no database, which a shared file system would not bear.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING

from connectory.journal import MemoryJournal
from connectory.journal.intents import INTENTS, Intents
from connectory.journal.log import LOG, ResultsLog
from connectory.record import Intent

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from connectory.interfaces import Row
    from connectory.record import Delivery, Result


class TaskJournal(MemoryJournal):
    """Remembers, for the attempts after this one, what was sent and answered.

    `check` is called before anything is sent; it raises where another attempt has begun. Deliveries are known by their
    keys, wherever in the partition they come. `power`: what is written outlives the machine's power.
    """

    durable = True

    def __init__(
        self,
        folder: Path,
        run: str,
        *,
        started_at: int,
        earlier: Sequence[Path],
        check: Callable[[], None],
        power: bool = False,
    ) -> None:
        super().__init__(run)
        self.started_at, self.life, self._check, self._power = started_at, len(earlier) + 1, check, power
        self._log, self._intents = ResultsLog(folder / LOG), Intents(folder / INTENTS)
        self._logs, self._places = list[ResultsLog](), dict[str, tuple[int, int]]()
        self._doubts = dict[str, Intent]()
        self._notes: dict[bytes, bytes] = {}
        try:
            for one in earlier:
                self._take_over(one)
            self._log.open()
            list(self._intents.open())
        except BaseException:
            self.close()
            raise
        for key in self._places:
            self._doubts.pop(key, None)
        self._companions = Counter(one.pack for one in self._doubts.values() if one.pack)

    def recall(self, delivery: Delivery) -> Result | None:
        """Give the result that an earlier attempt got, without its record."""
        found = self._places.get(delivery.key)
        if found is None:
            return None
        result = self._logs[found[0]].entry(found[1]).result()
        result.index = delivery.seq  # the rows may have come in another order then
        return result

    def doubt(self, delivery: Delivery) -> Intent | None:
        """Give the intent that an earlier attempt left without an outcome."""
        return self._doubts.get(delivery.key)

    def companions(self, pack: str) -> int:
        """Count the deliveries that an earlier attempt left under way in that request."""
        return self._companions[pack]

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        """Write that a delivery is about to be sent."""
        self._check()
        self._intents.note(self._intent(delivery, body_hash))
        if self._power:
            self._intents.sync()

    async def intend_pack(self, deliveries: Sequence[Delivery], body_hash: str, pack: str) -> None:
        """Write that deliveries are about to be sent in one request."""
        self._check()
        self._intents.note_pack([self._intent(one, body_hash, pack) for one in deliveries])
        if self._power:
            self._intents.sync()

    async def begin(self, delivery: Delivery, result: Result) -> None:
        """Write down what a delivery has created: later attempts wait for it, and never create it again."""
        await self.record(delivery, replace(result, status="begun"))

    async def record(self, delivery: Delivery, result: Result) -> None:
        """Write down what became of a delivery: from here on no attempt sends it."""
        await self.record_pack([(delivery, result)])

    async def record_pack(self, settled: Sequence[tuple[Delivery, Result]]) -> None:
        """Write down what became of the deliveries of one request, in one piece."""
        self._log.extend(settled, self.life)
        if self._power:
            self._log.sync()
        for delivery, _ in settled:
            self._written(delivery)

    def withdraw(self, delivery: Delivery) -> None:
        """Forget an intent whose answer was a refusal that is not to count."""
        self._intents.withdraw(delivery.key)
        self._doubts.pop(delivery.key, None)

    def note(self, row: Row) -> None:
        """Keep a note: every attempt runs the chain over all of its partition, and makes it again."""
        self._notes[row[0]] = row[1]

    def noted(self, key: bytes) -> bytes | None:
        """Give what was noted under a key."""
        return self._notes.get(key)

    def close(self) -> None:
        """Close the files."""
        self._intents.close()
        for one in (self._log, *self._logs):
            one.close()

    def _take_over(self, folder: Path) -> None:
        log = ResultsLog(folder / LOG)
        if log.path.exists():
            log.open()
            self._logs.append(log)
            number = len(self._logs) - 1
            self._places.update((key, (number, start)) for key, start in log.places())
        for intent in Intents(folder / INTENTS).peek():
            before = self._doubts.get(intent.key)
            if before is None or before.lives < intent.lives:
                self._doubts[intent.key] = intent

    def _intent(self, delivery: Delivery, body_hash: str, pack: str = "") -> Intent:
        earlier = self._doubts.get(delivery.key)
        lives = earlier.lives + 1 if earlier else 1
        return Intent(delivery.key, delivery.seq, delivery.part, body_hash, lives, pack)

    def _written(self, delivery: Delivery) -> None:
        self._intents.forget(delivery.key)
        self._doubts.pop(delivery.key, None)
