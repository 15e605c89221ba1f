"""The time that each of many requests has: one timer for all of them, because setting one for each costs too much."""

from __future__ import annotations

import asyncio


class Deadlines:
    """Ends what takes longer than so many seconds."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._open: dict[Deadline, None] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._loop: asyncio.AbstractEventLoop | None = None

    def begin(self, loop: asyncio.AbstractEventLoop) -> Deadline:
        """Begin the time of what the current task of this loop does; `end` it, however that ends."""
        if loop is not self._loop:  # the timer of a loop that is closed never rings
            self._loop, self._timer = loop, None
        deadline = Deadline(self, asyncio.current_task(loop), loop.time() + self.seconds)
        self._open[deadline] = None
        self.watch(deadline.when)
        return deadline

    def watch(self, when: float | None) -> None:
        """See to it that a time which begins, or goes on, is looked at."""
        if self._timer is None and when is not None and self._loop is not None:
            self._timer = self._loop.call_at(when, self._ring, self._loop)

    def close(self, deadline: Deadline) -> None:
        """Forget one."""
        self._open.pop(deadline, None)
        if not self._open and self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _ring(self, loop: asyncio.AbstractEventLoop) -> None:
        now, self._timer = loop.time(), None
        first: float | None = None
        for one in self._open:
            if one.when is None or one.expired:
                continue
            if one.when <= now:
                one.strike()
            elif first is None or one.when < first:
                first = one.when
        self.watch(first)


class Deadline:
    """The time of one request; `when` it is over is in the loop's seconds, None while it stands still."""

    __slots__ = ("_all", "_cancelling", "_task", "expired", "when")

    def __init__(self, every: Deadlines, task: asyncio.Task[object] | None, when: float) -> None:
        self._all, self._task = every, task
        self._cancelling = 0 if task is None else task.cancelling()
        self.when: float | None = when
        self.expired = False

    def stand_still(self) -> float:
        """Stop the time, and give the seconds that are left."""
        left = 0.0 if self.when is None else self.when - asyncio.get_running_loop().time()
        self.when = None
        return left

    def go_on(self, left: float) -> None:
        """Let the time go on, with so many seconds."""
        self.when = asyncio.get_running_loop().time() + left
        self._all.watch(self.when)

    def strike(self) -> None:
        """Cancel what takes too long."""
        self.expired = True
        if self._task is not None:
            self._task.cancel()

    def end(self) -> bool:
        """End the time; say whether it was over, and a cancellation that has come is its own and nobody else's."""
        self._all.close(self)
        return self.expired and self._task is not None and self._task.uncancel() <= self._cancelling
