"""Puts the parts of a connection together from its configuration."""

from __future__ import annotations

import re
import ssl
from dataclasses import dataclass, replace
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qsl, unquote, urlsplit, urlunsplit

from connectory.auth import Credential
from connectory.catalogue import Action, ActionName, Body, Entity, Pagination, Parameter, Response
from connectory.chain import Chain, build_chain
from connectory.client import Call, ClientOptions
from connectory.errors import ConfigError, RequestError, UnknownNameError
from connectory.expressions import compile_expression
from connectory.parameters import Given, RequestParameters
from connectory.placeholders import compile_template
from connectory.publication import Publication
from connectory.retry import Policy
from connectory.subscriber import Subscription
from connectory.transport import Transport

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from pydantic import SecretStr

    from connectory.catalogue import Catalogue, Prototype
    from connectory.config import ClientConfig, Config, IncomingConfig, OutgoingConfig, StepConfig
    from connectory.errors import Problem

_NOT_FOR_A_SANDBOX = frozenset(
    {"token", "token_file", "token_command", "admin_token", "organization", "project"}
    | {"base_uri", "headers", "proxy", "ca_file", "client_certificate"}
)
"""Keys of a client that matter only for its own server."""
_CONTROL = re.compile(r"[\x00-\x1f\x7f]")
_RAW_PAGING = Pagination("cursor", parameter="after", cursor="last_id", item_field="id", more="has_more")
_RAW_ACTIONS: dict[str, ActionName] = {"GET": "read", "DELETE": "delete"}


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where every client is pointed instead of its own server, and with which token: the sandbox."""

    origin: str
    token: str


class Assembly:
    """Resolves names, files, templates and chains. Raises ConfigError, with file and line, for what does not fit."""

    def __init__(self, config: Config, catalogue: Catalogue, *, endpoint: Endpoint | None = None) -> None:
        self.config, self.catalogue, self.endpoint = config, catalogue, endpoint

    def client_name(self, wanted: str | None = None) -> str:
        """Give the client that a connection uses: the named one, the only one, or `default`."""
        clients = self.config.clients
        name = wanted or (next(iter(clients)) if len(clients) == 1 else "default")
        if name in clients:
            return name
        if wanted:
            raise UnknownNameError("client", wanted, clients)
        count = "no client is" if not clients else f"{len(clients)} clients are"
        raise ConfigError(f"{count} configured and none is called 'default'; say which one with `client`")

    def client_options(self, name: str) -> ClientOptions:
        """Resolve a client; the token itself is read at the first request."""
        settings = self.config.clients[name]
        self.config.require(("clients", name), ignore=_NOT_FOR_A_SANDBOX if self.endpoint else ())
        prototype = self.catalogue.prototypes[settings.prototype]
        return ClientOptions(
            name=name,
            base_uri=self._base_uri(name, settings, prototype),
            prototype=prototype,
            credential=self._credential(settings, prototype, settings.token),
            admin_credential=self._admin_credential(settings, prototype),
            headers=self._headers(name, settings, prototype),
            query={**prototype.query, **settings.query},
            deployments=settings.deployments,
            connect_timeout=settings.timeout.connect,
            idle_timeout=settings.timeout.idle,
            total_timeout=settings.timeout.total,
            policy=Policy(settings.retry.attempts, settings.retry.max_wait),
            concurrency=settings.limits.concurrency,
        )

    def transport(self, name: str) -> Transport:
        """Open the transport of a client: no connection is made before the first request."""
        settings = self.config.clients[name]
        return Transport(
            limit=settings.limits.concurrency,
            connect_timeout=settings.timeout.connect,
            idle_timeout=settings.timeout.idle,
            proxy=None if self.endpoint else settings.proxy,
            ssl_context=None if self.endpoint else self._ssl_context(name, settings),
        )

    def incoming(self, name: str) -> IncomingConfig:
        """Look up an incoming connection."""
        if name not in self.config.incoming:
            raise UnknownNameError("incoming", name, self.config.incoming)
        return self.config.incoming[name]

    def outgoing(self, name: str) -> OutgoingConfig:
        """Look up an outgoing connection."""
        if name not in self.config.outgoing:
            raise UnknownNameError("outgoing", name, self.config.outgoing)
        return self.config.outgoing[name]

    def route(self, name: str) -> Sequence[str]:
        """Look up a route: the names of an incoming and of the outgoings that follow it."""
        if name not in self.config.routes:
            raise UnknownNameError("route", name, self.config.routes)
        return self.config.routes[name]

    def subscription(
        self, name: str, *, run: Mapping[str, Any], given: Given | None = None, limit: int | None = None
    ) -> Subscription:
        """Resolve an incoming connection; `limit` ends the reading after so many records."""
        settings, place = self.incoming(name), ("incoming", name)
        self.config.require(place)
        entity = (
            self._entity(settings.entity, "read") or raw_entity(("GET",), self._raw_path(place, settings))[0]
        )
        return Subscription(
            name=name,
            entity=entity,
            action=entity.actions["read"],
            parameters=self._parameters(place, settings, given),
            input_chain=self._chain(settings.input_transformers),
            chain=self._chain(settings.transformers),
            most_pages=settings.page_limit,
            most_records=limit,
            run=run,
        )

    def publication(self, name: str, *, run: Mapping[str, Any], given: Given | None = None) -> Publication:
        """Resolve an outgoing connection."""
        settings, place = self.outgoing(name), ("outgoing", name)
        self.config.require(place)
        entity, actions = self._write(name, settings)
        action = next(iter(actions.values()))
        identifier = (
            [settings.identifier] if isinstance(settings.identifier, str) else settings.identifier or ()
        )
        client = self.config.clients[self.client_name(settings.client)]
        return Publication(
            name=name,
            entity=entity,
            actions=actions,
            chain=self._chain(settings.transformers),
            defaults=self._parameters(place, settings, given),
            path=self._template((*place, "path"), settings.path, present=settings.path is not None),
            query=self._template((*place, "query"), settings.query, present=settings.query is not None),
            payload=self._template((*place, "payload"), settings.payload, present=settings.has_payload),
            result=self._template((*place, "result"), settings.result, present=settings.has_result),
            response_chain=self._chain(settings.response_transformers)
            if settings.response_transformers
            else None,
            derived={key: compile_expression(text) for key, text in action.extra.get("derived", {}).items()},
            identifier=[
                self._placed((*place, "identifier"), partial(compile_expression, text)) for text in identifier
            ],
            ordered=settings.order == "input",
            concurrency=settings.concurrency or client.limits.concurrency,
            run=run,
        )

    def direct_subscription(self, name: str, given: Given, *, limit: int | None = None) -> Subscription:
        """Resolve the reading of an entity without a named connection."""
        entity = self.catalogue.find(name, "read")
        parameters = RequestParameters(compile_template({"path": {}, "query": {}}), given)
        nothing = Chain()
        action = entity.actions["read"]
        return Subscription(entity.name, entity, action, parameters, nothing, nothing, most_records=limit)

    def direct_publication(self, name: str, action: str) -> Publication:
        """Resolve the writing of an entity without a named connection: the record is `{path, query, payload}`."""
        entity = self.catalogue.find(name, action)
        found = entity.actions[action]
        parameters = RequestParameters(compile_template({"path": {}, "query": {}}))
        return Publication(entity.name, entity, {found.method: found}, Chain(), parameters, concurrency=1)

    def raw_call(
        self, method: str, path: str, query: Mapping[str, Any], payload: Any, base_path: str
    ) -> Call:
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
        return Call(entity, replace(actions[method], query=parameters), {}, {**written, **query}, payload)

    def problems(self) -> list[Problem]:
        """Resolve every connection, and give everything that is wrong with any."""
        found: list[Problem] = []
        for build, names in (
            (self.subscription, self.config.incoming),
            (self.publication, self.config.outgoing),
        ):
            for name in names:
                try:
                    build(name, run={})
                except ConfigError as error:
                    found += [problem for problem in error.problems if problem not in found]
        return found

    def _write(self, name: str, settings: OutgoingConfig) -> tuple[Entity, Mapping[str, Action]]:
        if settings.request is not None:
            return raw_entity(settings.request.allowed, self._raw_path(("outgoing", name), settings))
        wanted = settings.action
        entity = self.catalogue.find(settings.entity or "", wanted)
        writes = [one for one in entity.actions if one != "read"]
        if wanted is None and len(writes) != 1:
            choice = " or ".join(writes) or "none: it can only be read"
            raise ConfigError(f"outgoing {name!r}: say which `action`; entity {entity.name!r} takes {choice}")
        action = entity.actions[wanted or writes[0]]
        return entity, {action.method: action}

    def _entity(self, name: str | None, action: str) -> Entity | None:
        return self.catalogue.find(name, action) if name is not None else None

    def _raw_path(self, place: tuple[str, ...], settings: IncomingConfig | OutgoingConfig) -> str:
        path = settings.request.path if settings.request is not None else ""
        if "?" in path or "#" in path:
            message = f"'path' {path!r} has a query; write it as request_parameters: {{query: ...}}"
            raise ConfigError(self.config.problem((*place, "request", "path"), message))
        return path

    def _parameters(
        self, place: tuple[str, ...], settings: IncomingConfig | OutgoingConfig, given: Given | None
    ) -> RequestParameters:
        configured = settings.request_parameters
        written = {"path": {**configured.path}, "query": {**configured.query}}
        template = self._placed((*place, "request_parameters"), lambda: compile_template(written))
        return RequestParameters(template, given or Given())

    def _template(self, place: tuple[str, ...], value: Any, *, present: bool) -> Any:
        return self._placed(place, lambda: compile_template(value)) if present else None

    def _placed(self, place: tuple[str, ...], build: Callable[[], Any]) -> Any:
        """Build something from the file; a ConfigError without a place gets that of the value."""
        try:
            return build()
        except ConfigError as error:
            raise ConfigError(
                self.config.problem(place, problem.message) for problem in error.problems
            ) from None

    def _chain(self, steps: Sequence[StepConfig]) -> Chain:
        return build_chain(
            steps, named=self.config.transformers, folder=self.config.folder, locate=self.config.problem
        )

    def _base_uri(self, name: str, settings: ClientConfig, prototype: Prototype) -> str:
        is_open = self.config.is_unset(("clients", name, "base_uri"))
        text = prototype.base_uri if is_open else settings.base_uri or prototype.base_uri
        if not text and self.endpoint is None:
            raise ConfigError(self.config.problem(("clients", name), f"client {name!r} needs a base_uri"))
        parts = urlsplit(text or "")
        path = parts.path.rstrip("/")
        if settings.path_prefix is not None:
            if "?" in settings.path_prefix or "#" in settings.path_prefix:
                message = f"'path_prefix' {settings.path_prefix!r} is no path; a query goes to 'query'"
                raise ConfigError(self.config.problem(("clients", name, "path_prefix"), message))
            path += "/" + settings.path_prefix.strip("/")
        elif not path:
            path = "/" + prototype.path_prefix.strip("/")
        path = path.rstrip("/")
        if self.endpoint is not None:
            return self.endpoint.origin + path
        return urlunsplit((parts.scheme, parts.netloc, path, "", ""))

    def _credential(
        self, settings: ClientConfig, prototype: Prototype, token: SecretStr | None
    ) -> Credential:
        header, prefix = prototype.auth["header"], prototype.auth["prefix"]
        if self.endpoint is not None:
            return Credential(header, prefix, self.endpoint.token)
        return Credential(
            header,
            prefix,
            token.get_secret_value() if token else "",
            token_file=self._file(settings.token_file),
            token_command=settings.token_command,
        )

    def _admin_credential(self, settings: ClientConfig, prototype: Prototype) -> Credential | None:
        token = settings.admin_token.get_secret_value().strip() if settings.admin_token else ""
        if not token or self.endpoint is not None:
            return None
        return Credential(prototype.auth["header"], prototype.auth["prefix"], token)

    def _headers(self, name: str, settings: ClientConfig, prototype: Prototype) -> dict[str, str]:
        place = ("clients", name)
        identity = {
            prototype.organization_header: settings.organization,
            prototype.project_header: settings.project,
        }
        identity = {header: value for header, value in identity.items() if header and (value or "").strip()}
        merged = {
            header.lower(): (header, (value or "").strip())  # names differ in more than their case
            for part in (prototype.headers, identity, settings.headers)
            for header, value in part.items()
            if header
        }
        for header, value in merged.values():
            if not value.isascii():
                message = f"header {header!r} of client {name!r} has a character outside ASCII"
                raise ConfigError(self.config.problem(place, message))
        return dict(merged.values())

    def _ssl_context(self, name: str, settings: ClientConfig) -> ssl.SSLContext | None:
        if settings.ca_file is None and settings.certificate_files is None:
            return None
        place = ("clients", name)
        try:
            authorities = self._file(settings.ca_file)
            context = ssl.create_default_context(cafile=str(authorities) if authorities else None)
            if settings.certificate_files is not None:
                certificate, key = (self._file(one) for one in settings.certificate_files)
                context.load_cert_chain(str(certificate), str(key) if key else None, password="")
        except OSError as error:  # ssl's own errors are OSErrors too
            reason = error.strerror or str(error)
            raise ConfigError(
                self.config.problem(place, f"ca_file or client_certificate: {reason}")
            ) from None
        return context

    def _file(self, name: str | None) -> Path | None:
        return self.config.file(name) if name else None


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
