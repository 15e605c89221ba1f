"""Group commit: whatever gathers while one transaction is written becomes the next one."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable

T = TypeVar("T")

LAZY = 0.2
"""Seconds after which changes are written that nobody waits for."""


class Committer(Generic[T]):
    """Writes snapshots in a thread of its own, one at a time.

    `snapshot` gives what there is to write, in the event loop's thread; `write` writes it, in the other one; `written`
    hears of it when it is done, `failed` when nothing of it is.
    """

    def __init__(
        self,
        snapshot: Callable[[], T],
        write: Callable[[T], None],
        written: Callable[[T], None],
        failed: Callable[[T], None],
    ) -> None:
        self._snapshot, self._write, self._written, self._failed = snapshot, write, written, failed
        self._thread = ThreadPoolExecutor(1, "connectory-journal")
        self._waiting: asyncio.Future[None] | None = None
        self._busy = self._closed = False
        self._timer: asyncio.TimerHandle | None = None

    async def commit(self) -> None:
        """Wait until everything that was noted so far is written. Raises what the writing raises."""
        if self._waiting is None:
            loop = asyncio.get_running_loop()
            self._waiting = loop.create_future()
            if not self._busy:
                loop.call_soon(self._start)  # who else comes in this turn of the loop is in the same group
        await asyncio.shield(self._waiting)

    def touch(self) -> None:
        """See to it that what was noted is written before long."""
        if self._timer is None and self._waiting is None:
            self._timer = asyncio.get_running_loop().call_later(LAZY, self._ring)

    async def aclose(self) -> None:
        """Write what is left, and end the thread."""
        try:
            await self.commit()
        finally:
            self._closed = True
            if self._timer is not None:
                self._timer.cancel()
                self._timer = None
            self._thread.shutdown()

    def _ring(self) -> None:
        self._timer = None
        if self._waiting is None:
            self._waiting = asyncio.get_running_loop().create_future()
            self._waiting.add_done_callback(_retrieve)
            self._start()

    def _start(self) -> None:
        waiting, self._waiting = self._waiting, None
        if waiting is not None and self._closed:  # the closing was interrupted
            waiting.cancel()
            return
        if waiting is None or self._busy:
            self._waiting = self._waiting or waiting
            return
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._busy = True
        change = self._snapshot()
        task = asyncio.get_running_loop().run_in_executor(self._thread, self._write, change)
        task.add_done_callback(partial(self._ended, waiting, change))

    def _ended(self, waiting: asyncio.Future[None], change: T, task: asyncio.Future[None]) -> None:
        self._busy = False
        error = task.exception()
        (self._failed if error else self._written)(change)
        if waiting.done():
            pass
        elif error is None:
            waiting.set_result(None)
        else:
            waiting.set_exception(error)
            waiting.add_done_callback(_retrieve)
        if self._waiting is not None:
            self._start()


def _retrieve(future: asyncio.Future[None]) -> None:
    """Look at an error that nobody may have waited for: the next who waits gets one of its own."""
    if not future.cancelled():
        future.exception()
