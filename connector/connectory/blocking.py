"""The blocking door: the same connector for programs without an event loop."""

from __future__ import annotations

import atexit
from contextlib import ExitStack
from functools import partial
from importlib.util import find_spec
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar, Unpack

from anyio.from_thread import start_blocking_portal

from connectory.concurrency.exchange import Exchange, hop
from connectory.config import config_from_dict, load_config, one_client
from connectory.connector import AsyncConnector, Options, pages_of
from connectory.formats.tabular import Rows
from connectory.record import Result
from connectory.requests.parameters import Given

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Mapping
    from pathlib import Path
    from types import TracebackType

    import httpx
    from anyio.from_thread import BlockingPortal

    from connectory.answers.meaning import Answer
    from connectory.catalogue import Catalogue
    from connectory.config import Config
    from connectory.record import Record

T = TypeVar("T")


class Connector:
    """The connector for blocking code: the words of AsyncConnector without `await`.

    Its event loop runs in a thread of its own from the first call until `close`; use it as a context manager. Your
    iterables are read in your thread, so that connectors can feed each other. Threads may share a connector.

    `catalogue` is one of your own. `transport` replaces the network for every client, for tests
    (`httpx.MockTransport(router.async_handler)` with respx); `endpoint` points every client to a sandbox, as
    `connectory.testing.sandboxed` does. `listen` hears what happens, in place of the log; `telemetry` hears it as well.
    """

    def __init__(
        self,
        config: Config,
        **options: Unpack[Options],
    ) -> None:
        self._connector = AsyncConnector(
            config,
            **options,
        )
        self._exchanges: set[Exchange] = set()
        self._stack = ExitStack()
        self._starting = Lock()
        self._portal: BlockingPortal | None = None
        self._loop_thread = 0

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

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Give up what is under way, close every connection and stop the event loop's thread."""
        with self._starting:
            portal, self._portal = self._portal, None
            if portal is not None:
                atexit.unregister(self.close)
                with self._stack:
                    try:
                        portal.call(self._end)
                    finally:  # a call that was interrupted as it began may still be under way
                        portal.call(portal.stop, True)

    @property
    def catalogue(self) -> Catalogue:
        """Give the entity catalogue with the configuration's own files."""
        return self._connector.catalogue

    def incoming(
        self,
        name: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        job: str | None = None,
    ) -> Rows[Record]:
        """Read a named connection; pages are fetched as you go. Raises ApiError when a request is refused.

        A name that is in no configuration raises UnknownNameError at once. With a `job` the reading has a journal on
        disk: the same job takes up a reading that broke off, at the page that was not given whole.
        """
        self._connector.assembly.incoming(name)
        given = Given(path or {}, query or {})
        items = self._read(lambda: self._connector.pages(name, given=given, job=job))
        return Rows(items, lines=_itself, types=lambda: self._connector.columns(name))

    def outgoing(self, name: str, records: Iterable[Record], *, job: str | None = None) -> Rows[Result]:
        """Send records through a named connection: lazily, in bounded memory, one result a delivery.

        With a `job` the run has a journal on disk: the same records under the same name take up a run that broke off.
        Records that fail give results in error. Raises RunStoppedError for a cause that concerns every record. What
        the iterable raises comes back after the results of the records before it.
        """
        self._connector.assembly.outgoing(name)
        return Rows(self._deliver(name, records, job), lines=Result.lines, types=dict[str, Any])

    def _deliver(
        self, name: str, records: Iterable[Record], job: str | None
    ) -> Generator[Result, None, None]:
        portal = self._start()
        exchange = hop(portal, partial(self._exchange, name, job))
        try:
            failure = yield from exchange.feed(portal, records)
            exchange.end()
            yield from exchange.rest(portal)
        finally:
            self._leave(portal, exchange.aclose)
        if failure is not None:
            raise failure

    def read(
        self,
        entity: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        client: str | None = None,
        save_to: str | Path | None = None,
    ) -> Rows[Record]:
        """Read an entity without a named connection: every item of every page. Raises ApiError.

        With `save_to` the answer goes to that file, and the one item says what it is.
        """
        given = Given(path or {}, query or {})
        read = partial(self._connector.reader, entity, given=given, client=client, save_to=save_to)
        items = self._read(lambda: pages_of(read()))
        return Rows(items, lines=_itself, types=lambda: self._connector.columns(None, entity))

    def create(
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
        create = partial(self._connector.create, entity, payload=payload, path=path, query=query)
        return self._call(partial(create, client=client, save_to=save_to))

    def delete(
        self,
        entity: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        client: str | None = None,
    ) -> Result:
        """Delete one entity; one that is gone already is ok, and its response says `already_gone`."""
        return self._call(lambda: self._connector.delete(entity, path=path, query=query, client=client))

    def request(
        self,
        method: str,
        path: str,
        *,
        query: Mapping[str, Any] | None = None,
        payload: Any = None,
        client: str | None = None,
    ) -> Answer:
        """Send a raw request to a path below the client's base URI, and give the answer or raise."""
        return self._call(
            lambda: self._connector.request(method, path, query=query, payload=payload, client=client)
        )

    def options(
        self, name: str, *, mode: str | None = None, client: str | None = None
    ) -> list[dict[str, Any]]:
        """Give the values that a property can have, each as `{text, value}`.

        `model` asks the client's server for its models; `mode` (`chat`, `embedding`, ...) puts those whose names
        suggest it first. `ENTITY.PROPERTY`, such as `images.generations.size`, is looked up in the catalogue.
        """
        return self._call(lambda: self._connector.options(name, mode=mode, client=client))

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
        prepare = partial(self._connector.prepare, action, entity, validate=validate, client=client)
        request = partial(prepare, path=path, query=query, payload=payload)
        return hop(self._start(), partial(_asked, request))

    def _start(self) -> BlockingPortal:
        with self._starting:
            if self._portal is None:
                fast = find_spec("uvloop") is not None
                started = start_blocking_portal("asyncio", {"use_uvloop": fast})
                self._portal = self._stack.enter_context(started)
                self._loop_thread = self._portal.call(get_ident)
                atexit.register(
                    self.close
                )  # later, iterators left half-read would wait for a thread that is gone
            return self._portal

    def _call(self, begin: Callable[[], Awaitable[T]]) -> T:
        return hop(self._start(), begin)

    def _read(self, build: Callable[[], AsyncGenerator[list[Record], None]]) -> Generator[Record, None, None]:
        portal = self._start()
        pages = hop(portal, partial(_asked, build))
        try:
            while (records := hop(portal, partial(_next_page, pages))) is not None:
                yield from records
        finally:
            self._leave(portal, pages.aclose)

    async def _exchange(self, name: str, job: str | None) -> Exchange:
        deliver = partial(self._connector.groups, name, job=job)
        exchange = Exchange(deliver, self._exchanges.discard, patient=job is not None)
        self._exchanges.add(exchange)
        return exchange

    def _leave(self, portal: BlockingPortal, close: Callable[[], Awaitable[None]]) -> None:
        """Close what an iterator holds, unless closing the connector has done it.

        A half-read iterator may be collected in the event loop's thread, which cannot wait for itself: then closing
        the connector will do it.
        """
        if portal is self._portal and get_ident() != self._loop_thread:
            portal.call(close)

    async def _end(self) -> None:
        for exchange in tuple(self._exchanges):
            await exchange.aclose()
        await self._connector.aclose()


def _itself(record: Record) -> list[Record]:
    return [record]


async def _asked(build: Callable[[], T]) -> T:
    return build()


async def _next_page(pages: AsyncGenerator[list[Record], None]) -> list[Record] | None:
    return await anext(pages, None)
