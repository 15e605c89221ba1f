"""Puts deliveries together that can go in one request, and their results back into the order of the source."""

from __future__ import annotations

import asyncio
from collections import deque
from contextlib import aclosing
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING, TypeAlias

from connectory.errors import RecordError
from connectory.text.json import JsonTextError, dumps

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator, Iterable, Sequence

    from connectory.delivery.packs import Bounds, PackOption, Value
    from connectory.delivery.publication import Part, Publication
    from connectory.interfaces import Journal
    from connectory.record import Intent, Result
    from connectory.requests.building import Call

    Settled: TypeAlias = list[tuple[Part, Result | None]]

MOST_OPEN = 64
"""Packs that are filled side by side, for records that cannot go together; beyond that the oldest one goes as it is."""

MOST_WAITING = 16_000
"""Deliveries that are taken and have no line yet: fewer than the journal allows to lie open."""

MOST_AT_ONCE = 1_024
"""Deliveries whose requests are under way at once, but always two requests: the answers of all lie in memory together,
and one of 256 vectors takes 15 megabytes."""

READY = 2
"""Packs that wait for a worker before nothing more is read."""

BREATH = 64
"""Deliveries after which others get a turn, when the source never waits."""

PATIENCE = 10
"""Times that `wait` may pass while records keep coming: what is on its way is worth more than what is due."""

AGAIN = 30.0
"""Seconds for which the rest of a pack is waited for that an earlier life of the run had under way."""


@dataclass(frozen=True, slots=True)
class Member:
    """One delivery of a pack, with the request that it would be alone."""

    part: Part
    call: Call
    value: Value


@dataclass(slots=True, eq=False)
class Pack:
    """Deliveries that go in one request; `alone` is one that goes by itself, as without packs."""

    members: list[Member] = field(default_factory=list[Member])
    alone: Part | None = None
    bytes: int = 0
    tokens: float = 0.0
    ids: set[str] = field(default_factory=set[str])
    due: bool = False
    left: int = PATIENCE
    timer: asyncio.TimerHandle | None = None

    @property
    def parts(self) -> list[Part]:
        """The deliveries in it, in the order of the source."""
        return [self.alone] if self.alone is not None else [one.part for one in self.members]

    def add(self, member: Member) -> None:
        """Put a delivery into it."""
        self.members.append(member)
        self.ids.add(member.part.id)
        self.bytes += member.value.bytes
        self.tokens += member.value.tokens

    def has_room(self, value: Value, bounds: Bounds) -> bool:
        """Say whether a request takes one more."""
        return self.bytes + value.bytes <= bounds.bytes and (
            bounds.tokens is None or self.tokens + value.tokens <= bounds.tokens
        )


