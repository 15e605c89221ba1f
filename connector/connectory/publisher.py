"""The outgoing flow: source → transformers → request → result → sink."""

from __future__ import annotations

from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, TypeAlias

from connectory.concurrency.sequence import Sequence
from connectory.concurrency.workers import WINDOW, Workers, close
from connectory.delivery.batches import Batched
from connectory.delivery.making import Making
from connectory.delivery.packing.joining import Packing
from connectory.delivery.packing.sending import PackSending
from connectory.delivery.repeats import Repeats
from connectory.delivery.results import dead_letter, refused_lines, text_of
from connectory.delivery.waiting import AT_ONCE
from connectory.errors import (
    ConnectoryError,
    CredentialsError,
    GuardError,
    RunStoppedError,
    StorageError,
    UnavailableError,
)
from connectory.events import Listener, Noticed, RecordFinished, RecordRefused, ignore
from connectory.interfaces import Refuses, TakesText
from connectory.listeners.telling import told
from connectory.record import Result

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    from connectory.catalogue.batchable import BatchOption
    from connectory.client import Client
    from connectory.delivery.packing.joining import Pack
    from connectory.delivery.publication import Part, Publication
    from connectory.interfaces import Journal, Sink, Source
    from connectory.journal import Known

    Settled: TypeAlias = list[tuple[Part, Result]]

GATHER = 0.002
"""Seconds in which results gather before they are written: the requests go on meanwhile, and one write takes all."""

MOST_WAITING = 1000
"""Results that wait behind failures which may have to stay pending: more would only use memory."""


