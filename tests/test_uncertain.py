"""Requests of which nobody knows whether they were done, in one life and over several."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from journaled import ECHO, Project, Wall, numbered

from connectory.delivery.results import POISON

RESEND = {**ECHO, "concurrency": 1, "on_uncertain": "resend"}
HOLD = {**ECHO, "concurrency": 1, "on_uncertain": "hold"}
DELETES = {"request": {"method": "DELETE", "path": "/things"}, "payload": "&{@}", "concurrency": 1}
BY_KIND = {name: value for name, value in HOLD.items() if name != "on_uncertain"}


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.give(numbered(3))
    return project


class Broken(Wall):
    """Takes the first request, and breaks the connection instead of answering."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if len(self.requests) == 1:
            raise httpx.ReadError("lost")
        return await super().answer(request)


@pytest.mark.parametrize(("outgoing", "sent"), [(RESEND, 4), (HOLD, 3), (BY_KIND, 3), (DELETES, 4)])
def test_within_a_life_it_is_sent_again_or_set_aside(project, outgoing: Any, sent: int):
    project.connections["outgoing"]["out"] = outgoing
    wall = Broken()
    project.send(wall)
    first = project.lines[0]

    assert (len(wall.requests), first["in_doubt"]) == (sent, True)
    assert (first["status"], first["attempts"]) == (("ok", 2) if sent == 4 else ("error", 1))


@pytest.mark.parametrize(("outgoing", "sent"), [(RESEND, 4), (HOLD, 3), (BY_KIND, 3), (DELETES, 4)])
def test_after_a_crash_it_is_sent_again_or_set_aside(project, outgoing: Any, sent: int):
    project.connections["outgoing"]["out"] = outgoing
    wall = Wall()
    project.send(wall, crash=("request", 2))
    project.send(wall)
    doubtful = project.lines[1]

    assert (len(wall.requests), doubtful["in_doubt"]) == (sent, True)
    if sent == 3:
        assert doubtful["error"]["class"] == "outcome_unknown"
        assert "it was not sent again (on_uncertain: hold)" in doubtful["error"]["message"]
        assert [letter["record"]["id"] for letter in project.dead] == [1]
    else:
        assert doubtful["status"] == "ok"
    assert [line["in_doubt"] for line in project.lines] == [False, True, False]


@pytest.mark.fault(
    "X10", "a record that was under way when five lives ended is set aside, and the others go on"
)
def test_a_record_that_may_be_what_ends_lives_is_set_aside_after_a_while(project):
    project.connections["outgoing"]["out"] = RESEND
    wall = Wall()
    for _ in range(POISON):
        assert project.send(wall, crash=("request", 1)).crashed
    last = project.send(wall)
    poison = project.lines[0]

    assert last.error is None
    assert wall.times() == {0: POISON, 1: 1, 2: 1}
    assert poison["error"]["message"] == (
        "5 lives of the run ended while this record was under way; it was not sent again"
    )
    assert [letter["record"]["id"] for letter in project.dead] == [0]
    assert [line["status"] for line in project.lines] == ["error", "ok", "ok"]
    assert len(set(wall.request_ids)) == len(wall.requests)
    assert len(set(wall.keys[:POISON])) == 1


def test_a_run_that_stops_for_its_own_reasons_leaves_no_doubt_about_what_was_refused(project):
    project.connections["outgoing"]["out"] = RESEND
    refused = Wall(lambda _request: httpx.Response(401, json={"error": {"message": "no"}}))
    for _ in range(POISON + 1):
        project.send(refused)
    wall = Wall()
    project.send(wall)

    assert [line["in_doubt"] for line in project.lines] == [False] * 3
    assert wall.ids == [0, 1, 2]
