"""The sandbox as an ASGI application: a server that answers like the API, built from the catalogue."""

from __future__ import annotations

import re
import time
from secrets import token_hex
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from starlette.applications import Starlette
from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Mount

from connectory.catalogue import Catalogue
from connectory.errors import UnknownNameError
from connectory.sandbox.answering import Answer, Answerer
from connectory.sandbox.checking import JSON, Checker, Received, Upload, missing
from connectory.sandbox.faults import KINDS, PAGE, Faults, Spoiled
from connectory.sandbox.places import Place
from connectory.sandbox.refusal import RefusedError, fault
from connectory.sandbox.store import MAX_ITEMS, Store
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping

    from starlette.types import Message, Receive, Scope, Send

    from connectory.catalogue import Action, Entity

PREFIX = re.compile(r"/(?:openai(?:/deployments/[^/]+|/v1)?|(?:api/)?v\d+\w*)(?=/)")
_MULTIPART = "multipart/form-data"
_TRANSPORT = "connectory.transport"
SPOILED = KINDS.keys() - {"html"}
"""The faults with which the request is done, and its answer goes wrong."""

_STEADY = [
    (b"openai-version", b"2020-10-01"),
    (b"x-ratelimit-limit-requests", b"1000000"),
    (b"x-ratelimit-limit-tokens", b"1000000000"),
    (b"x-ratelimit-remaining-requests", b"999999"),
    (b"x-ratelimit-remaining-tokens", b"999999000"),
    (b"x-ratelimit-reset-requests", b"1ms"),
    (b"x-ratelimit-reset-tokens", b"1ms"),
]


def create_app(
    catalogue: Catalogue | None = None,
    *,
    token: str | None = None,
    allow_anonymous: bool = False,
    max_items: int = MAX_ITEMS,
    clock: Callable[[], float] = time.time,
    faults: Mapping[str, float] | None = None,
    seed: int = 0,
) -> Starlette:
    """Make the application. Without `token` any token is good; with `allow_anonymous` none is needed.

    It remembers at most `max_items` created items; the oldest go first. `clock` gives `created_at`. `faults` names
    what goes wrong and how often, as in `{"429": 0.1}`; `seed` decides when. Raises ConfigError for unknown faults.
    """
    catalogue = catalogue or Catalogue.load()
    answerer = Answerer(catalogue, Store(max_items=max_items), clock=clock)
    plan = Faults(faults, seed=seed) if faults else None
    if plan is not None:
        answerer.items.fault_of_batch = plan.next_of_batches
    sandbox = Sandbox(catalogue, answerer, token=token, allow_anonymous=allow_anonymous, faults=plan)
    return Application(routes=[Mount("/", app=sandbox)], exception_handlers={Exception: _failed})


async def _failed(_request: Request, _error: Exception) -> JSONResponse:
    return JSONResponse(RefusedError(500).envelope, 500)


class Application(Starlette):
    """The application, with the connection in reach of the faults that close it.

    ASGI has no word for closing a connection: uvicorn's transport is taken from the `send` that it gives.
    """

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request."""
        scope[_TRANSPORT] = getattr(getattr(send, "__self__", None), "transport", None)
        await super().__call__(scope, receive, send)


class Sandbox:
    """One request after another: routed, checked, answered."""

    def __init__(
        self,
        catalogue: Catalogue,
        answerer: Answerer,
        *,
        token: str | None,
        allow_anonymous: bool,
        faults: Faults | None,
    ) -> None:
        self.catalogue, self.answerer = catalogue, answerer
        self.token, self.allow_anonymous, self.faults = token, allow_anonymous, faults
        answerer.items.ask = self.ask
        self.routes: dict[tuple[str, str], tuple[Entity, Action]] = {}
        self.checkers: dict[Action, Checker] = {}

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Answer one request, with the headers that every answer has."""
        if scope["type"] != "http":
            return
        started = time.perf_counter()
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in scope["headers"]}
        wrong = self.faults.next() if self.faults is not None else ""
        try:
            self.authorize(headers)
            wrong = headers.get("x-sandbox-fault", wrong)
            answer = _fault(wrong) or await self.answer(scope, receive)
        except RefusedError as refusal:
            answer = Answer(dumps(refusal.envelope), status=refusal.status, headers=refusal.headers)
        start = _start(answer, organization=headers.get("openai-organization"), started=started)
        if wrong in SPOILED:
            await Spoiled(wrong, send, receive, scope.get(_TRANSPORT)).answer(start, answer.body)
        else:
            await _send(start, answer.body, send)

    async def answer(self, scope: Scope, receive: Receive) -> Answer:
        """Answer a request. Raises RefusedError."""
        raw: bytes = scope.get("raw_path") or quote(scope["path"]).encode()
        query: str = scope["query_string"].decode("latin-1")
        place, action = self.route(scope["method"], raw.decode("latin-1"), query)
        checker = self.checker(action)
        received = Received(query=checker.query(query))
        if action.body is not None:
            await read_body(received, checker, Request(scope, receive))
        return self.answerer.answer(place, action, received)

    def ask(self, method: str, path: str, body: dict[str, Any]) -> Any:
        """Answer a request with a JSON body that stands in another one. Raises RefusedError."""
        place, action = self.route(method, path, "")
        checker = self.checker(action)
        if JSON not in checker.content:
            raise RefusedError(415, f"{path} takes no JSON.", code="unsupported_content_type")
        checker.check(body, JSON)
        self.answerer.items.check_above(place)
        return self.answerer.made(place, action, Received(body=body))

    def checker(self, action: Action) -> Checker:
        """Give the checker of an action."""
        if (checker := self.checkers.get(action)) is None:
            checker = self.checkers[action] = Checker(self.catalogue, action)
        return checker

    def authorize(self, headers: Mapping[str, str]) -> None:
        """Refuse a request without the right token."""
        scheme, _, bearer = headers.get("authorization", "").partition(" ")
        given = headers.get("api-key") or (bearer.strip() if scheme.lower() == "bearer" else "")
        if not given and (self.token is not None or not self.allow_anonymous):
            raise RefusedError(401, "You didn't provide a token.", code="invalid_api_key")
        if given and self.token is not None and given != self.token:
            raise RefusedError(401, "Incorrect token provided.", code="invalid_api_key")

    def route(self, method: str, path: str, query: str) -> tuple[Place, Action]:
        """Find the entity and action; what has no path parameters and no query is looked up once."""
        bare = path[found.end() :] if (found := PREFIX.match(path)) else path
        if not query and (known := self.routes.get((method, bare))):
            return Place(known[0], {}), known[1]
        entity, name, parameters = self.match(method, bare, query)
        action = entity.actions[name]
        if not query and not parameters:
            self.routes[method, bare] = (entity, action)
        return Place(entity, parameters), action

    def match(self, method: str, path: str, query: str) -> tuple[Entity, str, Mapping[str, str]]:
        """Find what the catalogue has for a path; a path of other methods is told from an unknown one."""
        try:
            return self.catalogue.match(method, f"{path}?{query}" if query else path)
        except UnknownNameError:
            pass
        for other in {"GET", "POST", "DELETE"} - {method}:
            try:
                self.catalogue.match(other, path)
            except UnknownNameError:
                continue
            raise RefusedError(405, f"Not allowed to {method} on {path}.", code="method_not_supported")
        raise RefusedError(404, f"Invalid URL ({method} {path})", code="unknown_url")


