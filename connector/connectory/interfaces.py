"""What a plug-in looks like: sources, sinks, transformers and the journal, as protocols."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterable, Mapping

    from connectory.errors import RecordError
    from connectory.record import Delivery, Record, Result


@dataclass(frozen=True, slots=True)
class Context:
    """What surrounds the record that passes: a transformer that names a parameter of this type is handed it.

    `scope` holds `input` (the record as read), `run` (`id`, `started_at`), and `parent` where there is one.
    """

    scope: Mapping[str, Any] = field(default_factory=dict[str, Any])


@dataclass(frozen=True, slots=True)
class Item:
    """One thing that a source hands over.

    `position` names the place in the source (a line's number): the same on every reading. `error` stands in
    for a record that could not be read; the raw text is then in `record`.
    """

    position: str
    record: Any
    error: RecordError | None = None


class Source(Protocol):
    """Where outgoing records come from."""

    total: int | None

    def __aiter__(self) -> AsyncIterator[Item]: ...

    async def acknowledge(self, item: Item) -> None:
        """Hear that every delivery of this item is done or dead."""
        ...


class Sink(Protocol):
    """Where items and result lines go."""

    async def write(self, lines: Iterable[Any]) -> None:
        """Take JSON values; may keep them in memory until `flush`."""
        ...

    async def flush(self) -> None:
        """Make everything taken so far outlive the process."""
        ...

    async def close(self) -> None:
        """Flush and let go of the destination."""
        ...


class Journal(Protocol):
    """What a run must remember: intents before the send, results after it, cursors after the sink's flush."""

    run: str

    def is_done(self, delivery: Delivery) -> bool:
        """Say whether an earlier attempt at this run has settled the delivery."""
        ...

    async def intend(self, delivery: Delivery, body_hash: str) -> None:
        """Note, before the first byte leaves, that the delivery is about to be sent."""
        ...

    async def record(self, delivery: Delivery, result: Result) -> None:
        """Note what became of a delivery: from here on it is never bought again."""
        ...

    async def commit(self, stream: str, cursor: Any) -> None:
        """Note that everything of `stream` before `cursor` is in the sink."""
        ...

    def cursor(self, stream: str) -> Any:
        """Give the last committed cursor of a stream, or None."""
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
