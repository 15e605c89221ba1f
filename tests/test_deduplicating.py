"""`deduplicate` over the lives of a run: what was dropped stays dropped, and nothing is dropped for having come again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from journaled import ECHO, Project, Wall

from connectory.chain import build_chain
from connectory.config import parse_step
from connectory.steps import firsts
from connectory.steps.firsts import FIRST, Firsts, OfPage

RECORDS = [{"id": number, "half": number % 4} for number in range(12)]
"""The first four are the first with their half."""

CHANGES = ["request", "intend", "record", "show", "close_item"]


@pytest.mark.fault(
    "X1", "killed at any moment, `deduplicate` still keeps the first record of each kind and drops the others"
)
@pytest.mark.parametrize(
    "point", [*((name, n) for name in CHANGES for n in (1, 2, 4)), ("close_item", 7), ("flush", 1)]
)
@pytest.mark.parametrize("order", ["input", "completion"])
def test_an_outgoing_that_is_taken_up_again_remembers_what_it_met(tmp_path, point: Any, order: str):
    project = Project(
        tmp_path, outgoing={"out": {**ECHO, "order": order, "transformers": [{"deduplicate": "half"}]}}
    )
    project.give(RECORDS)
    wall = Wall()
    first = project.send(wall, crash=point)
    second = project.send(wall)

    assert (first.crashed, second.error) == (True, None)
    assert set(wall.ids) == {0, 1, 2, 3}
    statuses = {int(line["id"]): line["status"] for line in project.lines}
    assert statuses == {number: "ok" if number < 4 else "skipped" for number in range(12)}
    assert len(project.lines) == 12


def test_the_next_run_begins_with_nothing(tmp_path):
    project = Project(tmp_path, outgoing={"out": {**ECHO, "transformers": [{"deduplicate": "half"}]}})
    project.give(RECORDS)
    wall = Wall()
    project.send(wall)
    project.send(wall)

    assert sorted(wall.ids) == [0, 0, 1, 1, 2, 2, 3, 3]


class Halves(Wall):
    """Four pages of two things each; the last two pages have the halves of the first two."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        first = int(request.url.params.get("after", -1)) + 1
        data = [{"id": str(number), "half": number % 4} for number in (first, first + 1)]
        return httpx.Response(200, json={"data": data, "has_more": first < 6})


@pytest.mark.fault(
    "X1", "killed at any page, `deduplicate` of an incoming keeps each first item and no other"
)
@pytest.mark.parametrize(
    "point", [*(("request", n) for n in range(1, 5)), *(("commit", n) for n in range(1, 5)), ("place", 2)]
)
def test_an_incoming_that_is_taken_up_again_remembers_what_it_met(tmp_path, point: Any):
    settings: dict[str, Any] = {"request": {"path": "/things"}, "transformers": [{"deduplicate": "half"}]}
    project = Project(tmp_path, incoming={"in": settings})
    wall = Halves()
    first = project.read(wall, crash=point)
    second = project.read(wall)

    assert (first.crashed, second.error) == (True, None)
    assert [line["id"] for line in project.lines] == ["0", "1", "2", "3"]


class Kept:
    """A journal that has written everything."""

    def __init__(self) -> None:
        self.rows: dict[bytes, bytes] = {}

    def note(self, row: tuple[bytes, bytes]) -> None:
        self.rows[row[0]] = row[1]

    def noted(self, key: bytes) -> bytes | None:
        return self.rows.get(key)


def test_memory_does_not_grow_with_the_records(monkeypatch):
    monkeypatch.setattr(firsts, "RECENT", 100)
    monkeypatch.setattr(firsts, "MOST", 100)
    journaled, alone = Firsts(Kept()), Firsts()
    for number in range(5000):
        for one in (journaled, alone):
            notes = one.of(str(number))
            assert notes.first(number.to_bytes(4, "big"))
            one.keep(notes.rows)

    assert len(journaled._recent) == len(alone._recent) == 100
    assert not journaled.of("later").first((0).to_bytes(4, "big"))
    assert alone.of("later").first((0).to_bytes(4, "big"))  # without a journal the oldest are forgotten


def test_a_record_that_comes_again_is_no_repetition_of_itself_and_its_parts_are():
    book = Firsts()
    first, again, other = book.of("1"), book.of("1"), book.of("2")

    assert [first.first(b"a"), first.first(b"a")] == [True, False]
    assert [again.first(b"a"), again.first(b"a")] == [True, False]
    assert [other.first(b"a"), other.first(b"b")] == [False, True]


def test_the_notes_of_a_page_go_with_the_page():
    page = OfPage(Firsts())

    assert [page.first(b"a"), page.first(b"a"), page.first(b"b")] == [True, False, True]
    assert page.rows == [(b"a", FIRST), (b"b", FIRST)]


def test_each_step_of_a_chain_remembers_for_itself():
    step = {"deduplicate": "id"}
    made = build_chain(
        [parse_step(step), parse_step({"when": {"condition": "a", "do": [step], "otherwise": [step]}})]
    )
    book = Firsts()
    kept = [len(list(made.apply({"id": n // 2, "a": bool(n % 2)}, {}, book.of(str(n))))) for n in range(4)]

    assert kept == [1, 0, 1, 0]
