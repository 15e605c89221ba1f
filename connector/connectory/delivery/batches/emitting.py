"""Results out of the spool: each record with its answer, in the order of the source or as batches get ready."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from connectory.delivery.batches.lines import result_of_line
from connectory.delivery.batches.spool import SETTLED, WAITING
from connectory.delivery.publication import Part
from connectory.errors import UnavailableError
from connectory.interfaces import Item
from connectory.record import Delivery
from connectory.text.json import loads

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator

    from connectory.delivery.batches.ledger import Ledger, Lot
    from connectory.delivery.batches.spool import Spool
    from connectory.delivery.delivering import Delivering
    from connectory.interfaces import Journal
    from connectory.record import Result
    from connectory.text.redaction import Redactor

AT_ONCE = 100
"""Results that are given together."""


class Emitting:
    """Gives results that are ready and were not shown; `take_back` hears of each part whose item is in memory again."""

    def __init__(
        self,
        delivering: Delivering,
        journal: Journal,
        redactor: Redactor,
        *,
        ledger: Ledger,
        spool: Spool,
        ordered: bool,
        take_back: Callable[[Part], None],
    ) -> None:
        self._delivering, self._journal, self._redactor = delivering, journal, redactor
        self._ledger, self._spool, self._ordered, self._take_back = ledger, spool, ordered, take_back
        self._place = self._number = 0
        self._known = 0 if ordered else spool.records
        self._ready: deque[Iterator[tuple[int, int]]] = deque()
        self._given = bytearray()

    def settled(self, places: list[tuple[int, int]]) -> None:
        """Hear of records, by number and place, that are settled without a batch."""
        if not self._ordered:
            self._ready.append(iter(places))

    def answered(self, lot: Lot) -> None:
        """Hear that the answers of a lot are sorted."""
        if not self._ordered:
            rows = ((number, place) for _, number, place in self._spool.rows(lot))
            self._ready.append(row for row in rows if self._spool.answers[row[0]] != WAITING)

    async def groups(self) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        """Give what is ready now."""
        group: list[tuple[Part, Result]] = []
        for number, place in self._next():
            if not self._is_first(number) or (part := self._part(self._spool.item(place))) is None:
                continue
            self._take_back(part)
            group.append((part, await self._delivering.answered(part, partial(self._result, part, number))))
            if len(group) >= AT_ONCE:
                yield group
                group = []
        if group:
            yield group

    def _next(self) -> Iterator[tuple[int, int]]:
        spool = self._spool
        while self._place < spool.readable and (self._ordered or self._number < self._known):
            number, place = self._number, self._place
            if spool.answers[number] == WAITING and self._ordered:
                return
            line = spool.item(place)
            self._number, self._place = number + 1, place + len(line)
            if spool.answers[number] != WAITING:
                yield number, place
        while self._ready:
            yield from self._ready[0]
            self._ready.popleft()

    def _is_first(self, number: int) -> bool:
        """Say whether a record was not given in this life: a lot may get ready while all records are looked through."""
        if self._ordered:
            return True
        missing = number + 1 - len(self._given)
        if missing > 0:
            self._given.extend(bytes(missing))
        first = not self._given[number]
        self._given[number] = 1
        return first

    def _part(self, line: bytes) -> Part | None:
        """Make the delivery again of its line; None for one whose lines are out already."""
        said: dict[str, Any] = loads(line)
        seq, number = said["seq"], said["part"]
        if self._journal.is_shown(seq, number):
            return None
        delivery = Delivery(said.get("run") or self._journal.run, said["position"], number, seq)
        item = Item(said["position"], said["record"])
        made = said.get("made", said["record"])
        return Part(
            item,
            said["index"],
            delivery,
            said["id"],
            cast("dict[str, Any]", made) if isinstance(made, dict) else None,
            whole=said["whole"],
            beside=tuple(said.get("beside", ())),
        )

    def _result(self, part: Part, number: int, what: str) -> Result:
        if self._spool.answers[number] == SETTLED:
            raise UnavailableError(f"the result of record {part.id!r} is not in the results log any more")
        lot, kind, line = self._spool.answered(number)
        about = self._ledger.lots[lot - 1]
        result = result_of_line(
            part,
            line,
            kind=kind,
            attempt=about.attempt,
            doubt=about.doubt,
            what=what,
            redactor=self._redactor,
        )
        result.model = about.model
        return result
