"""Dead letters as a source: records that were set aside, to be sent again or shaped anew under their own keys."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

from connectory.adapters.jsonl import LineSource
from connectory.errors import RecordError
from connectory.interfaces import Item
from connectory.record import Origin, Result
from connectory.text.json import loads

if TYPE_CHECKING:
    from collections.abc import Mapping

    from connectory.formats.lines import Line
    from connectory.record import Record

SHAPED = frozenset({"accept", "result", "work"})
"""Classes of failure of which the request was done: only its answer, or what it created, was not as it should be."""

NEEDED = ("run", "connection", "position", "part", "record", "error")


@dataclass(frozen=True, slots=True)
class Selection:
    """Which dead letters a replay takes.

    `results`: those whose answer was paid for, to shape it anew. `classes`: those of these classes of failure, whatever
    became of them. Else those of which no answer came; what may have been done only with `in_doubt`.
    """

    results: bool = False
    classes: frozenset[str] = frozenset()
    in_doubt: bool = False

    def takes(self, line: Mapping[str, Any]) -> bool:
        """Say whether a dead letter is taken."""
        kind, paid = line["error"].get("class"), line.get("response") is not None
        if self.results:
            return paid and kind in (self.classes or SHAPED)
        if self.classes:
            return kind in self.classes
        return not paid and (self.in_doubt or not line.get("in_doubt"))


class DeadLetterSource(LineSource):
    """Read dead letters; with `results` the answers that were paid for are handed on with them."""

    results = False

    def _item(self, line: Line, mark: Any) -> Item:
        letter = read_letter(line.text, line.number)
        origin = Origin(letter["run"], letter.get("index", 0), letter["part"])
        if self.results:
            origin = Origin(origin.run, origin.index, origin.part, _paid(letter))
        record = letter["record"]
        if isinstance(record, dict):
            return Item(letter["position"], cast("Record", record), None, mark, origin)
        error = RecordError(
            "the record could not be read; mend it in the file of dead letters, and replay that file"
        )
        return Item(letter["position"], record, error, mark, origin)


def read_letter(line: bytes, number: int) -> Record:
    """Read a line of dead letters. Raises RecordError for what is none."""
    letter = loads(line)
    if not isinstance(letter, dict) or any(name not in letter for name in NEEDED):
        raise RecordError(f"line {number} is no dead letter")
    return cast("Record", letter)


def _paid(letter: Record) -> Result:
    return Result(
        index=letter.get("index", 0),
        id=str(letter.get("id", letter["position"])),
        status="ok",
        http_status=letter.get("http_status"),
        request_id=letter.get("request_id"),
        attempts=letter.get("attempts", 0),
        in_doubt=letter.get("in_doubt", False),
        usage=letter.get("usage"),
        response=letter.get("response"),
        earlier=True,
    )
