"""What is new since the last run? Decisions only: a mark, what to ask with, and where a walk may stop."""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from connectory.errors import RequestError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

ENOUGH = 2
"""Items in a row, each no newer than the one before it, by which a list is taken for newest-first."""


@dataclass(frozen=True, slots=True)
class Incremental:
    """The option `incremental`: `field` gives an item's value, `start` is the mark of the first run.

    `query` is the parameter that is given the mark. Where it `is_cursor`, the server goes on behind the item that has
    the mark, whatever is older or newer; otherwise marks are numbers or dates. `lookback` is in seconds.
    """

    field: Callable[[Any, Mapping[str, Any]], Any]
    query: str | None = None
    is_cursor: bool = False
    start: Any = None
    lookback: int = 0

    def since(self, mark: Any) -> Newer:
        """Begin a walk; `mark` is that of the last one that was complete, None before there was any."""
        mark, lookback = (self.start, 0) if mark is None else (mark, self.lookback)
        if mark is None or self.is_cursor:
            return Newer(self, {} if mark is None else {str(self.query): mark}, -math.inf)
        if self.query is not None:
            return Newer(self, {self.query: _earlier(mark, lookback)}, -math.inf)
        return Newer(self, {}, moment(mark) - lookback)


@dataclass(slots=True)
class Newer:
    """One walk over what is new.

    `asked` is what is added to the query. `high` is the newest value that was met: the next mark, once the walk is
    complete. A list without a `query` is read from its newest item on, and the walk `may_stop` at the mark if the list
    is in that order; what is older than the mark `is_old`.
    """

    rule: Incremental
    asked: dict[str, Any]
    oldest: float
    high: Any = None
    reached: bool = False
    met: int = 0
    in_order: bool = True
    before: float = field(default=math.inf)

    def take(self, value: Any) -> bool:
        """Take the next item's value, and say whether the item is new enough. Raises RequestError."""
        if self.rule.is_cursor:
            self.high = value
            return True
        now = moment(value)
        if self.high is None or now > moment(self.high):
            self.high = value
        self.in_order = self.in_order and now <= self.before
        self.before, self.met = now, self.met + 1
        if now >= self.oldest:
            return True
        self.reached = True
        return False

    @property
    def may_stop(self) -> bool:
        """Say whether nothing new can follow."""
        return self.reached and self.in_order and self.met >= ENOUGH


def moment(value: Any) -> float:
    """Bring a number or a date into an order. Raises RequestError for anything else."""
    if isinstance(value, int | float) and not isinstance(value, bool) and math.isfinite(value):
        return float(value)
    if isinstance(value, str):
        try:
            return _date(value).timestamp()
        except (ValueError, OverflowError):
            pass
    raise RequestError(f"'incremental' goes by a number or a date, and {value!r} is neither")


def _date(text: str) -> datetime:
    read = datetime.fromisoformat(text)
    return read if read.tzinfo else read.replace(tzinfo=UTC)


def _earlier(mark: Any, lookback: int) -> Any:
    """Give a mark some time ago, written as it was."""
    if not lookback:
        return mark
    if isinstance(mark, str):
        return (_date(mark) - timedelta(seconds=lookback)).isoformat().replace("+00:00", "Z")
    return mark - lookback
