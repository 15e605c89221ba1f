"""The outgoing flow: source → transformers → request → result → sink."""

from __future__ import annotations

import asyncio
from contextlib import aclosing, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any, TypeAlias

from connectory.errors import (
    AcceptError,
    ConnectoryError,
    CredentialsError,
    GuardError,
    RecordError,
    RunStoppedError,
    StorageError,
    UnavailableError,
)
from connectory.events import Listener, Noticed, RecordFinished, RunFinished, RunStarted, ignore
from connectory.journal import digest
from connectory.jsontext import JsonTextError, dumps
from connectory.record import Failure, Result
from connectory.repeats import Repeats
from connectory.results import (
    blank_error,
    cause_of,
    dead_letter,
    failed_shaping,
    fingerprint,
    held_back,
    result_of,
    seen_http,
    signature,
    unsent,
)
from connectory.retry import Alarm
from connectory.workers import Workers, close

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable

    import httpx

    from connectory.client import Call, Client
    from connectory.interfaces import Item, Journal, Sink, Source
    from connectory.journal import Known
    from connectory.publication import Part, Publication
    from connectory.record import Intent

    Settled: TypeAlias = list[tuple[Part, Result]]

NOT_ACCEPTED = "the request is done; its answer does not meet `accept`"
MOST_WAITING = 1000
"""Results that wait behind failures which may have to stay pending: more would only use memory."""

SUSPECT = 3
"""Lives of a run that may end while one delivery is under way, before it is only sent again beside no other suspect."""