async def read_body(received: Received, checker: Checker, request: Request) -> None:
    """Read a request's body as its content type says, and check it."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == _MULTIPART and _MULTIPART in checker.content:
        fields, received.uploads = await _form(request)
        received.body = checker.form(fields, received.uploads)
        return
    raw = await request.body()
    if not raw:
        if checker.action.body is not None and checker.action.body.required:
            raise missing("body")
        return
    if JSON in checker.content and (kind in {"", JSON} or kind.endswith("+json")):
        received.body = checker.json(raw)
    elif kind in checker.content:
        received.text = raw.decode("utf-8", "replace")
    else:
        wanted = " or ".join(f"'{one}'" for one in checker.content)
        message = f"Unsupported content type: '{kind}'. This method only accepts {wanted} requests."
        raise RefusedError(415, message, code="unsupported_content_type")


async def _form(request: Request) -> tuple[list[tuple[str, str]], list[Upload]]:
    fields: list[tuple[str, str]] = []
    uploads: list[Upload] = []
    try:
        async with request.form(max_files=1000, max_fields=1000, max_part_size=64 * 1024 * 1024) as form:
            for name, value in form.multi_items():
                if isinstance(value, UploadFile):
                    kind = value.content_type or "application/octet-stream"
                    uploads.append(Upload(name, value.filename or "upload", await value.read(), kind))
                else:
                    fields.append((name, value))
    except MultiPartException as error:
        raise RefusedError(400, f"We could not parse your multipart form: {error.message}.") from None
    return fields, uploads


def _fault(wrong: str) -> Answer | None:
    """Give the answer of a fault with which nothing is done. Raises RefusedError."""
    if not wrong or wrong in SPOILED:
        return None
    if wrong == "html":
        return Answer(PAGE, "text/html; charset=utf-8", status=503)
    raise fault(wrong)


def _start(answer: Answer, *, organization: str | None, started: float) -> Message:
    """Give the start of an answer, with the headers that every one has."""
    spent = int((time.perf_counter() - started) * 1000)
    headers = [
        (b"content-type", answer.content_type.encode("latin-1")),
        (b"x-request-id", b"req_" + token_hex(16).encode()),
        (b"openai-processing-ms", str(spent).encode()),
        *_STEADY,
        *((name.encode(), value.encode("latin-1")) for name, value in answer.headers.items()),
    ]
    if organization:
        headers.append((b"openai-organization", organization.encode("latin-1")))
    if isinstance(answer.body, bytes):
        headers.append((b"content-length", str(len(answer.body)).encode()))
    return {"type": "http.response.start", "status": answer.status, "headers": headers}


async def _send(start: Message, body: bytes | Iterator[bytes], send: Send) -> None:
    await send(start)
    if isinstance(body, bytes):
        await send({"type": "http.response.body", "body": body})
        return
    for chunk in body:
        await send({"type": "http.response.body", "body": chunk, "more_body": True})
    await send({"type": "http.response.body", "body": b""})
