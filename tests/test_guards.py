"""What ends a run that costs or breaks too much: the decisions, and the runs they stop."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from connected import body_of
from journaled import ECHO, Project, Wall, numbered, refusing

from connectory.cost.guards import Amount, Budget, MostDead
from connectory.errors import GuardError

ONE = {**ECHO, "concurrency": 1}


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.give(numbered(10))
    return project


def sending(project: Project, network: Any, **more: Any) -> Any:
    project.connections["outgoing"]["out"] = {**ONE, **more}
    return project.send(network)


# -- decisions


@pytest.mark.parametrize(
    ("most", "dead", "settled", "stops"),
    [
        (MostDead(count=3), 3, 3, False),
        (MostDead(count=3), 4, 400, True),
        (MostDead(count=0), 1, 1, True),
        (MostDead(share=0.1), 99, 99, False),
        (MostDead(share=0.1), 10, 100, False),
        (MostDead(share=0.1), 11, 100, True),
        (MostDead(share=0.0), 1, 100, True),
        (MostDead(), 1000, 1000, False),
    ],
)
def test_a_run_stops_beyond_a_number_or_beyond_a_share_of_a_hundred_and_more(most, dead, settled, stops):
    assert (most.exceeded(dead, settled) is not None) == stops


@pytest.mark.parametrize(
    ("budget", "requests", "tokens", "stops"),
    [
        (Budget(requests=5), 4, 10**9, False),
        (Budget(requests=5), 5, 0, True),
        (Budget(tokens=100), 10**9, 99, False),
        (Budget(tokens=100), 0, 100, True),
        (Budget(), 10**9, 10**9, False),
    ],
)
def test_nothing_more_is_sent_once_a_budget_is_used_up(budget, requests, tokens, stops):
    assert (budget.spent(Amount(requests, tokens)) is not None) == stops


# -- most dead


@pytest.mark.fault(
    "S13", "beyond `max_dead` records set aside the run stops, and the records left stay pending"
)
def test_a_run_stops_when_too_many_records_are_set_aside_and_the_rest_stays_pending(project):
    wall = Wall(refusing(1, 3, 5, 7))
    life = sending(project, wall, max_dead=2)
    summary = project.summary

    assert isinstance(life.error, GuardError)
    assert "3 records were set aside, and max_dead is 2; the records left stay pending" in str(life.error)
    assert summary.dead == 3
    assert summary.done + summary.dead + summary.answered == len(wall.requests) < 10
    again = sending(project, wall, max_dead=5)
    assert (again.resumed, again.error) == (True, None)
    assert wall.times() == dict.fromkeys(range(10), 1)
    assert (project.summary.done, project.summary.dead, project.summary.pending) == (6, 4, 0)


@pytest.mark.fault("S13", "a share of records set aside stops the run once there are a hundred")
def test_a_share_is_asked_about_once_there_are_a_hundred_records(project):
    project.give(numbered(300))
    wall = Wall(refusing(*range(1, 300, 2)))
    life = sending(project, wall, max_dead="10%")

    assert isinstance(life.error, GuardError)
    assert 100 <= len(wall.requests) < 150


def test_what_was_set_aside_in_earlier_lives_counts(project):
    wall = Wall(refusing(1, 3, 5))
    project.connections["outgoing"]["out"] = {**ONE, "max_dead": 2}
    project.send(wall, crash=("close_item", 5))
    life = project.send(wall)

    assert isinstance(life.error, GuardError)
    assert project.summary.dead == 3


# -- budget


@pytest.mark.fault(
    "S13", "a budget of requests ends the run, also when it broke off in between; a larger one goes on"
)
@pytest.mark.parametrize("crash", [None, ("record", 3), ("intend", 2), ("show", 2), ("request", 3)], ids=str)
def test_a_budget_of_requests_holds_over_all_lives(project, crash: Any):
    wall = Wall()
    project.connections["outgoing"]["out"] = {**ONE, "budget": {"requests": 6}}
    if crash is not None:
        project.send(wall, crash=crash)
    life = project.send(wall)

    assert isinstance(life.error, GuardError)
    assert "the budget of 6 requests is used up; the records left stay pending" in str(life.error)
    assert len(wall.requests) in (
        {6} if crash is None else {5, 6}
    )  # an intent that was never sent counts too
    assert project.summary.in_doubt == 0
    sending(project, wall, budget={"requests": 100})
    assert len(project.lines) == 10


def test_attempts_count_as_requests(project):
    class Paced(Wall):
        async def answer(self, request: httpx.Request) -> httpx.Response:
            if len(self.requests) % 2:
                return httpx.Response(429, json={"error": {"message": "slow", "code": "rate_limit_exceeded"}})
            return httpx.Response(200, json={})

    wall = Paced()
    life = sending(project, wall, budget={"requests": 6})

    assert isinstance(life.error, GuardError)
    assert len(wall.requests) == 6


@pytest.mark.fault("S13", "a budget of tokens ends the run, also when it broke off in between")
@pytest.mark.parametrize("crash", [None, ("record", 2), ("show", 2), ("record", 3)], ids=str)
def test_a_budget_of_tokens_holds_over_all_lives(project, crash: Any):
    wall = Wall(
        lambda request: httpx.Response(200, json={"id": body_of(request), "usage": {"total_tokens": 10}})
    )
    project.connections["outgoing"]["out"] = {**ONE, "budget": {"tokens": 40}}
    if crash is not None:
        project.send(wall, crash=crash)
    life = project.send(wall)

    assert isinstance(life.error, GuardError)
    assert len(wall.requests) == 4
    assert [line["usage"]["total_tokens"] for line in project.lines_so_far] == [10] * 4


def test_shaping_and_skipping_cost_nothing(project):
    wall = Wall()
    life = sending(project, wall, budget={"requests": 3}, transformers=[{"keep_if": "id < `3`"}])

    assert (life.error, len(wall.requests)) == (None, 3)
