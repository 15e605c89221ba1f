"""Where is the next page? Decisions only: the subscriber asks and fetches."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Protocol, cast

from connectory.errors import ApiError

if TYPE_CHECKING:
    from collections.abc import Mapping

MOST_PAGES = 1_000_000
"""Pages of one walk; a list that goes on after that never ends."""

MOST_EMPTY_PAGES = 100
"""Pages in a row without an item that are believed before the walk is called endless."""

_ADDRESS = re.compile(r"[a-z][a-z0-9+.-]*:/|//", re.IGNORECASE)


class Paging(Protocol):
    """How an entity pages, as the catalogue says it."""

    @property
    def style(self) -> str: ...  # noqa: D102 - the catalogue's schema describes these five
    @property
    def parameter(self) -> str | None: ...  # noqa: D102 - see above
    @property
    def cursor(self) -> str | None: ...  # noqa: D102 - see above
    @property
    def item_field(self) -> str | None: ...  # noqa: D102 - see above
    @property
    def more(self) -> str | None: ...  # noqa: D102 - see above
    @property
    def page_size(self) -> int | None: ...  # noqa: D102 - see above


def largest_page(paging: Paging | None, most: int | None) -> dict[str, Any]:
    """Give the query parameter that asks for the largest page the API gives, or for no more than `most` items.

    Fewer and larger pages are what makes a long list fast. Nothing where the catalogue knows no largest page.
    """
    if paging is None or paging.page_size is None:
        return {}
    return {"limit": paging.page_size if most is None else min(paging.page_size, most)}


@dataclass(slots=True)
class Walk:
    """One walk over the pages of a list; remembers what it has seen, so that it ends. `what` names it in messages."""

    paging: Paging | None
    what: str = "the list"
    seen: set[str] = field(default_factory=set[str])
    empty: int = 0
    pages: int = 0

    def following(self, answer: Any, items: list[Any]) -> dict[str, Any] | None:
        """Give the query parameters that fetch the page after this one, or None after the last.

        Raises ApiError for a list that cannot be walked to its end: a cursor that comes again or is an address, a next
        page that is promised without a cursor, a hundred empty pages in a row, or a million pages.
        """
        paging = self.paging
        if paging is None or paging.style == "none" or not isinstance(answer, dict):
            return None
        page = cast("dict[str, Any]", answer)
        if not _has_more(paging, page):
            return None
        cursor = _cursor(paging, page, items)
        self._check(cursor, items)
        return None if cursor is None else {str(paging.parameter): cursor}

    def _check(self, cursor: str | None, items: list[Any]) -> None:
        self.pages += 1
        self.empty = 0 if items else self.empty + 1
        if cursor is None:
            raise self._endless("says that there is more and gives no cursor to ask with")
        if _ADDRESS.match(cursor):
            raise self._endless("gives an address instead of a cursor, and addresses are not followed")
        if cursor in self.seen:
            raise self._endless(f"gives the cursor {cursor!r} a second time: it would never end")
        if self.empty >= MOST_EMPTY_PAGES:
            raise self._endless(f"gave {self.empty} empty pages in a row: it seems never to end")
        if len(self.seen) >= MOST_PAGES:
            raise self._endless(
                f"gave {MOST_PAGES} pages and goes on; read it in parts, by its query parameters"
            )
        self.seen.add(cursor)

    def _endless(self, why: str) -> ApiError:
        return ApiError(f"{self.what}: the list {why} (page {self.pages})", status=200)


def _has_more(paging: Paging, answer: Mapping[str, Any]) -> bool:
    more = answer.get(paging.more) if paging.more else None
    if more is not None:
        return bool(more)
    # A list that is silent about `has_more` goes on as long as it hands out a cursor made for that purpose. `last_id`
    # is not: it stands on the last page too.
    return paging.style in {"next", "page"} and bool(paging.cursor and answer.get(paging.cursor))


def _cursor(paging: Paging, answer: Mapping[str, Any], items: list[Any]) -> str | None:
    cursor = answer.get(paging.cursor) if paging.cursor else None
    if cursor is None and paging.item_field and items and isinstance(items[-1], dict):
        cursor = cast("dict[str, Any]", items[-1]).get(paging.item_field)
    return cursor if isinstance(cursor, str) and cursor else None


@dataclass(slots=True)
class Shifted:
    """Items that come again on the next page, because others were put before them while the list was read."""

    count: int = 0
    before: frozenset[str | int] = frozenset()

    @property
    def message(self) -> str:
        """Say how many came again."""
        return f"the list changed while it was read: {self.count} items came on two pages and were taken once"

    def without(self, items: list[Any]) -> list[Any]:
        """Give the items of a page that were not on the page before it."""
        fresh = [item for item in items if _id(item) not in self.before]
        self.count += len(items) - len(fresh)
        self.before = frozenset(one for one in map(_id, items) if one is not None)
        return fresh


def _id(item: Any) -> str | int | None:
    own = cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else None
    return own if isinstance(own, str | int) else None
