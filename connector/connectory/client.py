"""One request, sent well: built from the catalogue's words, signed, retried, bounded in time, explained."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import quote

import httpx

from connectory import bodies, encoding
from connectory.answers import Answer, Expected, asks_for_text, is_key_reused
from connectory.attempts import Outcome, Progress, failure
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
from connectory.events import Listener, Noticed, RequestRetried, ignore
from connectory.gate import Gate
from connectory.lanes import Limits, Visit
from connectory.receiving import receive
from connectory.redaction import Redactor
from connectory.retry import Again, Aside, Decision, Policy, Stop
from connectory.transport import ProxyRefusedError, UnknownServerError, UntrustedError
from connectory.validation import RequestChecker

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping
    from pathlib import Path

    from connectory.auth import Credential
    from connectory.catalogue import Action, Entity, Prototype
    from connectory.saving import Target

REPEATABLE = frozenset({"list", "read", "compute", "delete"})
"""Kinds of action that may be sent again after a doubt: twice does no harm beyond its price."""

_NEVER_SENT = (
    httpx.ConnectError,
    httpx.ConnectTimeout,
    httpx.PoolTimeout,
    httpx.ProxyError,
    httpx.UnsupportedProtocol,
)
UNAUTHORIZED = 401
REQUEST_ID = "X-Client-Request-Id"
"""The header by which a server's log tells one attempt from every other: key, life of the run, attempt."""

_JSON = "application/json"
_URI = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a request's target as it is, beside letters, digits and `_.-`."""


@dataclass(frozen=True, slots=True)
class Call:
    """One request in the catalogue's words; a payload of None is no body.

    `validate` says what becomes of a query or payload that does not fit the entity's schemas: `error`, `warn` or `off`;
    None leaves it to the client's prototype.
    Below `files_root` lie the files that the payload may name; `save` is where the answer goes; `stream` says that
    it comes as events, and whether these are kept. `on_uncertain` overrides what the action's kind says about sending
    again.
    """

    entity: Entity
    action: Action
    path: Mapping[str, Any] = field(default_factory=dict[str, Any])
    query: Mapping[str, Any] = field(default_factory=dict[str, Any])
    payload: Any = None
    validate: str | None = None
    files_root: Path | None = None
    save: Target | None = None
    stream: Literal["aggregate", "events"] | None = None
    on_uncertain: Literal["resend", "hold"] | None = None

    @property
    def repeatable(self) -> bool:
        """Say whether it is sent again when nobody knows whether it was done."""
        return self.action.kind in REPEATABLE if self.on_uncertain is None else self.on_uncertain == "resend"

    @property
    def what(self) -> str:
        """Name the request in messages: method and template, never a value."""
        return f"{self.action.method} {self.entity.path}"


@dataclass(frozen=True, slots=True)
class ClientOptions:
    """What a client needs beside its transport, everything resolved; times are seconds."""

    name: str
    base_uri: str
    prototype: Prototype
    credential: Credential
    admin_credential: Credential | None = None
    headers: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    query: Mapping[str, str] = field(default_factory=dict[str, str], repr=False)
    deployments: Mapping[str, str] = field(default_factory=dict[str, str])
    connect_timeout: float = 10.0
    idle_timeout: float = 60.0
    total_timeout: float = 600.0
    policy: Policy = field(default_factory=Policy)
    limits: Limits = field(default_factory=Limits)
    redactor: Redactor = field(default_factory=Redactor, repr=False)


