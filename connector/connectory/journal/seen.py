"""What earlier runs of an incoming gave, and how far they came: what `only` and `incremental` ask."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

from connectory.journal.known import Known, digest
from connectory.steps.firsts import FIRST

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from connectory.interfaces import Row
    from connectory.journal.disk import DiskJournal


class Seen:
    """The items that were given, and the marks of complete walks.

    A run notes both in its own journal, in the transaction that moves its cursor. They are shared with the runs that
    follow when this one is at its end and its output in place: what an unfinished run has read counts for itself alone.
    """

    def __init__(self, path: Path, journal: DiskJournal) -> None:
        self._shared, self._journal = Known(path), journal

    def has(self, keys: Sequence[str], body: bytes | None) -> bool:
        """Say whether an item was given, with this body unless that is None."""
        key = digest(_text("item", keys))
        found = self._journal.noted(key) or self._shared.row(key)  # what this run has given is newer
        return found is not None and (body is None or found == body)

    def mark(self, keys: Sequence[str]) -> Any:
        """Give the mark that the earlier runs have come to; None before there is one."""
        found = self._shared.row(digest(_text("mark", keys)))
        return None if found is None else json.loads(found)

    def share(self) -> None:
        """Let the runs that follow know. It may be done again after a crash."""
        self._share(self._journal.all_seen())

    def close(self) -> None:
        """Close the files."""
        self._shared.close()

    def _share(self, chunks: Iterable[Sequence[Row]]) -> None:
        for rows in chunks:  # who was the first in this run says nothing to the next
            self._shared.write(row for row in rows if not row[1].startswith(FIRST))


def item_row(keys: Sequence[str], body: bytes) -> Row:
    """Make the note that an item was given."""
    return digest(_text("item", keys)), body


def mark_row(keys: Sequence[str], mark: Any) -> Row:
    """Make the note that a walk was complete."""
    return digest(_text("mark", keys)), json.dumps(mark).encode()


def _text(kind: str, keys: Sequence[str]) -> str:
    return json.dumps([kind, *keys])