class Publisher:
    """Creates or deletes, one request a record.

    `counts` counts deliveries by what became of them, `finished` the records of which every delivery is settled.
    `known` is what earlier runs of the connection had answered, for `only`. `lines` makes of a result what goes to the
    sink.
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
        self._known = known
        self._alarm, self._repeats = Alarm(), Repeats()
        self._suspects = asyncio.Lock()
        self._held: list[tuple[Part, Result]] = []
        self._open: dict[int, _Open] = {}
        self._workers: Workers[Part, tuple[Part, Result]] | None = None

    async def run(self, source: Source, sink: Sink, dead_letters: Sink) -> dict[str, int]:
        """Send every record of the source; results go to the sink, failed ones to the dead letters as well.

        When the sink takes no more, nothing more is taken from the source; what is under way is finished and noted in
        the journal, and then the sink's error is raised.
        """
        self.listen(RunStarted(self.journal.run, self.publication.name, source.total))
        gone: Exception | None = None
        try:
            async with aclosing(self._settled(source)) as groups:
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
        self.listen(RunFinished(self.journal.run, self.publication.name, dict(self.counts)))
        return self.counts

    async def deliver(self, source: Source) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        """Give what became of each delivery, in groups: whatever was ready at once.

        Who asks for the next group has dealt with this one: only then is it acknowledged to the source.
        """
        async with aclosing(self._settled(source)) as groups:
            async for settled in groups:
                yield settled
                self._show(settled)
                await self._acknowledge(source, settled)

    def stop(self, reason: RunStoppedError) -> bool:
        """Take no further record; what is under way is finished, then the reason is raised to who reads results.

        Gives False when nothing has begun.
        """
        if self._workers is not None:
            self._workers.stop(reason)
        return self._workers is not None

    async def _settled(self, source: Source) -> AsyncGenerator[list[tuple[Part, Result]], None]:
        """Give settled deliveries in groups; a failure waits as long as all fail alike: it may have to stay pending."""
        limit, ordered = self.publication.concurrency, self.publication.ordered
        self._workers = Workers(self._parts(source), self._deliver, limit=limit, ordered=ordered)
        waiting: list[tuple[Part, Result]] = []
        try:
            async with aclosing(aiter(self._workers)) as groups:
                async for settled in groups:
                    waiting += settled
                    if self._alarm.rang and self.journal.durable:
                        continue
                    if self._held:
                        if len(waiting) < MOST_WAITING:
                            continue
                        await self._stop_waiting()
                    yield waiting
                    waiting = []
        except Exception as reason:  # whatever stopped it: what is done is given first
            if self._held and isinstance(reason, UnavailableError | CredentialsError):
                self._alarm.ring()  # what failed until here failed for the same cause
                self._let_pend()
            async for left in self._last(waiting):
                yield left
            raise
        async for left in self._last(waiting):
            yield left

    async def _last(self, waiting: Settled) -> AsyncGenerator[Settled, None]:
        """Give what was held back and need not be any more."""
        if self._alarm.rang and self.journal.durable:
            waiting = [pair for pair in waiting if pair[1].error is None]
        await self._release()
        if waiting:
            yield waiting

    async def _parts(self, source: Source) -> AsyncGenerator[Part, None]:
        seq, items = self.journal.start - 1, aiter(source)
        try:
            async for item in items:
                seq += 1
                self.journal.read(seq, item.mark)
                if self.journal.is_shown(seq):
                    continue
                parts = list(self.publication.parts(item, seq, self.journal.run))
                pending = [part for part in parts if not self.journal.is_shown(seq, part.delivery.part)]
                if parts and (note := self._repeats.hear(parts[0].id, item.position)):
                    self.listen(Noticed(note))
                self._open[seq] = _Open(len(pending))
                if not pending:  # all its lines are out; only the item itself was not closed
                    self.journal.close_item(seq, dead=False)
                    await self._close(source, item, seq)
                for part in pending:
                    yield part
            self.journal.set_total(seq + 1)
        finally:
            await close(items)

    async def _deliver(self, part: Part) -> tuple[Part, Result]:
        earlier = self.journal.recall(part.delivery)
        return part, (await self._new(part) if earlier is None else self._recalled(part, earlier))

    async def _new(self, part: Part) -> Result:
        """Settle a delivery that has no result yet."""
        if part.record is None:
            return await self._settle(part, unsent(part, part.error))
        try:
            call = self.publication.call(part)
            if part.item.origin is not None and part.item.origin.paid is not None:
                return await self._settle(part, replace(part.item.origin.paid, record=part.item.record), call)
            request = self.client.prepare(call, key=part.delivery.key, life=self.journal.life)
        except RecordError as error:
            return await self._settle(part, unsent(part, error))
        if self._known is None:
            return await self._send(part, call, request)
        async with self._known.alone(part.id):
            if self._is_known(part, request):
                return await self._settle(part, unsent(part, None))
            return await self._send(part, call, request)

    async def _send(self, part: Part, call: Call, request: httpx.Request) -> Result:
        doubt = self.journal.doubt(part.delivery)
        if doubt is not None and (held := held_back(part, call, doubt)) is not None:
            await self.journal.record(
                part.delivery, held
            )  # it says nothing about the server: no alarm hears it
            self._finished(held)
            return held
        suspected = doubt is not None and doubt.lives >= SUSPECT
        async with self._suspects if suspected else nullcontext():
            return await self._send_now(part, call, request, doubt)

    async def _send_now(self, part: Part, call: Call, request: httpx.Request, doubt: Intent | None) -> Result:
        body = fingerprint(request)
        if doubt is not None and doubt.body not in {"", body}:
            self.listen(
                Noticed(f"record {part.id!r} was under way when the run broke off, and is sent changed")
            )
        parts = self.publication.upload
        send = self.client.send if parts is None else partial(parts.send, self.client)
        outcome = await send(call, request, begin=partial(self._begin, part, body))
        if isinstance(outcome.error, RunStoppedError):
            if not (outcome.in_doubt or doubt):  # it was refused, so nothing is in doubt
                self.journal.withdraw(part.delivery)
            raise outcome.error
        result = result_of(part, call, outcome)
        result.in_doubt = result.in_doubt or doubt is not None
        if self.publication.budget is not None:
            self.journal.count("requests", max(0, result.attempts - 1))
            self.journal.count("tokens", result.tokens)
        if result.ok:
            self._remember(part, body)
        return await self._settle(part, result, call)

    async def _begin(self, part: Part, body: str) -> None:
        """Note that a request is about to leave: its turn has come, so that a wait for the rate is no doubt."""
        self._check_budget()
        await self.journal.intend(part.delivery, body)

    async def _settle(self, part: Part, result: Result, call: Call | None = None) -> Result:
        blank_error(result, self.client.redactor)
        if self.journal.durable and result.error is not None and (self._alarm.undecided or self._alarm.rang):
            self._held.append((part, result))  # not written down yet: twenty alike are to stay pending
        else:
            await self.journal.record(part.delivery, result)
        if call is not None and result.ok:
            self._shape(part, call, result)
        self._finished(result)
        if result.status != "skipped":
            await self._listen_for_alarm(result)
        return result

    def _recalled(self, part: Part, result: Result) -> Result:
        """Take over what an earlier life of the run bought: it is shaped, and never sent."""
        result.record = part.item.record
        if result.ok and part.record is not None:
            try:
                call = self.publication.call(part)
                self._remember(part, fingerprint(self.client.prepare(call)))
                self._shape(part, call, result)
            except RecordError as error:  # the configuration was changed since
                failed_shaping(result, error)
        self._finished(result)
        return result

    def _finished(self, result: Result) -> None:
        self.counts[result.status] += 1
        self.listen(RecordFinished(self.publication.name, result.index, result.status))

    def _shape(self, part: Part, call: Call, result: Result) -> None:
        """Shape an ok result. It was bought and is in the journal: a failure here keeps it and sends nothing again."""
        http = seen_http(result)
        try:
            if not self.publication.accepts(part, call, result.response, http=http):
                result.status, result.error = "error", Failure("accept", NOT_ACCEPTED)
                result.cause = AcceptError(NOT_ACCEPTED)
                return
            output = self.publication.shape(part, call, result.response, http=http)
            # what a response transformer gave may be no JSON, and would break the sink for all
            text, redactor = dumps(output), self.client.redactor
            result.output = redactor.value(output) if redactor.seen_in(text) else output
        except (RecordError, JsonTextError) as error:
            failed_shaping(result, error)
            blank_error(result, self.client.redactor)

    async def _listen_for_alarm(self, result: Result) -> None:
        message = result.error.message if result.error else None
        reason = self._alarm.hear(result.ok, signature(result), message)
        if reason is not None:
            self.stop(cause_of(result)(reason))
        if self._alarm.rang and self.journal.durable:
            self._let_pend()
        elif not self._alarm.undecided:
            await self._release()

    async def _stop_waiting(self) -> None:
        """Let the failures count after so much else passed by: what does not fail is not sent, or was done before."""
        self._alarm.dismiss()
        await self._release()

    def _let_pend(self) -> None:
        """Forget the failures that were held back: their records stay pending, what may have been done in doubt."""
        held, self._held = self._held, []
        for part, result in held:
            if not result.in_doubt:
                self.journal.withdraw(part.delivery)

    async def _release(self) -> None:
        """Write down the failures that were held back."""
        held, self._held = self._held, []
        for part, result in held:
            await self.journal.record(part.delivery, result)

    def _remember(self, part: Part, body: str) -> None:
        if self._known is not None:
            self._known.add(part.id, digest(body))

    def _is_known(self, part: Part, request: httpx.Request) -> bool:
        earlier = self._known.body(part.id) if self._known is not None else None
        return earlier is not None and (
            self.publication.only == "new" or earlier == digest(fingerprint(request))
        )

    def _check_budget(self) -> None:
        budget = self.publication.budget
        if budget is None:
            return
        counts = self.journal.counts
        if (reason := budget.spent(counts.get("requests", 0), counts.get("tokens", 0))) is not None:
            raise GuardError(f"outgoing {self.publication.name!r}: {reason}; the records left stay pending")
        self.journal.count("requests")

    async def _write(self, settled: Settled, sink: Sink, dead_letters: Sink) -> None:
        name = self.publication.name
        await dead_letters.write(dead_letter(name, part, result) for part, result in settled if result.error)
        await sink.write(line for _, result in settled for line in self.lines(result))
        await dead_letters.flush()
        await sink.flush()

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

    async def _acknowledge(self, source: Source, settled: Settled) -> None:
        for part, _ in settled:
            opened = self._open.get(part.delivery.seq)
            if opened is not None and not opened.parts:
                await self._close(source, part.item, part.delivery.seq)
        self._check_dead()

    async def _close(self, source: Source, item: Item, seq: int) -> None:
        del self._open[seq]
        self.finished += 1
        await source.acknowledge(item)

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
    """An item some of whose lines are not in the output yet."""

    parts: int
    dead: bool = False
