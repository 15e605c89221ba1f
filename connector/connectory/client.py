"""One request, sent well: built from the catalogue's words, signed, retried, bounded in time, explained."""

from __future__ import annotations

import asyncio
import time
from typing import TYPE_CHECKING, Any, cast

import httpx

from connectory.answers.meaning import Answer, Expected, asks_for_text, interpret, is_key_reused
from connectory.answers.receiving import receive, whole
from connectory.errors import (
    ApiError,
    ConfigError,
    ConnectoryError,
    CredentialsError,
    NotSentError,
    OutcomeUnknownError,
    RequestError,
    SaveError,
    TooLargeError,
)
from connectory.events import Listener, ignore
from connectory.listeners.telling import hears_requests
from connectory.pace.deadlines import Deadlines
from connectory.pace.gate import Gate
from connectory.pace.stages import next_stage
from connectory.requests.attempts import Outcome, Progress, failure
from connectory.requests.building import MOST_KEPT, REQUEST_ID, Builder, Call, ClientOptions
from connectory.requests.watching import Watch, retried
from connectory.retry import Again, Aside, Decision, Stop
from connectory.text.headers import AnswerHeaders
from connectory.transport import ProxyRefusedError, Ready, Transport, UnknownServerError, UntrustedError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from connectory.answers.receiving import Stream
    from connectory.catalogue import Action
    from connectory.pace.deadlines import Deadline
    from connectory.pace.lanes import Standing, Visit

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
UNAUTHORIZED = 401


