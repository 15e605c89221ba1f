"""The blocking door: the same connector for programs without an event loop."""

from __future__ import annotations

import asyncio
import atexit
from collections import deque
from contextlib import ExitStack, aclosing
from functools import partial
from importlib.util import find_spec
from threading import Lock, get_ident
from typing import TYPE_CHECKING, Any, Literal, Self, TypeVar

from anyio.from_thread import start_blocking_portal

from connectory.config import config_from_dict, load_config, one_client
from connectory.connector import AsyncConnector
from connectory.parameters import Given

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Awaitable, Callable, Generator, Iterable, Iterator, Mapping
    from pathlib import Path
    from types import TracebackType

    import httpx
    from anyio.from_thread import BlockingPortal

    from connectory.answers import Answer
    from connectory.catalogue import Catalogue
    from connectory.config import Config
    from connectory.reading import Page
    from connectory.record import Record, Result
    from connectory.subscriber import Subscriber

    Deliver = Callable[[AsyncGenerator[Record, None]], AsyncGenerator[list[Result], None]]

T = TypeVar("T")

MOST_AHEAD = 256
"""Records that may wait for a worker: more would only use memory."""

GATHERING = 0.005
"""Seconds in which results gather while records wait: a hop into the event loop costs as much as several records."""


class Connector:
    """The connector for blocking code: the words of AsyncConnector without `await`.

    Its event loop runs in a thread of its own from the first call until `close`; use it as a context manager. Your
    iterables are read in your thread, so that connectors can feed each other. Threads may share a connector.
    """

    def __init__(self, config: Config, **options: Any) -> None:
        self._connector = AsyncConnector(config, **options)
        self._exchanges: set[_Exchange] = set()
        self._stack = ExitStack()
        self._starting = Lock()
        self._portal: BlockingPortal | None = None
        self._loop_thread = 0

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
        self, name: str, *, path: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> Iterator[Record]:
        """Read a named connection; pages are fetched as you go. Raises ApiError when a request is refused."""
        return self._read(lambda: self._connector.subscriber(name, given=Given(path or {}, query or {})))

    def outgoing(self, name: str, records: Iterable[Record], *, job: str | None = None) -> Iterator[Result]:
        """Send records through a named connection: lazily, in bounded memory, one result a delivery.

        With a `job` the run has a journal on disk: the same records under the same name take up a run that broke off.
        Records that fail give results in error. Raises RunStoppedError for a cause that concerns every record. What
        the iterable raises comes back after the results of the records before it.
        """
        portal = self._start()
        exchange = _hop(portal, partial(self._exchange, name, job))
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
    ) -> Iterator[Record]:
        """Read an entity without a named connection: every item of every page. Raises ApiError.

        With `save_to` the answer goes to that file, and the one item says what it is.
        """
        given = Given(path or {}, query or {})
        read = partial(self._connector.reader, entity, given=given, client=client)
        return self._read(partial(read, save_to=save_to))

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
        return _hop(self._start(), partial(_asked, request))

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
        return _hop(self._start(), begin)

    def _read(self, build: Callable[[], Subscriber]) -> Iterator[Record]:
        portal = self._start()
        pages = _hop(portal, partial(_asked, build)).pages()
        try:
            while (page := _hop(portal, partial(_next_page, pages))) is not None:
                yield from page.records
        finally:
            self._leave(portal, pages.aclose)

    async def _exchange(self, name: str, job: str | None) -> _Exchange:
        deliver = partial(self._connector.groups, name, job=job)
        exchange = _Exchange(deliver, self._exchanges.discard, patient=job is not None)
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


