"""Records on their way through a chain that waits: several at once, and in their order wherever a step wants it."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from functools import partial
from itertools import groupby
from typing import TYPE_CHECKING, Any, TypeVar, cast

from connectory.chain import Chain
from connectory.errors import RecordError
from connectory.steps.aside import THREADS, off_loop

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, AsyncIterator, Callable, Coroutine, Mapping

    from connectory.interfaces import Context, Notes
    from connectory.record import Record

T = TypeVar("T")
R = TypeVar("R")

AHEAD = THREADS
"""Records of one connection that are on their way at the same time."""


class Made:
    """What a chain made of a record, or the error that it ended in: stands for the chain where parts are made of it."""

    def __init__(self, records: list[Record], error: RecordError | RecursionError | None) -> None:
        self._records, self._error = records, error

    def __call__(self, _record: Any = None, _scope: Any = None) -> list[Record]:
        """Give the records, or raise the error."""
        if self._error is not None:
            raise self._error
        return self._records


class Passage:
    """Takes the records of one connection through its chain.

    Steps that may wait for several records at once do so; all others meet the records one after the other, in the order
    in which they were begun, whatever the steps before them took for each.
    """

    def __init__(self, chain: Chain) -> None:
        self._chain = chain
        parts = groupby(chain.steps, key=lambda step: bool(getattr(step, "at_once", False)))
        self._stages: list[tuple[bool, Chain]] = []
        for at_once, steps in parts:
            if at_once:
                self._stages += [(True, Chain((step,), waits=True)) for step in steps]
            else:
                several = tuple(steps)
                waits = any(getattr(step, "waits", True) for step in several)
                self._stages.append((False, Chain(several, waits=waits)))
        self._last: dict[int, asyncio.Future[None]] = {}

    def begin(
        self, record: Record, scope: Mapping[str, Any], notes: Notes | None = None
    ) -> Coroutine[Any, Any, Made]:
        """Take the next record: its place in the order is that of this call, not of when it is awaited."""
        loop, turns = asyncio.get_running_loop(), dict[int, tuple[asyncio.Future[None] | None, Any]]()
        for number, (at_once, _) in enumerate(self._stages):
            if not at_once:
                before, own = self._last.get(number), loop.create_future()
                self._last[number], turns[number] = own, (before, own)
        return self._pass(self._chain.begin(record, scope, notes), turns)

    async def _pass(self, begun: tuple[Record, Context], turns: Mapping[int, Any]) -> Made:
        try:
            records, context = [begun[0]], begun[1]
            for number, (at_once, stage) in enumerate(self._stages):
                if at_once:
                    records = await _together(stage, records, context)
                    continue
                before, own = turns[number]
                if before is not None:
                    await asyncio.wait([before])
                records = await stage.aside(partial(_one_by_one, stage, records, context))
                own.set_result(None)
        except (RecordError, RecursionError) as error:
            return Made([], error)
        else:
            return Made(records, None)
        finally:
            for before, own in turns.values():
                _hand_on(before, own)


def _hand_on(before: asyncio.Future[None] | None, own: asyncio.Future[None]) -> None:
    """Let the next record come once its turn could have come anyway: one that failed must not let it overtake."""

    def done(_: Any = None) -> None:
        if not own.done():
            own.set_result(None)

    if before is None or before.done():
        done()
    else:
        before.add_done_callback(done)


async def _together(stage: Chain, records: list[Record], context: Context) -> list[Record]:
    """Let a step wait for all these records at the same time; the first error, in their order, is raised."""
    works = (off_loop(partial(_one_by_one, stage, [one], context), at_once=True) for one in records)
    made = await asyncio.gather(*works, return_exceptions=True)
    for one in made:
        if isinstance(one, BaseException):
            raise one
    return [record for several in made for record in cast("list[Record]", several)]


def _one_by_one(stage: Chain, records: list[Record], context: Context) -> list[Record]:
    return [made for record in records for made in stage.run(record, context)]


async def ahead(
    source: AsyncIterator[T], begin: Callable[[T], Coroutine[Any, Any, R]], *, most: int = AHEAD
) -> AsyncGenerator[R, None]:
    """Give what becomes of the items, in their order; up to `most` of them are under way.

    Whatever the source raises is raised after the items before it were given. Leaving early ends what is under way.
    """
    waiting: asyncio.Queue[asyncio.Task[R] | Exception | None] = asyncio.Queue()
    room = asyncio.Semaphore(most)
    under_way = set[asyncio.Task[R]]()

    async def pump() -> None:
        try:
            await room.acquire()
            async for item in source:
                task = asyncio.ensure_future(begin(item))
                under_way.add(task)
                waiting.put_nowait(task)
                await room.acquire()
            waiting.put_nowait(None)
        except Exception as error:  # noqa: BLE001 - raised where the items are read
            waiting.put_nowait(error)

    pumping = asyncio.ensure_future(pump())
    try:
        while (task := await waiting.get()) is not None:
            if isinstance(task, Exception):
                raise task
            made = await task
            under_way.discard(task)
            room.release()
            yield made
    finally:
        pumping.cancel()
        for one in under_way:
            one.cancel()
        await asyncio.gather(pumping, *under_way, return_exceptions=True)
        with suppress(RuntimeError):  # it is being closed already, by what ended this
            aclose = getattr(source, "aclose", None)
            if aclose is not None:
                await aclose()
