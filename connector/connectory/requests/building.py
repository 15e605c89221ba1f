"""A call in the catalogue's words, and the signed request that is built from it."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import PackageNotFoundError, version
from typing import TYPE_CHECKING, Any, Literal, cast
from urllib.parse import quote

import httpx

from connectory.errors import CredentialsError, RequestError
from connectory.events import NOBODY, Listener, Noticed, Whose
from connectory.frozen import value
from connectory.pace.lanes import Limits
from connectory.requests import bodies, encoding
from connectory.retry import Policy
from connectory.schemas.validation import RequestChecker
from connectory.text.redaction import Redactor
from connectory.transport import Ready, Shared, Timeouts

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping
    from pathlib import Path

    from connectory.auth import Credential
    from connectory.catalogue import Action, Entity, Prototype
    from connectory.files.saving import Target
    from connectory.requests.forms import Form

REPEATABLE = frozenset({"list", "read", "compute", "delete"})
"""Kinds of action that may be sent again after a doubt: twice does no harm beyond its price."""

REQUEST_ID = "X-Client-Request-Id"
"""The header by which a server's log tells one attempt from every other: key, life of the run, attempt."""

_REQUEST_ID = REQUEST_ID.encode()
_JSON = "application/json"
_BODILESS = frozenset({"GET", "HEAD", "DELETE", "OPTIONS"})
"""Methods whose requests without a body do not say that it is empty."""

MOST_KEPT = 64
"""Actions whose headers and URLs are kept ready."""

_URI = "!#$%&'()*+,/:;=?@[]~"
"""What may stand in a request's target as it is, beside letters, digits and `_.-`."""


