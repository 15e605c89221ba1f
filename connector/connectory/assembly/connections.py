"""A connection's configuration, resolved to what its flow needs."""

from __future__ import annotations

import time
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, cast

from connectory.assembly.batching import batch
from connectory.assembly.clients import Clients, Endpoint, most_at_once
from connectory.assembly.dialects import Speech, resolve_dialect
from connectory.assembly.files import files_root, fixed_target, save_to, stream, upload
from connectory.assembly.packs import pack
from connectory.assembly.parents import Memory, fill, resolve_above, run_clock
from connectory.assembly.pricing import budget_of, prices_of
from connectory.assembly.raw import Server, raw_entity
from connectory.assembly.states import until
from connectory.chain import Chain, build_chain
from connectory.cost.guards import MostDead
from connectory.delivery.publication import Publication
from connectory.errors import ConfigError, RequestError, UnknownNameError
from connectory.expressions import compile_expression
from connectory.placeholders import compile_template
from connectory.reading.asking import Asking
from connectory.reading.subscription import Subscription
from connectory.requests.parameters import Given, RequestParameters

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectory.assembly.parents import Level
    from connectory.catalogue import Action, Catalogue, Entity
    from connectory.client import Client
    from connectory.config import Config, IncomingConfig, OutgoingConfig, StepConfig
    from connectory.expressions import Clock, Expression