class Client:
    """A configured HTTP client: prepares calls and sends them.

    `schema` gives the self-contained form of a catalogue's schema.
    """

    def __init__(
        self,
        options: ClientOptions,
        transport: httpx.AsyncBaseTransport,
        *,
        schema: Callable[[Any], dict[str, Any]] = dict,
        listen: Listener = ignore,
    ) -> None:
        self.options, self.transport = options, transport
        self.name, self.redactor = options.name, options.redactor
        for credential in (options.credential, options.admin_credential):
            if credential is not None:
                credential.report_to(self.redactor)
        self._schema, self._listen = schema, listen
        self._gate = Gate(options.policy, options.limits, listen=listen)
        self._base = httpx.URL(options.base_uri)
        self.base_path = self._base.raw_path.decode("ascii").partition("?")[0].rstrip("/")
        self._checker = RequestChecker(schema, lambda text: listen(Noticed(self.redactor.text(text))))
        self._signing, self._reached = asyncio.Lock(), False
        connect, idle = options.connect_timeout, options.idle_timeout
        timeout = {"connect": connect, "read": idle, "write": idle, "pool": options.total_timeout}
        self._extensions = {"timeout": timeout}

    def prepare(self, call: Call, *, key: str | None = None, life: int = 1) -> httpx.Request:
        """Build the signed request of a call; nothing is sent. `key` is the delivery's, in this life of its run.

        Raises RequestError when path, query or payload do not fit, CredentialsError without a usable token.
        """
        mode = call.validate or self.options.prototype.validate
        self._checker.check(call.action, call.query, call.payload, what=call.what, mode=mode)
        headers = self._headers(call)
        if key is not None and call.action.method != "GET":
            headers["Idempotency-Key"], headers[REQUEST_ID] = key, f"{key}.{life}.1"
        content, extensions = self._content(call, headers)
        url = self._url(call)
        return httpx.Request(call.action.method, url, headers=headers, extensions=extensions, content=content)

    async def send(
        self, call: Call, request: httpx.Request, *, begin: Callable[[], Awaitable[None]] | None = None
    ) -> Outcome:
        """Send a prepared request until there is an answer or a reason to give up; raises neither.

        `begin` is awaited when the request's turn has come, before its first byte leaves; what it raises is raised, and
        nothing is sent.
        """
        progress, visit = Progress(), self._gate.visit(*_counted(call))
        if (stop := await self._gate.enter(visit)) is not None:  # no part of the request's own time
            return progress.ended(stop)
        if begin is not None:
            try:
                await begin()
            except BaseException:
                self._gate.leave(visit)
                raise
        total = self.options.total_timeout
        deadline = asyncio.timeout(total)
        try:
            async with deadline:
                return await self._persist(call, request, progress, visit, deadline)
        except TimeoutError:
            if not deadline.expired():
                raise
            return progress.overtime(call.what, total)

    async def call(self, call: Call) -> Answer:
        """Prepare, send, and give the answer or raise."""
        return (await self.send(call, self.prepare(call))).unwrap()

    async def aclose(self) -> None:
        """Close the connections."""
        await self.transport.aclose()

    def _url(self, call: Call) -> httpx.URL:
        path = self.base_path + self._deployment(call) + encoding.expand_path(call.entity.path, call.path)
        query = {**self.options.query, **call.query}
        text = encoding.encode_query(query, call.action.query, call.action.fixed_query)
        target = quote(f"{path}?{text}" if text else path, safe=_URI)
        return self._base.copy_with(raw_path=target.encode("ascii"))

    def _deployment(self, call: Call) -> str:
        rule = self.options.prototype.deployment
        if rule is None or call.action.body is None or call.entity.name not in rule["entities"]:
            return ""
        payload = call.payload
        model = cast("dict[str, Any]", payload).get("model") if isinstance(payload, dict) else None
        if not isinstance(model, str) or not model:
            raise RequestError(f"{call.what}: the payload needs a 'model', which names the deployment")
        return encoding.expand_path(rule["path"], {"deployment": self.options.deployments.get(model, model)})

    def _credential(self, call: Call) -> Credential:
        admin = self.options.admin_credential
        return admin if admin is not None and call.entity.auth == "admin" else self.options.credential

    def _headers(self, call: Call) -> httpx.Headers:
        signature = self._credential(call).headers()
        if not signature and self.options.prototype.token_required:
            raise CredentialsError(
                f"client {self.name!r} has no token; set its token, token_file or token_command"
            )
        accept = _JSON if call.action.response.kind == "json" else "*/*"
        headers = httpx.Headers(
            {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": f"connectory/{_version()}"}
        )
        for more in (call.action.headers, self.options.headers, signature):
            headers.update(more)
        return headers

    def _content(self, call: Call, headers: httpx.Headers) -> tuple[Any, dict[str, Any]]:
        headers.pop("Content-Type", None)  # the body decides, and a form has to name its boundary there
        body = bodies.compose(
            call.what, call.action.body, call.payload, schema=self._schema, files_root=call.files_root
        )
        if body is None:
            return None, self._extensions
        headers["Content-Type"], content = body
        if isinstance(content, bytes):
            return content, self._extensions
        headers["Content-Length"] = str(content.length)
        return content if (whole := content.whole) is None else whole, {**self._extensions, "form": content}

    async def _persist(
        self, call: Call, request: httpx.Request, progress: Progress, visit: Visit, deadline: asyncio.Timeout
    ) -> Outcome:
        fresh = True
        while True:
            progress.attempt, progress.trouble, progress.status = progress.attempt + 1, None, None
            if progress.attempt > 1 and (identity := request.headers.get(REQUEST_ID)):
                request.headers[REQUEST_ID] = f"{identity.rpartition('.')[0]}.{progress.attempt}"
            try:
                answer, trouble = await self._attempt(call, request, progress)
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
            told = RequestRetried(call.what, progress.attempt, decision.wait, str(trouble), decision.held)
            self._listen(told)
            if (stop := await self._gate.again(visit, decision, deadline)) is not None:
                return progress.ended(stop)

    async def _sign_anew(self, call: Call, request: httpx.Request) -> bool:
        """Sign with a token that is not the refused one, if there is one by now."""
        credential = self._credential(call)
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
        try:
            response = await self.transport.handle_async_request(request)
            self._reached = True
            stream = cast("httpx.AsyncByteStream", response.stream)
            status, headers = response.status_code, response.headers
            events = call.stream == "events" or call.action.method == "GET"
            return await receive(
                _expected(call, self.redactor), status, headers, stream, save=call.save, events=events
            ), None
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


def _expected(call: Call, redactor: Redactor) -> Expected:
    response = call.action.response
    empty = response.kind == "empty" or call.action.method == "DELETE"
    strict = response.schema is not None and not asks_for_text(call.payload)
    return Expected(call.what, response.kind, empty=empty, strict=strict, redactor=redactor)


def _differs(request: httpx.Request, signature: Mapping[str, str]) -> bool:
    return any(request.headers.get(name) != value for name, value in signature.items())


def _unauthorised(error: ConnectoryError) -> bool:
    return isinstance(error, ApiError) and error.status == UNAUTHORIZED


def _reason(call: Call, error: httpx.TransportError) -> str:
    """Give what the transport says, which names the request itself; another one's words need the name."""
    said = str(error) or type(error).__name__
    return said if said.startswith(f"{call.action.method} ") else f"{call.what}: {said}"


@cache
def _version() -> str:
    try:
        return version("connectory")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
