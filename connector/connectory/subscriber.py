"""The incoming flow: request parameters → input transformers → parents → pages → transformers → sink."""

from __future__ import annotations

from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from connectory.concurrency.fanout import merged
from connectory.errors import ApiError, RecordError
from connectory.events import Listener, Noticed, PageRead, ignore
from connectory.listeners.telling import told
from connectory.reading.pages import Page, Reading
from connectory.reading.subscription import Parent, Portion, hashed
from connectory.requests.parameters import checked
from connectory.steps.firsts import firsts_of

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Sequence

    from connectory.client import Client
    from connectory.interfaces import Item, Journal, Past, Position, Sink, Source
    from connectory.reading.subscription import Subscription
    from connectory.record import Record

AT_ONCE = (1, 8, 3, 2)
"""How many parents are read for at once, by how many levels of parents there are: about eight walks in all."""

GIVEN = 100
"""Records of the input that are taken together; the place in the input is noted after them."""

_GONE = 404


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


@dataclass(slots=True)
class _Family:
    """A parent, the stream of what is read for it, and whether all of that was read."""

    parent: Parent
    stream: str
    failed: bool = False


@dataclass(slots=True)
class _Gone:
    """Parents for which something was asked, and those of which the server knows nothing any more."""

    asked: int = 0
    gone: int = 0
    targets: set[str] = field(default_factory=set[str])


