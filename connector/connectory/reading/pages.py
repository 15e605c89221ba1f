"""One level of a reading: the pages of a set of request parameters, each item shaped."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from functools import partial
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeVar, cast

from connectory.concurrency.passing import Passage, ahead
from connectory.errors import ApiError, ConfigError, RecordError, TransformerError
from connectory.events import Listener, Noticed
from connectory.journal import item_row, mark_row
from connectory.pagination import Shifted, Walk, largest_page
from connectory.reading.subscription import Parent
from connectory.record import Unchanged
from connectory.requests.building import Call
from connectory.requests.parameters import checked
from connectory.steps.firsts import Firsts, OfPage
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine, Iterable

    from connectory.client import Client
    from connectory.concurrency.passing import Made
    from connectory.interfaces import Journal, Past, Row
    from connectory.reading.increments import Newer
    from connectory.reading.subscription import Subscription
    from connectory.record import Record

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Taken:
    """One item that is new, and the records that it became; `row` is the note that it was given."""

    key: str
    records: list[Record]
    row: Row | None


@dataclass(frozen=True, slots=True)
class _Wanted:
    """One item that is new and not shaped yet."""

    key: str
    record: Record
    row: Row | None


@dataclass(slots=True)
class Page:
    """One page: how many items the server gave, what became of them, and the cursor to commit when all is in the sink.

    `plain` are the items where every one is a record as it is. `path` are the request's path parameters. `mark` is the
    note that the walk is complete with this page. `drop` names the streams that are done with it. A page that is not
    `read` only moves a cursor. Of one that is `cut` not every item was wanted.
    """

    stream: str
    items: int = 0
    taken: list[Taken] = field(default_factory=list["Taken"])
    plain: Unchanged | None = None
    cursor: dict[str, Any] = field(default_factory=dict[str, Any])
    path: Record = field(default_factory=dict[str, Any])
    errors: int = 0
    read: bool = True
    cut: bool = False
    mark: Row | None = None
    drop: str = ""
    notes: list[Row] = field(default_factory=list["Row"])

    @property
    def records(self) -> list[Record]:
        """Give the records of all items."""
        return (
            self.plain if self.plain is not None else [record for one in self.taken for record in one.records]
        )

    @property
    def seen(self) -> list[Row]:
        """Give what is to be noted: the items as given, and the walk as complete if it is."""
        rows = [*self.notes, *(one.row for one in self.taken if one.row is not None)]
        return rows if self.mark is None or self.cursor.get("failed") else [*rows, self.mark]


@dataclass(slots=True)
class Reading:
    """Reads one entity for one parent after the other.

    `room` says how many records more are wanted, None for all. `fail` hears of what could not be shaped. `last`:
    nothing is read for what this gives.
    """

    subscription: Subscription
    client: Client
    journal: Journal
    seen: Past | None
    listen: Listener
    fail: Callable[[RecordError], None]
    room: Callable[[], int | None]
    firsts: Firsts = field(default_factory=Firsts)
    last: bool = False

    async def sets(self, parent: Parent | None) -> AsyncGenerator[Record, None]:
        """Give the sets of `{path, query}`, after the input transformers. Raises RecordError."""
        scope = self.subscription.scope(parent)
        first = self.subscription.filled(parent)
        seen = parent.record if parent is not None and parent.given else first
        chain = self.subscription.input_chain
        made = chain.apply(first, {**scope, "input": seen})
        while (one := await chain.aside(partial(next, made, None))) is not None:
            yield one

    def call(self, parameters: Record) -> Call:
        """Put a set of request parameters into the catalogue's words."""
        wanted = self.subscription
        given = parameters["path"], parameters["query"]
        return Call(wanted.entity, wanted.action, *given, validate=wanted.validate, whose=wanted.whose)

    async def first_items(self, parameters: Record) -> list[Any]:
        """Fetch the first page of a set of request parameters, as the server gives it."""
        answer = await self.client.call(self.call(parameters))
        return self._items(answer.value) if answer.events is None else [*answer.events]

    def first_query(self, parameters: Record) -> Record:
        """Give a set of request parameters as the first page is asked for where nothing was read before."""
        rule, parameters = self.subscription.incremental, checked(parameters)
        if rule is None:
            return parameters
        query = {**self._newest_first(), **parameters["query"], **rule.since(None).asked}
        return {**parameters, "query": query}

    async def first_parents(self, parameters: Record, parent: Parent | None) -> list[Parent]:
        """Fetch the first page of a set of request parameters, and give its records as parents."""
        made, parameters = list[Parent](), checked(parameters)
        for item in await self.first_items(self.first_query(parameters)):
            kept = self.subscription.kept(as_record(item), parent)
            path = {**(parent.path if parent else {}), **parameters["path"]}
            made += [Parent(record, (), path) for record in await self._shape(kept, parent)]
        return made

    async def pages(
        self, stream: str, parameters: Record, parent: Parent | None
    ) -> AsyncGenerator[Page, None]:
        """Walk every page that the journal does not have. Raises RecordError."""
        parameters = checked(parameters)
        cursor = self._begin(stream, parameters, parent)
        if cursor["following"] is None:
            return
        wanted, keys = self.subscription, self._keys(parent)
        paging = wanted.action.response.pagination
        walk, size = Walk(paging, self.call(parameters).what), largest_page(paging, wanted.most_records)
        newer = self._newer(keys, cursor)
        asked = {} if newer is None else {**self._newest_first(), **parameters["query"], **newer.asked}
        shifted = Shifted()
        while cursor["following"] is not None and cursor["pages"] != wanted.most_pages:
            query = {**size, **parameters["query"], **asked, **cursor["following"]}
            call = self.call({"path": parameters["path"], "query": query})
            answer = await self.client.call(self._saving(call, parameters, stream, parent))
            items = self._items(answer.value) if answer.events is None else [*answer.events]
            page = await self._page(stream, items, shifted.without(items), newer, parent)
            page.path = parameters["path"]
            cursor = {**cursor, "pages": cursor["pages"] + 1, "following": None}
            if newer is not None:
                cursor["high"] = newer.high
            if page.errors or cursor.get("failed"):
                cursor["failed"] = True
            if page.cut:
                cursor["cut"] = True
            page.cursor = cursor
            try:
                following = None if newer and newer.may_stop else walk.following(answer.value, items)
            except ApiError:  # there is no way on, and what this page gave is kept
                cursor["failed"] = True
                yield page
                raise
            cursor["following"] = following
            if following is None and newer is not None and newer.high is not None and not page.cut:
                page.mark = mark_row(self._mark_keys(keys), newer.high)
            yield page
            cursor = page.cursor
        if shifted.count:
            text = f"incoming {wanted.name!r}: {shifted.message}"
            self.listen(Noticed(text, self.journal.run, wanted.name))

    def _begin(self, stream: str, parameters: Record, parent: Parent | None) -> dict[str, Any]:
        """Say from where a set of parameters is read: after its last page in the journal."""
        # what a parent's fields put into the parameters may have changed, what the user wrote may not
        wanted = self.subscription.parameters
        of = _digest(parameters if parent is None else [wanted.template.source, wanted.given.query])
        cursor = self.journal.cursor(stream)
        if cursor is None:
            return {"following": {}, "of": of, "pages": 0}
        if cursor["of"] != of:
            raise ConfigError(
                f"incoming {self.subscription.name!r}: the unfinished run {self.journal.run} read with other request "
                "parameters; put them back to finish that run, or start anew with --new"
            )
        if cursor.get("cut"):  # whoever wants more now would miss the rest of that page
            raise ConfigError(
                f"incoming {self.subscription.name!r}: the unfinished run {self.journal.run} was to end amid "
                "a page, by its --limit; finish it with the same --limit, or start anew with --new"
            )
        return dict(cursor)

    def _newer(self, keys: tuple[str, ...], cursor: Record) -> Newer | None:
        rule = self.subscription.incremental
        if rule is None:
            return None
        newer = rule.since(self.seen.mark(self._mark_keys(keys)) if self.seen else None)
        newer.high = cursor.get("high")
        return newer

    def _newest_first(self) -> Record:
        """Ask for the order that can be stopped in, or for the other one where the server goes on behind a mark."""
        wanted = self.subscription
        rule = wanted.incremental
        if rule is None or "order" not in wanted.action.query or (rule.query and not rule.is_cursor):
            return {}
        return {"order": "asc" if rule.is_cursor else "desc"}

    def _keys(self, parent: Parent | None) -> tuple[str, ...]:
        return (self.subscription.name, *(parent.keys if parent is not None else ()))

    def _mark_keys(self, keys: tuple[str, ...]) -> tuple[str, ...]:
        """Name a mark by all that decides what is walked: with other words it is another walk."""
        wanted = self.subscription
        field_name = str(getattr(wanted.incremental and wanted.incremental.field, "text", ""))
        return (*keys, wanted.target, field_name, _digest(wanted.parameters.template.source))

    async def _page(
        self, stream: str, items: list[Any], fresh: list[Any], newer: Newer | None, parent: Parent | None
    ) -> Page:
        """Shape the items that are new; an item that cannot be is told and counted, and stops no other."""
        page, room, notes = Page(stream, len(items)), self.room(), OfPage(self.firsts)
        if room is None and self._is_plain(newer, parent) and all(type(item) is dict for item in fresh):
            page.plain = Unchanged(fresh)
            return page
        page.notes = notes.rows
        met: set[Row | bytes] = set()
        together = room is None and self.subscription.chain.at_once
        ready = await self._taken_together(fresh, newer, parent, notes) if together else None
        for number, item in enumerate(fresh):
            if room is not None and room <= 0:
                page.cut = True
                break
            try:
                taken = (
                    _got(ready[number]) if ready else await self._take(as_record(item), newer, parent, notes)
                )
            except RecordError as error:
                page.errors += 1
                self.fail(error)
                continue
            if taken is None:
                continue
            if taken.row is not None:
                known = taken.row if self.subscription.only == "changed" else taken.row[0]
                if known in met:
                    continue
                met.add(known)
            if room is not None:
                if len(taken.records) > room:
                    taken, page.cut = Taken(taken.key, taken.records[:room], None), True
                room -= len(taken.records)
            page.taken.append(taken)
        return page

    def _is_plain(self, newer: Newer | None, parent: Parent | None) -> bool:
        """Say that nothing is asked of an item, and nothing is done with it: each is a record as it came."""
        wanted = self.subscription
        keeps = parent is not None and wanted.keep_parent is not None
        asks = newer is not None or self.seen is not None or wanted.only is not None or wanted.identifier
        return self.last and not (wanted.chain.steps or keeps or asks)

    async def _take(
        self, record: Record, newer: Newer | None, parent: Parent | None, notes: OfPage
    ) -> Taken | None:
        """Shape an item; None for one that earlier runs had."""
        wanted = self._wanted(record, newer, parent)
        if wanted is None:
            return None
        return Taken(wanted.key, await self._shape(wanted.record, parent, notes), wanted.row)

    async def _taken_together(
        self, fresh: list[Any], newer: Newer | None, parent: Parent | None, notes: OfPage
    ) -> list[Taken | RecordError | None]:
        """Shape the items of a page, whose chain may wait for several at once; give an error in its item's place."""
        passage = Passage(self.subscription.chain)

        def begin(item: Any) -> Coroutine[Any, Any, Taken | RecordError | None]:
            try:
                wanted = self._wanted(as_record(item), newer, parent)
            except RecordError as error:
                return _given(error)
            if wanted is None:
                return _given(None)
            return shaped(wanted, passage.begin(wanted.record, self._scope(wanted.record, parent), notes))

        async def shaped(wanted: _Wanted, way: Coroutine[Any, Any, Made]) -> Taken | RecordError:
            try:
                return Taken(wanted.key, self._as_json((await way)()), wanted.row)
            except RecordError as error:
                return error

        async with aclosing(ahead(_each(fresh), begin)) as ready:
            return [one async for one in ready]

    def _wanted(self, record: Record, newer: Newer | None, parent: Parent | None) -> _Wanted | None:
        """Say by what an item is known; None for one that earlier runs had."""
        wanted = self.subscription
        value: Any = None
        if newer is not None:
            value = newer.rule.field(record, wanted.scope(parent))
            if not newer.take(value):
                return None
        key, row = wanted.identity(record, parent), None
        if self.seen is not None and wanted.remembers:
            keys, state = (*self._keys(parent), key), wanted.state(record, value)
            if wanted.only is None:  # the same thing at another time is another item
                keys = (*keys, state.hex())
            if self.seen.has(keys, state if wanted.only == "changed" else None):
                return None
            row = item_row(keys, state)
        return _Wanted(key, wanted.kept(record, parent), row)

    async def _shape(
        self, record: Record, parent: Parent | None, notes: OfPage | None = None
    ) -> list[Record]:
        chain = self.subscription.chain
        scope = self._scope(record, parent)
        return self._as_json(await chain.aside(lambda: list(chain.apply(record, scope, notes))))

    def _scope(self, record: Record, parent: Parent | None) -> Record:
        return {**self.subscription.scope(parent), "input": record}

    def _as_json(self, made: list[Record]) -> list[Record]:
        """Give what the transformers made, without secrets. Raises TransformerError for what is no JSON."""
        if not self.subscription.chain.steps:
            return made
        try:
            text = dumps(made)  # a transformer may give what is no JSON, and would break the sink for all
        except JsonTextError as error:
            raise TransformerError(f"the transformers gave what is {error}") from None
        return self.client.redactor.value(made) if self.client.redactor.seen_in(text) else made

    def _saving(self, call: Call, parameters: Record, stream: str, parent: Parent | None) -> Call:
        save = self.subscription.save
        if save is None:
            return call
        scope = {**self.subscription.scope(parent), "input": parameters}
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


def as_record(item: Any) -> Record:
    """Give an item as a record; one that is no object becomes its `value`."""
    return cast("Record", item) if isinstance(item, dict) else {"value": item}


def _got(taken: Taken | RecordError | None) -> Taken | None:
    if isinstance(taken, RecordError):
        raise taken
    return taken


async def _given(value: T) -> T:
    return value


async def _each(values: Iterable[T]) -> AsyncGenerator[T, None]:
    for one in values:
        yield one


def _digest(value: Any) -> str:
    return blake2b(dumps(value), digest_size=12).hexdigest()