class Assembly:
    """Resolves names, files, templates and chains. Raises ConfigError, with file and line, for what does not fit.

    `client` gives what the steps of chains ask; without it, as in `lint`, nothing is connected.
    """

    def __init__(
        self,
        config: Config,
        catalogue: Catalogue,
        *,
        endpoint: Endpoint | None = None,
        client: Callable[[str | None], Client] | None = None,
    ) -> None:
        self.config, self.catalogue, self._client = config, catalogue, client
        self.clients = Clients(config, catalogue, endpoint=endpoint)

    def _unknown(self, kind: str, name: str) -> UnknownNameError:
        """Say that there is no such connection or route, and of which other kind it is."""
        found = self.config.runnable
        elsewhere = next((other for other, names in found.items() if name in names), "")
        return UnknownNameError(kind, name, found[kind], elsewhere=elsewhere)

    def incoming(self, name: str) -> IncomingConfig:
        """Look up an incoming connection."""
        if name not in self.config.incoming:
            raise self._unknown("incoming", name)
        return self.config.incoming[name]

    def outgoing(self, name: str) -> OutgoingConfig:
        """Look up an outgoing connection."""
        if name not in self.config.outgoing:
            raise self._unknown("outgoing", name)
        return self.config.outgoing[name]

    def route(self, name: str) -> Sequence[str]:
        """Look up a route: the names of an incoming and of the outgoings that follow it."""
        if name not in self.config.routes:
            raise self._unknown("route", name)
        return self.config.routes[name]

    def subscription(
        self, name: str, *, run: Mapping[str, Any], given: Given | None = None, limit: int | None = None
    ) -> Subscription:
        """Resolve an incoming connection; `limit` ends the reading after so many records."""
        settings, place = self.incoming(name), ("incoming", name)
        self.config.require(place)
        entity = (
            self._entity(settings.entity, "read")
            or raw_entity(("GET",), self._raw_target(place, settings)[0])[0]
        )
        action, clock = entity.actions["read"], run_clock(run)
        memory = Memory(self.config, place, settings, self._placed, clock)
        known = entity if settings.entity is not None else None
        fills = fill(self.config, self.catalogue, settings, known)
        if fills is not None and given is not None and fills in given.path:
            what = f"the path parameter {fills!r} of incoming {name!r} is filled in from each parent"
            raise ConfigError(f"{what}; leave it out, or read entity {entity.name!r} without a connection")
        return Subscription(
            name=name,
            entity=entity,
            action=action,
            parameters=self._parameters(place, settings, given, clock=clock),
            input_chain=self.chain(settings.input_transformers, client=settings.client),
            chain=self.chain(settings.transformers, client=settings.client),
            most_pages=settings.page_limit,
            most_records=limit,
            save=save_to(self.config, place, settings, action),
            validate=None if settings.request is None else "off",
            run=run,
            fills=fills,
            parent_field=entity.parent_field,
            identifier=memory.identifier(),
            incremental=memory.incremental(action, raw=known is None),
            only=settings.only,
            keep_parent=memory.keep_parent(),
        )

    def above(self, name: str, *, run: Mapping[str, Any]) -> list[Level]:
        """Resolve the parents of an incoming connection, outermost first."""
        return resolve_above(self.config, self.catalogue, name, partial(self.subscription, run=run), run)

    def input_of(self, name: str) -> str | None:
        """Name the incoming whose `input` the reading begins with: the connection itself or its outermost parent."""
        self.incoming(name)  # or it is told that there is none
        levels = self.above(name, run={})
        first = levels[0].incoming if levels else name
        return first if first is not None and self.incoming(first).input is not None else None

    def publication(
        self, name: str, *, run: Mapping[str, Any], given: Given | None = None, client: str | None = None
    ) -> Publication:
        """Resolve an outgoing connection, for another client than its own if one is named."""
        settings, place = self.outgoing(name), ("outgoing", name)
        self.config.require(place)
        entity, actions = self._write(name, settings)
        speech = resolve_dialect(self.config, self.catalogue, place, settings, (entity, actions))
        action = next(iter(actions.values()))
        identifier = (
            [settings.identifier] if isinstance(settings.identifier, str) else settings.identifier or ()
        )
        client = self.clients.name(client or settings.client)
        prices = prices_of(self.config, client, batch=settings.delivery == "batch")
        return Publication(
            name=name,
            entity=entity,
            actions=actions,
            chain=speech.after(self.chain(settings.transformers, client=settings.client)),
            defaults=self._parameters(place, settings, given),
            path=self._template(place, "path", speech, present=settings.path is not None),
            query=self._template(place, "query", speech, present=settings.query is not None),
            payload=self._template(place, "payload", speech, present=settings.has_payload),
            result=self._result(place, settings, speech),
            response_chain=self._response_chain(settings, speech),
            address=self._server(settings).address
            if settings.request and not settings.request.path
            else None,
            derived={key: compile_expression(text) for key, text in action.extra.get("derived", {}).items()},
            accept=self._condition((*place, "accept"), settings.accept),
            only=settings.only,
            on_uncertain=settings.on_uncertain,
            max_dead=max_dead(settings.max_dead),
            budget=budget_of(self.config, place, settings, client, prices),
            prices=prices,
            identifier=[
                self._placed((*place, "identifier"), partial(compile_expression, text)) for text in identifier
            ],
            validate=settings.validate_mode if settings.request is None else "off",
            ordered=settings.order == "input",
            concurrency=settings.concurrency or most_at_once(self.config.clients[client]),
            files_root=files_root(self.config, place, settings, actions),
            save=save_to(self.config, place, settings, action),
            stream=stream(self.config, place, settings, actions),
            upload=upload(self.config, place, settings, entity, self.catalogue),
            until=until(self.config, place, settings, action, self.catalogue),
            sequence=self._condition((*place, "sequence"), settings.sequence),
            pack=pack(self.config, place, settings, action),
            batch=batch(self.config, place, settings, (entity, action), self.catalogue),
            run=run,
        )

    def direct_subscription(
        self, name: str, given: Given, *, limit: int | None = None, save: str | Path | None = None
    ) -> Subscription:
        """Resolve the reading of an entity without a named connection; `save` is the file for its answer."""
        entity = self.catalogue.find(name, "read")
        parameters = RequestParameters(compile_template({"path": {}, "query": {}}), given)
        nothing = Chain()
        action = entity.actions["read"]
        if save is not None and action.response.items is not None:
            raise ConfigError(f"entity {entity.name!r} gives a list of items, which is no one file to save")
        target = fixed_target(save)
        return Subscription(
            entity.name, entity, action, parameters, nothing, nothing, most_records=limit, save=target
        )

    def direct_publication(self, name: str, action: str, *, save: str | Path | None = None) -> Publication:
        """Resolve the writing of an entity without a named connection: the record is `{path, query, payload}`.

        Files that the payload names lie below the current folder; `save` is the file for the answer.
        """
        entity = self.catalogue.find(name, action)
        found = entity.actions[action]
        parameters = RequestParameters(compile_template({"path": {}, "query": {}}))
        return Publication(
            entity.name,
            entity,
            {found.method: found},
            Chain(),
            parameters,
            concurrency=1,
            files_root=Path.cwd(),
            save=fixed_target(save),
        )

    def _write(self, name: str, settings: OutgoingConfig) -> tuple[Entity, Mapping[str, Action]]:
        if settings.request is not None:
            path, _ = self._raw_target(("outgoing", name), settings)
            return raw_entity(settings.request.allowed, path)
        wanted = settings.action or self.catalogue.implied_action(settings.entity or "")
        entity = self.catalogue.find(settings.entity or "", wanted)
        writes = [one for one in entity.actions if one != "read"]
        if wanted is None and len(writes) != 1:
            choice = " or ".join(writes) or "none: it can only be read"
            raise ConfigError(f"outgoing {name!r}: say which `action`; entity {entity.name!r} takes {choice}")
        action = entity.actions[wanted or writes[0]]
        return entity, {action.method: action}

    def _raw_target(
        self, place: tuple[str, ...], settings: IncomingConfig | OutgoingConfig
    ) -> tuple[str, dict[str, Any]]:
        """Give the path of a raw request, and the query where a whole URL is written."""
        path = (settings.request.path if settings.request is not None else None) or "/"
        if path.startswith("/"):
            return self._raw_path(place, path), {}
        try:
            return self._server(settings).below(path)
        except RequestError as error:
            raise ConfigError(self.config.problem((*place, "request", "path"), str(error))) from None

    def _entity(self, name: str | None, action: str) -> Entity | None:
        return self.catalogue.find(name, action) if name is not None else None

    def _raw_path(self, place: tuple[str, ...], path: str) -> str:
        if "?" in path or "#" in path:
            message = f"'path' {path!r} has a query; write it as request_parameters: {{query: ...}}"
            raise ConfigError(self.config.problem((*place, "request", "path"), message))
        return path

    def _parameters(
        self,
        place: tuple[str, ...],
        settings: IncomingConfig | OutgoingConfig,
        given: Given | None,
        *,
        clock: Clock = time.time,
    ) -> RequestParameters:
        configured = settings.request_parameters
        _, query = self._raw_target(place, settings)
        written = {"path": {**configured.path}, "query": {**query, **configured.query}}
        template = self._placed(
            (*place, "request_parameters"), lambda: compile_template(written, clock=clock)
        )
        return RequestParameters(template, given or Given())

    def _template(self, place: tuple[str, ...], key: str, speech: Speech, *, present: bool) -> Any:
        value, present = speech.written(key, getattr(self.outgoing(place[1]), key), present=present)
        if key == "path" and isinstance(value, dict):
            self._refuse_literal((*place, key), cast("dict[str, Any]", value))
        return self._placed((*place, key), lambda: compile_template(value)) if present else None

    def _result(self, place: tuple[str, ...], settings: OutgoingConfig, speech: Speech) -> Any:
        if settings.response_transformers and not settings.has_result:
            return None  # the connection shapes its results itself
        template = self._template(place, "result", speech, present=settings.has_result)
        return None if template is None else template.for_writing()

    def _response_chain(self, settings: OutgoingConfig, speech: Speech) -> Chain | None:
        if settings.response_transformers:
            return self.chain(settings.response_transformers, client=settings.client)
        return None if settings.has_result else speech.response_chain

    def _server(self, settings: IncomingConfig | OutgoingConfig) -> Server:
        return Server(self.clients.base_uris(self.clients.name(settings.client)))

    def _refuse_literal(self, place: tuple[str, ...], path: dict[str, Any]) -> None:
        """Refuse `{id}` where `&{id}` was meant: it would be sent as it stands, and a deletion would find nothing."""
        for name, value in path.items():
            if isinstance(value, str) and value.startswith("{") and value.endswith("}"):
                message = f"{value!r} is sent as it stands; a value of the record is written '&{value}'"
                raise ConfigError(self.config.problem((*place, name), message))

    def _placed(self, place: tuple[str, ...], build: Callable[[], Any]) -> Any:
        """Build something from the file; a ConfigError without a place gets that of the value."""
        try:
            return build()
        except ConfigError as error:
            raise ConfigError(
                self.config.problem(place, problem.message) for problem in error.problems
            ) from None

    def _condition(self, place: tuple[str, ...], text: str | None) -> Expression | None:
        return None if text is None else self._placed(place, partial(compile_expression, text))

    def chain(self, steps: Sequence[StepConfig], *, client: str | None = None) -> Chain:
        """Build a chain of steps; what asks the server does so by the client that the run has, else by this one."""
        chosen = self._client

        def by(name: str) -> Client:
            if chosen is None:
                raise ConfigError("nothing is connected")
            return chosen(name or client)

        return build_chain(
            steps,
            named=self.config.transformers,
            folder=self.config.folder,
            locate=self.config.problem,
            reader=Asking(self.catalogue, None if chosen is None else by),
        )


def max_dead(written: int | str | None) -> MostDead | None:
    """Read `max_dead`: a number of records, or a share of them in per cent."""
    if written is None:
        return None
    if isinstance(written, str):
        return MostDead(share=float(written.rstrip(" %")) / 100)
    return MostDead(count=written)
