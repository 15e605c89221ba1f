"""What is known about the batches of a run: one durable value, so that what belongs together changes together."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any, Literal

if TYPE_CHECKING:
    from connectory.interfaces import Journal

STREAM = "batch"
"""Its name among the cursors of the journal."""

State = Literal["open", "written", "uploading", "uploaded", "creating", "created", "closed"]


@dataclass(slots=True)
class Lot:
    """The requests of one input file, which become one batch.

    `attempt` counts how often its requests are sent; `batches` the batches that were created of it: one that is refused
    for the tokens that wait already is no attempt. `state` is what is known: `uploading` and `creating` are intents,
    written before the request leaves. `ended` is the last state of its batch. `doubt`: the server may have made another
    batch. `lonely` counts refusals for tokens while no other batch of this run was under way.
    """

    number: int
    model: str
    attempt: int = 1
    state: State = "open"
    requests: int = 0
    size: int = 0
    inputs: int = 0
    file: str | None = None
    batch: str | None = None
    batches: int = 0
    ended: str = ""
    doubt: bool = False
    lonely: int = 0


class Ledger:
    """The lots of a run, and how far its source is spooled.

    `records` are the lines of the items' file, `items` its bytes; the source is read again after item `seq`, which had
    this `mark`. `whole`: it is at its end. `cancelled`: nothing more is sent. `over`: every line is in the output, and
    the files are gone.
    """

    def __init__(self, journal: Journal) -> None:
        self._journal = journal
        known: dict[str, Any] = journal.cursor(STREAM) or {}
        self.lots = [Lot(**one) for one in known.get("lots", ())]
        self.records: int = known.get("records", 0)
        self.items: int = known.get("items", 0)
        self.seq: int = known.get("seq", 0)
        self.mark: Any = known.get("mark")
        self.whole: bool = known.get("whole", False)
        self.cancelled: bool = known.get("cancelled", False)
        self.over: bool = known.get("over", False)

    def new(self, model: str, *, attempt: int = 1) -> Lot:
        """Make the lot that comes next; it counts once it is among `lots`."""
        return Lot(len(self.lots) + 1, model, attempt)

    def forget(self) -> None:
        """Begin anew: the files are gone, and what was bought is in the results log."""
        self.lots.clear()
        self.records = self.items = self.seq = 0
        self.mark, self.whole, self.over = None, False, False

    def as_dict(self) -> dict[str, Any]:
        """Give everything as JSON."""
        return {
            "lots": [asdict(one) for one in self.lots],
            "records": self.records,
            "items": self.items,
            "seq": self.seq,
            "mark": self.mark,
            "whole": self.whole,
            "cancelled": self.cancelled,
            "over": self.over,
        }

    async def commit(self) -> None:
        """Wait until all of it is written."""
        await self._journal.commit(STREAM, self.as_dict())
