"""Records into the spool: each becomes a line of an input file, or is settled where it cannot be sent."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any

from connectory.cost.guards import Amount
from connectory.delivery.batches.planning import fits, line_of
from connectory.delivery.results import failed, unsent
from connectory.errors import GuardError, RequestError, WorkError
from connectory.record import Result
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable

    import httpx

    from connectory.catalogue.batchable import BatchOption
    from connectory.delivery.batches.ledger import Ledger, Lot
    from connectory.delivery.batches.planning import Line
    from connectory.delivery.batches.spool import Spool
    from connectory.delivery.delivering import Delivering
    from connectory.delivery.publication import Part, Publication
    from connectory.interfaces import Journal
    from connectory.requests.building import Call

OFTEN = 1000
"""Records after which it is written down how far the source is spooled."""

GATHERED = 8 * 1024 * 1024
"""Bytes that are in memory at most before they are written."""

_PLANNED = ("taken", "taken_tokens", "taken_cost")
"""Counts of what was spooled within a budget, and of what was reserved for it."""

MOST_MODELS = 32
"""Lots that are open at once: records of more models than that make smaller batches."""


class Taking:
    """Takes the records of a run.

    `let_go` hears that nothing of an item is kept in memory, `sealed` of lots to send, and `settled` of records, by
    number and place, that need no batch. `failed` counts those that cannot be sent.
    """

    def __init__(
        self,
        publication: Publication,
        option: BatchOption,
        delivering: Delivering,
        journal: Journal,
        *,
        ledger: Ledger,
        spool: Spool,
        let_go: Callable[[int], None],
        sealed: Callable[[list[Lot]], None],
        settled: Callable[[list[tuple[int, int]]], None],
    ) -> None:
        self._publication, self._option, self._delivering, self._journal = (
            publication,
            option,
            delivering,
            journal,
        )
        self._ledger, self._spool = ledger, spool
        self._let_go, self._sealed, self._settled = let_go, sealed, settled
        self._full: list[Lot] = []
        self._open: dict[str, Lot] = {}
        for lot in ledger.lots:
            if lot.state == "open":  # of two for one model the first was full, and not sealed any more
                self._full += [self._open[lot.model]] if lot.model in self._open else []
                self._open[lot.model] = lot
        self._done: list[tuple[int, int]] = []
        self._last: Part | None = None
        self._since = self._counted = self.failed = 0
        self._planned = Amount()

    async def run(self, parts: AsyncIterator[Part]) -> None:
        """Take every part; the last lots are sealed at the end of the source. Raises GuardError, RunStoppedError."""
        try:
            async for part in parts:
                first = self._last is None or part.delivery.seq != self._last.delivery.seq
                if first:
                    await self._rest()
                await self._take(part, first=first)
                self._last = part
        except GuardError:  # what was taken is within the budget
            await self._finish(whole=False)
            raise
        await self._finish(whole=True)

    async def _take(self, part: Part, *, first: bool) -> None:
        """Take a part; the `first` of an item may be beyond the budget, and then none of the item is taken."""
        known = self._journal.recall(part.delivery) is not None
        line = None if known else self._made(part, first=first)
        place = self._spool.add(self._item(part), settled=line is None or isinstance(line, Result))
        if line is None:
            self._done.append(place)
        elif isinstance(line, Result):
            self.failed += line.error is not None
            await self._delivering.put_by(part, line)
            self._done.append(place)
        else:
            file = self._spool.lot_file(self._lot_for(line))
            file.add(line.text, part.delivery.key, *place)
            file.inputs += line.inputs
            self._counted += 1
        self._let_go(part.delivery.seq)

    def _made(self, part: Part, *, first: bool) -> Line | Result:
        """Make the line of a delivery; its result where nothing is sent. Raises GuardError."""
        ready = self._delivering.ready(part)
        if isinstance(ready, Result):
            return ready
        line = self._line(part, *ready)
        if not isinstance(line, Result):
            self._plan(ready[0].payload, check=first)
        return line

    def _line(self, part: Part, call: Call, request: httpx.Request) -> Line | Result:
        if self._ledger.cancelled:
            error = WorkError("the run was cancelled before this record was sent", code="batch_cancelled")
            return failed(unsent(part, None), error, retryable=True)
        try:
            body = None if request.extensions.get("form") is not None else request.content
            return line_of(self._option, part, call, body)
        except RequestError as error:
            return unsent(part, error)

    def _item(self, part: Part) -> bytes:
        """Make the line by which a record is known again when its answer is there."""
        item = part.item
        line: dict[str, Any] = {
            "seq": part.delivery.seq,
            "part": part.delivery.part,
            "index": part.index,
            "id": part.id,
            "position": item.position,
            "whole": part.whole,
            "record": item.record,
        }
        if part.record is not None and part.record is not item.record:
            line["made"] = part.record
        if part.beside:
            line["beside"] = list(part.beside)
        if part.delivery.run != self._journal.run:
            line["run"] = part.delivery.run
        try:
            return dumps(line) + b"\n"
        except JsonTextError:  # of a program's own record, which is in error then
            return dumps({**line, "record": None, "made": None}) + b"\n"

    def _lot_for(self, line: Line) -> Lot:
        lot = self._open.get(line.model)
        if lot is not None:
            file = self._spool.lot_file(lot)
            if not fits(self._option, line, requests=file.requests, size=file.size, inputs=file.inputs):
                self._full.append(self._open.pop(line.model))
                lot = None
        if lot is None:
            if len(self._open) >= MOST_MODELS:
                fullest = max(self._open.values(), key=lambda one: self._spool.lot_file(one).requests)
                self._full.append(self._open.pop(fullest.model))
            lot = self._open[line.model] = self._ledger.new(line.model)
            self._ledger.lots.append(lot)
        return lot

    async def _rest(self) -> None:
        """Write down how far the source is, between two items, when it is time."""
        self._since += 1
        if self._since >= OFTEN or self._full or self._spool.gathered >= GATHERED:
            await self._write_down()

    async def _finish(self, *, whole: bool) -> None:
        self._full += self._open.values()
        self._open.clear()
        self._ledger.whole = whole
        await self._write_down()

    async def _write_down(self) -> None:
        self._spool.flush()
        ledger, last, full, done = self._ledger, self._last, self._full, self._done
        ledger.items, ledger.records = self._spool.items, self._spool.records
        if last is not None:
            ledger.seq, ledger.mark = last.delivery.seq + 1, last.item.mark
        for lot in full:
            self._spool.lot_file(lot)
            await asyncio.to_thread(self._spool.seal, lot)
            lot.state = "written" if lot.requests else "closed"
        if self._publication.budget is not None and self._counted:
            self._journal.count("requests", self._counted)
            for name, amount in zip(_PLANNED, (self._counted, *self._planned[1:]), strict=True):
                self._journal.count(name, amount)
            self._planned = Amount()
        self._since, self._counted, self._full, self._done = 0, 0, [], []
        await ledger.commit()
        if full := [lot for lot in full if lot.state == "written"]:
            self._sealed(full)
        if done:
            self._settled(done)

    def _plan(self, payload: Any, *, check: bool) -> None:
        """Reserve what a request may use. Raises GuardError where that is to be checked, and there is no room for it.

        Of what earlier lots have reserved the share counts that has no answer yet: which of their requests that are is
        not known.
        """
        spending, counts = self._delivering.spending, self._journal.counts
        if spending is None:
            return
        taken, tokens, cost = (counts.get(name, 0) for name in _PLANNED)
        left = max(0, taken - self._journal.account().sum("deliveries"))
        held = Amount(self._counted, *(-(-one * left // max(1, taken)) for one in (tokens, cost)))
        wanted = spending.plan(payload, held.plus(self._planned), check=check)
        self._planned = self._planned.plus(wanted._replace(requests=0))
