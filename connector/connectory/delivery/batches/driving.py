"""One lot after the other: uploaded, begun, looked at until its batch is over, and its answers sorted."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, cast

from connectory.delivery.batches.asking import Asking
from connectory.delivery.batches.room import Room
from connectory.delivery.batches.sorting import out_of_money, sort, told, waits_for_tokens
from connectory.delivery.batches.spool import ERR, OUT
from connectory.delivery.states import Until, state_of
from connectory.errors import UnavailableError
from connectory.events import BatchChanged, Listener, Noticed

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from connectory.catalogue.batchable import BatchOption
    from connectory.client import Client
    from connectory.delivery.batches.ledger import Ledger, Lot
    from connectory.delivery.batches.sorting import Sorted
    from connectory.delivery.batches.spool import Spool
    from connectory.delivery.publication import Publication
    from connectory.delivery.spending import Spending
    from connectory.delivery.waiting import Capacity
    from connectory.interfaces import Journal

TOKEN_WAIT, LONGEST_TOKEN_WAIT = 60.0, 900.0
"""Seconds before a batch is begun again that was refused while no other of the run was under way, doubled each time."""

LONELY = 3
"""Refusals of that kind after which a lot is taken for too large, and halved."""

BELIEVED = 3
"""Refusals in a row to show a batch before they are believed."""

SIDE_BY_SIDE = 1
"""Lots whose answers are sorted at once: each takes some twenty megabytes meanwhile."""


class Driving:
    """Brings lots to their end; `capacity` says when to stop, and that nobody waits for what is under way.

    Nothing is begun where `spending` has nothing left.

    `done` hears of each lot that is at its end, and of those that have taken over what is left of it.
    """

    def __init__(
        self,
        publication: Publication,
        option: BatchOption,
        client: Client,
        journal: Journal,
        capacity: Capacity,
        *,
        spending: Spending | None,
        ledger: Ledger,
        spool: Spool,
        listen: Listener,
        done: Callable[[Lot, list[Lot]], None],
    ) -> None:
        self._publication, self._option, self._spending = publication, option, spending
        self._policy, self._capacity = client.options.policy, capacity
        self._ledger, self._spool, self._listen, self._done = ledger, spool, listen, done
        self._asking = Asking(option, client, journal, listen=listen, pause=capacity.pause)
        self._named = journal.run, publication.name
        self._room = Room(publication.concurrency)
        self._sorting = asyncio.Semaphore(SIDE_BY_SIDE)
        self._told: dict[int, tuple[Any, ...]] = {}
        self._until = Until(option.entities["batch"], option.done, option.failed)

    async def drive(self, lot: Lot) -> None:
        """Bring a lot to its end, or as far as it comes before the run stops. Raises RunStoppedError."""
        while lot.state != "closed" and not self._capacity.stopped:
            if self._ledger.cancelled and lot.state in {"written", "uploading", "uploaded"}:
                await self._close(lot, {})
                return
            async with self._room:
                batch = None if self._capacity.stopped else await self._batch(lot)
            if batch is None:
                return
            if waits_for_tokens(batch) and not self._ledger.cancelled:
                await self._put_off(lot)
            else:
                self._room.grow()
                await self._close(lot, batch)

    def stop(self) -> None:
        """Let nobody wait for a place any more."""
        self._room.open()

    async def _batch(self, lot: Lot) -> Mapping[str, Any] | None:
        """Give the batch of a lot that is over, an empty one where none was begun; None when the run stops before."""
        if lot.state in {"written", "uploading"}:
            doubt, lot.state = lot.state == "uploading", "uploading"
            await self._ledger.commit()
            lot.file = await self._asking.upload(lot, self._spool.input(lot), doubt=doubt)
            lot.state = "uploaded"
            await self._ledger.commit()
        if lot.state == "creating" and self._ledger.cancelled:
            lot.batch = await self._asking.find(lot)
            if lot.batch is None:
                return {}
        elif lot.state in {"uploaded", "creating"}:
            if self._capacity.stopped:
                return None
            doubt = lot.state == "creating"
            if not doubt:
                if self._spending is not None:
                    self._spending.check()
                lot.state, lot.batches = "creating", lot.batches + 1
                await self._ledger.commit()
            lot.batch = await self._asking.create(lot, doubt=doubt)
        lot.state = "created"
        await self._ledger.commit()
        return await self._watch(lot, str(lot.batch))

    async def _watch(self, lot: Lot, name: str) -> Mapping[str, Any] | None:
        """Look at a batch, less and less often, until it is over."""
        began, refusals = asyncio.get_running_loop().time(), 0
        if self._ledger.cancelled:
            await self._asking.cancel(name)
        while True:
            outcome = await self._asking.look(name)
            headers: Mapping[str, str] = {}
            if outcome.answer is not None:
                refusals, headers = 0, outcome.answer.headers
                batch = cast("dict[str, Any]", outcome.answer.value)
                self._tell(lot, name, batch)
                if self._until.is_over(batch):
                    return batch
            else:
                refusals += not outcome.retryable
                if refusals >= BELIEVED:
                    raise UnavailableError(f"batch {name!r} cannot be read: {outcome.error}")
            if self._capacity.detached or self._capacity.stopped:
                return None
            age = asyncio.get_running_loop().time() - began
            await self._capacity.pause(self._until.pause(age, headers))
            if self._capacity.stopped:
                return None

    async def _put_off(self, lot: Lot) -> None:
        """Begin the batch of a lot later, with fewer others beside it: too many tokens wait at the server."""
        alone = self._room.shrink()
        lot.state, lot.batch = "uploaded", None
        lot.lonely += alone
        too_large = lot.lonely >= LONELY and lot.requests > 1
        self._listen(
            Noticed(
                f"part {lot.number} was refused for now: more tokens wait at the server than it takes; "
                + ("it is halved" if too_large else "it is sent again later, with fewer others beside it"),
                *self._named,
            )
        )
        if too_large:
            half = lot.requests // 2
            await self._end(lot, [set(range(half)), set(range(half, lot.requests))], attempt=lot.attempt)
            return
        await self._ledger.commit()
        if alone:
            wait = TOKEN_WAIT * 2.0 ** (lot.lonely - 1)
            await self._capacity.pause(min(wait, LONGEST_TOKEN_WAIT))

    async def _close(self, lot: Lot, batch: Mapping[str, Any]) -> None:
        """Fetch and sort the answers of a batch that is over; what has none goes into another lot."""
        if (reason := out_of_money(batch)) is not None:
            lot.state, lot.batch = "uploaded", None
            await self._ledger.commit()
            raise UnavailableError(reason)
        lot.ended = state_of(batch) or "cancelled"
        if lot.ended == "failed":
            self._listen(
                Noticed(f"part {lot.number}: batch {lot.batch!r} was refused: {told(batch)}", *self._named)
            )
        for field, kind in (("output_file_id", OUT), ("error_file_id", ERR)):
            file, path = batch.get(field), self._spool.answer_file(lot, kind)
            if isinstance(file, str) and file and not path.exists():
                await self._asking.save(file, path)
        async with self._sorting:
            sorted_ = await asyncio.to_thread(
                sort,
                self._spool,
                lot,
                batch.get("errors"),
                policy=self._policy,
                cancelled=self._ledger.cancelled,
            )
        for number, kind, place in sorted_.answers:
            self._spool.answer(number, lot, kind, place)
        self._spool.note([number for number, _, _ in sorted_.answers])
        self._notice(lot, sorted_)
        attempt = lot.attempt + (not sorted_.stop)
        wanted = [sorted_.again] if sorted_.again else []
        await self._end(lot, wanted, attempt=attempt, wait=bool(sorted_.stop))
        if sorted_.stop:
            raise UnavailableError(sorted_.stop)

    async def _end(self, lot: Lot, wanted: list[set[int]], *, attempt: int, wait: bool = False) -> None:
        """Note that a lot is at its end, at once with the lots that take over what is wanted of it."""
        if lot.file is not None:
            await self._asking.delete(lot.file)
        following: list[Lot] = []
        for one in wanted:
            made = self._ledger.new(lot.model, attempt=attempt)
            self._spool.copy(lot, one, made)
            made.state, made.doubt = "written", lot.doubt
            self._ledger.lots.append(made)
            following.append(made)
        lot.state = "closed"
        await self._ledger.commit()
        self._spool.drop(lot)
        self._done(lot, [] if wait else following)

    def _notice(self, lot: Lot, sorted_: Sorted) -> None:
        if sorted_.again:
            self._listen(
                Noticed(
                    f"part {lot.number}: {len(sorted_.again)} of {lot.requests} requests have no answer "
                    f"({lot.ended}); they are sent again",
                    *self._named,
                )
            )

    def _tell(self, lot: Lot, name: str, batch: Mapping[str, Any]) -> None:
        counts: Any = batch.get("request_counts")
        found = cast("dict[str, Any]", counts) if isinstance(counts, dict) else {}
        numbers = [found.get(one) for one in ("total", "completed", "failed")]
        total, completed, failed = (one if isinstance(one, int) else 0 for one in numbers)
        said = (name, state_of(batch), completed, failed)
        if self._told.get(lot.number) != said:
            self._told[lot.number] = said
            self._listen(
                BatchChanged(
                    self._publication.name,
                    lot.number,
                    name,
                    state_of(batch),
                    total or lot.requests,
                    completed,
                    failed,
                    self._named[0],
                )
            )
