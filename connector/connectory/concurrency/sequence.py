"""Deliveries that belong together go one at a time, in the order in which they came; others go beside them."""

from __future__ import annotations

import asyncio
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

Place: TypeAlias = tuple[int, int]


class _Turn:
    """The place of one delivery behind the one before it with the same key."""

    __slots__ = ("before", "ended", "key", "left")

    def __init__(self, key: str, before: _Turn | None) -> None:
        self.key, self.before = key, before
        self.ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.left = False


class Sequence:
    """Turns by key. Who waits for a turn waits for earlier deliveries alone, so that nobody waits in a circle.

    It remembers the deliveries that have joined and not ended, and the keys of those that were left.
    """

    def __init__(self) -> None:
        self._last: dict[str, _Turn] = {}
        self._turns: dict[Place, _Turn] = {}

    def join(self, place: Place, key: str) -> None:
        """Put a delivery behind those with the same key that have joined before."""
        self._turns[place] = self._last[key] = _Turn(key, self._last.get(key))

    @asynccontextmanager
    async def turn(self, place: Place) -> AsyncGenerator[Ticket, None]:
        """Wait until it is a delivery's turn, and hold it.

        When the ticket says `left` the one before stays pending, so this one has to; who leaves its own delivery
        pending sets it. Leaving by an error leaves it pending too.
        """
        turn = self._turns.pop(place, None)
        if turn is None:
            yield Ticket()
            return
        ticket = Ticket(left=True)
        try:
            if turn.before is not None:
                await asyncio.shield(turn.before.ended)
                ticket.left, turn.before = turn.before.left, None
            else:
                ticket.left = False
            yield ticket
        except BaseException:
            ticket.left = True
            raise
        finally:
            self._end(turn, left=ticket.left)

    def _end(self, turn: _Turn, *, left: bool) -> None:
        turn.left = left
        if not turn.ended.done():
            turn.ended.set_result(None)
        if self._last.get(turn.key) is turn and not left:
            del self._last[turn.key]


class Ticket:
    """What one delivery tells the next: whether it was left pending."""

    __slots__ = ("left",)

    def __init__(self, *, left: bool = False) -> None:
        self.left = left
