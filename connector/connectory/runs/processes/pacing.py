"""The limits of a client, kept by several processes as one would keep them."""

from __future__ import annotations

from contextlib import contextmanager
from math import inf
from typing import TYPE_CHECKING

from connectory.events import Listener, ignore
from connectory.limits import NOTHING_TAKEN, Bucket, Pace, Taken
from connectory.pace.crowd import Crowd
from connectory.pace.gate import Gate
from connectory.pace.lanes import Lane, Limits, Visit
from connectory.text.hints import told

if TYPE_CHECKING:
    from collections.abc import Generator, Mapping

    from connectory.retry import Again, Policy, Stop
    from connectory.runs.processes.commons import Cell, Commons

LOOK_AGAIN = 0.1
"""Seconds at most before somebody who waits looks whether another process has learned, or left, something."""

LEASE = 0.02
"""Seconds' worth that a process takes at once where that is more than one request: it looks the less often."""

_UNTOUCHED, _NONE, _BUCKET, _NEW = 0.0, 1.0, 2.0, 3.0
"""What a cell says of a limit: nothing yet; there is none; this is it; it is found out by the first answer."""


class SharedCrowd(Crowd):
    """Bounds the requests under way in this process by its share; all shares together are the bound.

    Who has ended leaves its share to the others.
    """

    __slots__ = ("_commons", "_total")

    def __init__(self, commons: Commons, total: int, *, adapts: bool) -> None:
        self._commons, self._total = commons, total
        super().__init__(commons.share(total), adapts=adapts)

    @property
    def full(self) -> bool:
        """Say whether nobody more may come in."""
        share = self._commons.share(self._total)
        if share != self.most:
            if not self.adapts and self.limit == self.most:
                self.limit = share
            self.most = share
        return self.busy >= min(self.limit, share)


class SharedPace(Pace):
    """The rate of one kind of request, over all processes: the numbers of its buckets lie where all of them look.

    What `wait` finds is taken in the same moment, for the `take` that follows: nobody else gets it in between. Of a
    high rate some more is taken for the requests that come next.
    """

    __slots__ = ("_cells", "_commons", "_emptied", "_epochs", "_leased", "_spare", "_taken")

    def __init__(self, commons: Commons, cells: tuple[Cell, Cell], limits: Limits) -> None:
        per_minute = (limits.requests_per_minute, limits.tokens_per_minute)
        requests, tokens = (Bucket(one) if one else None for one in per_minute)
        super().__init__(requests, tokens)
        self._commons, self._cells = commons, cells
        self._epochs, self._taken = [1.0, 1.0], NOTHING_TAKEN
        self._spare, self._leased, self._emptied = [0.0, 0.0], NOTHING_TAKEN, (0.0, 0.0)
        with commons.held():
            known = [cell.read()[0] != _UNTOUCHED for cell in cells]
            self._store([not one for one in known], (self.requests, self.tokens))

    def wait(self, now: float, cost: float) -> float:
        """Give the seconds until a request may leave, or until it is to be asked again."""
        requests, tokens = (cell.read() for cell in self._cells)
        if requests[0] == tokens[0] == _NONE:
            self._taken = NOTHING_TAKEN
            return 0.0
        spare = self._spare
        if spare[0] >= 1 and spare[1] >= cost and self._emptied == (requests[7], tokens[7]):
            spare[0] -= 1
            spare[1] -= cost
            self._taken = self._leased._replace(cost=cost)
            return 0.0
        with self._held():
            wait = super().wait(now, cost)
            if wait == 0.0:
                self._taken = super().take(now, cost)
                self._lease()
        return min(wait, LOOK_AGAIN)

    def _lease(self) -> None:
        """Take what the next requests will use."""
        found = [
            inf if bucket is None else min(bucket.level, bucket.rate * bucket.share * LEASE)
            for bucket in (self.requests, self.tokens)
        ]
        self._spare = [0.0, 0.0]
        if found[0] < 1 or found[1] <= 0:
            return
        for bucket, amount in zip((self.requests, self.tokens), found, strict=True):
            if bucket is not None:
                bucket.level -= amount
        self._spare, self._leased = found, self._taken
        requests, tokens = (cell.read()[7] for cell in self._cells)
        self._emptied = (requests, tokens)

    def take(self, now: float, cost: float) -> Taken:  # noqa: ARG002 - the same as for one process
        """Give what was taken when `wait` said that it is there."""
        taken, self._taken = self._taken, NOTHING_TAKEN
        return taken

    def give_back(self, taken: Taken) -> None:
        """Put back what a request took that the server did not count."""
        if taken != NOTHING_TAKEN:
            with self._held():
                super().give_back(taken)

    def settle(self, taken: Taken, used: float | None) -> None:
        """Put right what a request was thought to cost."""
        if taken.tokens is not None and used is not None:
            with self._held():
                super().settle(taken, used)

    def learn(self, headers: Mapping[str, str], taken: Taken, now: float) -> bool:
        """Take in what an answer's headers say of the limits."""
        if all(one is None for both in told(headers) for one in both) and self._cells[0].read()[0] != _NEW:
            return False
        with self._held():
            return super().learn(headers, taken, now)

    def empty(self) -> None:
        """Begin anew with nothing, in all processes."""
        with self._held():
            super().empty()
            for cell in self._cells:
                values = cell.read()
                cell.write((*values[:7], values[7] + 1))

    def slow_down(self) -> None:
        """Halve the rates that are known."""
        with self._held():
            super().slow_down()

    @contextmanager
    def _held(self) -> Generator[None, None, None]:
        """See the numbers as they are, change them, and let the others see that."""
        with self._commons.held():
            self._load()
            before = (self.requests, self.tokens)
            yield
            self._store([True, True], before)

    def _load(self) -> None:
        for place, name in enumerate(("requests", "tokens")):
            state, epoch, per_minute, level, seen, share, shifted, _ = self._cells[place].read()
            bucket: Bucket | None = getattr(self, name)
            if state == _NONE:
                bucket = None
            elif bucket is None or epoch != self._epochs[place]:
                bucket = Bucket(per_minute)
            elif bucket.per_minute != per_minute:
                bucket.resize(per_minute)
            if bucket is not None:
                bucket.level, bucket.share, bucket.shifted = level, share, shifted
                bucket.seen = None if seen < 0 else seen
            self._epochs[place] = epoch
            setattr(self, name, bucket)
            if name == "requests":
                self.new = state == _NEW

    def _store(self, wanted: list[bool], before: tuple[Bucket | None, Bucket | None]) -> None:
        for place, bucket in enumerate((self.requests, self.tokens)):
            if not wanted[place]:
                continue
            if (
                bucket is not before[place]
            ):  # another limit than before: what was taken of that is no matter here
                self._epochs[place] += 1
            epoch, emptied = self._epochs[place], self._cells[place].read()[7]
            if bucket is None:
                self._cells[place].write((_NONE, epoch, 0, 0, 0, 0, 0, emptied))
                continue
            state = _NEW if self.new and not place else _BUCKET
            seen = -1.0 if bucket.seen is None else bucket.seen
            numbers = (bucket.per_minute, bucket.level, seen, bucket.share, bucket.shifted)
            self._cells[place].write((state, epoch, *numbers, emptied))


