"""What a plug-in looks like: sources, sinks, transformers and the journal, as protocols."""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast, runtime_checkable

from connectory.frozen import value
from connectory.listeners.logs import transformers_logger

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Collection, Container, Iterable, Mapping, Sequence
    from logging import Logger
    from pathlib import Path

    from connectory.cost.usage import Tally
    from connectory.errors import RecordError
    from connectory.record import Delivery, Intent, Origin, Record, Result

Position: TypeAlias = Any
"""How far a destination has come, as JSON; None for one that cannot be cut back, such as a pipe."""


Row: TypeAlias = tuple[bytes, bytes]
"""What is noted of an item: the hash of what it is known by, and of what it was; or of a walk, and its mark."""


_VALUES = 1_000_000
"""Values of which a step remembers, where nothing else does, that they were met; the oldest are forgotten then."""

_RUNS = 8
"""Runs of one connection that may be under way in one process, and are remembered apart."""


class Notes(Protocol):
    """What a run has noted of values, while one record passes."""

    def first(self, key: bytes) -> bool:
        """Say whether no record before this one had the value that the key stands for, and note that this one has."""
        ...


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds the record that passes: a transformer that names a parameter of this type is handed it.

    `scope` holds `input` (the record as read), `run` (`id`, `started_at`, `client`), and `parent` where there is one.
    `folder` is that of the configuration; None where it came as data.
    """

    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])
    folder: Path | None = None
    notes: Notes | None = field(default=None, repr=False)

    @property
    def run(self) -> Mapping[str, Any]:
        """The run: its `id`, and `started_at` in epoch seconds; empty where nothing runs."""
        return cast("Mapping[str, Any]", self.scope.get("run") or {})

    @property
    def client(self) -> str:
        """The name of the client that the connection uses; empty where there is none."""
        return str(self.run.get("client", ""))

    @property
    def logger(self) -> Logger:
        """Where a transformer writes what a person should know; no secret passes it."""
        return transformers_logger


class Reader(Protocol):
    """What asks the server for a chain: a transformer that names a parameter of this type is handed it.

    Its requests have the limits, the retries and the token of the connection's client. Equal ones of one run are asked
    once, and their answer is kept as long as there is room.
    """

    def check(self, entity: str, path: Collection[str] | None = None) -> None:
        """Hold an entity, and the names of path parameters, against the catalogue. Raises ConfigError.

        An entity that cannot be read is refused: what a chain asks changes nothing.
        """
        ...

    async def read(
        self,
        entity: str,
        *,
        path: Mapping[str, Any],
        query: Mapping[str, Any],
        most: int | None = None,
        client: str = "",
    ) -> Any:
        """Give what the server says: an object, or the items of a list, of all pages or the first where `most` is None.

        A list of more than `most` items is an error of the record. Raises ApiError for a refusal, RunStoppedError for
        what concerns every record.
        """
        ...


class Memory:
    """What one step remembers from record to record: a transformer that names a parameter of this type is handed it.

    `first` holds over the lives of a run. What `of` gives lives as long as the process: a run that is taken up again
    begins with nothing. `name` tells the step from others of its chain, in every life alike.
    """

    def __init__(self, name: str = "") -> None:
        self._name = name
        self._runs: dict[Any, dict[Any, Any]] = {}

    def first(self, context: Context, value: Any) -> bool:
        """Say whether no record before this one had the value, JSON or not, in this run.

        A record that comes again, because the run was killed before it was done, is told the same again. With a journal
        the disk remembers; without one, memory does, up to a million values.
        """
        text = json.dumps([self._name, value], sort_keys=True, default=str)
        key = blake2b(text.encode("utf-8", "surrogatepass"), digest_size=16).digest()
        if context.notes is not None:
            return context.notes.first(key)
        met = self.of(context)
        if key in met:
            return False
        met[key] = None
        if len(met) > _VALUES:
            del met[next(iter(met))]
        return True

    def of(self, context: Context) -> dict[Any, Any]:
        """Give what is remembered of the run that the record belongs to; the oldest of many runs are forgotten."""
        run: Mapping[str, Any] = context.scope.get("run") or {}
        key = run.get("id")
        if key not in self._runs and len(self._runs) >= _RUNS:
            del self._runs[next(iter(self._runs))]
        return self._runs.setdefault(key, {})


@value(frozen=True, slots=True)
class Item:
    """One thing that a source hands over.

    `position` names the place in the source (a line's number): the same on every reading. `error` stands in
    for a record that could not be read; the raw text is then in `record`. `mark` says, as JSON, where the source goes
    on after this item. `origin` is the delivery that this item repeats, in a replay.
    """

    position: str
    record: Any
    error: RecordError | None = None
    mark: Any = None
    origin: Origin | None = None


class Source(Protocol):
    """Where outgoing records come from."""

    total: int | None

    def __aiter__(self) -> AsyncIterator[Item]: ...

    def resume(self, mark: Any, given: int) -> None:
        """Go on after the `given`-th item, which had this mark."""
        ...

    async def acknowledge(self, item: Item) -> None:
        """Hear that every delivery of this item is done or dead."""
        ...


class NamedSource(Source, Protocol):
    """A source that the configuration or the command line names, so that another process can go on with it."""

    def count(self) -> int | None:
        """Count the records, of which some may be read already; None where nobody can know."""
        ...

    def fingerprint(self) -> Any:
        """Say, as JSON, by what it is known again; None where it may change between two lives of a run."""
        ...

    def keep_in(self, folder: Path) -> None:
        """Hear, before the first record is asked for, where the run keeps its files."""
        ...


class Sink(Protocol):
    """Where items and result lines go.

    A sink that can go on where a broken run ended has a `position` and can `restore` it; derived from this class, the
    others need only `write`, `flush` and `close`: a resumed run then gives them the lines again whose arrival was not
    noted.
    """

    failures: bool = True
    """Whether the lines of failed and skipped records are for it too."""

    @property
    def position(self) -> Position:
        """Say how far everything that was flushed has come."""
        return None

    def restore(self, position: Position) -> bool:
        """Go on from a position, without what came after it; False when that cannot be."""
        return position is None

    def restart(self) -> None:
        """Begin from nothing: everything will be written again."""
        return

    def sync(self) -> None:
        """Make what was flushed outlive the machine's power."""
        return

    async def write(self, lines: Iterable[Any]) -> None:
        """Take JSON values; may keep them in memory until `flush`."""
        ...

    async def flush(self) -> None:
        """Make everything taken so far outlive the process."""
        ...

    async def seal(self) -> None:
        """Flush for the last time; `position` then says all that an interrupted `close` needs to be made good."""
        await self.flush()

    async def close(self) -> None:
        """Flush, put everything in its place and let go of the destination."""
        ...

    async def abandon(self) -> None:
        """Let go of the destination after a run that did not end; who goes on finds what there is."""
        await self.close()


@runtime_checkable
class Refuses(Protocol):
    """A sink that may take the lines of some records and refuse those of others: they become dead letters."""

    async def write_records(self, groups: Sequence[Sequence[Any]]) -> Mapping[int, str]:
        """Write the lines of several records, of each all or none, and flush; say which were refused, and why."""
        ...


@runtime_checkable
class TakesText(Protocol):
    """A sink of JSON Lines, which takes them as they are written already."""

    async def add(self, written: bytes) -> None:
        """Take whole lines; may keep them in memory until `flush`."""
        ...


class Journal(Protocol):
    """What a run must remember: intents before the send, results after it, cursors after the sink's flush.

    Items are counted from 0 in the order of the source; `start` is the first that has to be read again. An item or a
    part is *shown* when its lines are in the output. `started_at` is in epoch seconds, the same in every life.
    """

    run: str
    started_at: int
    counts: dict[str, int]

    @property
    def durable(self) -> bool:
        """Say whether the run can be resumed by another process."""
        ...

    @property
    def life(self) -> int:
        """Count the processes that have worked on the run, this one included."""
        ...

    @property
    def start(self) -> int:
        """Give the number of the first item that has to be read again."""
        ...

    def is_shown(self, seq: int, part: int | None = None) -> bool:
        """Say whether the lines of an item, or of one part of it, are in the output."""
        ...

    def shown_parts(self, seq: int) -> Container[int]:
        """Give the parts of an item whose lines are in the output while others are not; nearly always none."""
        ...

    def recall(self, delivery: Delivery) -> Result | None:
        """Give the result that an earlier life got and did not show, without its record; `begun` is no end yet."""
        ...

    @property
    def doubtful(self) -> int:
        """Count the requests that were under way when an earlier life ended, and have no outcome yet."""
        ...

    def doubt(self, delivery: Delivery) -> Intent | None:
        """Give the intent that an earlier life left without an outcome."""
        ...

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        """Note, before the first byte leaves, that the delivery is about to be sent."""
        ...

    async def intend_pack(self, deliveries: Sequence[Delivery], body_hash: str, pack: str) -> None:
        """Note, all at once, that these deliveries are about to be sent in one request; `pack` is its key."""
        ...

    def companions(self, pack: str) -> int:
        """Count the deliveries that an earlier life left under way in that request."""
        ...

    async def flush(self) -> None:
        """Wait until everything that was noted is written, the counts too."""
        ...

    async def begin(self, delivery: Delivery, result: Result) -> None:
        """Note what a delivery has created, before anybody waits for its end: it is never created again."""
        ...

    async def record(self, delivery: Delivery, result: Result) -> None:
        """Note what became of a delivery: from here on it is never bought again."""
        ...

    async def record_pack(self, settled: Sequence[tuple[Delivery, Result]]) -> None:
        """Note what became of the deliveries of one request, in one piece."""
        ...

    def withdraw(self, delivery: Delivery) -> None:
        """Forget an intent whose answer was a refusal that is not to count: the delivery stays pending."""
        ...

    def leave(self, delivery: Delivery) -> None:
        """Hear that a delivery stays pending until the run is taken up again."""
        ...

    def read(self, seq: int, mark: Any) -> None:
        """Note where the source goes on after an item."""
        ...

    def show(self, delivery: Delivery, result: Result) -> None:
        """Note that the lines of a delivery are in the output."""
        ...

    def close_item(self, seq: int, *, dead: bool) -> None:
        """Note that all parts of an item are in the output."""
        ...

    def count(self, name: str, amount: int = 1) -> None:
        """Add to one of the run's counts: `done` and `dead` items, and the requests that a budget counts."""
        ...

    def account(self) -> Tally:
        """Add up, from here on, what was used in all lives of the run."""
        ...

    def set_total(self, total: int) -> None:
        """Note how many items the source has: all were read."""
        ...

    def place(self, output: Position, dead: Position) -> None:
        """Note how far the output and the dead letters have come."""
        ...

    async def commit(self, stream: str, cursor: Any, *, drop: str = "", seen: Sequence[Row] = ()) -> None:
        """Note that everything of `stream` before `cursor` is in the sink, and what was `seen` of it.

        Streams whose names begin with `drop` are forgotten: they belonged to what is done now.
        """
        ...

    def cursor(self, stream: str) -> Any:
        """Give the last committed cursor of a stream, or None."""
        ...


class Past(Protocol):
    """What earlier runs of an incoming gave, and how far they came."""

    def has(self, keys: Sequence[str], body: bytes | None) -> bool:
        """Say whether an item was given, with this body unless that is None."""
        ...

    def mark(self, keys: Sequence[str]) -> Any:
        """Give the mark that the earlier runs have come to; None before there is one."""
        ...


class Step(Protocol):
    """One built transformer: its options are set and checked."""

    @property
    def name(self) -> str:
        """The name it has in messages; a step of a named chain has the chain's name before it."""
        ...

    def __call__(self, record: Record, context: Context) -> Iterable[Record]:
        """Give the records that this one becomes: none, one or many."""
        ...
