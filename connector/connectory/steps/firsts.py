"""Which record was the first of its run to have a value: told from the journal, so that it holds over a crash."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterable

    from connectory.interfaces import Row

FIRST = b"first:"
"""How the body of a note begins that says who was the first."""

RECENT = 100_000
"""Notes that are kept in memory because the journal may not have written them yet."""

MOST = 1_000_000
"""Notes of a run without a journal; the oldest are forgotten then."""


class Noting(Protocol):
    """A journal that keeps notes and finds them again."""

    def note(self, row: Row) -> None:
        """Write a note with the next transaction."""
        ...

    def noted(self, key: bytes) -> bytes | None:
        """Give what was noted under a key."""
        ...


class Firsts:
    """What one run has noted of who was the first; a journal that is durable keeps it, or memory within a bound."""

    def __init__(self, journal: Noting | None = None) -> None:
        self._journal = journal
        self._recent: dict[bytes, bytes] = {}

    def of(self, position: str) -> OfItem:
        """Give the notes for a record of a source, which may come again in another life of the run."""
        return OfItem(self, FIRST + position.encode())

    def get(self, key: bytes) -> bytes | None:
        """Say who was the first to have a value."""
        found = self._recent.get(key)
        return found if found is not None or self._journal is None else self._journal.noted(key)

    def put(self, key: bytes, owner: bytes) -> None:
        """Remember the first; it is not in the journal by that."""
        self._recent[key] = owner
        if len(self._recent) > (MOST if self._journal is None else RECENT):
            del self._recent[next(iter(self._recent))]

    def keep(self, rows: Iterable[Row]) -> None:
        """Have the journal write notes, from the thread that it works in: before their record can be done."""
        if self._journal is not None:
            for row in rows:
                self._journal.note(row)


class OfItem:
    """The notes while one record of a source passes: what it noted itself in an earlier life does not count.

    Its `rows` are what is new, for the journal.
    """

    def __init__(self, firsts: Firsts, owner: bytes) -> None:
        self._firsts, self._owner = firsts, owner
        self._met = set[bytes]()
        self.rows: list[Row] = []

    def first(self, key: bytes) -> bool:
        """Say whether no record before this one had the value, and note that this one has it."""
        found = self._firsts.get(key)
        if key in self._met or found not in {None, self._owner}:
            return False
        self._met.add(key)
        if found is None:
            self._firsts.put(key, self._owner)
            self.rows.append((key, self._owner))
        return True


class OfPage:
    """The notes while a page of items passes; its `rows` are written when the page is: until then it may come again."""

    def __init__(self, firsts: Firsts) -> None:
        self._firsts = firsts
        self.rows: list[Row] = []

    def first(self, key: bytes) -> bool:
        """Say whether no item before this one had the value, and note that this one has it."""
        if self._firsts.get(key) is not None:
            return False
        self._firsts.put(key, FIRST)
        self.rows.append((key, FIRST))
        return True


def firsts_of(journal: Any) -> Firsts:
    """Give the notes of a run: those of its journal, where another process can read it."""
    return Firsts(journal if journal.durable else None)
