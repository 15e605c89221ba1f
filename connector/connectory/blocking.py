"""The blocking door: the same connector for programs without an event loop."""

from __future__ import annotations

import asyncio
import time
from contextlib import ExitStack, suppress
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Self, TypeVar

from anyio.from_thread import start_blocking_portal

from connectory.adapters.memory import IterableSource
from connectory.config import config_from_dict, load_config
from connectory.connector import AsyncConnector
from connectory.parameters import Given

if TYPE_CHECKING:
    from collections.abc import (
        AsyncGenerator,
        AsyncIterator,
        Awaitable,
        Callable,
        Iterable,
        Iterator,
        Mapping,
    )
    from pathlib import Path
    from types import TracebackType

    import httpx
    from anyio.from_thread import BlockingPortal

    from connectory.answers import Answer
    from connectory.catalogue import Catalogue
    from connectory.config import Config
    from connectory.publisher import Publisher
    from connectory.record import Record, Result
    from connectory.subscriber import Page, Subscriber

T = TypeVar("T")

MOST_AT_ONCE = 256
"""Records handed to the event loop in one hop, which costs as much as several records do."""

LONGEST_GATHERING = 0.05
"""Seconds that a slow iterable may hold back the records it has already given."""


class Connector:
    """The connector for blocking code: the words of AsyncConnector without `await`.

    Its event loop runs in a thread of its own from the first call until `close`; use it as a context manager. Your
    iterables are read in your thread, so that connectors can feed each other.
    """

    def __init__(self, config: Config, **options: Any) -> None:
        self._connector = AsyncConnector(config, **options)
        self._stack = ExitStack()
        self._portal: BlockingPortal | None = None

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
        return cls(AsyncConnector.openai(token=token, base_uri=base_uri).config, **options)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close every connection and stop the event loop's thread."""
        if self._portal is not None:
            self._portal.call(self._connector.aclose)
            self._portal = None
            self._stack.close()

    @property
    def catalogue(self) -> Catalogue:
        """Give the entity catalogue with the configuration's own files."""
        return self._connector.catalogue

    def incoming(
        self, name: str, *, path: Mapping[str, Any] | None = None, query: Mapping[str, Any] | None = None
    ) -> Iterator[Record]:
        """Read a named connection; pages are fetched as you go. Raises ApiError when a request is refused."""
        return self._read(lambda: self._connector.subscriber(name, given=Given(path or {}, query or {})))

    def outgoing(self, name: str, records: Iterable[Record]) -> Iterator[Result]:
        """Send records through a named connection: lazily, in bounded memory, one result a delivery.

        Records that fail give results in error. Raises RunStoppedError for a cause that concerns every record.
        """
        portal = self._start()
        exchange = portal.call(_Exchange.start, self._connector.publisher(name))
        try:
            for chunk in _chunks(records):
                yield from portal.call(exchange.trade, chunk)
            while results := portal.call(exchange.finish):
                yield from results
        finally:
            portal.call(exchange.aclose)

    def read(
        self,
        entity: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        client: str | None = None,
    ) -> Iterator[Record]:
        """Read an entity without a named connection: every item of every page. Raises ApiError."""
        given = Given(path or {}, query or {})
        return self._read(lambda: self._connector.reader(entity, given=given, client=client))

    def create(
        self,
        entity: str,
        *,
        payload: Any = None,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        client: str | None = None,
    ) -> Result:
        """Create one entity; raises what a named connection would give as an error."""
        return self._call(
            lambda: self._connector.create(entity, payload=payload, path=path, query=query, client=client)
        )

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

    def prepare(
        self,
        action: str,
        entity: str,
        *,
        path: Mapping[str, Any] | None = None,
        query: Mapping[str, Any] | None = None,
        payload: Any = None,
        client: str | None = None,
    ) -> httpx.Request:
        """Build the request that would be sent. Raises RequestError for what does not fit the entity."""
        return self._connector.prepare(action, entity, path=path, query=query, payload=payload, client=client)

    def _start(self) -> BlockingPortal:
        if self._portal is None:
            fast = find_spec("uvloop") is not None
            self._portal = self._stack.enter_context(start_blocking_portal("asyncio", {"use_uvloop": fast}))
        return self._portal

    def _call(self, begin: Callable[[], Awaitable[T]]) -> T:
        async def run() -> T:
            return await begin()

        return self._start().call(run)

    def _read(self, build: Callable[[], Subscriber]) -> Iterator[Record]:
        portal = self._start()
        pages = build().pages()
        try:
            while (page := portal.call(_next_page, pages)) is not None:
                yield from page.records
        finally:
            portal.call(pages.aclose)


class _Exchange:
    """Trades records for results inside the event loop; the caller's thread hops in with a chunk at a time."""

    def __init__(self, publisher: Publisher) -> None:
        self._feed: asyncio.Queue[Record | None] = asyncio.Queue(MOST_AT_ONCE)
        self._ready: list[Result] = []
        self._changed = asyncio.Event()
        self._ended = False
        self._pump = asyncio.ensure_future(self._run(publisher))

    @classmethod
    async def start(cls, publisher: Publisher) -> _Exchange:
        """Begin, inside the event loop."""
        return cls(publisher)

    async def trade(self, records: list[Record]) -> list[Result]:
        """Hand over records, waiting until there is room for all; give the results that are ready."""
        for record in records:
            if not await self._put(record):
                break
        return await self._take(wait=self._pump.done())

    async def finish(self) -> list[Result]:
        """Say that no record follows, and wait for results; empty after the last. Raises what stopped the run."""
        if not self._ended:
            self._ended = True
            await self._put(None)
        return await self._take(wait=True)

    async def aclose(self) -> None:
        """Give up what is under way."""
        self._pump.cancel()
        with suppress(BaseException):  # its error was raised where the results were read
            await self._pump

    async def _take(self, *, wait: bool) -> list[Result]:
        while wait and not self._ready:
            if self._pump.done():
                self._pump.result()
                break
            self._changed.clear()
            await self._changed.wait()
        taken, self._ready = self._ready, []
        return taken

    async def _put(self, record: Record | None) -> bool:
        if not self._feed.full():
            self._feed.put_nowait(record)
            return not self._pump.done()
        putting = asyncio.ensure_future(self._feed.put(record))
        await asyncio.wait({putting, self._pump}, return_when=asyncio.FIRST_COMPLETED)
        if putting.done():
            return not self._pump.done()
        putting.cancel()
        return False

    async def _run(self, publisher: Publisher) -> None:
        try:
            async for settled in publisher.deliver(IterableSource(self._records())):
                self._ready += [result for _, result in settled]
                self._changed.set()
        finally:
            self._changed.set()

    async def _records(self) -> AsyncIterator[Record]:
        while (record := await self._feed.get()) is not None:
            yield record


async def _next_page(pages: AsyncGenerator[Page, None]) -> Page | None:
    return await anext(pages, None)


def _chunks(records: Iterable[Record]) -> Iterator[list[Record]]:
    """Cut an iterable into chunks, soon enough that a slow one does not hold back what it gave."""
    chunk: list[Record] = []
    since = time.monotonic()
    for record in records:
        chunk.append(record)
        if len(chunk) >= MOST_AT_ONCE or time.monotonic() - since > LONGEST_GATHERING:
            yield chunk
            chunk, since = [], time.monotonic()
    if chunk:
        yield chunk
