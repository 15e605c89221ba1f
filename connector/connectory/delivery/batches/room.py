"""How many batches of a run are under way at once: fewer where the server says that too many tokens wait."""

from __future__ import annotations

import asyncio


class Room:
    """Places for batches: `async with` waits for one.

    A refusal for tokens takes places away, a good end gives one back.
    """

    def __init__(self, limit: int) -> None:
        self._most = self._limit = limit
        self._taken = 0
        self._changed = asyncio.Event()
        self._opened = False

    async def __aenter__(self) -> None:
        while self._taken >= self._limit and not self._opened:
            self._changed.clear()
            await self._changed.wait()
        self._taken += 1

    async def __aexit__(self, *_: object) -> None:
        self._taken -= 1
        self._changed.set()

    def grow(self) -> None:
        """Give a place back."""
        self._limit = min(self._most, self._limit + 1)
        self._changed.set()

    def shrink(self) -> bool:
        """Have no more at once than there are now, and one at least; say whether there is none now."""
        self._limit = max(1, self._taken)
        return self._taken == 0

    def open(self) -> None:
        """Let everybody in: nobody waits any more."""
        self._opened = True
        self._changed.set()
