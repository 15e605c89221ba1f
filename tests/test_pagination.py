from __future__ import annotations

import json
from pathlib import Path

import pytest

from connectory import pagination
from connectory.catalogue import Pagination
from connectory.errors import ApiError
from connectory.pagination import MOST_EMPTY_PAGES, Walk, largest_page

CASES = json.loads((Path(__file__).parent / "cases" / "pagination.json").read_text())
STYLES = {
    "cursor": Pagination("cursor", "after", "last_id", "id", "has_more"),
    "next": Pagination("next", "after", "next", None, "has_more"),
    "page": Pagination("page", "page", "next_page", None, "has_more"),
    "none": Pagination("none"),
}


def items(page):
    return page["data"] if isinstance(page, dict) else page


@pytest.mark.parametrize("case", CASES["walks"], ids=lambda case: case["fact"])
def test_a_walk_asks_for_the_next_page(case):
    walk = Walk(STYLES[case["style"]])
    assert [walk.following(page, items(page)) for page in case["pages"]] == case["asks"]


@pytest.mark.parametrize("case", CASES["refused"], ids=lambda case: case["fact"])
def test_a_walk_that_cannot_end_is_refused(case):
    walk = Walk(STYLES[case["style"]])
    *first, last = case["pages"]
    for page in first:
        assert walk.following(page, items(page)) is not None
    with pytest.raises(ApiError, match=case["says"]):
        walk.following(last, items(last))


def test_a_walk_that_never_ends_is_refused(monkeypatch):
    monkeypatch.setattr(pagination, "MOST_PAGES", 3)
    walk = Walk(STYLES["cursor"], "GET /files")
    for number in range(3):
        assert walk.following({"last_id": str(number), "has_more": True}, [1]) is not None
    with pytest.raises(ApiError, match="GET /files: the list gave 3 pages and goes on"):
        walk.following({"last_id": "one more", "has_more": True}, [1])


def test_the_largest_page_is_asked_for_where_it_is_known():
    paging = Pagination("cursor", "after", "last_id", "id", "has_more", 100)
    assert largest_page(paging, None) == {"limit": 100}
    assert largest_page(paging, 7) == {"limit": 7}
    assert largest_page(STYLES["cursor"], 7) == largest_page(None, None) == {}


def test_an_entity_without_paging_has_one_page():
    assert Walk(None).following({"data": [], "has_more": True, "last_id": "a"}, []) is None


def test_many_empty_pages_in_a_row_are_refused():
    walk = Walk(STYLES["cursor"])
    for number in range(MOST_EMPTY_PAGES - 1):
        assert walk.following({"last_id": str(number), "has_more": True}, []) == {"after": str(number)}
    with pytest.raises(ApiError, match="100 empty pages in a row"):
        walk.following({"last_id": "one more", "has_more": True}, [])


def test_a_page_with_an_item_ends_a_row_of_empty_ones():
    walk = Walk(STYLES["cursor"])
    for number in range(MOST_EMPTY_PAGES * 3):
        full = [{"id": "x"}] if number % MOST_EMPTY_PAGES == 0 else []
        assert walk.following({"last_id": str(number), "has_more": True}, full) is not None
