"""The outgoing flow: source → transformers → request → result → sink."""

from __future__ import annotations

import hashlib
from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import (
    ApiError,
    ConnectoryError,
    CredentialsError,
    OutcomeUnknownError,
    RecordError,
    RunStoppedError,
    TransformerError,
    TransportError,
    UnavailableError,
)
from connectory.events import Listener, RecordFinished, RunFinished, RunStarted, ignore
from connectory.jsontext import JsonTextError, dumps
from connectory.record import Failure, Record, Result
from connectory.retry import Alarm
from connectory.workers import Workers, close

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    import httpx

    from connectory.attempts import Outcome
    from connectory.client import Call, Client
    from connectory.interfaces import Item, Journal, Sink, Source
    from connectory.publication import Part, Publication

GONE = frozenset({404, 410})
"""What a server answers to the deletion of something that is not there."""

UNKNOWN_PATH = "unknown_url"
"""The API's code for a path it does not have: a wrong base URI deletes nothing, and must not look as if it had."""


class Publisher:
    """Creates or deletes, one request a record.

    `counts` counts deliveries by what became of them, `finished` the records of which every delivery is settled.
    """

    def __init__(
        self, publication: Publication, client: Client, journal: Journal, *, listen: Listener = ignore
    ) -> None:
        self.publication, self.client, self.journal, self.listen = publication, client, journal, listen
        self.counts = {"ok": 0, "error": 0, "skipped": 0}
        self.finished = 0
        self._alarm = Alarm()
        self._open: dict[str, int] = {}
        self._workers: Workers[Part, tuple[Part, Result]] | None = None

    async def run(self, source: Source, sink: Sink, dead_letters: Sink) -> dict[str, int]:
        """Send every record of the source; results go to the sink, failed ones to the dead letters as well."""
        self.listen(RunStarted(self.journal.run, self.publication.name, source.total))
        async with aclosing(self.deliver(source)) as groups:
            async for results in groups:
                await dead_letters.write(
                    dead_letter(result) for result in results if result.error is not None
                )
                await sink.write(line for result in results for line in result.lines())
                await dead_letters.flush()
                await sink.flush()
        self.listen(RunFinished(self.journal.run, self.publication.name, dict(self.counts)))
        return self.counts

    async def deliver(self, source: Source) -> AsyncGenerator[list[Result], None]:
        """Give what became of each delivery, in groups: whatever was ready at once.

        Who asks for the next group has dealt with this one: only then is it acknowledged to the source.
        """
        limit, ordered = self.publication.concurrency, self.publication.ordered
        self._workers = Workers(self._parts(source), self._deliver, limit=limit, ordered=ordered)
        async with aclosing(aiter(self._workers)) as groups:
            async for settled in groups:
                yield [result for _, result in settled]
                for part, _ in settled:
                    await self._acknowledge(source, part.item)

    def stop(self, reason: RunStoppedError) -> bool:
        """Take no further record; what is under way is finished, then the reason is raised to who reads results.

        Gives False when nothing has begun.
        """
        if self._workers is not None:
            self._workers.stop(reason)
        return self._workers is not None

    async def _parts(self, source: Source) -> AsyncGenerator[Part, None]:
        index, items = 0, aiter(source)
        try:
            async for item in items:
                made = self.publication.parts(item, index, self.journal.run)
                parts = [part for part in made if not self.journal.is_done(part.delivery)]
                index += 1
                self._open[item.position] = max(1, len(parts))
                if not parts:  # all of it was settled before
                    await self._acknowledge(source, item)
                for part in parts:
                    yield part
        finally:
            await close(items)

    async def _deliver(self, part: Part) -> tuple[Part, Result]:
        if part.record is None:
            return part, await self._settle(part, _unsent(part, part.error))
        try:
            call = self.publication.call(part)
            request = self.client.prepare(call, key=part.delivery.key)
        except RecordError as error:
            return part, await self._settle(part, _unsent(part, error))
        await self.journal.intend(part.delivery, _fingerprint(request))
        parts = self.publication.upload
        send = self.client.send if parts is None else partial(parts.send, self.client)
        outcome = await send(call, request)
        if isinstance(outcome.error, RunStoppedError):
            raise outcome.error
        return part, await self._settle(part, _result(part, call, outcome), call)

    async def _settle(self, part: Part, result: Result, call: Call | None = None) -> Result:
        await self.journal.record(part.delivery, result)
        if call is not None and result.ok:
            self._shape(part, call, result)
        self.counts[result.status] += 1
        self.listen(RecordFinished(self.publication.name, result.index, result.status))
        if result.status != "skipped":
            self._listen_for_alarm(result)
        return result

    def _shape(self, part: Part, call: Call, result: Result) -> None:
        """Shape an ok result. It was bought and is in the journal: a failure here keeps it and sends nothing again."""
        try:
            output = self.publication.shape(part, call, result.response, http=_http(result))
            dumps(output)  # what a response transformer gave may be no JSON, and would break the sink for all
            result.output = output
        except (RecordError, JsonTextError) as error:
            message = f"the request is done; shaping its result failed: {error}"
            result.status, result.error = "error", Failure("result", message)
            result.cause = error if isinstance(error, RecordError) else TransformerError(message)

    def _listen_for_alarm(self, result: Result) -> None:
        message = result.error.message if result.error else None
        reason = self._alarm.hear(result.ok, _signature(result), message)
        if reason is not None:
            self.stop(_cause(result)(reason))

    async def _acknowledge(self, source: Source, item: Item) -> None:
        self._open[item.position] -= 1
        if not self._open[item.position]:
            del self._open[item.position]
            self.finished += 1
            await source.acknowledge(item)


