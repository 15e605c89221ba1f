"""The connector: a configuration, its clients, and everything that can be done with them."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self

from connectory.adapters.memory import IterableSource
from connectory.assembly import (
    Assembly,
    Endpoint,
    WebhookSink,
    levels_above,
    open_input,
    raw_call,
    remembers,
    sql_sink,
)
from connectory.catalogue import Catalogue, end_of
from connectory.client import Call, Client
from connectory.config import SqlOutput, config_from_dict, load_config, one_client
from connectory.errors import ConfigError
from connectory.events import Listener, Noticed
from connectory.journal import Job, MemoryJournal, Runs, new_facts
from connectory.logs import log_event
from connectory.parameters import Given
from connectory.picklists import MODEL, model_options, property_options
from connectory.publisher import Publisher
from connectory.remembered import open_known
from connectory.running import closing_run
from connectory.subscriber import Subscriber

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Callable, Iterable, Mapping
    from types import TracebackType

    import httpx

    from connectory.answers import Answer
    from connectory.catalogue import Action, Entity
    from connectory.config import Config, WebhookConfig
    from connectory.errors import RecordError
    from connectory.interfaces import Journal, Sink, Source
    from connectory.journal import Known, Seen
    from connectory.publication import Part
    from connectory.record import Record, Result
    from connectory.subscription import Subscription


class AsyncConnector:
    """Reads, creates and deletes entities, by named connections or directly.

    Use it as an async context manager, in one event loop. `transport` replaces the network for every client, for
    tests (`httpx.MockTransport(router.async_handler)` with respx); `endpoint` points every client to a sandbox.
    """

    def __init__(
        self,
        config: Config,
        *,
        catalogue: Catalogue | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
        endpoint: Endpoint | None = None,
        listen: Listener | None = None,
    ) -> None:
        files = [config.folder / name for name in config.catalogue]
        self.config, self.catalogue = config, catalogue or Catalogue.load(*files)
        self.assembly = Assembly(config, self.catalogue, endpoint=endpoint)
        self._transport, self._listen = transport, listen or log_event
        self._clients: dict[str, Client] = {}
        self._noticed: set[str] = set()

    @classmethod
    def from_file(cls, path: str | Path = "connectory.yaml", **options: Any) -> Self:
        """Read a configuration file. Raises ConfigError with every problem; the options are the constructor's."""
        return cls(load_config(path), **options)

    @classmethod
    def from_dict(cls, data: Mapping[str, Any], **options: Any) -> Self:
        """Take the configuration as data; file names in it are relative to the current folder."""
        return cls(config_from_dict(data), **options)

    @classmethod
    def openai(cls, *, token: str, base_uri: str | None = None, **options: Any) -> Self:
        """Make one client and no named connections."""
        return cls(one_client(token, base_uri), **options)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    async def aclose(self) -> None:
        """Close every connection."""
        clients, self._clients = self._clients, {}
        for client in clients.values():
            await client.aclose()

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
            )
        return self._clients[name]

    async def incoming(
        self, name: str, *, path: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> AsyncGenerator[Record, None]:
        """Read a named connection; pages are fetched as you go.

        Raises ApiError when a request is refused; an item that a transformer cannot shape is logged and left out.
        """
        subscriber = self.subscriber(name, given=Given(path or {}, query or {}))
        async with aclosing(_records(subscriber)) as records:
            async for record in records:
                yield record

    async def outgoing(
        self, name: str, records: Iterable[Record] | AsyncIterable[Record], *, job: str | None = None
    ) -> AsyncGenerator[Result, None]:
        """Send records through a named connection; one result a delivery, errors among them, as they get ready.

        With a `job` the run has a journal on disk: the same records under the same name take up a run that broke off,
        and give the results that the caller has not dealt with; the last ones may come once more. Raises
        RunStoppedError for a cause that concerns every record, JobBusyError when another process works on the job.
        """
        async with aclosing(self.groups(name, records, job=job)) as groups:
            async for results in groups:
                for result in results:
                    yield result

    def groups(
        self, name: str, records: Iterable[Record] | AsyncIterable[Record], *, job: str | None = None
    ) -> AsyncGenerator[list[Result], None]:
        """Send records as `outgoing` does, and give the results in lists: whatever was ready at once.

        Who asks for the next list has dealt with this one: then its results are not given again after a crash.
        """
        if job is None:
            return _results(self.publisher(name).deliver(IterableSource(records)))
        return self._journaled(name, IterableSource(records, marked=True), Job("outgoing", name, {"job": job}))

    async def _journaled(
        self, name: str, source: IterableSource, job: Job
    ) -> AsyncGenerator[list[Result], None]:
        target = self.assembly.publication(name, run={}).target
        power = self.assembly.outgoing(name).durability == "power"
        run = self.runs.begin(job, new_facts(job, target=target), power=power)
        async with closing_run(run):
            publisher = self.publisher(
                name, journal=run.journal, known=open_known(self.assembly, self.runs, name, run)
            )
            if run.journal.state.mark is not None:
                source.resume(run.journal.state.mark, run.journal.start)
            async with aclosing(_results(publisher.deliver(source))) as groups:
                async for results in groups:
                    yield results
            await run.finish()

    @property
    def runs(self) -> Runs:
        """The runs whose journals lie in the configuration's state folder."""
        return Runs(self.config.state_folder)

    async def read(
        self,
        entity: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        client: str | None = None,
        save_to: str | Path | None = None,
    ) -> AsyncGenerator[Record, None]:
        """Read an entity without a named connection: every item of every page. Raises ApiError.

        With `save_to` the answer goes to that file, and the one item says what it is.
        """
        given = Given(path or {}, query or {})
        subscriber = self.reader(entity, given=given, client=client, save_to=save_to)
        async with aclosing(_records(subscriber)) as records:
            async for record in records:
                yield record

    async def create(
        self,
        entity: str,
        *,
        payload: Any = None,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        client: str | None = None,
        save_to: str | Path | None = None,
    ) -> Result:
        """Create one entity; raises what a named connection would give as an error.

        A `{"path": ...}` in the payload names a file below the current folder, a `pathlib.Path` any file. With
        `save_to` the answer goes to that file.
        """
        record = {"path": path, "query": query, "payload": payload}
        return await self._write("create", entity, record, client, save_to=save_to)

    async def delete(
        self,
        entity: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        client: str | None = None,
    ) -> Result:
        """Delete one entity; one that is gone already is ok, and its response says `already_gone`."""
        return await self._write("delete", entity, {"path": path, "query": query}, client)

    async def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        payload: Any = None,
        client: str | None = None,
    ) -> Answer:
        """Send a raw request to a path below the client's base URI, and give the answer or raise."""
        chosen = self.client(client)
        return await chosen.call(raw_call(method, path, query or {}, payload, chosen.base_path))

    async def options(
        self, name: str, *, mode: str | None = None, client: str | None = None
    ) -> list[dict[str, Any]]:
        """Give the values that a property can have, each as `{text, value}`.

        `model` asks the client's server for its models; `mode` (`chat`, `embedding`, ...) puts those whose names
        suggest it first. `ENTITY.PROPERTY`, such as `images.generations.size`, is looked up in the catalogue.
        """
        if name != MODEL:
            return property_options(self.catalogue, name, mode)
        model_options((), mode)  # a wrong mode is told before anything is asked
        models = [str(one["id"]) async for one in self.read("models", client=client) if "id" in one]
        return model_options(models, mode)

    def prepare(
        self,
        action: str,
        entity: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        payload: Any = None,
        validate: Literal["error", "warn", "off"] | None = None,
        client: str | None = None,
    ) -> httpx.Request:
        """Build the request that would be sent. Raises RequestError for what does not fit the entity.

        `validate` says what becomes of a query or payload that does not fit the schemas; by default the client's
        prototype decides.
        """
        found = self.catalogue.find(entity, action)
        parameters = dict(path or {}), dict(query or {})
        call = Call(found, found.actions[action], *parameters, payload, validate, files_root=Path.cwd())
        return self.client(client).prepare(call)

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
        seen: Seen | None = None,
        look: bool = False,
    ) -> Subscriber:
        """Build the Subscriber of a named connection, with another client if one is named.

        A connection with `only` or `incremental` needs what was `seen` before, unless it is only to `look` at it.
        `source` stands for its `input`. Raises ConfigError.
        """
        journal = journal or MemoryJournal()
        if seen is None and not look and remembers(self.assembly, name):
            message = "'only' and 'incremental' ask what earlier runs read: they work in `connectory run`"
            raise ConfigError(self.config.problem(("incoming", name), message, key=True))
        run = run_scope(journal)
        subscription = self.assembly.subscription(name, run=run, given=given, limit=limit)
        above = [(one, self.client(by)) for one, by in levels_above(self.assembly, subscription, client)]
        more = {"above": above, "source": source or open_input(self.assembly, name), "seen": seen}
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
        journal = journal or MemoryJournal()
        settings = self.assembly.outgoing(name)
        publication = self.assembly.publication(name, run=run_scope(journal), given=given)
        self._notice_end(publication.entity, next(iter(publication.actions.values())))
        if publication.only is not None and known is None:
            place = ("outgoing", name, "only")
            message = "'only' asks what earlier runs did: it works in `connectory run`, and in Python with job=\"...\""
            raise ConfigError(self.config.problem(place, message))
        chosen = self.client(client or settings.client)
        return Publisher(publication, chosen, journal, listen=self._listen, known=known)

    def sink(self, settings: WebhookConfig | SqlOutput) -> Sink:
        """Build the sink that posts lines to a URL, or runs a statement for each."""
        if isinstance(settings, SqlOutput):
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

    async def _write(
        self,
        action: str,
        entity: str,
        record: Record,
        client: str | None,
        *,
        save_to: str | Path | None = None,
    ) -> Result:
        publication = self.assembly.direct_publication(entity, action, save=save_to)
        self._notice_end(publication.entity, publication.entity.actions[action])
        publisher = Publisher(publication, self.client(client), MemoryJournal(), listen=self._listen)
        ((_, result),) = [one async for group in publisher.deliver(IterableSource([record])) for one in group]
        return result.unwrap()


def run_scope(journal: Journal) -> Record:
    """Give what expressions see as `run`; `started_at` is in epoch seconds."""
    return {"id": journal.run, "started_at": journal.started_at}


async def _records(subscriber: Subscriber) -> AsyncGenerator[Record, None]:
    async with aclosing(subscriber.pages()) as pages:
        async for page in pages:
            for record in page.records:
                yield record


async def _results(
    delivered: AsyncGenerator[list[tuple[Part, Result]], None],
) -> AsyncGenerator[list[Result], None]:
    async with aclosing(delivered) as groups:
        async for settled in groups:
            yield [result for _, result in settled]
