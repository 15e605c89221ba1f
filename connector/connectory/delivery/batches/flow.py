"""Delivery by batches: records are taken, lots driven and results given at the same time."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import TYPE_CHECKING, Any

from connectory.delivery.batches.driving import Driving
from connectory.delivery.batches.emitting import Emitting
from connectory.delivery.batches.ledger import Ledger
from connectory.delivery.batches.scratch import ScratchJournal
from connectory.delivery.batches.spool import WAITING, Spool
from connectory.delivery.batches.taking import Taking
from connectory.errors import ConfigError, GuardError
from connectory.events import Noticed
from connectory.journal import DiskJournal

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from connectory.catalogue.batchable import BatchOption
    from connectory.client import Client
    from connectory.delivery.batches.ledger import Lot
    from connectory.delivery.delivering import Delivering
    from connectory.delivery.publication import Part, Publication
    from connectory.events import Listener
    from connectory.interfaces import Journal, Source
    from connectory.record import Result

FOLDER = "batches"
"""Where the files lie, in the folder of the run."""


class Batched:
    """Settles the deliveries of a run by batches.

    `parts` reads a source from an item on, and gives what does not lie below another one. `let_go` and `take_back` hear
    that an item is not in memory any more, and that one of its parts is again.
    """

    def __init__(
        self,
        publication: Publication,
        option: BatchOption,
        client: Client,
        journal: Journal,
        delivering: Delivering,
        *,
        listen: Listener,
        parts: Callable[[Source, int, int], AsyncGenerator[Part, None]],
        let_go: Callable[[int], None],
        take_back: Callable[[Part], None],
    ) -> None:
        self._publication, self._option, self._client = publication, option, client
        self._given_journal, self._delivering, self._listen = journal, delivering, listen
        self._parts, self._let_go, self._take_back = parts, let_go, take_back
        self._changed = asyncio.Event()
        self._tasks: set[asyncio.Task[Any]] = set()
        self._taking: asyncio.Task[Any] | None = None
        self._failure: BaseException | None = None
        self._driving: Driving | None = None
        self.left = 0

    def stop(self, reason: BaseException) -> bool:
        """Take and begin nothing more; what runs at the API goes on there. Gives False when nothing has begun."""
        if self._driving is None:
            return False
        self._fail(reason)
        return True

    async def groups(self, source: Source) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        """Give settled deliveries in groups. `left` then counts those that wait for batches that nobody waits for."""
        journal = self._journal()
        try:
            ledger, spool = self._opened(journal)
            try:
                async with aclosing(self._run(source, journal, ledger, spool)) as groups:
                    async for group in groups:
                        yield group
            finally:
                await self._end_tasks()
                spool.close()
            if self._failure is not None:
                self._say_left(ledger)
                raise self._failure
            if not self.left:
                ledger.over = True
                await ledger.commit()
                spool.remove()
        finally:
            if isinstance(journal, ScratchJournal):
                await journal.aclose()

    async def _run(
        self, source: Source, journal: DiskJournal, ledger: Ledger, spool: Spool
    ) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        emitting = Emitting(
            self._delivering,
            journal,
            self._client.redactor,
            ledger=ledger,
            spool=spool,
            ordered=self._publication.ordered,
            take_back=self._take_back,
        )

        def done(lot: Lot, following: list[Lot]) -> None:
            emitting.answered(lot)
            self._drive(following)
            self._changed.set()

        def settled(places: list[tuple[int, int]]) -> None:
            emitting.settled(places)
            self._changed.set()

        self._driving = Driving(
            self._publication,
            self._option,
            self._client,
            journal,
            self._delivering.capacity,
            spending=self._delivering.spending,
            ledger=ledger,
            spool=spool,
            listen=self._listen,
            done=done,
        )
        taking = Taking(
            self._publication,
            self._option,
            self._delivering,
            journal,
            ledger=ledger,
            spool=spool,
            let_go=self._let_go,
            sealed=self._drive,
            settled=settled,
        )
        if not ledger.whole:
            self._taking = self._start(self._take(taking, source, journal, ledger))
        self._drive([lot for lot in ledger.lots if lot.state not in {"open", "closed"}])
        while True:
            self._changed.clear()
            idle = not self._tasks
            async for group in emitting.groups():
                yield group
            if idle and not self._tasks:
                break
            if not self._changed.is_set():
                await self._changed.wait()
        self.left = spool.answers.count(WAITING)

    async def _take(self, taking: Taking, source: Source, journal: DiskJournal, ledger: Ledger) -> None:
        start = journal.start
        if ledger.mark is not None and ledger.seq > start:
            start = ledger.seq
            source.resume(ledger.mark, start)
        async with aclosing(self._parts(source, start, ledger.seq)) as parts:
            await taking.run(parts)
        if taking.failed and self._publication.ordered:
            told = (
                f"{taking.failed} records cannot be sent; their dead letters come in the order of the input"
            )
            name = self._publication.name
            self._listen(Noticed(f"outgoing {name!r}: {told}", self._given_journal.run, name))

    def _drive(self, lots: list[Lot]) -> None:
        if self._driving is not None and not self._delivering.capacity.stopped:
            for lot in lots:
                self._start(self._driving.drive(lot))

    def _start(self, work: Coroutine[Any, Any, None]) -> asyncio.Task[Any]:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._ended)
        return task

    def _ended(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        self._changed.set()
        if not task.cancelled() and (error := task.exception()) is not None:
            if isinstance(error, GuardError) and task is self._taking:
                self._failure = self._failure or error  # what was taken is sent and waited for
            else:
                self._fail(error)

    def _fail(self, reason: BaseException) -> None:
        self._failure = self._failure or reason
        self._delivering.capacity.stop()
        if self._driving is not None:
            self._driving.stop()
        if self._taking is not None:  # the source may not have a next item for hours
            self._taking.cancel()
        self._changed.set()

    async def _end_tasks(self) -> None:
        tasks = [*self._tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _say_left(self, ledger: Ledger) -> None:
        under_way = sum(1 for lot in ledger.lots if lot.state == "created")
        if under_way and self._given_journal.durable:
            run = self._given_journal.run
            self._listen(
                Noticed(
                    f"{under_way} batches go on at the server, and are paid for; the same command takes their answers, "
                    f"and `connectory runs cancel {run}` ends them",
                    run,
                    self._publication.name,
                )
            )

    def _journal(self) -> DiskJournal:
        journal = self._given_journal
        if isinstance(journal, ScratchJournal):
            journal.begin_here()
        if not isinstance(journal, DiskJournal):
            raise ConfigError(
                f"outgoing {self._publication.name!r}: `delivery: batch` needs a journal on disk for its requests"
            )
        return journal

    def _opened(self, journal: DiskJournal) -> tuple[Ledger, Spool]:
        ledger = Ledger(journal)
        spool = Spool(journal.folder / FOLDER, journal.run)
        if ledger.over:  # it was not noted any more that the run is at its end
            spool.remove()
            ledger.forget()
        spool.open(items=ledger.items, records=ledger.records, lots=ledger.lots)
        journal.guard(spool.sync)
        return ledger, spool
