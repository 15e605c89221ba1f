"""One delivery: taken over from an earlier life of the run, or sent, waited for, written down and shaped."""

from __future__ import annotations

import asyncio
from contextlib import nullcontext
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Any

from connectory.cost.usage import model_of
from connectory.delivery.holding import Holding
from connectory.delivery.results import (
    blank_error,
    cause_of,
    caused,
    failed_shaping,
    fingerprint,
    held_back,
    result_of,
    seen_http,
    unsent,
)
from connectory.delivery.spending import Spending
from connectory.delivery.waiting import Capacity, Waiting
from connectory.errors import AcceptError, RecordError, RunStoppedError, TransformerError
from connectory.events import Listener, Noticed
from connectory.journal import digest
from connectory.record import Failure
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    import httpx

    from connectory.client import Client
    from connectory.delivery.publication import Part, Publication
    from connectory.delivery.spending import Hold
    from connectory.interfaces import Journal
    from connectory.journal import Known
    from connectory.record import Delivery, Intent, Result
    from connectory.requests.attempts import Outcome
    from connectory.requests.building import Call

NOT_ACCEPTED = "the request is done; its answer does not meet `accept`"

SUSPECT = 3
"""Lives of a run that may end while one delivery is under way, before it is only sent again beside no other suspect."""


