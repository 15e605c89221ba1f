"""The journal of a run on disk: intents before a request leaves, outcomes at once, everything else in groups."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from connectory.errors import StorageError
from connectory.journal.committing import Committer
from connectory.journal.intents import INTENTS, Intents
from connectory.journal.intervals import Intervals
from connectory.journal.log import LOG, ResultsLog
from connectory.journal.marks import Marks
from connectory.journal.mending import MOST_UNDER_WAY
from connectory.journal.recalled import Recalled
from connectory.journal.store import DATABASE, Change, State, Store
from connectory.journal.using import Use
from connectory.record import Intent

if TYPE_CHECKING:
    from collections.abc import Callable, Container, Iterator, Sequence
    from pathlib import Path

    from connectory.cost.usage import Tally
    from connectory.interfaces import Position, Row
    from connectory.journal.known import Known
    from connectory.record import Delivery, Result

_KEPT = ("output", "dead", "seq", "mark", "total", "finished")


class DiskJournal:
    """What a run remembers, in a folder of its own.

    Opening it begins a new life of the run: what the results log holds beyond the last transaction is taken over, and
    deliveries that were under way are in doubt. `shown` are the items whose lines are all in the output: they are not
    read again. `power`: what is promised must also outlive the machine's power, so each group waits for the disk.
    `make_room` is called when the disk is full; after that nothing more is begun. `on_commit` hears how far the output
    is known to have come.

    Raises DamagedError when the database cannot be read; `mending.repair` makes it again from the results log.
    """

    durable = True

    def __init__(self, folder: Path, run: str, *, started_at: int = 0, power: bool = False) -> None:
        self.folder, self.run, self.started_at, self._power = folder, run, started_at, power
        self._store, self._log = Store(folder / DATABASE, power=power), ResultsLog(folder / LOG)
        self._intents = Intents(folder / INTENTS)
        self._committer = Committer(self._snapshot, self._write, self._written, self._failed)
        self.state = State()
        self.counts: dict[str, int] = {}
        self._shown = Intervals()
        self._parts: dict[int, dict[int, bool]] = {}
        self._marks = Marks()
        self._unshown = dict[tuple[int, int], int]()
        self._left: int | None = None
        self._recalled = Recalled()
        self._doubts: dict[str, Intent] = {}
        self._settled = list[str]()
        self._cursors, self._moved = dict[str, Any](), dict[str, Any]()
        self._companions = Counter[str]()
        self._seen: list[Row] = []
        self._full: StorageError | None = None
        self.on_commit: Callable[[Position], None] = _nothing
        self.make_room: Callable[[], None] = _nothing
        self._known: Known | None = None
        self._syncing: list[Callable[[], None]] = []

    def open(self, *, make: bool) -> None:
        """Open the files, take over what an earlier life left, and begin the next one."""
        self._store.open(make=make)
        try:
            self.state, self._cursors = self._store.load()
            self._log.open()
            self._doubts = {intent.key: intent for intent in self._intents.open()}
            self._adopt()
            self._companions = Counter(one.pack for one in self._doubts.values())
            self.state.life += 1
            begun = {"life": self.state.life, "doubt_below": self.state.doubt_below, "finished": False}
            self._store.commit(Change({**begun, "counts": self.counts, "log_end": self._log.length}))
        except BaseException:
            self.close()
            raise

    @property
    def life(self) -> int:
        """Count the processes that have worked on the run, this one included."""
        return self.state.life

    @property
    def start(self) -> int:
        """Give the number of the first item that has to be read again."""
        return self.state.seq

    @property
    def begun(self) -> bool:
        """Say whether any delivery of the run was under way, in this life or an earlier one."""
        return bool(self._log.length or self._doubts)

    @property
    def doubtful(self) -> int:
        """Count the requests that were under way when an earlier life ended, and have no outcome yet."""
        return len({one.pack or one.key for one in self._doubts.values()})

    def is_shown(self, seq: int, part: int | None = None) -> bool:
        """Say whether the lines of an item, or of one part of it, are in the output."""
        if seq in self._shown:
            return True
        return part is not None and part in self._parts.get(seq, ())

    def shown_parts(self, seq: int) -> Container[int]:
        """Give the parts of an item whose lines are in the output while others are not; nearly always none."""
        return self._parts.get(seq, ())

    def recall(self, delivery: Delivery) -> Result | None:
        """Give the result that an earlier life bought and did not show, without its record."""
        offset = self._recalled.get(delivery.seq, delivery.part)
        return None if offset is None else self._log.entry(offset).result()

    def doubt(self, delivery: Delivery) -> Intent | None:
        """Give the intent that an earlier life left without an outcome."""
        earlier = self._doubts.get(delivery.key)
        lost = earlier is None and delivery.seq < self.state.doubt_below
        return Intent(delivery.key, delivery.seq, delivery.part, "", 1) if lost else earlier

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        """Write that a delivery is about to be sent; with `power`, wait until the disk has it."""
        if self._full is not None:
            raise self._full
        self._intents.note(self._intent(delivery, body_hash))
        if self._power:
            await self._committer.commit()

    async def intend_pack(self, deliveries: Sequence[Delivery], body_hash: str, pack: str) -> None:
        """Write that deliveries are about to be sent in one request; with `power`, wait until the disk has it."""
        if self._full is not None:
            raise self._full
        self._intents.note_pack([self._intent(one, body_hash, pack) for one in deliveries])
        if self._power:
            await self._committer.commit()

    def companions(self, pack: str) -> int:
        """Count the deliveries that an earlier life left under way in that request."""
        return self._companions[pack]

    async def begin(self, delivery: Delivery, result: Result) -> None:
        """Write to the results log what a delivery has created: later lives wait for it, and never create it again."""
        await self.record(delivery, replace(result, status="begun"))

    async def record(self, delivery: Delivery, result: Result) -> None:
        """Write what became of a delivery to the results log: from here on it is never bought again."""
        try:
            start = self._log.append(delivery, self.life, result)
        except StorageError as error:  # what is under way is paid for: the ballast makes room for it
            self._full = self._full or error
            self.make_room()
            start = self._log.append(delivery, self.life, result)
        self._written_down(delivery, start)

    async def record_pack(self, settled: Sequence[tuple[Delivery, Result]]) -> None:
        """Write what became of the deliveries of one request to the results log, in one piece."""
        try:
            starts = self._log.extend(settled, self.life)
        except StorageError as error:
            self._full = self._full or error
            self.make_room()
            starts = self._log.extend(settled, self.life)
        for (delivery, _), start in zip(settled, starts, strict=True):
            self._written_down(delivery, start)

    def withdraw(self, delivery: Delivery) -> None:
        """Forget an intent whose answer was a refusal that is not to count: the delivery stays pending."""
        self._intents.withdraw(delivery.key)
        self._doubts.pop(delivery.key, None)

    def leave(self, delivery: Delivery) -> None:
        """Keep the log from where it tells of a delivery that stays pending: the next life reads it there."""
        start = self._unshown.pop((delivery.seq, delivery.part), None)
        if start is not None:  # one number for all of them, however many there are
            self._left = start if self._left is None else min(self._left, start)
            self._recalled.put(delivery.seq, delivery.part, start)

    def read(self, seq: int, mark: Any) -> None:
        """Note where the source goes on after an item."""
        self._marks.note(seq, mark)
        if seq < self._shown.reach:
            self._advance()

    def show(self, delivery: Delivery, result: Result) -> None:
        """Note that the lines of a delivery are in the output."""
        self._unshown.pop((delivery.seq, delivery.part), None)
        self._parts.setdefault(delivery.seq, {})[delivery.part] = result.error is not None
        self.counts[result.status] = self.counts.get(result.status, 0) + 1
        self._committer.touch()

    def close_item(self, seq: int, *, dead: bool) -> None:
        """Note that all parts of an item are in the output."""
        if not self._shown.add(seq):
            return
        dead = dead or True in self._parts.pop(seq, {}).values()
        name = "dead" if dead else "done"
        self.counts[name] = self.counts.get(name, 0) + 1
        self._advance()

    def count(self, name: str, amount: int = 1) -> None:
        """Add to one of the run's counts."""
        self.counts[name] = self.counts.get(name, 0) + amount

    def account(self) -> Tally:
        """Add up what results use from here on, and what those in the log have used until now."""
        return self._log.account(self.state.used)

    def place(self, output: Position, dead: Position) -> None:
        """Note how far the output and the dead letters have come."""
        self.state.output, self.state.dead = output, dead

    def set_total(self, total: int) -> None:
        """Note how many items the source has."""
        self.state.total = total

    async def commit(self, stream: str, cursor: Any, *, drop: str = "", seen: Sequence[Row] = ()) -> None:
        """Note how far a stream has come and what was seen of it, and wait until that is written."""
        for gone in [name for name in self._cursors if drop and name.startswith(drop)]:
            del self._cursors[gone]
            self._moved[gone] = None
        self._seen += seen
        self._cursors[stream] = self._moved[stream] = cursor
        await self._committer.commit()

    def cursor(self, stream: str) -> Any:
        """Give how far a stream has come."""
        return self._cursors.get(stream)

    def forget_cursors(self) -> None:
        """Forget how far the streams have come: everything is read again."""
        self._moved = dict.fromkeys(self._cursors)
        self._cursors.clear()
        self._store.commit(Change({}, unsee=True))  # at once: it would count as given
        self.counts.clear()
        self.state.output = None

    def note(self, row: Row) -> None:
        """Write a note with the next transaction."""
        self._seen.append(row)

    def noted(self, key: bytes) -> bytes | None:
        """Give what was noted under a key."""
        return self._store.seen(key)

    def all_seen(self) -> Iterator[Sequence[Row]]:
        """Give all notes of this run."""
        return self._store.all_seen()

    def remember(self, known: Known) -> None:
        """Write what is noted in a table of answered records before each transaction."""
        self._known = known

    def guard(self, sync: Callable[[], None]) -> None:
        """With `power`: call this before each transaction, to make a file outlive the machine's power."""
        self._syncing.append(sync)

    async def flush(self) -> None:
        """Wait until everything that was noted is written, the counts too."""
        await self._committer.commit()

    async def finish(self) -> None:
        """Note that the run is at its end."""
        self.state.finished = True
        await self._committer.commit()

    async def aclose(self) -> None:
        """Write what is left, and close the files."""
        try:
            await self._committer.aclose()
        finally:
            self.let_go()

    def let_go(self) -> None:
        """Close the files, and the table of what earlier runs had answered."""
        self.close()
        if self._known is not None:
            self._known.close()

    def close(self) -> None:
        """Close the files."""
        self._log.close()
        self._intents.close()
        self._store.close()

    def show_again(self) -> None:
        """Forget what is in the output: all of it is made again from the results log, and nothing is sent for it."""
        for name in ("ok", "error", "skipped", "done", "dead"):
            self.counts.pop(name, None)
        self._shown, self._parts, self._recalled = Intervals(), {}, Recalled()
        self._unshown.clear()
        begin = State()
        beginning = {name: getattr(begin, name) for name in ("log_from", "output", "dead", "seq", "mark")}
        self.state = replace(self.state, **beginning)
        self._index(0)

    def _advance(self) -> None:
        """Move the place from which the source is read again over everything that is shown."""
        if (passed := self._marks.passed(self._shown.reach)) is not None:
            seq, self.state.mark = passed
            self.state.seq = seq + 1

    def _adopt(self) -> None:
        state = self.state
        self.counts = dict(state.counts)
        self._shown = Intervals(state.shown)
        self._parts = {
            int(seq): {int(part): dead for part, dead in parts.items()} for seq, parts in state.parts.items()
        }
        for intent in [one for one in self._doubts.values() if self.is_shown(one.seq, one.part)]:
            del self._doubts[intent.key]  # its outcome lies before what is read of the log
            self._intents.forget(intent.key)
        known_end, lost = state.log_end, self._log.length < state.log_end
        end = max(self._shown.end, self._index(state.log_from, counted=known_end))
        if lost:  # with the machine's power, or by hand: who had a result there has none now
            state.doubt_below = max(state.doubt_below, end + MOST_UNDER_WAY)

    def _index(self, start: int, *, counted: int | None = None) -> int:
        """Find the results that are not shown, and what the counts do not know; give where the items end."""
        self._recalled, end, use = Recalled(self.state.seq), 0, Use(self.count, intended=1)
        for entry in self._log.scan(start):
            end = max(end, entry.seq + 1)
            if counted is not None and "requests" in self.counts:
                (use.add if entry.start >= counted else use.pass_over)(entry)
            if self.is_shown(entry.seq, entry.part):
                continue
            self._recalled.put(entry.seq, entry.part, entry.start)
            self._unshown.pop((entry.seq, entry.part), None)
            self._unshown[entry.seq, entry.part] = entry.start
            if self._doubts.pop(entry.key, None) is not None:
                self._intents.forget(entry.key)
        return end

    def _intent(self, delivery: Delivery, body_hash: str, pack: str = "") -> Intent:
        earlier = self.doubt(delivery) if self._doubts or self.state.doubt_below else None
        lives = earlier.lives if earlier else 0
        return Intent(delivery.key, delivery.seq, delivery.part, body_hash, lives + 1, pack)

    def _written_down(self, delivery: Delivery, start: int) -> None:
        place = delivery.seq, delivery.part
        self._unshown.pop(place, None)  # its place is the end
        self._unshown[place] = start
        if self._doubts:
            self._doubts.pop(delivery.key, None)
        if self._power:  # the outcome may still be lost, and then this delivery is in doubt
            self._settled.append(delivery.key)
        else:
            self._intents.forget(delivery.key)
        self._committer.touch()

    def _snapshot(self) -> Change:
        # In the order of the log, unless a delivery was logged twice; then the earlier one is what counts.
        log_from = next(iter(self._unshown.values()), self._log.length)
        change = Change(
            {
                "shown": self._shown.pack(),
                "parts": {str(seq): dict(parts) for seq, parts in self._parts.items()},
                "log_from": log_from if self._left is None else min(log_from, self._left),
                "log_end": self._log.length,
                "counts": dict(self.counts),
                **{name: getattr(self.state, name) for name in _KEPT},
                **self._log.used(),
            },
            list(self._moved.items()),
            self._known.take() if self._known else (),
            self._seen,
            settled=self._settled,
        )
        self._moved, self._seen, self._settled = {}, [], []
        return change

    def _write(self, change: Change) -> None:
        if self._power:
            self._log.sync()
            self._intents.sync()
            for sync in self._syncing:
                sync()
        try:
            self._store_away(change)
        except StorageError as error:
            self._full = self._full or error
            self.make_room()
            self._store_away(change)

    def _written(self, change: Change) -> None:
        for key in change.settled:
            self._intents.forget(key)
        self.on_commit(change.state["output"])

    def _failed(self, change: Change) -> None:
        """Note again what could not be written."""
        self._settled[:0] = change.settled
        self._moved = {**dict(change.cursors), **self._moved}
        self._seen[:0] = change.seen
        if self._known is not None:
            self._known.give_back(change.known)

    def _store_away(self, change: Change) -> None:
        if self._known is not None and change.known:
            self._known.write(change.known)
        self._store.commit(change)


def _nothing(*_: object) -> None:
    """Nobody wants to know."""