class SharedLane(Lane):
    """The requests that the server counts together, in all processes: when it refuses one, all of them wait."""

    def __init__(self, pace: Pace, pause: Cell) -> None:
        super().__init__(pace)
        self._pause = pause

    def hear(self) -> None:
        """Wait as long as any process was told to."""
        self.not_before = max(self.not_before, self._pause.read()[0])

    def tell(self) -> None:
        """Let the others wait as well."""
        values = self._pause.read()
        self._pause.write((max(values[0], self.not_before), *values[1:]))


class SharedGate(Gate):
    """Lets a client's requests out, one gate in each process: rate, number and pauses are those of one.

    `most` requests are under way at once in all processes together. Whether the server is away each finds out for
    itself.
    """

    def __init__(
        self,
        policy: Policy,
        limits: Limits,
        *,
        commons: Commons,
        name: str,
        most: int,
        listen: Listener = ignore,
    ) -> None:
        super().__init__(policy, limits, listen=listen, name=name)
        self.crowd = SharedCrowd(commons, most, adapts=limits.concurrency is None)
        self._commons, self._limits = commons, limits

    def _lane(self, key: str) -> Lane:
        limits = self._limits
        where = (
            f"{self._name}\nrequests" if limits.requests_per_minute else f"{self._name}\nrequests\n{key}",
            f"{self._name}\ntokens" if limits.tokens_per_minute else f"{self._name}\ntokens\n{key}",
        )
        requests, tokens = (self._commons.cell(one) for one in where)
        pace = SharedPace(self._commons, (requests, tokens), limits)
        return SharedLane(pace, self._commons.cell(f"{self._name}\npause\n{key}"))

    def _wait(self, visit: Visit, now: float) -> float | None:
        if isinstance(visit.lane, SharedLane):
            visit.lane.hear()
        return super()._wait(visit, now)

    def _refused(
        self, visit: Visit, decision: Again, reason: str, now: float, *, slow_down: bool
    ) -> Again | Stop:
        decided = super()._refused(visit, decision, reason, now, slow_down=slow_down)
        if isinstance(visit.lane, SharedLane):
            visit.lane.tell()
        return decided
