"""Requests of which the catalogue knows nothing: only a method and a path."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any
from urllib.parse import SplitResult, parse_qsl, unquote, urlsplit

from connectory.catalogue import Action, ActionName, Body, Entity, Pagination, Parameter, Response
from connectory.errors import RequestError
from connectory.requests.building import Call
from connectory.requests.parameters import as_object

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.record import Record

_TOKEN = re.compile(r"[A-Za-z0-9!#$%&'*+.^_`|~-]+")
_CREDENTIALS = frozenset({"api-key", "authorization", "cookie", "proxy-authorization"})
_CONNECTION = frozenset(
    {"connection", "expect", "host", "keep-alive", "proxy-connection", "te", "trailer", "upgrade"}
)
_BODY = frozenset({"accept-encoding", "content-length", "content-type", "transfer-encoding"})
_OWN_HEADERS = _CREDENTIALS | _CONNECTION | _BODY
"""Headers of a raw request that a record cannot set: credentials, and what belongs to the connection or the body."""

_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RAW_PAGING = Pagination("cursor", parameter="after", cursor="last_id", item_field="id", more="has_more")
_RAW_ACTIONS: dict[str, ActionName] = {"GET": "read", "DELETE": "delete"}


def raw_call(method: str, path: str, query: Mapping[str, Any], payload: Any, base_path: str) -> Call:
    """Make the call of a raw request. Raises RequestError for a path that would leave the client's server."""
    method, what = method.upper(), f"{method.upper()} {path!r}"
    bare, _, text = path.partition("?")
    if not bare.startswith("/") or bare.startswith(("//", "/\\")):
        raise RequestError(f"{what}: give a path that begins with one '/', never a server")
    if "#" in path or _CONTROL.search(path):
        raise RequestError(f"{what}: a path has no '#' and no control character")
    if any(unquote(segment) in {".", ".."} for segment in bare.split("/")):
        raise RequestError(f"{what}: '.' and '..' mean another path; write that one")
    below = bare.removeprefix(base_path) if bare.startswith(f"{base_path}/") else bare
    entity, actions = raw_entity((method,), below)
    written = _parsed_query(text)
    parameters = {name: Parameter(name, {}) for name in written}
    return Call(entity, replace(actions[method], query=parameters), {}, {**written, **query}, payload, "off")


@dataclass(frozen=True, slots=True)
class Server:
    """The server of a client, by the base URIs under which it is known."""

    bases: Sequence[str]

    def below(self, url: str) -> tuple[str, dict[str, Any]]:
        """Give the path below the base URI and the query of a URL. Raises RequestError for another server's."""
        parts = _split(url)
        for base in map(urlsplit, self.bases):
            path = base.path.rstrip("/")
            if _origin(parts) == _origin(base) and parts.path.startswith(f"{path}/"):
                return parts.path.removeprefix(path), _parsed_query(parts.query)
        raise RequestError(
            f"the URL {_shown(parts)!r} is not below {self.bases[-1]!r}, the client's own server"
        )

    def address(self, call: Call, record: Record) -> Call:
        """Send a raw request to the `url` of its record, with the record's `headers`."""
        url = record.get("url")
        query: dict[str, Any] = {}
        if not isinstance(url, str) or not url:
            hint = "write request: {path: ...}, or give the record one"
            raise RequestError(f"the request has no path and the record no 'url' that is a text; {hint}")
        if not url.startswith("/"):
            url, query = self.below(url)
        made = raw_call(call.action.method, url, {**query, **call.query}, None, urlsplit(self.bases[0]).path)
        parameters = {name: Parameter(name, {}) for name in made.query}
        action = replace(made.action, query=parameters, headers=_headers(record.get("headers")))
        return replace(made, action=action, payload=call.payload)


def _split(url: str) -> SplitResult:
    try:
        parts = urlsplit(url)
        _ = parts.port
    except ValueError:
        raise RequestError("the URL is none") from None
    if parts.username is not None or parts.fragment or _CONTROL.search(url):
        raise RequestError(f"the URL {_shown(parts)!r} has more than a server, a path and a query")
    return parts


def _origin(parts: SplitResult) -> tuple[str, str | None, int | None]:
    return parts.scheme, parts.hostname, parts.port or {"http": 80, "https": 443}.get(parts.scheme)


def _shown(parts: SplitResult) -> str:
    """Write a URL without what may be secret in it."""
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}{parts.path}"


def _headers(given: Any) -> dict[str, str]:
    """Take a record's headers, without those that are the client's own business."""
    headers: dict[str, str] = {}
    for name, value in as_object(given, "'headers'").items():
        if not isinstance(value, str | int) or isinstance(value, bool):
            raise RequestError(f"header {name!r} of the record is no text")
        if not _TOKEN.fullmatch(name) or _CONTROL.search(str(value)) or not str(value).isascii():
            raise RequestError(f"header {name!r} of the record has a character that no header can have")
        if name.lower() not in _OWN_HEADERS:
            headers[name] = str(value)
    return headers


def raw_entity(methods: Sequence[str], path: str) -> tuple[Entity, Mapping[str, Action]]:
    """Make an entity for a raw request, of which nothing is known but its methods and path.

    A raw read walks lists that page as the API's own do, and takes any other answer as one item.
    """
    actions = {method: _raw_action(method) for method in methods}
    entity = Entity(
        name=path,
        title=path,
        group="raw",
        path=path,
        path_parameters=tuple(part[1:-1] for part in path.split("/") if part.startswith("{")),
        parameter_schemas={},
        parent=None,
        parent_field="id",
        aliases={},
        auth="api",
        actions={action.name: action for action in actions.values()},
    )
    return entity, actions


def _raw_action(method: str) -> Action:
    name: ActionName = _RAW_ACTIONS.get(method, "create")
    return Action(
        name=name,
        method=method,
        kind={"read": "list"}.get(name, name),
        query={},
        fixed_query={},
        headers={},
        body=None if name == "read" else Body(required=False, content={"application/json": {}}),
        response=Response("json", items="data" if name == "read" else None, pagination=_RAW_PAGING),
    )


def _parsed_query(text: str) -> dict[str, Any]:
    """Take a query string apart; a name that comes more than once has a list."""
    values: dict[str, list[str]] = {}
    for name, value in parse_qsl(text, keep_blank_values=True):
        values.setdefault(name, []).append(value)
    return {name: many if len(many) > 1 else many[0] for name, many in values.items()}