class Subscriber:
    """Reads an entity, for each of its parents where there are any.

    `above` are the readings of the parents, outermost first, as a subscription and its client; `source` gives the
    records for which the outermost one is read. `on_error` hears of what could not be read or shaped; the walk goes on
    with the next item or set of parameters. Without it, a request that fails raises, and an item that fails is told to
    the listener and left out.
    """

    def __init__(
        self,
        subscription: Subscription,
        client: Client,
        journal: Journal,
        *,
        listen: Listener = ignore,
        on_error: Callable[[RecordError], None] | None = None,
        above: Sequence[tuple[Subscription, Client]] = (),
        source: Source | None = None,
        seen: Past | None = None,
    ) -> None:
        self.subscription, self.client, self.journal = subscription, client, journal
        self.listen, self._on_error = listen, on_error
        self._above, self._source, self._seen = above, source, seen
        self._gone = _Gone()
        self._firsts = firsts_of(journal)
        self.counts = Read()
        self._named = journal.run, subscription.name

    @property
    def levels(self) -> list[Reading]:
        """Give the readings, outermost parents first; the last one's records are those of the connection."""
        parents = [self._level(subscription, client) for subscription, client in self._above]
        return [*parents, self._level(self.subscription, self.client, room=self._room, last=True)]

    async def run(self, sink: Sink) -> Read:
        """Read everything into the sink; a cursor is committed only after the sink has flushed."""
        async with aclosing(self.pages()) as pages:
            async for page in pages:
                if page.read:
                    await sink.write(page.records)
                    await sink.flush()
                await self.commit(page, sink.position)
        return self.counts

    async def pages(self) -> AsyncGenerator[Page, None]:
        """Walk every page of every set of request parameters; what the journal has is not asked for again.

        Who asks for the next page has dealt with this one.
        """
        for name, count in self.journal.counts.items():
            if name in Read.__slots__:
                setattr(self.counts, name, count)
        if self._room() == 0:
            return
        if not self.subscription.run:  # read without a connection, it is no run
            async with aclosing(self._walk()) as pages:
                async for page in pages:
                    yield page
            return
        entity, counts = self.subscription.entity.name, self.counts.as_dict
        with told(self.listen, self._named, counts, kind="incoming", entity=entity):
            async with aclosing(self._walk()) as pages:
                async for page in pages:
                    yield page

    async def _walk(self) -> AsyncGenerator[Page, None]:
        levels, name = self.levels, self.subscription.name
        walk = self._below(levels, _Family(Parent({}, ()), name), None)
        walk = walk if self._source is None else self._given(levels, self._source)
        async with aclosing(self), aclosing(walk) as pages:
            async for page in pages:
                self._count(page)
                yield page
                if self._room() == 0:
                    return
        self._tell_gone()

    async def portions(self) -> AsyncGenerator[Portion, None]:
        """Give what can be read apart: the outermost parents or records of the input, else sets of parameters."""
        first = self.levels[0]
        if self._source is not None:
            async for item in self._source:
                if item.error is not None:
                    self._set_aside(item.error)
                else:
                    name = hashed(item.record).hex()
                    yield Portion(Parent(item.record, (name,), given=True))
            return
        async with aclosing(first.sets(None)) as sets:
            async for number, parameters in _numbered(sets):
                if not self._above:
                    yield Portion(parameters=checked(parameters))
                    continue
                async with aclosing(
                    first.pages(f"{first.subscription.name}/{number}", parameters, None)
                ) as pages:
                    async for page in pages:
                        for taken in page.taken:
                            for record in taken.records:
                                yield Portion(Parent(record, (taken.key,), page.path))

    async def portion_pages(self, portions: Sequence[Portion]) -> AsyncGenerator[Page, None]:
        """Walk every page of some portions."""
        levels = self.levels
        walks: list[AsyncGenerator[Page, None]] = []
        for number, one in enumerate(portions):
            stream = f"{self.subscription.name}/{number}"
            if one.parent is None:
                walks.append(levels[0].pages(stream, one.parameters or {}, None))
                continue
            below = levels if one.parent.given else levels[1:]
            walks.append(self._below(below, _Family(one.parent, stream), one.parent))
        async with aclosing(self), aclosing(merged(walks, AT_ONCE[1])) as pages:
            async for page in pages:
                self._count(page)
                yield page
        self._tell_gone()

    async def aclose(self) -> None:
        """Close what the transformers have opened, those of the parents too."""
        for one in (self.subscription, *(above for above, _ in self._above)):
            await one.input_chain.close()
            await one.chain.close()

    async def commit(self, page: Page, position: Position = None) -> None:
        """Note that a page was dealt with, together with how far the sink has come."""
        for name, count in self.counts.as_dict().items():
            self.journal.counts[name] = count
        self.journal.place(position, None)
        await self.journal.commit(page.stream, page.cursor, drop=page.drop, seen=page.seen)

    async def _given(self, levels: list[Reading], source: Source) -> AsyncGenerator[Page, None]:
        """Read for the records of the input, some of them together."""
        stream = f"{self.subscription.name}/input"
        cursor = self.journal.cursor(stream) or {"count": 0}
        count = cursor["count"]
        if count:
            source.resume(cursor["mark"], count)
        chunk: list[Item] = []
        async for item in source:
            chunk.append(item)
            count += 1
            if len(chunk) == GIVEN:
                async with aclosing(self._for_given(levels, chunk, stream, count)) as pages:
                    async for page in pages:
                        yield page
                chunk = []
        if chunk:
            async with aclosing(self._for_given(levels, chunk, stream, count)) as pages:
                async for page in pages:
                    yield page

    async def _for_given(
        self, levels: list[Reading], chunk: list[Item], stream: str, count: int
    ) -> AsyncGenerator[Page, None]:
        families, names = list[_Family](), set[str]()
        for item in chunk:
            if item.error is not None:
                self._set_aside(item.error)
                continue
            name = _unused(hashed(item.record).hex(), names)
            families.append(_Family(Parent(item.record, (name,), given=True), f"{stream}/{name}"))
        async with aclosing(self._together(levels, families)) as pages:
            async for page in pages:
                yield page
        yield Page(stream, cursor={"count": count, "mark": chunk[-1].mark}, read=False, drop=f"{stream}/")

    async def _below(
        self, levels: list[Reading], family: _Family, parent: Parent | None
    ) -> AsyncGenerator[Page, None]:
        """Read the first of some levels for a parent, and the others for what it gives."""
        level, *deeper = levels
        number = -1
        async for parameters in self._sets(level, family, parent):
            number += 1
            stream = f"{family.stream}/{number}"
            try:
                async with aclosing(level.pages(stream, parameters, parent)) as pages:
                    async for page in pages:
                        if deeper:
                            async with aclosing(self._children(deeper, page, parent)) as children:
                                async for below in children:
                                    yield below
                        yield page
                        family.failed = family.failed or bool(page.cursor.get("failed"))
            except RecordError as error:
                self._lost(error, level, family, parent)
            known: Record = self.journal.cursor(stream) or {}
            family.failed = family.failed or bool(known.get("failed"))
        if parent is not None and not parent.given:
            self._gone.asked += 1

    async def _children(
        self, levels: list[Reading], page: Page, parent: Parent | None
    ) -> AsyncGenerator[Page, None]:
        """Read for every record of a page of parents; after that the page moves the cursor of its own stream."""
        families, names = list[list[_Family]](), set[str]()
        above: Parent = parent or Parent({}, ())
        for taken in page.taken:
            made = list[_Family]()
            for record in taken.records:
                name = _unused(taken.key, names)
                one = Parent(record, (*above.keys, name), {**above.path, **page.path})
                made.append(_Family(one, f"{page.stream}/{hashed(name).hex()}"))
            families.append(made)
        async with aclosing(self._together(levels, [one for made in families for one in made])) as pages:
            async for below in pages:
                yield below
        lost = [any(one.failed for one in made) for made in families]
        # a parent is only known, and a list of them only read, when everything below it is
        page.taken = [
            replace(taken, records=[], row=None if failed else taken.row)
            for taken, failed in zip(page.taken, lost, strict=True)
        ]
        page.read, page.drop = False, f"{page.stream}/"
        if any(lost):
            page.cursor["failed"] = True

    def _together(self, levels: list[Reading], families: list[_Family]) -> AsyncGenerator[Page, None]:
        fans = len(self._above) + (self._source is not None)
        most = 1 if self.subscription.most_records is not None else AT_ONCE[min(fans, len(AT_ONCE) - 1)]
        return merged((self._below(levels, one, one.parent) for one in families), min(most, len(families)))

    async def _sets(
        self, level: Reading, family: _Family, parent: Parent | None
    ) -> AsyncGenerator[Record, None]:
        try:
            async with aclosing(level.sets(parent)) as sets:
                async for one in sets:
                    yield one
        except RecordError as error:  # what else the input transformers would have made is unknown
            family.failed = True
            self._set_aside(error)

    def _lost(self, error: RecordError, level: Reading, family: _Family, parent: Parent | None) -> None:
        """Note that a set could not be read to its end; a parent that is gone has nothing more to read."""
        if parent is not None and not parent.given and isinstance(error, ApiError) and error.status == _GONE:
            self._gone.gone += 1
            self._gone.targets.add(level.subscription.target)
            return
        family.failed = True
        self._set_aside(error)

    def _tell_gone(self) -> None:
        if self._gone.gone:
            targets = ", ".join(sorted(self._gone.targets))
            doubt = "; as it knows none of them, look whether the path is right" * (
                self._gone.gone == self._gone.asked
            )
            self.listen(
                Noticed(
                    f"incoming {self.subscription.name!r}: {self._gone.gone} of {self._gone.asked} parents were passed "
                    f"over, because the server answered 404 to {targets}{doubt}",
                    *self._named,
                )
            )

    def _level(
        self,
        subscription: Subscription,
        client: Client,
        *,
        room: Callable[[], int | None] = lambda: None,
        last: bool = False,
    ) -> Reading:
        seen, listen, firsts = self._seen, self.listen, self._firsts
        return Reading(subscription, client, self.journal, seen, listen, self._left_out, room, firsts, last)

    def _room(self) -> int | None:
        most = self.subscription.most_records
        return None if most is None else max(0, most - self.counts.records)

    def _left_out(self, error: RecordError) -> None:
        """Tell that an item could not be shaped."""
        self.client.redactor.error(error)
        if self._on_error is not None:
            self._on_error(error)
        else:
            text = f"incoming {self.subscription.name!r}: an item was left out: {error}"
            self.listen(Noticed(text, *self._named))

    def _set_aside(self, error: RecordError) -> None:
        """Tell that a set of parameters, or a record of the input, could not be read for, or raise it."""
        self.counts.errors += 1
        self.client.redactor.error(error)
        if self._on_error is None:
            raise error
        self._on_error(error)

    def _count(self, page: Page) -> None:
        self.counts.errors += page.errors
        if page.read:
            records = len(page.records)
            self.counts.pages += 1
            self.counts.items += page.items
            self.counts.records += records
            self.listen(PageRead(self.subscription.name, page.items, records, self.journal.run))


async def _numbered(sets: AsyncGenerator[Record, None]) -> AsyncGenerator[tuple[int, Record], None]:
    number = 0
    async for one in sets:
        yield number, one
        number += 1


def _unused(name: str, names: set[str]) -> str:
    """Make a name that no other one of the same page has."""
    number, own = 1, name
    while own in names:
        number += 1
        own = f"{name}#{number}"
    names.add(own)
    return own