class _Exchange:
    """Trades records for results between the caller's thread and the event loop.

    Each side appends to a deque that the other one empties, which is safe between threads; the caller hops into the
    loop only to wait.
    """

    def __init__(self, deliver: Deliver, closed: Callable[[_Exchange], None], *, patient: bool) -> None:
        self._records: deque[Record] = deque()
        self._results: deque[Result] = deque()
        self._ended = self._hungry = False
        self._fed, self._changed = asyncio.Event(), asyncio.Event()
        self._loop = asyncio.get_running_loop()
        self._patient = patient
        self._pump = asyncio.ensure_future(self._run(deliver(self._given())))
        self._pump.add_done_callback(lambda _: self._changed.set())
        self._closed = closed

    # -- in the caller's thread

    def feed(
        self, portal: BlockingPortal, records: Iterable[Record]
    ) -> Generator[Result, None, Exception | None]:
        """Hand over records as fast as there is room, with the results so far; give what the iterable raised."""
        source = iter(records)
        while not self._pump.done():
            try:
                record = next(source)
            except StopIteration:
                break
            except Exception as error:  # noqa: BLE001 - raised again, after the results
                return error
            self._records.append(record)
            self._wake()
            if len(self._records) >= MOST_AHEAD:
                _hop(portal, self._wait)
            yield from self._ready()
        return None

    def end(self) -> None:
        """Say that no record follows."""
        self._ended = True
        self._wake()

    def rest(self, portal: BlockingPortal) -> Iterator[Result]:
        """Give the results that are still to come. Raises what stopped the run."""
        while not self._pump.done():
            _hop(portal, self._wait)
            yield from self._ready()
        yield from self._ready()
        self._pump.result()

    def _ready(self) -> Iterator[Result]:
        while self._results:
            yield self._results[0]
            self._results.popleft()  # not before: until here the caller may not have dealt with it
        if self._patient:
            self._loop.call_soon_threadsafe(self._changed.set)

    def _wake(self) -> None:
        if self._hungry:
            self._hungry = False
            self._loop.call_soon_threadsafe(self._fed.set)

    # -- in the event loop

    async def aclose(self) -> None:
        """Give up what is under way."""
        self._pump.cancel()
        await asyncio.wait({self._pump})
        if not self._pump.cancelled():
            self._pump.exception()  # it was raised where the results were read
        self._closed(self)

    async def _wait(self) -> None:
        """Wait until there are results or room for many records, or until the run is over."""
        while not (self._results or self._pump.done() or self._has_room()):
            self._changed.clear()
            await self._changed.wait()
        if not (self._ended or self._pump.done() or self._has_room()):
            await asyncio.sleep(GATHERING)

    def _has_room(self) -> bool:
        return not self._ended and len(self._records) <= MOST_AHEAD // 2

    async def _run(self, delivered: AsyncGenerator[list[Result], None]) -> None:
        async with aclosing(delivered) as groups:
            async for results in groups:
                self._results.extend(results)
                self._changed.set()
                while (
                    self._patient and self._results
                ):  # a journal notes what the caller has, not what waits here
                    self._changed.clear()
                    await self._changed.wait()

    async def _given(self) -> AsyncGenerator[Record, None]:
        while True:
            ended = self._ended  # looked at first: what came before the end is still taken
            while self._records:
                yield self._records.popleft()
                self._changed.set()
            if ended:
                return
            self._fed.clear()
            self._hungry = True
            if not self._records and not self._ended:
                await self._fed.wait()


async def _asked(build: Callable[[], T]) -> T:
    return build()


async def _next_page(pages: AsyncGenerator[Page, None]) -> Page | None:
    return await anext(pages, None)


def _hop(portal: BlockingPortal, work: Callable[[], Awaitable[T]]) -> T:
    """Run something in the event loop and wait for it; an interrupted wait ends it first."""
    begun: list[asyncio.Task[Any] | None] = []

    async def run() -> T:
        begun.append(asyncio.current_task())
        return await work()

    async def end() -> None:
        for task in filter(None, begun):
            task.cancel()
            await asyncio.wait({task})

    try:
        return portal.call(run)
    except Exception:
        raise
    except BaseException:
        portal.call(end)
        raise