class Delivering:
    """Settles the deliveries of one run, many at a time.

    `capacity` bounds the requests under way; `holding` keeps the failures that may not have to count; `spending` keeps
    the run within its budget. `stop` is called with what is to end the run.
    """

    def __init__(
        self,
        publication: Publication,
        client: Client,
        journal: Journal,
        *,
        listen: Listener,
        known: Known | None,
        stop: Callable[[RunStoppedError], object],
    ) -> None:
        self._publication, self._client, self._journal = publication, client, journal
        self._listen, self._known, self._stop = listen, known, stop
        self.capacity, self.holding = Capacity(publication.concurrency), Holding(journal)
        self._named, self._suspects = (journal.run, publication.name), asyncio.Lock()
        self._counts = publication.counted
        if self._counts:
            journal.account()
        budget = publication.budget
        self.spending = None if budget is None else Spending(publication, budget, journal, self.capacity)
        until = publication.until
        self._waiting = (
            None if until is None else Waiting(publication, until, client, self.capacity, listen=listen)
        )

    def settle(self, part: Part) -> Awaitable[Result | None]:
        """Give what became of a delivery, in this life of the run or an earlier one; None where it stays pending.

        Raises RunStoppedError.
        """
        earlier = self._journal.recall(part.delivery)
        if earlier is None:
            return self._new(part)
        return self._taken_up(part, earlier) if earlier.status == "begun" else self._recalled(part, earlier)

    def ready(self, part: Part) -> Result | tuple[Call, httpx.Request]:
        """Give the request of a delivery that another way of sending takes, or its result where nothing is to be sent.

        The result is not written down yet.
        """
        if part.record is None:
            return unsent(part, part.error)
        try:
            call = self._publication.call(part)
            if part.item.origin is not None and part.item.origin.paid is not None:
                return replace(part.item.origin.paid, record=part.item.record)
            request = self._client.prepare(call)
        except RecordError as error:
            return unsent(part, error)
        return (
            unsent(part, None)
            if self._known is not None and self._is_known(part, request)
            else (call, request)
        )

    async def put_by(self, part: Part, result: Result) -> None:
        """Write the result of a delivery down whose turn to be shown comes later: `answered` gives it then."""
        blank_error(result, self._client.redactor)
        await self._journal.record(part.delivery, result)
        self._journal.leave(part.delivery)

    async def answered(self, part: Part, answer: Callable[[str], Result]) -> Result:
        """Give what became of a delivery, shaped: from the results log, else the `answer`, which goes there first.

        The answer is given the name of the request, for messages.
        """
        if (earlier := self._journal.recall(part.delivery)) is not None:
            return caused(await self._recalled(part, earlier))
        result = answer(f"POST {self._publication.entity.path}")
        blank_error(result, self._client.redactor)
        await self._journal.record(part.delivery, result)
        if self.spending is not None:
            self._journal.count("requests", max(0, result.attempts - 1))
        if result.ok:
            await self._shape_later(part, result)
        return result

    async def _new(self, part: Part) -> Result | None:
        """Settle a delivery that has no result yet."""
        if part.record is None:
            return await self._record(part, unsent(part, part.error))
        try:
            call = self._publication.call(part)
            if part.item.origin is not None and part.item.origin.paid is not None:
                paid = replace(part.item.origin.paid, record=part.item.record)
                return await self._wait(part, call, paid, fresh=False)
            request = self._client.prepare(call, key=part.delivery.key, life=self._journal.life)
        except RecordError as error:
            return await self._record(part, unsent(part, error))
        send = self._send if self.spending is None else self._spend
        if self._known is None:
            return await send(part, call, request)
        async with self._known.alone(part.id):
            if self._is_known(part, request):
                return await self._record(part, unsent(part, None))
            return await send(part, call, request)

    async def _spend(self, part: Part, call: Call, request: httpx.Request) -> Result | None:
        """Send within the budget; what is reserved is held until it is written down what was used."""
        if self.spending is None or (hold := await self.spending.reserve(call.payload)) is None:
            return None
        try:
            return await self._send(part, call, request, hold)
        finally:
            hold.release()

    def _send(
        self, part: Part, call: Call, request: httpx.Request, hold: Hold | None = None
    ) -> Awaitable[Result | None]:
        doubt = self._journal.doubt(part.delivery)
        if doubt is None:
            return self._send_now(part, call, request, None, hold)
        return self._send_doubtful(part, call, request, doubt, hold)

    async def _send_doubtful(
        self, part: Part, call: Call, request: httpx.Request, doubt: Intent, hold: Hold | None
    ) -> Result | None:
        """Send what an earlier life left under way, if it may be sent at all."""
        if (held := held_back(part, call, doubt)) is not None:
            # it says nothing about the server: no alarm hears it
            await self._journal.record(part.delivery, held)
            return held
        async with self._suspects if doubt.lives >= SUSPECT else nullcontext():
            return await self._send_now(part, call, request, doubt, hold)

    async def _send_now(
        self, part: Part, call: Call, request: httpx.Request, doubt: Intent | None, hold: Hold | None
    ) -> Result | None:
        if self._waiting is None and self._publication.sequence is None:
            # there are no more workers then than may have a request under way
            if self.capacity.stopped:
                return None
            return await self._record(part, await self._sent(part, call, request, doubt, hold), call)
        async with self.capacity:
            if self.capacity.stopped:
                return None
            result = await self._sent(part, call, request, doubt, hold)
        if self._waiting is None or not result.ok:
            return await self._record(part, result, call)
        if not self._waiting.is_over(result):
            await self._journal.begin(part.delivery, result)
        await self._listen_for_alarm(result)
        return await self._wait(part, call, result, fresh=True, hold=hold)

    async def _sent(
        self, part: Part, call: Call, request: httpx.Request, doubt: Intent | None, hold: Hold | None
    ) -> Result:
        body = fingerprint(request)
        if doubt is not None:
            self._notice_change(part, body, doubt)
        begin = self._journal.intend if hold is None else partial(self._begin_within_budget, hold)
        outcome = await self._asked(call, request, partial(begin, part.delivery, body))
        if outcome.error is not None and isinstance(outcome.error, RunStoppedError):
            if not (outcome.in_doubt or doubt):  # it was refused, so nothing is in doubt
                self._journal.withdraw(part.delivery)
            raise outcome.error
        result = result_of(part, call, outcome)
        result.in_doubt = result.in_doubt or doubt is not None
        if self._counts:
            result.model = model_of(call.payload)
        if hold is not None and self._waiting is None:
            hold.settle([result])
        if self._known is not None and result.ok:
            self._remember(part, body)
        return result

    def _notice_change(self, part: Part, body: str, doubt: Intent) -> None:
        if doubt.body not in {"", body}:
            self._listen(
                Noticed(
                    f"record {part.id!r} was under way when the run broke off, and is sent changed",
                    *self._named,
                )
            )

    def _asked(
        self, call: Call, request: httpx.Request, begin: Callable[[], Awaitable[None]]
    ) -> Awaitable[Outcome]:
        """Send one request; `begin` notes whose it is, when its turn has come: a wait for the rate is no doubt."""
        parts = self._publication.upload
        asked = (
            self._client.send(call, request, begin=begin)
            if parts is None
            else parts.send(self._client, call, request, begin=begin)
        )
        return asked if self.spending is None else self._counted(asked)

    async def _counted(self, asked: Awaitable[Outcome]) -> Outcome:
        outcome = await asked
        if not isinstance(outcome.error, RunStoppedError):
            self._journal.count("requests", max(0, outcome.attempts - 1))
        return outcome

    async def _begin_within_budget(self, hold: Hold, delivery: Delivery, body: str) -> None:
        hold.begin()
        await self._journal.intend(delivery, body)
        await self._journal.flush()  # so that it is known in every later life

    async def _record(self, part: Part, result: Result, call: Call | None = None) -> Result:
        if result.error is None:
            await self._journal.record(part.delivery, result)
        else:
            blank_error(result, self._client.redactor)
            await self.holding.settle(part, result)
        if call is not None and result.status == "ok":
            await self._shape(part, call, result)
        if result.status != "skipped" and not self.holding.settled:
            await self._listen_for_alarm(result)
        return result

    async def _wait(
        self, part: Part, call: Call, result: Result, *, fresh: bool, hold: Hold | None = None
    ) -> Result | None:
        """Wait for the end of what was created; what became of it is nothing that all records could share."""
        if self._waiting is not None:
            if not await self._waiting.to_end(call, result, fresh=fresh):
                return None
            if hold is not None:
                hold.settle([result])
        blank_error(result, self._client.redactor)
        await self._journal.record(part.delivery, result)
        if result.ok:
            await self._shape(part, call, result)
        return result

    async def _taken_up(self, part: Part, result: Result) -> Result | None:
        """Go on waiting for what an earlier life of the run has created."""
        result.record, result.status = part.item.record, "ok"
        try:
            if part.record is None:
                raise part.error or TransformerError("the transformers drop this record now")
            call = self._publication.call(part)
            self._remember(part, fingerprint(self._client.prepare(call)))
        except RecordError as error:  # the configuration was changed since
            failed_shaping(result, error)
            return await self._record(part, result)
        return await self._wait(part, call, result, fresh=False)

    async def _recalled(self, part: Part, result: Result) -> Result:
        """Take over what an earlier life of the run bought: it is shaped, and never sent."""
        result.record = part.item.record
        if result.ok and part.record is not None:
            await self._shape_later(part, result)
        return result

    async def _shape_later(self, part: Part, result: Result) -> None:
        """Shape an ok result whose request was made before: perhaps in another life of the run."""
        try:
            call = self._publication.call(part)
            if self._known is not None:
                self._remember(part, fingerprint(self._client.prepare(call)))
            await self._shape(part, call, result)
        except RecordError as error:  # the configuration was changed since
            failed_shaping(result, error)

    async def _shape(self, part: Part, call: Call, result: Result) -> None:
        """Shape an ok result. It was bought and is in the journal: a failure here keeps it and sends nothing again."""
        http = seen_http(result) if self._publication.shows_http else {}
        try:
            if self._publication.accept is not None and not self._publication.accepts(
                part, call, result.response, http=http
            ):
                result.status, result.error = "error", Failure("accept", NOT_ACCEPTED)
                result.cause = AcceptError(NOT_ACCEPTED)
                return
            shape, chain = self._publication.shape, self._publication.response_chain
            if chain is None:
                output = shape(part, call, result.response, http=http)
            else:
                output = await chain.aside(partial(shape, part, call, result.response, http=http))
            # what a response transformer gave may be no JSON, and would break the sink for all
            if output is not None:
                self._write(result, output)
        except (RecordError, JsonTextError) as error:
            failed_shaping(result, error)
            blank_error(result, self._client.redactor)

    def _write(self, result: Result, output: list[Any]) -> None:
        """Write the lines of a result, and blank the secrets in them. Raises JsonTextError."""
        texts, redactor = [dumps(line) for line in output], self._client.redactor
        if redactor.seen_in(texts[0] if len(texts) == 1 else b"\n".join(texts)):
            result.output = redactor.value(output)
        else:
            result.output, result.texts = output, texts

    async def _listen_for_alarm(self, result: Result) -> None:
        if self.holding.settled:
            return
        if (reason := await self.holding.hear(result)) is not None:
            self._stop(cause_of(result)(reason))

    def _remember(self, part: Part, body: str) -> None:
        if self._known is not None:
            self._known.add(part.id, digest(body))

    def _is_known(self, part: Part, request: httpx.Request) -> bool:
        earlier = self._known.body(part.id) if self._known is not None else None
        return earlier is not None and (
            self._publication.only == "new" or earlier == digest(fingerprint(request))
        )