def dead_letter(result: Result) -> Record:
    """Give the line of a record that was set aside: its result, the record, and the response that was paid for."""
    line = result.as_dict() | {"record": result.record}
    return line | {"response": result.response} if result.response is not None else line


def _unsent(part: Part, error: RecordError | None) -> Result:
    """Begin the result of a part; without an error the chain dropped its record."""
    result = Result(part.index, part.id, "skipped", record=part.item.record)
    return _failed(result, error, retryable=False) if error else result


def _result(part: Part, call: Call, outcome: Outcome) -> Result:
    result = _unsent(part, None)
    result.status, result.attempts, result.in_doubt = "ok", outcome.attempts, outcome.in_doubt
    if outcome.answer is not None:
        result.http_status, result.request_id = outcome.answer.status, outcome.answer.request_id
        result.response, result.usage = outcome.answer.value, _usage(outcome.answer.value)
        result.events = outcome.answer.events if call.stream == "events" else None
        result.headers = outcome.answer.headers
        return result
    error = cast("ConnectoryError", outcome.error)
    if isinstance(error, ApiError):
        result.http_status, result.request_id = error.status, error.request_id
        if call.action.method == "DELETE" and _says_gone(error):
            result.response = {"already_gone": True}
            return result
    return _failed(result, error, retryable=outcome.retryable)


def _http(result: Result) -> Record:
    """Give what a result's template sees of the answer besides its body; cookies are secrets."""
    headers = {name: value for name, value in result.headers.items() if name.lower() != "set-cookie"}
    return {"status": result.http_status, "headers": headers}


def _says_gone(error: ApiError) -> bool:
    """Tell the API's own "not found" from that of a proxy, or of a server that does not know the path at all."""
    body: Any = error.body
    envelope = body.get("error") if isinstance(body, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # any JSON
    return error.status in GONE and isinstance(envelope, dict) and error.code != UNKNOWN_PATH


def _failed(result: Result, error: ConnectoryError, *, retryable: bool) -> Result:
    kind = error.kind if isinstance(error, RecordError | TransportError) else "unknown"
    code = getattr(error, "code", None)
    result.status, result.cause = "error", error
    result.error = Failure(kind, str(error), code=code, retryable=retryable)
    return result


def _cause(result: Result) -> type[RunStoppedError]:
    """Tell a run-level cause by what the records failed with: permission, the server, or the configuration."""
    if result.http_status in {401, 403}:
        return CredentialsError
    remote = result.error is not None and result.error.kind in {ApiError.kind, OutcomeUnknownError.kind}
    return UnavailableError if remote else RunStoppedError


def _signature(result: Result) -> tuple[Any, ...]:
    return (result.error and result.error.kind, result.http_status, result.error and result.error.code)


def _usage(value: Any) -> Record | None:
    usage = cast("Record", value).get("usage") if isinstance(value, dict) else None
    return cast("Record", usage) if isinstance(usage, dict) else None


def _fingerprint(request: httpx.Request) -> str:
    """Hash what is sent, so that a resend of something else under the same key is noticed."""
    digest = hashlib.sha256(f"{request.method} {request.url.raw_path!r}\n".encode())
    form = request.extensions.get("form")  # its boundary is new each time, and files are not read for a hash
    digest.update(request.content if form is None else form.identity)
    return digest.hexdigest()
