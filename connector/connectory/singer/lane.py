"""The way of records to one outgoing: through a file of the run, so that what a tap sends again is known again."""

from __future__ import annotations

import asyncio
from collections import Counter
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, TypeAlias

from connectory.adapters.spool import Spool, SpoolSource
from connectory.errors import ConfigError, RunStoppedError
from connectory.interfaces import Sink
from connectory.reading.subscription import hashed
from connectory.record import Delivery
from connectory.runs.running import ending, refuse_left, take_up
from connectory.text.json import dumps

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from connectory.interfaces import Item
    from connectory.journal import Run
    from connectory.publisher import Publisher
    from connectory.record import Record

Place: TypeAlias = tuple[int, int, int]
"""How many records there are; of how many a state speaks; how many came, again or for the first time."""

SPOOL = "records.jsonl"
"""The file in a run's folder that holds the records as they came."""

_POINTS = "states"
_MOST_POINTS = 32
"""States that are remembered with the number of records before them: a host may not have kept the last one."""

MOST_AHEAD = 10_000
"""Records that are taken and not settled: more would only use room, and let the acknowledged state fall behind."""


class UnacknowledgedError(RunStoppedError):
    """The messages ended amid records that no STATE speaks of: the run goes on when the tap sends them again."""


class Lane:
    """A run of an outgoing, and the records that it is given.

    In a run that is taken up, records behind the state from which the tap goes on are in the file already. They are
    known by what they hold, as often as they are there, and not taken a second time: so it is the run's own journal
    that says what is to be sent. `power`: a record is on the disk before it is given to anybody.
    """

    def __init__(
        self,
        name: str,
        run: Run,
        publisher: Publisher,
        *,
        sinks: tuple[Sink, Sink],
        changed: Callable[[], None],
        power: bool = False,
    ) -> None:
        self.name, self.run, self.publisher = name, run, publisher
        self.given = 0
        self.settled = False
        (self._sink, self.dead_letters), self._changed = sinks, changed
        self._spool = Spool(run.folder / SPOOL)
        self._settled_below = run.journal.start
        self._taken = self._told_of = 0
        self._repeated = Counter[bytes]()
        self._room = asyncio.Event()
        self._points: list[list[Any]] = run.journal.cursor(_POINTS) or []
        self._bounded = publisher.publication.batch is None
        self._power = power

    def open(self, begins_with: str | None) -> None:
        """Take up what the file of an earlier life holds; `begins_with` is the hash of the tap's first state."""
        point = next((one for one in reversed(self._points) if one[0] == begins_with), None)
        point = point or (self._points[-1] if self._points else None)
        spoken_of = point[1] if point else 0
        size = 0
        with self._spool.path.open("rb") as file:
            for line in file:
                if not line.endswith(b"\n"):  # cut off as it was written
                    break
                size += len(line)
                self.given += 1
                if self.given > spoken_of:
                    self._repeated[_known_by(line[:-1])] += 1
        self._refuse_shortened()
        self._spool.sink.restore({**self._spool.sink.position, "bytes": size})
        self._spool.reach(self._spool.sink.position)

    def _refuse_shortened(self) -> None:
        """Refuse to go on where records are gone that the run has dealt with: others would stand in their place."""
        journal = self.run.journal
        for seq in range(self.given, self.given + MOST_AHEAD):
            one = Delivery(journal.run, str(seq + 1), seq=seq)
            if journal.is_shown(seq) or journal.recall(one) is not None:
                raise ConfigError(
                    f"the unfinished run {journal.run} cannot go on: its file {str(self._spool.path)!r} is not what it "
                    "was; start anew with --new, then the tap's records after its state are sent again"
                )

    async def take(self, record: Record) -> None:
        """Take a record, unless the run has it from an earlier life. Waits while too many are not settled."""
        name = _known_by(dumps(record))
        self._taken += 1
        if self._repeated[name]:
            self._repeated[name] -= 1
            return
        while (
            self._bounded
            and self.given - self._settled_below >= MOST_AHEAD
            and not self.reached(self.given - MOST_AHEAD + 1)
        ):
            self._room.clear()
            await self._room.wait()
        await self._spool.sink.write([record])
        await self._spool.sink.flush()
        if self._power:  # what the journal knows of must not be missing here
            await asyncio.to_thread(self._spool.sink.sync)
        self.given += 1
        self._spool.reach(self._spool.sink.position)

    async def abandon(self) -> None:
        """Let go of the run of a lane that could not be opened."""
        try:
            await self._spool.sink.abandon()
        finally:
            await self.run.aclose()

    def end(self) -> None:
        """Say that no record follows."""
        self._spool.end()

    def reached(self, number: int) -> bool:
        """Say whether that many records, the first ones, are done or set aside."""
        while self._settled_below < number and self.run.journal.is_shown(self._settled_below):
            self._settled_below += 1
        return self._settled_below >= number

    @property
    def place(self) -> Place:
        """Say how far the lane is: a state that comes now does not speak of the records that have not come again."""
        return self.given, self.given - self._repeated.total(), self._taken

    async def note(self, state: str, place: Place) -> None:
        """Write down of how many records a state speaks, together with all that is known of them."""
        _, spoken_of, self._told_of = place
        self._points = [*self._points[-_MOST_POINTS:], [state, spoken_of]]
        await self.run.journal.commit(_POINTS, self._points)

    @property
    def unspoken(self) -> int:
        """Count the records that came after the last state that was told."""
        return self._taken - self._told_of

    async def deliver(self, told: asyncio.Event, *, broken: Callable[[Lane], bool]) -> None:
        """Send what is not done yet; the run ends when every state was `told`, unless the tap `broken` off."""
        source = _Source(self._spool, self._heard)
        try:
            await self._deliver(source, told, broken)
        finally:
            await self._spool.sink.abandon()
        self._spool.path.unlink(missing_ok=True)

    async def _deliver(self, source: _Source, told: asyncio.Event, broken: Callable[[Lane], bool]) -> None:
        run, sink, dead_letters = self.run, self._sink, self.dead_letters
        async with ending(run, sink, dead_letters):
            take_up(run, sink, dead_letters)
            if run.journal.state.mark is not None:
                source.resume(run.journal.state.mark, run.journal.start)
            await self.publisher.run(source, sink, dead_letters)
            refuse_left(self.publisher.left)
            self.settled = True
            self._changed()
            await told.wait()
            if broken(self):
                raise UnacknowledgedError(
                    f"outgoing {self.name!r}: the messages ended with {self.unspoken} records after the last STATE, so "
                    "the tap broke off; they are done, and will not be done again when it sends them again"
                )

    def _heard(self) -> None:
        self._room.set()
        self._changed()


class _Source(SpoolSource):
    """The records of a lane's file, which tells when one is settled."""

    def __init__(self, spool: Spool, heard: Callable[[], None]) -> None:
        super().__init__(spool)
        self._heard = heard

    async def acknowledge(self, item: Item) -> None:  # noqa: ARG002 - the journal knows which ones are
        """Tell that an item is settled."""
        self._heard()


class Nowhere(Sink):
    """The output of an outgoing that names none: its results are in the run's journal, and stdout is for states."""

    failures = False

    async def write(self, lines: Iterable[Any]) -> None:
        """Take the lines of results."""

    async def flush(self) -> None:
        """Need nothing."""

    async def close(self) -> None:
        """Need nothing."""


def state_hash(value: Any) -> str:
    """Give by what a state is known again."""
    return hashed(value).hex()


def _known_by(text: bytes) -> bytes:
    return blake2b(text, digest_size=16).digest()