class Client:
    """A configured HTTP client: prepares calls and sends them.

    `schema` gives the self-contained form of a catalogue's schema. `gate` decides when each request leaves.
    """

    def __init__(
        self,
        options: ClientOptions,
        transport: httpx.AsyncBaseTransport,
        *,
        schema: Callable[[Any], dict[str, Any]] = dict,
        listen: Listener = ignore,
        gate: Gate | None = None,
    ) -> None:
        self.options, self.transport = options, transport
        self.name, self.redactor = options.name, options.redactor
        for credential in (options.credential, options.admin_credential):
            if credential is not None:
                credential.report_to(self.redactor)
        self._listen = listen
        self._closely = hears_requests(listen)
        base = httpx.URL(options.base_uri)
        self._origin = f"{base.scheme}://{base.netloc.decode('ascii')}"
        self._try = self._watched if self._closely else self._attempt
        self._gate = gate or Gate(options.policy, options.limits, listen=listen, name=options.name)
        self._builder = Builder(options, schema=schema, listen=listen)
        self.base_path = self._builder.base_path
        self._deadlines = Deadlines(options.total_timeout)
        self._expected: dict[tuple[int, bool], tuple[Action, Expected]] = {}
        self._signing, self._reached = asyncio.Lock(), False

    def prepare(self, call: Call, *, key: str | None = None, life: int = 1) -> httpx.Request:
        """Build the signed request of a call; nothing is sent. `key` is the delivery's, in this life of its run.

        Raises RequestError when path, query or payload do not fit, CredentialsError without a usable token.
        """
        return self._builder.build(call, key=key, life=life)

    async def send(
        self, call: Call, request: httpx.Request, *, begin: Callable[[], Awaitable[None]] | None = None
    ) -> Outcome:
        """Send a prepared request until there is an answer or a reason to give up; raises neither.

        `begin` is awaited when the request's turn has come, before its first byte leaves; what it raises is raised, and
        nothing is sent.
        """
        progress, visit = Progress(), self._gate.visit(*_counted(call))
        if self._closely:
            progress.asked_at = time.monotonic()
        if not self._gate.lets_in(visit) and (stop := await self._gate.line_up(visit)) is not None:
            return progress.ended(stop)  # waiting is no part of the request's own time
        if begin is not None:
            try:
                await begin()
                await next_stage()
            except BaseException:
                self._gate.leave(visit)
                raise
        deadline = self._deadlines.begin(visit.loop)
        try:
            outcome = await self._persist(call, request, progress, visit, deadline)
        except asyncio.CancelledError:
            if not deadline.end():
                raise
            return progress.overtime(call.what, self._deadlines.seconds)
        except BaseException:
            deadline.end()
            raise
        deadline.end()
        return outcome

    async def call(self, call: Call) -> Answer:
        """Prepare, send, and give the answer or raise."""
        return (await self.send(call, self.prepare(call))).unwrap()

    def standing(self) -> Standing:
        """Say how many requests are under way, and what holds the next ones back; any thread may ask."""
        return self._gate.standing()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    async def _persist(
        self, call: Call, request: httpx.Request, progress: Progress, visit: Visit, deadline: Deadline
    ) -> Outcome:
        fresh = True
        while True:
            progress.attempt, progress.trouble, progress.status = progress.attempt + 1, None, None
            if progress.attempt > 1 and (identity := request.headers.get(REQUEST_ID)):
                request.headers[REQUEST_ID] = f"{identity.rpartition('.')[0]}.{progress.attempt}"
            try:
                answer, trouble = await self._try(call, request, progress)
            finally:
                self._gate.leave(visit)
            if answer is not None:
                self._gate.succeeded(visit, answer.headers, answer.value)
                return Outcome(answer, None, progress.attempt, in_doubt=progress.doubt)
            progress.trouble = trouble = cast("ConnectoryError", trouble)
            if fresh and _unauthorised(trouble):
                fresh = False  # one refusal may mean an old token, a second one means a wrong one
                try:
                    if await self._sign_anew(call, request):
                        if (stop := await self._gate.enter(visit, again=True)) is not None:
                            return progress.ended(stop)
                        continue
                except (CredentialsError, ConfigError) as error:
                    return Outcome(None, error, progress.attempt, in_doubt=progress.doubt)
            decision = self._decide(call, visit, progress)
            if not isinstance(decision, Again):
                return progress.ended(decision)
            progress.doubt = progress.doubt or decision.in_doubt
            self._listen(retried(self.name, call, progress, decision))
            progress.asked_at = time.monotonic()
            if (stop := await self._gate.again(visit, decision, deadline)) is not None:
                return progress.ended(stop)

    async def _sign_anew(self, call: Call, request: httpx.Request) -> bool:
        """Sign with a token that is not the refused one, if there is one by now."""
        credential = self._builder.credential(call)
        async with self._signing:
            if not _differs(request, credential.headers()):  # nobody else has read a new one meanwhile
                await asyncio.to_thread(credential.refresh)
            signature = credential.headers()
        changed = _differs(request, signature)
        request.headers.update(signature)
        return changed

    async def _attempt(
        self, call: Call, request: httpx.Request, progress: Progress
    ) -> tuple[Answer | None, ConnectoryError | None]:
        status: int | None = None
        stream: Stream
        try:
            if isinstance(
                self.transport, Transport
            ):  # says what came without a detour through httpx's response
                exchange = await self.transport.exchange(request)
                status, headers, stream = exchange.status, exchange.headers, exchange.body()
            else:
                status, headers, stream = await self._answered(request)
            self._reached = True
            expected = self._expect(call)
            if (body := whole(stream, headers, call.save)) is not None:
                return interpret(expected, status, headers, body), None
            events = call.stream == "events" or call.action.method == "GET"
            return await receive(expected, status, headers, stream, save=call.save, events=events), None
        except httpx.LocalProtocolError as error:
            return None, RequestError(self.redactor.text(f"{call.what}: {error}"))
        except _NEVER_SENT as error:
            lasting = (UntrustedError, ProxyRefusedError, *(() if self._reached else (UnknownServerError,)))
            text = self.redactor.text(_reason(call, error))
            return None, NotSentError(text, setup=isinstance(error, lasting))
        except httpx.TransportError as error:
            return None, OutcomeUnknownError(self.redactor.text(_reason(call, error)))
        except (ApiError, OutcomeUnknownError, RequestError, SaveError, TooLargeError) as error:
            progress.status = None if isinstance(error, ApiError) else status
            self.redactor.error(error)  # RequestError and SaveError are of a file on this machine
            return None, error.with_traceback(None)  # whose frames would keep the answer, as it came

    async def _watched(
        self, call: Call, request: httpx.Request, progress: Progress
    ) -> tuple[Answer | None, ConnectoryError | None]:
        """Make one attempt and tell of it, however it ends."""
        watch = Watch(self.name, call, progress)
        try:
            watch.answer, trouble = await self._attempt(call, request, progress)
            watch.trouble = trouble
            return watch.answer, trouble
        except BaseException as error:
            watch.trouble = error
            raise
        finally:
            self._listen(watch.ended(self.redactor.text(self._url(request))))

    def _url(self, request: httpx.Request) -> str:
        """Give the URL without its query; of a request in a hurry without making an object of it."""
        if isinstance(request, Ready):
            return self._origin + request.target.partition(b"?")[0].decode("ascii")
        return str(request.url.copy_with(query=None))

    async def _answered(self, request: httpx.Request) -> tuple[int, AnswerHeaders, Stream]:
        """Send the request by way of a transport that is not our own."""
        response = await self.transport.handle_async_request(request)
        stream = cast("httpx.AsyncByteStream", response.stream)
        return response.status_code, AnswerHeaders.of(response.headers.raw), stream

    def _expect(self, call: Call) -> Expected:
        """Say what a call expects; the same for all calls of an action, but for those that want text."""
        text, action = asks_for_text(call.payload), call.action
        found = self._expected.get((id(action), text))
        if found is None or found[0] is not action:
            if len(self._expected) >= MOST_KEPT:  # actions may be made from data
                self._expected.clear()
            response = action.response
            empty = response.kind == "empty" or action.method == "DELETE"
            strict = response.schema is not None and not text
            made = Expected(call.what, response.kind, empty=empty, strict=strict, redactor=self.redactor)
            found = self._expected[id(action), text] = action, made
        return found[1]

    def _decide(self, call: Call, visit: Visit, progress: Progress) -> Decision:
        error = cast("ConnectoryError", progress.trouble)
        if isinstance(error, RequestError | SaveError | TooLargeError):
            return Aside(in_doubt=not isinstance(error, RequestError))
        if isinstance(error, NotSentError) and error.setup:
            return Stop("setup", str(error))
        if isinstance(error, ApiError) and is_key_reused(error):
            return Aside(in_doubt=True)
        return self._gate.failed(visit, failure(error, repeatable=call.repeatable, status=progress.status))


def _counted(call: Call) -> tuple[str, Any]:
    """Name what the server counts a request with, its model or its entity, and give the payload that it counts."""
    payload: Any = call.payload
    model: Any = payload.get("model") if isinstance(payload, dict) else None  # pyright: ignore[reportUnknownMemberType,reportUnknownVariableType]  # any JSON
    return (model if isinstance(model, str) else call.entity.path), call.payload


def _differs(request: httpx.Request, signature: Mapping[str, str]) -> bool:
    return any(request.headers.get(name) != value for name, value in signature.items())


def _unauthorised(error: ConnectoryError) -> bool:
    return isinstance(error, ApiError) and error.status == UNAUTHORIZED


def _reason(call: Call, error: httpx.TransportError) -> str:
    """Give what the transport says, which names the request itself; another one's words need the name."""
    said = str(error) or type(error).__name__
    return said if said.startswith(f"{call.action.method} ") else f"{call.what}: {said}"
