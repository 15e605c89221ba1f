"""The state of a tap: what a run must remember, in the STATE messages and nowhere else.

A bookmark of a stream holds the marks of what is incremental and, while the stream is being read, how far its pages
have come. Whoever is given it goes on there: no file of the tap's own is needed.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, cast

from connectory.errors import ConfigError
from connectory.journal import MemoryJournal, item_row, mark_row
from connectory.reading.subscription import hashed
from connectory.singer.schemas import as_object
from connectory.singer.settings import read_json

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.interfaces import Row
    from connectory.reading.pages import Page
    from connectory.record import Record
    from connectory.singer.streams import Stream

_SHORT = 16
"""Hexadecimal digits by which an item is known that has the newest value."""


def read_state(file: str | None) -> Any:
    """Read the state that an earlier run gave; a message is taken for its value. Raises ConfigError."""
    read: Any = None if file is None else read_json(file, "the state")
    message = as_object(read)
    return message.get("value") if message.get("type") == "STATE" else read


@dataclass(slots=True)
class Mark:
    """How far complete walks have come: the newest value, and the items that had it."""

    value: Any
    seen: list[str] = field(default_factory=list[str])

    def as_dict(self) -> Record:
        """Give it as it is written."""
        return {"replication_key_value": self.value, "seen": self.seen}


class Marks:
    """What earlier runs of a stream gave, as its bookmark says."""

    def __init__(self, known: Mapping[str, Mark]) -> None:
        self.known = dict(known)
        self._items = {one for mark in known.values() for one in mark.seen}

    def has(self, keys: Sequence[str], body: bytes | None) -> bool:  # noqa: ARG002 - the protocol's: bodies are not kept
        """Say whether an item was given that had the newest value then."""
        return _short(item_row(keys, b"")[0]) in self._items

    def mark(self, keys: Sequence[str]) -> Any:
        """Give the mark that the earlier runs have come to; None before there is one."""
        found = self.known.get(mark_row(keys, None)[0].hex())
        return None if found is None else found.value


class Progress(MemoryJournal):
    """How far one stream has been read: a journal whose cursors go out with the state.

    `fresh` are the marks of the walks that are complete; they count when the stream is.
    """

    def __init__(self, run: str | None, started_at: int | None, written: Mapping[str, Any]) -> None:
        super().__init__(run)
        self.started_at = self.started_at if started_at is None else started_at
        self.cursors = dict(as_object(written.get("cursors")))
        self.fresh = {name: _mark(one) for name, one in as_object(written.get("marks")).items()}
        self.newest = {name: _mark(one) for name, one in as_object(written.get("newest")).items()}

    def note(self, page: Page, marks: Marks) -> None:
        """Note, after a page was committed, which items have the newest value, and the mark of a complete walk."""
        if page.drop:
            self.newest = {name: one for name, one in self.newest.items() if not name.startswith(page.drop)}
        if (high := page.cursor.get("high")) is None:
            return
        newest = self.newest.get(page.stream)
        if newest is None or newest.value != high:
            newest = self.newest[page.stream] = Mark(high)
        newest.seen += _at(high, (one.row for one in page.taken))
        if page.mark is not None and not page.cursor.get("failed"):
            name = page.mark[0].hex()
            earlier = marks.known.get(name)
            again = earlier.seen if earlier is not None and earlier.value == high else []
            self.fresh[name] = Mark(json.loads(page.mark[1]), [*again, *newest.seen])
            del self.newest[page.stream]

    def as_dict(self, fingerprint: str) -> Record:
        """Give it as it is written."""
        return {
            "of": fingerprint,
            "cursors": self.cursors,
            "marks": {name: one.as_dict() for name, one in self.fresh.items()},
            "newest": {name: one.as_dict() for name, one in self.newest.items()},
        }


class TapState:
    """The state of a sync: taken from the STATE of the one before, and moved on page by page.

    What is done is written as null and not left out, so that a host that merges states cannot bring it back.
    """

    def __init__(self, given: Any) -> None:
        if given is not None and not isinstance(given, dict):
            raise ConfigError("the state is no JSON object; give the last STATE that the target printed")
        self.given = cast("Record | None", given) or None
        value = self.given or {}
        self._rest = {name: one for name, one in value.items() if name not in _OWN}
        self._bookmarks: Record = dict(as_object(value.get("bookmarks")))
        self._unfinished: Record | None = value.get("unfinished")
        self._syncing: str | None = None
        self._open: tuple[Stream, Progress, Marks] | None = None

    @property
    def done(self) -> Sequence[str]:
        """Name the streams that the sync has dealt with already, before it broke off."""
        return list(as_object(self._unfinished).get("done") or ())

    @property
    def resumed(self) -> bool:
        """Say whether a sync that broke off is taken up."""
        return self._unfinished is not None

    def begin(self, stream: Stream) -> tuple[Progress, Marks, bool]:
        """Begin a stream, or go on with it; the last thing says whether what was known of its pages is of no use."""
        known = as_object(self._bookmarks.get(stream.name))
        written = as_object(known.get("progress"))
        lost = bool(written) and written.get("of") != stream.fingerprint
        run = as_object(self._unfinished)
        progress = Progress(run.get("run"), run.get("started_at"), {} if lost else written)
        marks = Marks(_marks(known))
        if self._unfinished is None:
            self._unfinished = {"run": progress.run, "started_at": progress.started_at, "done": []}
        self._syncing, self._open = stream.name, (stream, progress, marks)
        return progress, marks, lost

    def end(self) -> None:
        """Note that a stream was read to its end: its marks count from now on."""
        assert self._open is not None  # noqa: S101 - for the type checkers: it was begun
        stream, progress, marks = self._open
        self._bookmarks[stream.name] = _bookmark(stream, {**marks.known, **progress.fresh}) | {
            "progress": None
        }
        assert self._unfinished is not None  # noqa: S101 - the same
        self._unfinished = {**self._unfinished, "done": [*self._unfinished["done"], stream.name]}
        self._open = None

    def finish(self) -> None:
        """Note that the sync is at its end: the next one begins anew, with what the marks know."""
        self._syncing = self._unfinished = None

    @property
    def value(self) -> Record:
        """Give the state as it is written."""
        bookmarks = dict(self._bookmarks)
        if self._open is not None:
            stream, progress, marks = self._open
            bookmarks[stream.name] = {
                **_bookmark(stream, marks.known),
                "progress": progress.as_dict(stream.fingerprint),
            }
        return {
            **self._rest,
            "bookmarks": bookmarks,
            "currently_syncing": self._syncing,
            "unfinished": self._unfinished,
        }


_OWN = frozenset({"bookmarks", "currently_syncing", "unfinished"})


def _bookmark(stream: Stream, marks: Mapping[str, Mark]) -> Record:
    """Write the marks of a stream; the only one of a stream without parents can be read at a glance."""
    if not stream.incremental:
        return {}
    written: Record = {"replication_key": stream.replication_key}
    if stream.single and len(marks) <= 1:
        for name, mark in marks.items():
            written |= {"of": name, **mark.as_dict()}
        return written
    return written | {"marks": {name: mark.as_dict() for name, mark in marks.items()}}


def _marks(written: Mapping[str, Any]) -> dict[str, Mark]:
    """Read the marks of a stream."""
    each = dict(as_object(written.get("marks")))
    if "of" in written:
        each[str(written["of"])] = written
    return {name: _mark(one) for name, one in each.items()}


def _mark(written: Any) -> Mark:
    mark = as_object(written)
    return Mark(mark.get("replication_key_value"), list(mark.get("seen") or ()))


def _at(high: Any, rows: Any) -> list[str]:
    newest = hashed([high])
    found: list[Row] = [one for one in rows if one is not None and one[1] == newest]
    return [_short(key) for key, _ in found]


def _short(key: bytes) -> str:
    return key.hex()[:_SHORT]