class Publisher:
    """Creates or deletes, one request a record.

    `counts` counts deliveries by what became of them, `finished` the records of which every delivery is settled.
    `known` is what earlier runs of the connection had answered, for `only`. `lines` makes of a result what goes to the
    sink. `left` counts the deliveries that stay pending although the run went to its end: those that a `detached` one
    did not wait for, and those behind them.
    """

    def __init__(
        self,
        publication: Publication,
        client: Client,
        journal: Journal,
        *,
        listen: Listener = ignore,
        known: Known | None = None,
    ) -> None:
        self.publication, self.client, self.journal, self.listen = publication, client, journal, listen
        self.counts = {"ok": 0, "error": 0, "skipped": 0}
        self.finished = 0
        self.lines: Callable[[Result], list[Any]] = Result.lines
        self.left = 0
        self._delivering = PackSending(
            publication, client, journal, listen=listen, known=known, stop=self.stop
        )
        self._repeats, self._making = Repeats(), Making(publication, journal)
        self._open: dict[int, _Open] = {}
        self._workers: Workers[Any, Any] | None = None
        self._sequence = None if publication.sequence is None else Sequence()
        self._batched = None if publication.batch is None else self._by_batches(publication.batch)

    @property
    def detached(self) -> bool:
        """Say whether what is created is left to itself."""
        return self._delivering.capacity.detached

    @detached.setter
    def detached(self, detached: bool) -> None:
        self._delivering.capacity.detached = detached

    async def run(self, source: Source, sink: Sink, dead_letters: Sink) -> dict[str, int]:
        """Send every record of the source; results go to the sink, failed ones to the dead letters as well.

        When the sink takes no more, nothing more is taken from the source; what is under way is finished and noted in
        the journal, and then the sink's error is raised.
        """
        gone: Exception | None = None
        try:
            async with aclosing(self.publication), aclosing(self._settled(source)) as groups:
                async for settled in groups:
                    if gone is None:
                        try:
                            await self._write(settled, sink, dead_letters)
                        except (OSError, ConnectoryError) as error:
                            gone = error
                            self.stop(StorageError("the results cannot be written"))
                        else:
                            self._show(settled, sink, dead_letters)
                            await self._acknowledge(source, settled)
        except RunStoppedError:
            if gone is not None:
                raise gone from None
            raise
        return self.counts

    async def deliver(self, source: Source) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        """Give what became of each delivery, in groups: whatever was ready at once.

        Who asks for the next group has dealt with this one: only then is it acknowledged to the source.
        """
        async with aclosing(self.publication), aclosing(self._settled(source)) as groups:
            async for settled in groups:
                yield settled
                self._show(settled)
                await self._acknowledge(source, settled)

    def stop(self, reason: RunStoppedError) -> bool:
        """Take no further record; what is under way is finished, then the reason is raised to who reads results.

        Gives False when nothing has begun.
        """
        if self._batched is not None:
            return self._batched.stop(reason)
        if self._workers is not None:
            self._workers.stop(reason)
        return self._workers is not None

    @property
    def stopping(self) -> BaseException | None:
        """Why no further record is taken, while what is under way is finished."""
        return None if self._workers is None else self._workers.failure

    async def _settled(self, source: Source) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        """Give settled deliveries in groups; the run ends when who took the last one asks for more."""
        wanted = self.publication
        tells = told(
            self.listen,
            (self.journal.run, wanted.name),
            self.counts.copy,
            kind="outgoing",
            entity=wanted.entity.name,
            total=source.total,
        )
        with tells if wanted.run else nullcontext():  # a single call is no run
            if self._batched is None:
                async with aclosing(self._directly(source)) as groups:
                    async for group in groups:
                        yield group
                return
            async with aclosing(self._batched.groups(source)) as groups:
                async for group in groups:
                    for _, result in group:
                        self._heard(result)
                    yield group
            self.left += self._batched.left

    def _by_batches(self, option: BatchOption) -> Batched:
        return Batched(
            self.publication,
            option,
            self.client,
            self.journal,
            self._delivering,
            listen=self.listen,
            parts=self._parts,
            let_go=self._let_go,
            take_back=self._take_back,
        )

    def _let_go(self, seq: int) -> None:
        self._open.pop(seq, None)

    def _take_back(self, part: Part) -> None:
        """Open an item again whose parts were let go."""
        seq = part.delivery.seq
        if seq not in self._open:
            beside = part.beside or (part.delivery.part,)
            shown = self.journal.shown_parts(seq)
            self._open[seq] = _Open(sum(one not in shown for one in beside))

    async def _directly(self, source: Source) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        """Give settled deliveries in groups; a failure waits as long as all fail alike: it may have to stay pending."""
        waiting: Settled = []
        try:
            async with aclosing(self._delivered(source)) as groups:
                async for settled in groups:
                    waiting += self._without_left(settled)
                    if self._delivering.holding.rang:
                        continue
                    if self._delivering.holding.holds:
                        if len(waiting) < MOST_WAITING:
                            continue
                        await self._delivering.holding.dismiss()
                    if waiting:
                        yield waiting
                        waiting = []
        except Exception as reason:  # whatever stopped it: what is done is given first
            if isinstance(reason, UnavailableError | CredentialsError):
                self._delivering.holding.let_pend()  # what failed until here failed for the same cause
            async for left in self._last(waiting):
                yield left
            raise
        async for left in self._last(waiting):
            yield left

    def _delivered(self, source: Source) -> AsyncGenerator[list[tuple[Part, Result | None]], None]:
        """Give what became of deliveries, one by one or in packs, as it gets ready and its turn comes."""
        limit, stopped = self.publication.concurrency, self._delivering.capacity.stop
        if self.publication.pack is not None:
            parts = self._parts(source, self.journal.start)
            packing = Packing(self.publication, self.publication.pack, self.journal, parts)
            packs = self._workers = Workers(
                packing, self._deliver_pack, limit=packing.limit, ordered=False, stopped=stopped
            )
            return packing.lined_up(aiter(packs))
        more = AT_ONCE if self.publication.until or self._sequence else 0
        workers = self._workers = Workers(
            self._parts(source, self.journal.start),
            self._deliver,
            limit=limit + more,
            ordered=self.publication.ordered,
            window=limit * WINDOW + more,
            gather=GATHER,
            stopped=stopped,
        )
        return aiter(workers)

    async def _last(self, waiting: Settled) -> AsyncGenerator[Settled, None]:
        """Give what was held back and need not be any more."""
        if self._delivering.holding.rang:
            waiting = [pair for pair in waiting if pair[1].error is None]
        await self._delivering.holding.release()
        if waiting:
            yield waiting

    def _without_left(self, settled: list[tuple[Part, Result | None]]) -> Settled:
        """Give the deliveries that have a result; the others stay pending for the next life of the run."""
        given: Settled = []
        for part, result in settled:
            if result is not None:
                given.append((part, result))
                continue
            self.left += 1
            self.journal.leave(part.delivery)
            opened = self._open[part.delivery.seq]
            opened.left += 1
            if opened.left == opened.parts:
                del self._open[part.delivery.seq]
        return given

    async def _parts(self, source: Source, start: int, below: int = 0) -> AsyncGenerator[Part, None]:
        """Give the deliveries of the items from a number on; those `below` another one are under way already."""
        made = self._making.items(source, start, below)
        try:
            async for item, seq, parts in made:
                shown = self.journal.shown_parts(seq)
                pending = [one for one in parts if one.delivery.part not in shown] if shown else parts
                if parts and (note := self._repeats.hear(parts[0].id, item.position)):
                    self.listen(Noticed(note, self.journal.run, self.publication.name))
                self._open[seq] = _Open(len(pending))
                if not pending:  # all its lines are out; only the item itself was not closed
                    self.journal.close_item(seq, dead=False)
                    del self._open[seq]
                    self.finished += 1
                    await source.acknowledge(item)
                if self._batched is not None and len(pending) > 1:
                    beside = tuple(part.delivery.part for part in pending)
                    pending = [replace(part, beside=beside) for part in pending]
                for part in pending:
                    if self._sequence is not None and part.key is not None:
                        self._sequence.join((seq, part.delivery.part), part.key)
                    yield part
        finally:
            await close(made)

    async def _deliver(self, part: Part) -> tuple[Part, Result | None]:
        """Settle a delivery when it is its turn; without a result it stays pending."""
        if self._sequence is None:
            return part, self._heard(await self._delivering.settle(part))
        async with self._sequence.turn((part.delivery.seq, part.delivery.part)) as ticket:
            result = None if ticket.left else await self._delivering.settle(part)
            ticket.left = result is None
        return part, self._heard(result)

    async def _deliver_pack(self, pack: Pack) -> list[tuple[Part, Result | None]]:
        return [(part, self._heard(result)) for part, result in await self._delivering.settle_pack(pack)]

    def _heard(self, result: Result | None) -> Result | None:
        if result is not None:
            self.counts[result.status] += 1
            self.listen(
                RecordFinished(
                    self.publication.name,
                    result.index,
                    result.status,
                    self.journal.run,
                    self.publication.entity.name,
                    result.id,
                    result.http_status,
                    result.request_id,
                    result.attempts,
                    result.usage,
                    result.error,
                )
            )
        return result

    async def _write(self, settled: Settled, sink: Sink, dead_letters: Sink) -> None:
        name = self.publication.name
        if isinstance(sink, Refuses):
            await self._hand_over(settled, sink)
        await dead_letters.write(dead_letter(name, part, result) for part, result in settled if result.error)
        if isinstance(sink, Refuses):
            pass  # it has them already
        elif isinstance(sink, TakesText) and self.lines is Result.lines:
            await sink.add(b"".join([text_of(result) for _, result in settled]))
        else:
            await sink.write(line for _, result in settled for line in self.lines(result))
        await dead_letters.flush()
        await sink.flush()

    async def _hand_over(self, settled: Settled, sink: Refuses) -> None:
        """Let the sink take what it will; where it takes nothing at all, and never has, that concerns every record."""
        groups = [self.lines(result) for _, result in settled]
        refused = await sink.write_records(groups)
        if refused and not self.journal.counts.get("done") and len(refused) == sum(map(bool, groups)):
            raise StorageError(next(iter(refused.values())))
        for number, why in refused.items():
            result = settled[number][1]
            refused_lines(result, why)
            self.counts.update(ok=self.counts["ok"] - 1, error=self.counts["error"] + 1)
            self.listen(RecordRefused(self.publication.name, result.index))

    def _show(self, settled: Settled, sink: Sink | None = None, dead_letters: Sink | None = None) -> None:
        """Note, without a pause in between, that lines are out and how far they have come."""
        if sink is not None and dead_letters is not None:
            self.journal.place(sink.position, dead_letters.position)
        for part, result in settled:
            self.journal.show(part.delivery, result)
            opened = self._open[part.delivery.seq]
            opened.parts -= 1
            opened.dead = opened.dead or result.error is not None
            if not opened.parts:
                self.journal.close_item(part.delivery.seq, dead=opened.dead)
            elif opened.parts == opened.left:
                del self._open[part.delivery.seq]

    async def _acknowledge(self, source: Source, settled: Settled) -> None:
        for part, _ in settled:
            opened = self._open.get(part.delivery.seq)
            if opened is not None and not opened.parts:
                del self._open[part.delivery.seq]
                self.finished += 1
                await source.acknowledge(part.item)
        self._check_dead()

    def _check_dead(self) -> None:
        most = self.publication.max_dead
        if most is None:
            return
        dead, done = (self.journal.counts.get(name, 0) for name in ("dead", "done"))
        if (reason := most.exceeded(dead, dead + done)) is not None:
            self.stop(
                GuardError(f"outgoing {self.publication.name!r}: {reason}; the records left stay pending")
            )


@dataclass(slots=True)
class _Open:
    """An item some of whose lines are not in the output yet; the parts that are `left` have none in this life."""

    parts: int
    left: int = 0
    dead: bool = False