@value(frozen=True, slots=True)
class Call:
    """One request in the catalogue's words; a payload of None is no body.

    `validate` says what becomes of a query or payload that does not fit the entity's schemas: `error`, `warn` or `off`;
    None leaves it to the client's prototype.
    Below `files_root` lie the files that the payload may name; `save` is where the answer goes; `stream` says that
    it comes as events, and whether these are kept. `on_uncertain` overrides what the action's kind says about sending
    again. `whose` is for those who are told of it.
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
    whose: Whose = NOBODY

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


class Builder:
    """Builds the requests of a client; what all requests of an action share is made once.

    `schema` gives the self-contained form of a catalogue's schema.
    """

    def __init__(
        self, options: ClientOptions, *, schema: Callable[[Any], dict[str, Any]], listen: Listener
    ) -> None:
        self._options, self._schema = options, schema
        self._base = httpx.URL(options.base_uri)
        self.base_path = self._base.raw_path.decode("ascii").partition("?")[0].rstrip("/")
        self._checker = RequestChecker(schema, lambda text: listen(Noticed(options.redactor.text(text))))
        idle = options.idle_timeout
        self._timeouts = Timeouts(options.connect_timeout, idle, idle, options.total_timeout)
        self._shared: dict[int, tuple[Action, Mapping[str, str], Shared]] = {}
        self._targets: dict[tuple[str, int], tuple[Action, bytes]] = {}

    def build(self, call: Call, *, key: str | None = None, life: int = 1) -> httpx.Request:
        """Build the signed request of a call; nothing is sent. `key` is the delivery's, in this life of its run.

        Raises RequestError when path, query or payload do not fit, CredentialsError without a usable token.
        """
        mode, what = call.validate or self._options.prototype.validate, call.what
        self._checker.check(call.action, call.query, call.payload, what=what, mode=mode)
        shared = self._shared_of(call)
        own: list[tuple[bytes, bytes]] = []
        body = bodies.compose(
            what, call.action.body, call.payload, schema=self._schema, files_root=call.files_root
        )
        if key is not None and shared.method != "GET":
            sign = key.encode()
            own += [(b"Idempotency-Key", sign), (_REQUEST_ID, b"%b.%d.1" % (sign, life))]
        target = self._target(call)
        if body is None:
            if shared.method not in _BODILESS:
                own.append((b"Content-Length", b"0"))
            return Ready(shared, target, own, b"")
        kind, content = body
        own.append((b"Content-Type", kind.encode()))
        if isinstance(content, bytes):
            own.append((b"Content-Length", b"%d" % len(content)))
            return Ready(shared, target, own, content)
        return self._form(shared, target, own, content)

    def _form(
        self, shared: Shared, target: bytes, own: list[tuple[bytes, bytes]], form: Form
    ) -> httpx.Request:
        """Make the request of a form, whose files may be larger than the memory."""
        content = form if (whole := form.whole) is None else whole
        size = len(content) if isinstance(content, bytes) else content.length
        headers = [*shared.headers, *own, (b"Content-Length", b"%d" % size)]
        extensions = {"timeout": self._timeouts._asdict(), "form": form}
        url = self._base.copy_with(raw_path=target)
        request = httpx.Request(shared.method, url, headers=headers, content=content, extensions=extensions)
        if isinstance(content, bytes):
            request.read()
        return request

    def _target(self, call: Call) -> bytes:
        """Make the path and query; one that nothing of the record is in is made once."""
        if call.path or call.query or self._options.prototype.deployment is not None:
            return self._target_of(call)
        name = (call.entity.path, id(call.action))
        found = self._targets.get(name)
        if found is None or found[0] is not call.action:
            if len(self._targets) >= MOST_KEPT:
                self._targets.clear()
            found = self._targets[name] = (call.action, self._target_of(call))
        return found[1]

    def _target_of(self, call: Call) -> bytes:
        path = self.base_path + self._deployment(call) + encoding.expand_path(call.entity.path, call.path)
        query = {**self._options.query, **call.query}
        text = encoding.encode_query(query, call.action.query, call.action.fixed_query)
        return quote(f"{path}?{text}" if text else path, safe=_URI).encode("ascii")

    def _deployment(self, call: Call) -> str:
        rule = self._options.prototype.deployment
        if rule is None or call.action.body is None or call.entity.name not in rule["entities"]:
            return ""
        payload = call.payload
        model = cast("dict[str, Any]", payload).get("model") if isinstance(payload, dict) else None
        if not isinstance(model, str) or not model:
            raise RequestError(f"{call.what}: the payload needs a 'model', which names the deployment")
        return encoding.expand_path(rule["path"], {"deployment": self._options.deployments.get(model, model)})

    def credential(self, call: Call) -> Credential:
        """Give the credential that a call is signed with."""
        admin = self._options.admin_credential
        return admin if admin is not None and call.entity.auth == "admin" else self._options.credential

    def _shared_of(self, call: Call) -> Shared:
        """Give what all requests of an action share, until its credential changes."""
        signature = self.credential(call).headers()
        if not signature and self._options.prototype.token_required:
            raise CredentialsError(
                f"client {self._options.name!r} has no token; set its token, token_file or token_command"
            )
        action = call.action
        found = self._shared.get(id(action))
        if found is None or found[0] is not action or found[1] != signature:
            if len(self._shared) >= MOST_KEPT:  # actions may be made from data
                self._shared.clear()
            made = Shared(action.method, self._base, self._headers_of(action, signature), self._timeouts)
            found = self._shared[id(action)] = (action, signature, made)
        return found[2]

    def _headers_of(self, action: Action, signature: Mapping[str, str]) -> list[tuple[bytes, bytes]]:
        accept = _JSON if action.response.kind == "json" else "*/*"
        headers = httpx.Headers(
            {"Accept": accept, "Accept-Encoding": "gzip", "User-Agent": f"connectory/{_version()}"}
        )
        for more in (action.headers, self._options.headers, signature):
            headers.update(more)
        headers.pop("Content-Type", None)  # the body decides, and a form has to name its boundary there
        host = [] if "Host" in headers else [(b"Host", self._base.netloc)]
        return [*host, *headers.raw]


@cache
def _version() -> str:
    try:
        return version("connectory")
    except PackageNotFoundError:  # run from a checkout that is not installed
        return "0"
