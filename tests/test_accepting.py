"""Answers that are not as they should be: paid for, kept with their response, and never bought again."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from connected import body_of
from journaled import ECHO, Project, Wall, numbered

ACCEPT = {**ECHO, "concurrency": 1, "accept": "response.good"}


def halves(request: httpx.Request) -> httpx.Response:
    """Good answers for even records, others for the rest."""
    return httpx.Response(200, json={"good": body_of(request)["id"] % 2 == 0, "n": body_of(request)["id"]})


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path, outgoing={"out": ACCEPT})
    project.give(numbered(4))
    return project


@pytest.mark.parametrize("crash", [None, ("record", 2), ("record", 4), ("show", 2)], ids=str)
def test_an_answer_that_is_not_accepted_is_a_dead_letter_with_its_response_and_is_bought_once(
    project, crash: Any
):
    wall = Wall(halves)
    if crash is not None:
        project.send(wall, crash=crash)
    project.send(wall)

    assert [line["status"] for line in project.lines] == ["ok", "error", "ok", "error"]
    assert [letter["response"] for letter in project.dead] == [
        {"good": False, "n": 1},
        {"good": False, "n": 3},
    ]
    assert {letter["error"]["class"] for letter in project.dead} == {"accept"}
    under_way = {line["index"] for line in project.lines if line["in_doubt"]}
    assert wall.times() == {number: 1 + (number in under_way) for number in range(4)}
    assert (project.summary.done, project.summary.dead) == (2, 2)


def test_what_is_accepted_decides_before_a_result_is_shaped(project):
    project.connections["outgoing"]["out"] = {**ACCEPT, "result": "&{response.n}"}
    project.send(Wall(halves))

    assert [line if isinstance(line, int) else line["status"] for line in project.lines] == [
        0,
        "error",
        2,
        "error",
    ]


def test_accept_sees_the_record_the_request_and_the_status(project):
    project.connections["outgoing"]["out"] = {
        **ACCEPT,
        "accept": "http.status == `200` && input.id == response.n && request.payload.id == record.id",
    }
    project.send(Wall(halves))

    assert {line["status"] for line in project.lines} == {"ok"}


def test_a_condition_that_names_what_is_absent_is_an_error_that_keeps_the_response(project):
    project.connections["outgoing"]["out"] = {**ACCEPT, "accept": "response.absent"}
    wall = Wall(halves)
    project.send(wall)

    assert {letter["error"]["class"] for letter in project.dead} == {"result"}
    assert all("response" in letter for letter in project.dead)
    assert len(wall.requests) == 4


def test_what_an_earlier_life_bought_is_held_against_the_condition_of_today(project):
    wall = Wall(halves)
    project.send(wall, crash=("record", 4))
    project.connections["outgoing"]["out"] = {**ACCEPT, "accept": "response.n != `0`"}
    project.output = project.folder / "elsewhere.jsonl"  # so that all lines are made again
    project.send(wall)

    assert [line["status"] for line in project.lines] == ["error", "ok", "ok", "ok"]
    assert (project.summary.done, project.summary.dead) == (3, 1)
    assert len(wall.requests) == 4
