"""Who waits for a turn to send, in which line, and what is known of the requests that are counted together."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectory.limits import NOTHING_TAKEN, Pace, Taken
from connectory.pace.tokens import Estimate, Size

if TYPE_CHECKING:
    import asyncio
    from collections.abc import Callable

    from connectory.retry import Stop

MOST_AT_ONCE = 32
"""Requests under way at once where `concurrency` is `auto`."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What a client may do: requests and tokens a minute, requests under way at once; None finds it out."""

    requests_per_minute: float | None = None
    tokens_per_minute: float | None = None
    concurrency: int | None = None

    @property
    def most_at_once(self) -> int:
        """The requests under way at once, at most."""
        return self.concurrency or MOST_AT_ONCE


@dataclass(frozen=True, slots=True)
class Standing:
    """How a client stands: its requests under way, and what holds the next ones back; empty where nothing does."""

    busy: int = 0
    held_by: str = ""


class Lane:
    """The requests that the server counts together: those for one model, or for one entity.

    `refusals` counts the pauses for pace since the last success. `alone` says that one request at a time is sent to
    see whether the server takes it.
    """

    def __init__(self, pace: Pace) -> None:
        self.pace, self.estimate = pace, Estimate()
        self.not_before = self.refused_at = self.refused_since = 0.0
        self.refusals, self.alone = 0, False
        self.trying: Visit | None = None
        self.verdict: tuple[Stop, int] | None = None
        self.first: deque[Visit] = deque()
        self.again: deque[Visit] = deque()

    def head(self) -> Visit | None:
        """Give who is next: who was sent before, but not where the refused ones would keep the others out."""
        lines = (self.first, self.again) if self.refusals else (self.again, self.first)
        return next((line[0] for line in lines if line), None)

    def held_by(self, full: str, cost: Callable[[Visit], float]) -> str:
        """Say what the first in line waits for, where it is not for a place that is `full`."""
        if self.refusals:
            return "the server's refusals for pace"
        visit = self.head()
        return full or ("" if visit is None else self.pace.short_of(cost(visit)))

    def remove(self, visit: Visit) -> None:
        """Take the first one out of its line."""
        for line in (self.first, self.again):
            if line and line[0] is visit:
                line.popleft()
                return

    def let_through(self, sent_at: float, now: float) -> None:
        """Hear that the server did not refuse a request for pace."""
        if self.refusals and sent_at >= self.refused_at:
            self.refusals, self.alone = 0, False
        elif self.refusals:
            self.refused_since = now

    def wake(self) -> None:
        """Let the first in line look whether it may go."""
        head = self.head()
        if head is not None and head.waiting is not None and not head.waiting.done():
            head.waiting.set_result(None)


@dataclass(slots=True, eq=False)
class Visit:
    """One call at the gate, through all its attempts, in the event loop that was running when it came.

    `spent` counts the attempts that count; `wanted` is what a refusal said, or showed, that it costs at least.
    `admitted`: it was let in while it waited, and does not know it yet.
    """

    lane: Lane
    number: int
    loop: asyncio.AbstractEventLoop
    payload: Any = None
    size: Size | None = None
    spent: int = 0
    wanted: float = 0.0
    sent_at: float = 0.0
    taken: Taken = NOTHING_TAKEN
    failing: bool = False
    admitted: bool = False
    waiting: asyncio.Future[None] | None = None
