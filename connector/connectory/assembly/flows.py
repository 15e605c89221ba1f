"""The clients of a configuration, and the flow of each connection, made when they are asked for."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Any, Protocol

from connectory.assembly import (
    Assembly,
    Endpoint,
    WebhookSink,
    input_above,
    levels_above,
    remembers,
    sql_sink,
    used_sink,
)
from connectory.catalogue import Catalogue, end_of
from connectory.client import Client
from connectory.config import SqlOutput, TableOutput, UsedOutput
from connectory.delivery.batches import ScratchJournal
from connectory.errors import ConfigError
from connectory.events import Listener, Noticed
from connectory.journal import MemoryJournal
from connectory.listeners.logs import log_event
from connectory.listeners.telling import together
from connectory.pace.lanes import Standing
from connectory.publisher import Publisher
from connectory.steps.firsts import firsts_of
from connectory.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    import httpx

    from connectory.catalogue import Action, Entity
    from connectory.config import Config, WebhookConfig
    from connectory.delivery.publication import Publication
    from connectory.errors import RecordError
    from connectory.interfaces import Journal, Past, Sink, Source
    from connectory.journal import Known
    from connectory.pace.gate import Gate
    from connectory.reading.subscription import Subscription
    from connectory.record import Record
    from connectory.requests.building import ClientOptions
    from connectory.requests.parameters import Given


class Shared(Protocol):
    """What a connector shares with those of other processes that work on the same run."""

    def gate(self, options: ClientOptions, listen: Listener) -> Gate:
        """Make what lets the requests of a client out."""
        ...

    def guard(self, publication: Publication) -> Publication:
        """Let what bounds a run count what the others have done."""
        ...


class Flows:
    """Makes clients, and a Subscriber or a Publisher of each connection.

    `transport` replaces the network for every client, for tests (`httpx.MockTransport(router.async_handler)` with
    respx); `endpoint` points every client to a sandbox; `shared` is what it has in common with other processes.
    `listen` hears what happens, in place of the log; `telemetry` hears it as well.
    """

    def __init__(
        self,
        config: Config,
        *,
        catalogue: Catalogue | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        endpoint: Endpoint | None = None,
        listen: Listener | None = None,
        telemetry: Listener | None = None,
        shared: Shared | None = None,
    ) -> None:
        files = [config.folder / name for name in config.catalogue]
        self.config, self.catalogue = config, catalogue or Catalogue.load(*files)
        self.assembly = Assembly(config, self.catalogue, endpoint=endpoint, client=self.client)
        self._transport, self._shared = transport, shared
        self._listen = together(listen or log_event, telemetry)
        self._clients: dict[str, Client] = {}
        self._noticed: set[str] = set()

    def client(self, name: str | None = None) -> Client:
        """Give a client by its name; without one the only client, or `default`."""
        name = self.assembly.clients.name(name)
        if name not in self._clients:
            options = self.assembly.clients.options(name)
            self._clients[name] = Client(
                options,
                self._transport or self.assembly.clients.transport(name),
                schema=self.catalogue.schema,
                listen=self._listen,
                gate=None if self._shared is None else self._shared.gate(options, self._listen),
            )
        return self._clients[name]

    def standing(self) -> Standing:
        """Say how the clients stand, taken together; any thread may ask."""
        found = [client.standing() for client in [*self._clients.values()]]
        held_by = next((one.held_by for one in found if one.held_by), "")
        return Standing(sum(one.busy for one in found), held_by)

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

    def subscriber(
        self,
        name: str,
        *,
        given: Given | None = None,
        client: str | None = None,
        limit: int | None = None,
        journal: Journal | None = None,
        on_error: Callable[[RecordError], None] | None = None,
        source: Source | None = None,
        seen: Past | None = None,
        look: bool = False,
    ) -> Subscriber:
        """Build the Subscriber of a named connection, with another client if one is named.

        A connection with `only` or `incremental` needs what was `seen` before, unless it is only to `look` at it.
        `source` stands for its `input`. Raises ConfigError.
        """
        journal = journal or MemoryJournal()
        if seen is None and not look and remembers(self.assembly, name):
            what = "'only' and 'incremental' ask what earlier runs read"
            message = f'{what}: they work in `connectory run`, and in Python with job="..."'
            raise ConfigError(self.config.problem(("incoming", name), message, key=True))
        run = run_scope(journal, self.assembly.clients.name(client or self.assembly.incoming(name).client))
        subscription = self.assembly.subscription(name, run=run, given=given, limit=limit)
        above = [(one, self.client(by)) for one, by in levels_above(self.assembly, subscription, client)]
        if source is None and (found := input_above(self.assembly, name)) is not None:
            source = found.open()
        more = {"above": above, "source": source, "seen": seen}
        chosen = self.client(client or self.assembly.incoming(name).client)
        return self._subscriber(subscription, chosen, journal, on_error, **more)

    def reader(
        self,
        entity: str,
        *,
        given: Given,
        client: str | None = None,
        limit: int | None = None,
        save_to: str | Path | None = None,
    ) -> Subscriber:
        """Build the Subscriber of an entity without a named connection."""
        subscription = self.assembly.direct_subscription(entity, given, limit=limit, save=save_to)
        return self._subscriber(subscription, self.client(client))

    def publisher(
        self,
        name: str,
        *,
        given: Given | None = None,
        client: str | None = None,
        journal: Journal | None = None,
        known: Known | None = None,
    ) -> Publisher:
        """Build the Publisher of a named connection, with another client if one is named.

        A connection with `only` needs the table of what was `known` before. Raises ConfigError without one.
        """
        settings = self.assembly.outgoing(name)
        journal = journal or (ScratchJournal() if settings.delivery == "batch" else MemoryJournal())
        run = run_scope(journal, self.assembly.clients.name(client or settings.client))
        publication = self.assembly.publication(name, run=run, given=given, client=client)
        publication = replace(publication, firsts=firsts_of(journal))
        if self._shared is not None:
            publication = self._shared.guard(publication)
        self._notice_end(publication.entity, next(iter(publication.actions.values())))
        if publication.only is not None and known is None:
            place = ("outgoing", name, "only")
            message = "'only' asks what earlier runs did: it works in `connectory run`, and in Python with job=\"...\""
            raise ConfigError(self.config.problem(place, message))
        chosen = self.client(client or settings.client)
        return Publisher(publication, chosen, journal, listen=self._listen, known=known)

    def sink(self, settings: WebhookConfig | SqlOutput | TableOutput | UsedOutput) -> Sink:
        """Build the sink that posts lines to a URL, writes each into a database, or is one of the user's own."""
        if isinstance(settings, UsedOutput):
            return used_sink(self.config, settings)
        if isinstance(settings, SqlOutput | TableOutput):
            return sql_sink(self.config, settings, listen=self._listen)
        prototype = self.catalogue.prototypes["openai-compatible"]
        redactor = self.config.redactor
        return WebhookSink(
            settings, prototype, transport=self._transport, listen=self._listen, redactor=redactor
        )

    def _subscriber(
        self,
        subscription: Subscription,
        client: Client,
        journal: Journal | None = None,
        on_error: Callable[[RecordError], None] | None = None,
        **more: Any,
    ) -> Subscriber:
        self._notice_end(subscription.entity, subscription.action)
        return Subscriber(
            subscription, client, journal or MemoryJournal(), listen=self._listen, on_error=on_error, **more
        )

    def _notice_end(self, entity: Entity, action: Action) -> None:
        """Tell once what the API gives up; it is sent all the same, because another server may have it."""
        message = end_of(entity, action.name)
        if message is not None and message not in self._noticed:
            self._noticed.add(message)
            self._listen(Noticed(message))


def run_scope(journal: Journal, client: str) -> Record:
    """Give what expressions see as `run`; `started_at` is in epoch seconds, `client` the name of the client."""
    return {"id": journal.run, "started_at": journal.started_at, "client": client}