class Packing:
    """A source of packs, made from one of deliveries.

    A pack goes when it is full, or when somebody is free to send it, the source has nothing more, and `wait` has passed
    since its first member came. `limit` is how many of them may be under way at once.
    One that an earlier life of the run had under way is put together again from the same members.
    """

    def __init__(
        self,
        publication: Publication,
        option: PackOption,
        journal: Journal,
        parts: AsyncGenerator[Part, None],
    ) -> None:
        self._publication, self._option, self._journal, self._parts = publication, option, journal, parts
        self.limit = min(publication.concurrency, max(2, MOST_AT_ONCE // option.size))
        window = max(option.size, min(MOST_WAITING, 2 * self.limit * option.size))
        self._line = Line(window, ordered=publication.ordered)
        self._open: dict[tuple[str, bytes], Pack] = {}
        self._ready: deque[Pack] = deque()
        self._changed, self._room = asyncio.Event(), asyncio.Event()
        self._reading: asyncio.Task[None] | None = None
        self._failure: Exception | None = None
        self._over = self._busy = False

    def __aiter__(self) -> Packing:
        return self

    async def __anext__(self) -> Pack:
        if self._reading is None:
            self._reading = asyncio.ensure_future(self._read())
        while True:
            if self._ready:
                self._room.set()
                return self._ready.popleft()
            for key, pack in self._open.items():
                if pack.due:
                    self._close(key)
                    break
            else:
                if self._over:
                    raise self._failure or StopAsyncIteration
                self._changed.clear()
                await self._changed.wait()

    async def aclose(self) -> None:
        """Let go of the source, and of what was not asked for."""
        if self._reading is None:
            await self._parts.aclose()
            return
        for pack in self._open.values():
            _forget_timer(pack)
        self._reading.cancel()
        await asyncio.gather(self._reading, return_exceptions=True)

    async def lined_up(self, groups: AsyncGenerator[list[Settled], None]) -> AsyncGenerator[Settled, None]:
        """Give the results of packs one by one, in the order that is asked for; after an error what is there."""
        failure: Exception | None = None
        try:
            async with aclosing(groups):
                async for packs in groups:
                    ready = self._line.given(pair for settled in packs for pair in settled)
                    self._room.set()
                    if ready:
                        yield ready
        except Exception as error:  # noqa: BLE001 - raised again, after what is done was given
            failure = error
        if rest := self._line.rest():
            yield rest
        if failure is not None:
            raise failure

    async def _read(self) -> None:
        taken = 0
        try:
            async with aclosing(self._parts) as parts:
                async for part in parts:
                    self._add(part)
                    taken += 1
                    self._busy = True
                    if self._ready or self._line.full:
                        await self._pause()
                    elif not taken % BREATH:
                        await asyncio.sleep(0)
                    self._busy = False
        except Exception as error:  # noqa: BLE001 - raised where packs are asked for, after what came before it
            self._failure = error
        finally:
            self._close_all()
            self._over = True
            self._changed.set()

    async def _pause(self) -> None:
        """Wait until more can be taken; who waits for a line that is full may wait for what lies in open packs."""
        if self._line.full:
            self._close_all()
        self._changed.set()
        while len(self._ready) >= READY or self._line.full:
            self._room.clear()
            await self._room.wait()

    def _add(self, part: Part) -> None:
        self._line.take(part)
        doubt = self._journal.doubt(part.delivery)
        made = None if doubt is not None and doubt.body and not doubt.pack else self._member(part)
        if made is None:
            self._ready.append(Pack(alone=part))
            return
        member, bounds, signature = made
        key = (doubt.pack if doubt is not None else "", signature)
        pack = self._open.get(key)
        if not key[0] and pack is not None and not self._fits(pack, member, bounds):
            self._close(key)
            pack = None
        if pack is None:
            pack = self._begin(key)
        pack.add(member)
        if len(pack.members) >= self._most(doubt, bounds):
            self._close(key)

    def _member(self, part: Part) -> tuple[Member, Bounds, bytes] | None:
        """Make the request of a delivery that can go with others."""
        if part.record is None or (part.item.origin is not None and part.item.origin.paid is not None):
            return None
        if self._journal.recall(part.delivery) is not None:
            return None
        try:
            call = self._publication.call(part)
            found = self._option.value(call.payload)
            if found is None:
                return None
            value, bounds = found
            rest = self._option.rest(call.payload)
            signature = dumps([call.action.method, call.path, call.query, rest, value.shared or ""])
        except (RecordError, JsonTextError):  # told where it goes alone
            return None
        return Member(part, call, value), bounds, signature

    def _most(self, doubt: Intent | None, bounds: Bounds) -> int:
        if doubt is not None and doubt.pack:
            return self._journal.companions(doubt.pack)
        return min(self._option.size, bounds.most or self._option.size)

    def _fits(self, pack: Pack, member: Member, bounds: Bounds) -> bool:
        """Say whether a pack takes one more; of records with one identifier `only` has to see one after the other."""
        twice = self._publication.only is not None and member.part.id in pack.ids
        return pack.has_room(member.value, bounds) and not twice

    def _begin(self, key: tuple[str, bytes]) -> Pack:
        if len(self._open) >= MOST_OPEN:
            self._close(next(iter(self._open)))
        wait = max(AGAIN, self._option.wait) if key[0] else self._option.wait
        pack = self._open[key] = Pack()
        self._set_timer(pack, wait)
        return pack

    def _set_timer(self, pack: Pack, wait: float) -> None:
        pack.timer = asyncio.get_running_loop().call_later(wait, self._fall_due, pack, wait)

    def _fall_due(self, pack: Pack, wait: float) -> None:
        pack.left -= 1
        if self._busy and pack.left:  # it is not the source that lets us wait
            self._set_timer(pack, wait)
            return
        pack.due = True
        self._changed.set()

    def _close(self, key: tuple[str, bytes]) -> None:
        pack = self._open.pop(key)
        _forget_timer(pack)
        self._ready.append(pack)
        self._changed.set()

    def _close_all(self) -> None:
        for key in list(self._open):
            self._close(key)


class Line:
    """Deliveries in the order in which they were taken; their results leave in it, or as they come."""

    def __init__(self, window: int, *, ordered: bool) -> None:
        self._window, self._ordered = window, ordered
        self._places: deque[tuple[int, int]] = deque()
        self._done: dict[tuple[int, int], tuple[Part, Result | None]] = {}
        self._left = 0

    @property
    def full(self) -> bool:
        """Say that nothing more should be taken."""
        return self._left >= self._window

    def take(self, part: Part) -> None:
        """Hear of a delivery that is taken."""
        self._left += 1
        if self._ordered:
            self._places.append(_place(part))

    def given(self, settled: Iterable[tuple[Part, Result | None]]) -> Settled:
        """Hear of results, and give those whose turn it is."""
        ready: Settled = []
        if not self._ordered:
            ready += settled
        else:
            for pair in settled:
                self._done[_place(pair[0])] = pair
            while self._places and self._places[0] in self._done:
                ready.append(self._done.pop(self._places.popleft()))
        self._left -= len(ready)
        return ready

    def rest(self) -> Settled:
        """Give the results behind deliveries that will have none."""
        found = [self._done[place] for place in self._places if place in self._done]
        self._done.clear()
        return found


def packed_call(option: PackOption, members: Sequence[Member]) -> Call:
    """Make one request of those of many deliveries."""
    call = members[0].call
    whose = call.whose if len(members) == 1 else call.whose._replace(record=None)
    payload = option.payload(call.payload, [one.value for one in members])
    return replace(call, payload=payload, whose=whose)


def _place(part: Part) -> tuple[int, int]:
    return part.delivery.seq, part.delivery.part


def _forget_timer(pack: Pack) -> None:
    if pack.timer is not None:
        pack.timer.cancel()
        pack.timer = None
