"""The incoming flow: request parameters → input transformers → pages → transformers → sink."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from hashlib import blake2b
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from connectory.client import Call
from connectory.errors import ApiError, ConfigError, RecordError, TransformerError
from connectory.events import Listener, Noticed, PageRead, RunFinished, RunStarted, ignore
from connectory.jsontext import JsonTextError, dumps
from connectory.pagination import Shifted, Walk, largest_page
from connectory.parameters import checked

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Iterator, Mapping

    from connectory.catalogue import Action, Entity
    from connectory.chain import Chain
    from connectory.client import Client
    from connectory.interfaces import Journal, Sink
    from connectory.parameters import RequestParameters
    from connectory.record import Record
    from connectory.saving import FixedTarget, SaveTo


@dataclass(frozen=True, slots=True)
class Page:
    """One page: how many items the server gave, the records they became, and the query that asks for the next.

    `parameters` is the hash of the set of request parameters that is walked, `number` counts its pages from 1.
    """

    stream: str
    items: int
    records: list[Record]
    following: Record | None
    parameters: str = ""
    number: int = 1


@dataclass(slots=True)
class Read:
    """What a run of an incoming did."""

    pages: int = 0
    items: int = 0
    records: int = 0
    errors: int = 0

    def as_dict(self) -> dict[str, int]:
        """Give the counts by name."""
        return {"items": self.items, "records": self.records, "errors": self.errors, "pages": self.pages}


@dataclass(frozen=True, slots=True)
class _Begin:
    """From where a walk goes on: the query that asks for the next page, and how many were read."""

    following: Record
    pages: int


@dataclass(frozen=True, slots=True)
class Subscription:
    """What to read and how to shape it: an incoming connection, resolved.

    `most_pages` and `most_records` are None for all. `save` is where answers go that become files;
    `run` is the scope that expressions see.
    """

    name: str
    entity: Entity
    action: Action
    parameters: RequestParameters
    input_chain: Chain
    chain: Chain
    most_pages: int | None = None
    most_records: int | None = None
    validate: str | None = None
    save: SaveTo | FixedTarget | None = None
    run: Mapping[str, Any] = field(default_factory=dict[str, Any])

    @property
    def target(self) -> str:
        """Name what is read: method and template of the path."""
        return f"{self.action.method} {self.entity.path}"


class Subscriber:
    """Reads an entity.

    `on_error` hears of what could not be read or shaped; the walk goes on with the next item or set of parameters.
    Without it, a request that fails raises, and an item that fails is told to the listener and left out.
    """

    def __init__(
        self,
        subscription: Subscription,
        client: Client,
        journal: Journal,
        *,
        listen: Listener = ignore,
        on_error: Callable[[RecordError], None] | None = None,
    ) -> None:
        self.subscription, self.client, self.journal = subscription, client, journal
        self.listen, self._on_error = listen, on_error
        self.counts = Read()

    async def run(self, sink: Sink) -> Read:
        """Read everything into the sink; a cursor is committed only after the sink has flushed."""
        self.listen(RunStarted(self.journal.run, self.subscription.name))
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                await sink.write(page.records)
                await sink.flush()
                await self._commit(page, sink)
        self.listen(RunFinished(self.journal.run, self.subscription.name, self.counts.as_dict()))
        return self.counts

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Walk every page of every set of request parameters; what the journal has is not asked for again."""
        for name, count in self.journal.counts.items():
            if name in Read.__slots__:
                setattr(self.counts, name, count)
        for number, made in enumerate(self._sets()):
            stream = f"{self.subscription.name}/{number}"
            if self.counts.records == self.subscription.most_records:
                return
            try:
                parameters = checked(made)
                begin = self._begin(stream, parameters)
                if begin is None:
                    continue
                async for page in self._walk(stream, parameters, begin):
                    yield page
                    if self.counts.records == self.subscription.most_records:
                        return
            except RecordError as error:
                self._set_aside(error, final=True)

    def parameter_sets(self) -> Iterator[Record]:
        """Give the sets of `{path, query}` to ask with, after the input transformers. Raises RecordError."""
        return map(checked, self._made())

    def call(self, parameters: Record) -> Call:
        """Put a set of request parameters into the catalogue's words."""
        wanted = self.subscription
        return Call(
            wanted.entity, wanted.action, parameters["path"], parameters["query"], validate=wanted.validate
        )

    async def first_items(self, parameters: Record) -> list[Any]:
        """Fetch the first page of a set of request parameters, as the server gives it."""
        answer = await self.client.call(self.call(parameters))
        return self._items(answer.value) if answer.events is None else [*answer.events]

    def _sets(self) -> Iterator[Record]:
        try:
            yield from self._made()
        except RecordError as error:  # what else the input transformers would have made is unknown
            self._set_aside(error, final=True)

    def _made(self) -> Iterator[Record]:
        scope = {"run": self.subscription.run}
        first = self.subscription.parameters.render({}, scope)
        yield from self.subscription.input_chain.apply(first, {**scope, "input": first})

    async def _commit(self, page: Page, sink: Sink) -> None:
        """Note that a page is in the sink, together with how far the sink has come."""
        for name, count in self.counts.as_dict().items():
            self.journal.counts[name] = count
        self.journal.place(sink.position, None)
        cursor = {"following": page.following, "of": page.parameters, "pages": page.number}
        await self.journal.commit(page.stream, cursor)

    def _begin(self, stream: str, parameters: Record) -> _Begin | None:
        """Say from where a set of parameters is read; None when it was read to its end."""
        cursor = self.journal.cursor(stream)
        if cursor is None:
            return _Begin({}, 0)
        if cursor["of"] != _digest(parameters):
            raise ConfigError(
                f"incoming {self.subscription.name!r}: the unfinished run {self.journal.run} read with other request "
                "parameters; put them back to finish that run, or start anew with --new"
            )
        return None if cursor["following"] is None else _Begin(cursor["following"], cursor["pages"])

    async def _walk(self, stream: str, parameters: Record, begin: _Begin) -> AsyncGenerator[Page, None]:
        paging, most = self.subscription.action.response.pagination, self.subscription.most_records
        walk, size = Walk(paging, self.call(parameters).what), largest_page(paging, most)
        following: Record | None = begin.following
        pages, of = begin.pages, _digest(parameters)
        shifted = Shifted()
        while following is not None and pages != self.subscription.most_pages:
            query = {**size, **parameters["query"], **following}
            call = self.call({"path": parameters["path"], "query": query})
            answer = await self.client.call(self._saving(call, parameters, stream))
            items = self._items(answer.value) if answer.events is None else [*answer.events]
            fresh = shifted.without(items)
            records = self._up_to_the_limit(record for item in fresh for record in self._shape(item))
            pages += 1
            self._count(items, records)
            try:
                following = walk.following(answer.value, items)
            except ApiError:  # there is no way on, and what this page gave is kept
                yield Page(stream, len(items), records, None, of, pages)
                raise
            yield Page(stream, len(items), records, following, of, pages)
        if shifted.count:
            self.listen(Noticed(f"incoming {self.subscription.name!r}: {shifted.message}"))

    def _saving(self, call: Call, parameters: Record, stream: str) -> Call:
        save, scope = self.subscription.save, {"run": self.subscription.run, "input": parameters}
        if save is None:
            return call
        return replace(call, save=save.target(parameters, scope, key=stream, owner=stream))

    def _items(self, value: Any) -> list[Any]:
        name = self.subscription.action.response.items
        if value is None:
            return []
        if isinstance(value, list):
            return value  # pyright: ignore[reportUnknownVariableType] - JSON holds anything
        if name is None:
            return [value]
        items = cast("dict[str, Any]", value).get(name) if isinstance(value, dict) else None
        if not isinstance(items, list):
            if self.subscription.action.response.schema is None:  # nothing says that a list must come
                return [value]
            what = f"{self.subscription.action.method} {self.subscription.entity.path}"
            raise ApiError(f"{what}: the answer has no list {name!r}", status=200, body=value)
        return items  # pyright: ignore[reportUnknownVariableType] - JSON holds anything

    def _up_to_the_limit(self, records: Iterator[Record]) -> list[Record]:
        most = self.subscription.most_records
        return list(islice(records, None if most is None else most - self.counts.records))

    def _shape(self, item: Any) -> Iterator[Record]:
        record: Record = cast("Record", item) if isinstance(item, dict) else {"value": item}
        chain, scope = self.subscription.chain, {"run": self.subscription.run, "input": record}
        try:
            made = list(chain.apply(record, scope))  # all of an item or nothing of it
            if chain.steps:
                text = dumps(made)  # a transformer may give what is no JSON, and would break the sink for all
                made = self.client.redactor.value(made) if self.client.redactor.seen_in(text) else made
        except RecordError as error:
            self._set_aside(error, final=False)
        except JsonTextError as error:
            self._set_aside(TransformerError(f"the transformers gave what is {error}"), final=False)
        else:
            yield from made

    def _set_aside(self, error: RecordError, *, final: bool) -> None:
        self.counts.errors += 1
        self.client.redactor.error(error)
        if self._on_error is not None:
            self._on_error(error)
        elif final:
            raise error
        else:
            self.listen(Noticed(f"incoming {self.subscription.name!r}: an item was left out: {error}"))

    def _count(self, items: list[Any], records: list[Record]) -> None:
        self.counts.pages += 1
        self.counts.items += len(items)
        self.counts.records += len(records)
        self.listen(PageRead(self.subscription.name, len(items), len(records)))


def _digest(parameters: Record) -> str:
    return blake2b(dumps(parameters), digest_size=12).hexdigest()
