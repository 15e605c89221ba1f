"""The connector: a configuration, its clients, and everything that can be done with them."""

from __future__ import annotations

from contextlib import aclosing
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Self, TypedDict, TypeVar, Unpack

from connectory.adapters.memory import IterableSource
from connectory.assembly import input_above, raw_call
from connectory.assembly.flows import Flows
from connectory.catalogue.picklists import MODEL, model_options, property_options
from connectory.config import config_from_dict, load_config, one_client
from connectory.formats.tabular import columns_of
from connectory.journal import Job, MemoryJournal, Runs, new_facts
from connectory.publisher import Publisher
from connectory.requests.building import Call
from connectory.requests.parameters import Given
from connectory.runs.remembered import open_known, open_seen
from connectory.runs.running import closing_run

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterable, Iterable, Mapping
    from types import TracebackType

    import httpx

    from connectory.answers.meaning import Answer
    from connectory.assembly import Endpoint
    from connectory.assembly.flows import Shared
    from connectory.catalogue import Catalogue
    from connectory.config import Config
    from connectory.delivery.publication import Part
    from connectory.events import Listener
    from connectory.record import Record, Result
    from connectory.subscriber import Subscriber


T = TypeVar("T")


class Options(TypedDict, total=False):
    """What may be given to a connector beside its configuration."""

    catalogue: Catalogue | None
    transport: httpx.AsyncBaseTransport | None
    endpoint: Endpoint | None
    listen: Listener | None
    telemetry: Listener | None


class AsyncConnector(Flows):
    """Reads, creates and deletes entities, by named connections or directly.

    Use it as an async context manager, in one event loop.

    `catalogue` is one of your own. `transport` replaces the network for every client, for tests
    (`httpx.MockTransport(router.async_handler)` with respx); `endpoint` points every client to a sandbox, as
    `connectory.testing.sandboxed` does. `listen` hears what happens, in place of the log; `telemetry` hears it as well.
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
        super().__init__(
            config,
            catalogue=catalogue,
            transport=transport,
            endpoint=endpoint,
            listen=listen,
            telemetry=telemetry,
            shared=shared,
        )

    @classmethod
    def from_file(
        cls,
        path: str | Path = "connectory.yaml",
        **options: Unpack[Options],
    ) -> Self:
        """Read a configuration file. Raises ConfigError with every problem; the options are the constructor's."""
        return cls(
            load_config(path),
            **options,
        )

    @classmethod
    def from_dict(
        cls,
        data: Mapping[str, Any],
        **options: Unpack[Options],
    ) -> Self:
        """Take the configuration as data; file names in it are relative to the current folder."""
        return cls(
            config_from_dict(data),
            **options,
        )

    @classmethod
    def openai(
        cls,
        *,
        token: str,
        base_uri: str | None = None,
        **options: Unpack[Options],
    ) -> Self:
        """Make one client and no named connections."""
        return cls(
            one_client(token, base_uri),
            **options,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.aclose()

    def incoming(
        self,
        name: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        job: str | None = None,
    ) -> AsyncGenerator[Record, None]:
        """Read a named connection; pages are fetched as you go.

        With a `job` the reading has a journal on disk: the same job takes up a reading that broke off, at the page that
        was not given whole. Raises ApiError when a request is refused, JobBusyError when another process works on the
        job; an item that a transformer cannot shape is logged and left out. A name that is in no configuration raises
        UnknownNameError at once.
        """
        self.assembly.incoming(name)
        return _one_by_one(self.pages(name, given=Given(path or {}, query or {}), job=job))

    async def pages(
        self, name: str, *, given: Given, job: str | None = None
    ) -> AsyncGenerator[list[Record], None]:
        """Read as `incoming` does, and give the records of a page in a list.

        Who asks for the next page has dealt with this one: then it is not given again after a crash.
        """
        if job is None:
            async with aclosing(pages_of(self.subscriber(name, given=given))) as pages:
                async for records in pages:
                    yield records
            return
        named = {"job": job, "path": given.path, "query": given.query}
        found = Job("incoming", name, named)
        target = self.assembly.subscription(name, run={}, given=given).target
        read = input_above(self.assembly, name)
        source = None if read is None else read.open()
        known = None if source is None else source.fingerprint()
        facts = new_facts(found, target=target, input=read and read.name, fingerprint=known)
        run = self.runs.begin(found, facts)
        async with closing_run(run):
            if source is not None:
                source.keep_in(run.folder)
            seen = open_seen(self.assembly, self.runs, run, named)
            subscriber = self.subscriber(name, given=given, journal=run.journal, source=source, seen=seen)
            async with aclosing(subscriber.pages()) as walk:
                async for page in walk:
                    yield page.records
                    await subscriber.commit(page)
            await run.finish()

    def outgoing(
        self, name: str, records: Iterable[Record] | AsyncIterable[Record], *, job: str | None = None
    ) -> AsyncGenerator[Result, None]:
        """Send records through a named connection; one result a delivery, errors among them, as they get ready.

        With a `job` the run has a journal on disk: the same records under the same name take up a run that broke off,
        and give the results that the caller has not dealt with; the last ones may come once more. Raises
        RunStoppedError for a cause that concerns every record, JobBusyError when another process works on the job.
        """
        self.assembly.outgoing(name)
        return _one_by_one(self.groups(name, records, job=job))

    def groups(
        self, name: str, records: Iterable[Record] | AsyncIterable[Record], *, job: str | None = None
    ) -> AsyncGenerator[list[Result], None]:
        """Send records as `outgoing` does, and give the results in lists: whatever was ready at once.

        Who asks for the next list has dealt with this one: then its results are not given again after a crash.
        """
        if job is None:
            return _results(self.publisher(name).deliver(IterableSource(records)))
        return self._journaled(
            name, IterableSource(records, marked=True), Job("outgoing", name, {"job": job})
        )

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

    def read(
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
        return _one_by_one(pages_of(self.reader(entity, given=given, client=client, save_to=save_to)))

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

    def columns(self, incoming: str | None, entity: str = "") -> Mapping[str, Any]:
        """Give the columns that the catalogue knows of what is read, as Arrow has them; none of what is shaped."""
        if incoming is None:
            return columns_of(self.catalogue, self.catalogue.find(entity, "read").actions["read"])
        settings = self.assembly.incoming(incoming)
        if settings.entity is None or settings.transformers:
            return {}
        return columns_of(self.catalogue, self.catalogue.find(settings.entity, "read").actions["read"])

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


async def _one_by_one(groups: AsyncGenerator[list[T], None]) -> AsyncGenerator[T, None]:
    async with aclosing(groups):
        async for group in groups:
            for one in group:
                yield one


async def pages_of(subscriber: Subscriber) -> AsyncGenerator[list[Record], None]:
    """Give the records of each page that is read."""
    async with aclosing(subscriber.pages()) as pages:
        async for page in pages:
            yield page.records


async def _results(
    delivered: AsyncGenerator[list[tuple[Part, Result]], None],
) -> AsyncGenerator[list[Result], None]:
    async with aclosing(delivered) as groups:
        async for settled in groups:
            yield [result for _, result in settled]
