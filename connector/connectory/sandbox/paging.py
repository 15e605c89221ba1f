"""One page of a collection, in each of the API's three ways to ask for the next."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any, cast

from connectory.sandbox.refusal import RefusedError

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from connectory.catalogue import Action, Pagination
    from connectory.sandbox.store import Collection, Stored

PAGE_SIZE = 20
LARGEST_PAGE = 10_000
_PAGING = {"after", "before", "limit", "order", "page"}


@dataclass(frozen=True, slots=True)
class Page:
    """Some items, their names, and whether more follow."""

    items: list[Stored]
    names: list[str]
    more: bool

    def fields(self, data: list[Any], pagination: Pagination | None) -> dict[str, Any]:
        """Give what the answer says about this page and the next."""
        if pagination is None or pagination.style == "none":
            return {}
        made: dict[str, Any] = {pagination.more: self.more} if pagination.more else {}
        if pagination.style == "cursor":
            ends = {"first_id": _id(data[0]), "last_id": _id(data[-1])} if data and _id(data[0]) else {}
            return made | (ends if pagination.cursor else {})
        return made | {pagination.cursor or "next": self.names[-1] if self.more else None}


def page(
    collection: Collection | None, action: Action, query: Mapping[str, Any], only: Mapping[str, Any]
) -> Page:
    """Take the page that the query asks for, of the items with the facts `only`.

    Raises RefusedError for an unknown cursor or a wrong size.
    """
    pagination = action.response.pagination
    if collection is None:
        return Page([], [], more=False)
    if pagination is None or pagination.style == "none":
        return Page(list(collection.items.values()), list(collection.items), more=False)
    limit = query.get("limit", PAGE_SIZE)
    if not isinstance(limit, int) or limit < 1:
        message = f"Invalid value for 'limit': expected a value of at least 1, but got {limit!r} instead."
        raise RefusedError(400, message, code="integer_below_min_value", param="limit")
    limit = min(limit, LARGEST_PAGE)
    newest_first = newest_comes_first(action, query)
    backwards = query.get("before") if "after" not in query else None
    cursor = backwards or query.get(pagination.parameter or "after") or None
    wanted = _filters(action, query)
    everywhere = list(only.items())
    try:
        names = collection.after(cursor, newest_first=newest_first != bool(backwards))
        found = list(
            islice((one for one in names if _fits(collection.items[one], wanted, everywhere)), limit + 1)
        )
    except KeyError:
        where = "before" if backwards else pagination.parameter or "after"
        raise RefusedError(
            400, f"Invalid value for '{where}': no item {cursor!r} in this list.", param=where
        ) from None
    more, found = len(found) > limit, found[:limit]
    found = found[::-1] if backwards else found
    return Page([collection.items[one] for one in found], found, more=more)


def newest_comes_first(action: Action, query: Mapping[str, Any]) -> bool:
    """Say in which order a list is: the one asked for; else newest first, but a report by time."""
    if "order" in query:
        return bool(query["order"] == "desc")
    pagination = action.response.pagination
    return pagination is not None and pagination.style != "page"


def _filters(action: Action, query: Mapping[str, Any]) -> dict[str, Any]:
    known = {name: value for name, value in query.items() if name in action.query and name not in _PAGING}
    return {"status" if name == "filter" else name: value for name, value in known.items()}


def _fits(stored: Stored, wanted: Mapping[str, Any], only: Iterable[tuple[str, Any]]) -> bool:
    """Say whether an item has each wanted value; what an item does not have excludes nothing but by `only`."""
    return all(stored.facts.get(name) == value for name, value in only) and all(
        _same(name, stored.facts[name], value) for name, value in wanted.items() if name in stored.facts
    )


def _same(name: str, value: Any, wanted: Any) -> bool:
    if name in {"start_time", "end_time"}:
        return bool(value >= wanted if name == "start_time" else value <= wanted)
    if isinstance(wanted, dict) and isinstance(value, dict):
        mine = cast("dict[str, Any]", value)
        return all(str(mine.get(key)) == str(part) for key, part in cast("dict[str, Any]", wanted).items())
    return bool(value in wanted if isinstance(wanted, list) else value == wanted)


def _id(item: Any) -> Any:
    return cast("dict[str, Any]", item).get("id") if isinstance(item, dict) else None
