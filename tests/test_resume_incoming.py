"""An incoming run that breaks off anywhere reads on from its page: every item is in the output once."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from connected import refusal
from journaled import Project, Wall

from connectory.adapters.linesink import LineSink
from connectory.errors import ConfigError, CredentialsError, StorageError

READS: dict[str, Any] = {"request": {"path": "/things"}}
SETS = {
    **READS,
    "input_transformers": [
        {"build": {"sets": [{"query": {"s": number}} for number in range(3)]}},
        {"split": {"field": "sets"}},
    ],
}


class Pages(Wall):
    """Four pages of two things each, for every set of parameters."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if self._answer is not None and (given := self._answer(request)) is not None:
            return given
        first, name = int(request.url.params.get("after", -1)) + 1, request.url.params.get("s", "")
        data = [{"id": str(first), "of": name}, {"id": str(first + 1), "of": name}]
        return httpx.Response(200, json={"data": data, "has_more": first < 6})

    @property
    def asked(self) -> list[str]:
        return [request.url.params.get("after", "") for request in self.requests]


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, incoming={"in": READS})


ALL = [str(number) for number in range(8)]


@pytest.mark.fault(
    "X1", "killed anywhere, an incoming reads on from its page, and no item is missing or there twice"
)
@pytest.mark.parametrize(
    "point",
    [
        *(("request", number) for number in range(1, 5)),
        *(("commit", number) for number in range(1, 5)),
        *(("place", number) for number in range(1, 6)),
        ("flush", 1),
        ("finish", 1),
    ],
    ids=lambda point: f"{point[0]} {point[1]}",
)
def test_every_item_is_there_once_wherever_the_run_was_killed(project, point: Any):
    wall = Pages()
    first = project.read(wall, crash=point)
    second = project.read(wall)

    assert (first.crashed, second.resumed, second.error) == (True, True, None)
    assert [line["id"] for line in project.lines] == ALL
    assert (second.counts["items"], second.counts["pages"]) == (8, 4)
    at_the_end = point in {
        ("finish", 1),
        ("place", 5),
        ("flush", 1),
    }  # where the output may be in its place already
    assert at_the_end or len(wall.requests) <= 5  # at most one page is read again


def test_a_page_that_was_not_committed_is_cut_off_and_read_again(project):
    wall = Pages()
    project.read(wall, crash=("place", 2))
    assert [line["id"] for line in project.lines_so_far] == ["0", "1", "2", "3"]
    project.read(wall)

    assert wall.asked == ["", "1", "1", "3", "5"]
    assert [line["id"] for line in project.lines] == ALL


def test_sets_of_parameters_that_were_read_to_their_end_are_not_asked_for_again(project):
    project.connections["incoming"]["in"] = SETS
    wall = Pages()
    project.read(wall, crash=("commit", 6))
    project.read(wall)

    assert [(line["of"], line["id"]) for line in project.lines] == [(s, one) for s in "012" for one in ALL]
    assert len(wall.requests) == 12


def test_other_request_parameters_are_refused(project):
    project.read(Pages(), crash=("commit", 2))
    project.connections["incoming"]["in"] = {**READS, "request_parameters": {"query": {"s": 1}}}
    wall = Pages()
    life = project.read(wall)

    assert isinstance(life.error, ConfigError)
    assert "read with other request parameters; put them back to finish that run" in str(life.error)
    assert wall.requests == []


def test_another_entity_is_refused(project):
    project.read(Pages(), crash=("commit", 2))
    project.connections["incoming"]["in"] = {"request": {"path": "/others"}}
    with pytest.raises(ConfigError, match="sends GET /things, and the configuration now says GET /others"):
        project.read(Pages())


def test_an_output_elsewhere_is_read_anew_as_a_whole(project):
    project.read(Pages(), crash=("commit", 2))
    project.output = project.folder / "elsewhere.jsonl"
    wall = Pages()
    life = project.read(wall)

    assert [line["id"] for line in project.lines] == ALL
    assert (wall.asked, life.counts["items"]) == (["", "1", "3", "5"], 8)


def test_a_limit_counts_over_all_lives(project):
    project.read(Pages(), crash=("commit", 2), limit=5)
    wall = Pages()
    life = project.read(wall, limit=5)

    assert [line["id"] for line in project.lines] == ALL[:5]
    assert (len(wall.requests), life.counts["records"]) == (1, 5)


def test_a_limit_that_was_reached_asks_for_nothing_more(project):
    project.read(Pages(), crash=("flush", 1), limit=4)
    wall = Pages()
    project.read(wall, limit=4)

    assert ([line["id"] for line in project.lines], wall.requests) == (ALL[:4], [])


def test_pages_count_over_all_lives(project):
    project.connections["incoming"]["in"] = {**READS, "pagination": {"pages": 3}}
    project.read(Pages(), crash=("commit", 2))
    wall = Pages()
    project.read(wall)

    assert (wall.asked, [line["id"] for line in project.lines]) == (["3"], ALL[:6])


def test_a_sink_that_goes_down_stops_the_reading_and_what_was_committed_stays(project):
    class Breaking:
        def __init__(self, sink: Any) -> None:
            self._sink, self._left = sink, 2

        def __getattr__(self, name: str) -> Any:
            return getattr(self._sink, name)

        async def flush(self) -> None:
            self._left -= 1
            if self._left < 0:
                raise StorageError("cannot write: no space left")
            await self._sink.flush()

    wall = Pages()
    life = project.read(wall, sink=Breaking(LineSink(project.output)))
    assert isinstance(life.error, StorageError)
    assert (len(wall.requests), project.output.exists()) == (3, False)
    again = project.read(wall)

    assert again.resumed
    assert [line["id"] for line in project.lines] == ALL
    assert wall.asked == ["", "1", "3", "3", "5"]


def test_a_refusal_that_concerns_everything_leaves_the_rest_to_the_same_command(project):
    refused = [True]
    wall = Pages(lambda request: refusal(401) if refused[0] and "after" in request.url.params else None)
    assert isinstance(project.read(wall).error, CredentialsError)
    refused[0] = False
    project.read(wall)

    assert [line["id"] for line in project.lines] == ALL
    assert wall.asked == ["", "1", "1", "3", "5"]


def test_a_run_that_has_ended_reads_everything_again(project):
    project.read(Pages())
    wall = Pages()
    life = project.read(wall)

    assert (life.resumed, len(wall.requests), [line["id"] for line in project.lines]) == (False, 4, ALL)


@pytest.mark.parametrize("mode", ["replace", "append"])
def test_what_is_appended_is_there_once(project, mode: Any):
    project.output_mode = mode
    project.output.write_text('{"id": "before"}\n')
    project.read(Pages(), crash=("finish", 1))
    project.read(Pages())

    assert [line["id"] for line in project.lines] == (["before"] if mode == "append" else []) + ALL
