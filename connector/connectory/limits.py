"""How fast requests may leave: buckets of requests and of tokens that say how long to wait, and never wait."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from connectory.text.hints import told

if TYPE_CHECKING:
    from collections.abc import Mapping

SLACK = 0.25
"""The share of a second's worth that may leave at once. A server allows a whole one; the rest takes up what bunches on
the way, so that evenly sent requests are not refused for arriving unevenly."""

PACE, LOW_PACE = 0.99, 0.95
"""How much of a limit is used. A server that lets one at a time through forgives none that comes early."""

UNKNOWN = 60.0
"""Requests a minute before the first answer has told a limit, or that there is none."""

REGROWTH, REGROWTH_TIME = 1.5, 900.0
"""After the order to slow down the rate grows by half in a quarter of an hour: what the API asks for."""


class Bucket:
    """So much a minute, evenly: what is there, what flows in, and what has been taken.

    `now` is in seconds of any clock that never goes back. What costs more than may ever be there leaves the bucket in
    debt. `shifted` sums up what was put right afterwards, so that an answer can be held against what was known when
    its request left.
    """

    __slots__ = ("full", "level", "per_minute", "rate", "seen", "share", "shifted", "slowed")

    def __init__(self, per_minute: float, *, level: float | None = None) -> None:
        self.share, self.slowed = 1.0, 0.0
        self.seen: float | None = None
        self.shifted = 0.0
        self.level = 0.0
        self.resize(per_minute)
        self.level = self.full if level is None else min(self.full, level)

    def resize(self, per_minute: float) -> None:
        """Change the limit; what is there stays, as far as there is room."""
        self.per_minute = per_minute
        second = per_minute / 60
        self.rate = second * (LOW_PACE if second < 1.25 else PACE)  # noqa: PLR2004 - a second's worth is one request
        self.full = 1 + SLACK * (second - 1) if second > 1 else 1.0
        self.level = min(self.level, self.full)

    def flow(self, now: float) -> None:
        """Let flow in what came since the last look."""
        if self.seen is None or now <= self.seen:
            self.seen = self.seen or now
            return
        if self.share < 1:
            self.share = min(1.0, self.share * REGROWTH ** ((now - self.seen) / REGROWTH_TIME))
        level = self.level + (now - self.seen) * self.rate * self.share
        self.level = min(self.full, level)
        self.seen = now

    def wait(self, now: float, cost: float) -> float:
        """Give the seconds until this much may leave; 0 is now."""
        if now != self.seen:
            self.flow(now)
        missing = (min(self.full, cost)) - self.level
        return missing / (self.rate * self.share) if missing > 1e-9 else 0.0  # noqa: PLR2004 - of rounding

    def put_right(self, amount: float) -> None:
        """Add what was taken too much, or take away what was taken too little."""
        self.shifted += amount
        self.level = min(self.full, self.level + amount)

    def compare(self, expected: float, remaining: float) -> None:
        """Take away what the server does not have: others use the same limit, or it counts differently."""
        if remaining < expected:
            self.put_right(remaining - expected)

    def empty(self) -> None:
        """Begin anew with nothing: the server has refused."""
        if self.level > 0:
            self.put_right(-self.level)

    def slow_down(self) -> None:
        """Halve the rate."""
        self.share /= 2


class Taken(NamedTuple):
    """What one request has taken, of which buckets, and what they were left with."""

    requests: Bucket | None = None
    tokens: Bucket | None = None
    cost: float = 0.0
    left_requests: float = 0.0
    left_tokens: float = 0.0


NOTHING_TAKEN = Taken()


class Pace:
    """The rate of one kind of request: its bucket of requests and that of tokens.

    A bucket that is given is a limit that was set; it may be shared with other paces. Without one, the limit is
    learned from the answers, and None is no limit. Until the first answer, requests leave one a second.
    """

    __slots__ = ("learns_requests", "learns_tokens", "new", "requests", "tokens")

    def __init__(self, requests: Bucket | None = None, tokens: Bucket | None = None) -> None:
        self.learns_requests, self.learns_tokens = requests is None, tokens is None
        self.new = self.learns_requests
        self.requests = Bucket(UNKNOWN) if self.new else requests
        self.tokens = tokens

    @property
    def known(self) -> bool:
        """Say whether a limit is known."""
        return not self.new and (self.requests is not None or self.tokens is not None)

    def wait(self, now: float, cost: float) -> float:
        """Give the seconds until a request with this many tokens may leave."""
        wait = 0.0 if self.requests is None else self.requests.wait(now, 1.0)
        if self.tokens is not None:
            wait = max(wait, self.tokens.wait(now, cost))
        return wait

    def short_of(self, cost: float) -> str:
        """Name the limit for which a request with this many tokens waits; empty where it could leave."""
        if self.new:
            return "the server's first answer"
        for bucket, wanted, what in ((self.requests, 1.0, "requests"), (self.tokens, cost, "tokens")):
            if bucket is not None and bucket.level < min(bucket.full, wanted):
                return f"{bucket.per_minute:,.0f} {what}/min"
        return ""

    def take(self, now: float, cost: float) -> Taken:
        """Take what a request uses; `wait` has said that it is there."""
        if self.requests is None and self.tokens is None:
            return NOTHING_TAKEN
        left_requests = left_tokens = 0.0
        if self.requests is not None:
            if now != self.requests.seen:
                self.requests.flow(now)
            self.requests.level -= 1
            left_requests = self.requests.level - self.requests.shifted
        if self.tokens is not None:
            if now != self.tokens.seen:
                self.tokens.flow(now)
            self.tokens.level -= cost
            left_tokens = self.tokens.level - self.tokens.shifted
        return Taken(self.requests, self.tokens, cost, left_requests, left_tokens)

    def give_back(self, taken: Taken) -> None:
        """Put back what a request took that the server did not count."""
        if taken.requests is not None:
            taken.requests.put_right(1.0)
        if taken.tokens is not None:
            taken.tokens.put_right(taken.cost)

    def settle(self, taken: Taken, used: float | None) -> None:
        """Put right what a request was thought to cost, once it is known."""
        if taken.tokens is not None and used is not None:
            taken.tokens.put_right(taken.cost - used)

    def learn(self, headers: Mapping[str, str], taken: Taken, now: float) -> bool:
        """Take in what an answer's headers say of the limits; give whether they say anything."""
        (limit, remaining), of_tokens = told(headers)
        if self.learns_requests and (self.new or limit is not None):
            if self.new or self.requests is None:
                self.requests = None if limit is None else _new(limit, remaining, now)
            elif limit is not None and limit != self.requests.per_minute:
                self.requests.resize(limit)
            self.new = False
        if remaining is not None and self.requests is not None and taken.requests is self.requests:
            # counted in whole ones
            self.requests.compare(taken.left_requests + self.requests.shifted, remaining + 1)
        has = limit is not None
        limit, remaining = of_tokens
        if self.learns_tokens and limit is not None:
            if self.tokens is None:
                self.tokens = _new(limit, remaining, now)
            elif limit != self.tokens.per_minute:
                self.tokens.resize(limit)
        if remaining is not None and self.tokens is not None and taken.tokens is self.tokens:
            self.tokens.compare(taken.left_tokens + self.tokens.shifted, remaining)
        return has or limit is not None

    def empty(self) -> None:
        """Begin anew with nothing: the server has refused for pace."""
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                bucket.empty()

    def slow_down(self) -> None:
        """Halve the rates that are known."""
        for bucket in (self.requests, self.tokens):
            if bucket is not None:
                bucket.slow_down()


def _new(limit: float, remaining: float | None, now: float) -> Bucket:
    bucket = Bucket(limit, level=remaining)
    bucket.flow(now)
    return bucket
