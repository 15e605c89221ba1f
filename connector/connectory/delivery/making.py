"""The deliveries of a source's items: each item read, counted, and run through the chain."""

from __future__ import annotations

from contextlib import aclosing
from functools import partial
from typing import TYPE_CHECKING, Any

from connectory.concurrency.passing import Passage, ahead
from connectory.concurrency.workers import close

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Callable, Coroutine

    from connectory.concurrency.passing import Made
    from connectory.delivery.publication import Apply, Part, Publication
    from connectory.interfaces import Item, Journal, Source
    from connectory.steps.firsts import OfItem


class Making:
    """Makes the parts of the items of one run; its journal says which items are done."""

    def __init__(self, publication: Publication, journal: Journal) -> None:
        self._publication, self._journal = publication, journal

    def items(
        self, source: Source, start: int, below: int
    ) -> AsyncGenerator[tuple[Item, int, list[Part]], None]:
        """Give the items from a number on that are not in the output yet, with their numbers and parts.

        Those `below` another number are under way already. Where the chain may wait for several at once, the parts are
        made ahead.
        """
        chain = self._publication.chain
        if not (chain.waits or chain.remembers):
            return self._read(source, start, below, partial(self._made, apply=None))
        items = self._read(source, start, below, None)
        if not chain.at_once:
            return self._one_by_one(items)
        passage = Passage(chain)

        def begin(
            numbered: tuple[Item, int, list[Part]],
        ) -> Coroutine[Any, Any, tuple[Item, int, list[Part]]]:
            item, seq, _ = numbered
            notes, scope = self._notes(item), self._publication.chain_scope(item)
            way = None if item.error else passage.begin(item.record, scope, notes)
            return self._ahead(item, seq, way, notes)

        return ahead(items, begin)

    async def _one_by_one(
        self, items: AsyncGenerator[tuple[Item, int, list[Part]], None]
    ) -> AsyncGenerator[tuple[Item, int, list[Part]], None]:
        chain = self._publication.chain
        async with aclosing(items):
            async for item, seq, _ in items:
                notes = self._notes(item)
                apply = partial(chain.apply, notes=notes)
                parts = await chain.aside(partial(self._made, item, seq, apply))
                self._publication.firsts.keep(notes.rows)
                yield item, seq, parts

    async def _ahead(
        self, item: Item, seq: int, way: Coroutine[Any, Any, Made] | None, notes: OfItem
    ) -> tuple[Item, int, list[Part]]:
        parts = self._made(item, seq, None if way is None else await way)
        self._publication.firsts.keep(notes.rows)
        return item, seq, parts

    def _made(self, item: Item, seq: int, apply: Apply | None) -> list[Part]:
        return self._publication.parts(item, seq, self._journal.run, apply)

    def _notes(self, item: Item) -> OfItem:
        return self._publication.firsts.of(item.position)

    async def _read(
        self, source: Source, start: int, below: int, make: Callable[[Item, int], list[Part]] | None
    ) -> AsyncGenerator[tuple[Item, int, list[Part]], None]:
        """Give the items whose lines are not in the output yet, their numbers, and the parts that `make` gives."""
        seq, items = start - 1, aiter(source)
        try:
            async for item in items:
                seq += 1
                self._journal.read(seq, item.mark)
                if seq >= below and not self._journal.is_shown(seq):
                    yield item, seq, [] if make is None else make(item, seq)
            self._journal.set_total(seq + 1)
        finally:
            await close(items)
