"""The first twenty records of a run that fail alike: it is not the records' fault, and none of them is lost."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from journaled import ECHO, Project, Wall, numbered, refusing

from connectory import publisher as publisher_module
from connectory.errors import CredentialsError, GuardError, RunStoppedError, UnavailableError
from connectory.journal.log import LOG
from connectory.retry import ALIKE


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.give(numbered(60))
    return project


def untouched(project: Project) -> None:
    """Nothing was written down: every record is pending, and none in doubt."""
    assert (project.path / LOG).read_bytes() == b""
    assert (project.dead, project.output.exists()) == ([], False)
    summary = project.summary
    assert (summary.done, summary.dead, summary.answered, summary.in_doubt) == (0, 0, 0, 0)
    assert summary.deliveries == {"ok": 0, "error": 0, "skipped": 0}


@pytest.mark.parametrize("concurrency", [1, 8, 32])
@pytest.mark.parametrize("order", ["input", "completion"])
def test_they_all_stay_pending_and_the_same_command_sends_them(project, concurrency: int, order: str):
    project.connections["outgoing"]["out"] = {**ECHO, "concurrency": concurrency, "order": order}
    refused = Wall(refusing(*range(60), status=403))
    life = project.send(refused)

    assert isinstance(life.error, CredentialsError)
    assert "the first 20 records all failed alike" in str(life.error)
    assert ALIKE <= len(refused.requests) < ALIKE + concurrency
    untouched(project)
    wall = Wall()
    again = project.send(wall)
    assert (again.resumed, again.doubtful, again.error) == (True, 0, None)
    assert wall.times() == dict.fromkeys(range(60), 1)
    assert sorted(int(line["id"]) for line in project.lines) == list(range(60))
    assert not any(line["in_doubt"] for line in project.lines)


@pytest.mark.parametrize(
    "wrong",
    [{"payload": "&{absent}"}, {"transformers": [{"set": {"x": "&{absent}"}}]}],
    ids=["payload", "step"],
)
def test_a_wrong_template_costs_no_record(project, wrong: Any):
    project.connections["outgoing"]["out"] = {**ECHO, **wrong}
    life = project.send(Wall())

    assert type(life.error) is RunStoppedError
    untouched(project)
    project.connections["outgoing"]["out"] = ECHO
    project.send(Wall())
    assert {line["status"] for line in project.lines} == {"ok"}


def test_what_may_have_been_done_stays_in_doubt(project):
    def lost(_request: httpx.Request) -> httpx.Response:
        raise httpx.ReadError("lost")

    project.connections["outgoing"]["out"] = {**ECHO, "on_uncertain": "hold"}
    life = project.send(Wall(lost))
    assert isinstance(life.error, UnavailableError)
    assert project.summary.in_doubt >= ALIKE
    assert (project.dead, project.summary.done, project.summary.dead) == ([], 0, 0)
    project.connections["outgoing"]["out"] = ECHO
    project.send(Wall())

    assert len(project.lines) == 60
    assert sum(line["in_doubt"] for line in project.lines) >= ALIKE


def test_a_good_one_among_them_makes_them_dead_letters_in_the_order_of_the_input(project):
    wall = Wall(refusing(*(number for number in range(60) if number != 10)))
    project.connections["outgoing"]["out"] = {**ECHO, "concurrency": 1}
    life = project.send(wall)

    assert life.error is None
    assert [int(line["id"]) for line in project.lines] == list(range(60))
    assert [letter["record"]["id"] for letter in project.dead] == [one for one in range(60) if one != 10]
    assert (project.summary.done, project.summary.dead) == (1, 59)


def test_fewer_than_twenty_that_all_fail_are_dead_letters(project):
    project.give(numbered(5))
    life = project.send(Wall(refusing(*range(5))))

    assert life.error is None
    assert len(project.dead) == len(project.lines) == 5


class ThenRefused(Wall):
    """Refuses three records for their own sake, and then everybody."""

    async def answer(self, request: httpx.Request) -> httpx.Response:
        if len(self.requests) <= 3:
            return refusing(0, 1, 2)(request)
        return httpx.Response(401, json={"error": {"message": "no"}})


def test_failures_before_a_cause_that_concerns_every_record_stay_pending_with_the_rest(project):
    project.connections["outgoing"]["out"] = {**ECHO, "concurrency": 1}
    life = project.send(ThenRefused())

    assert isinstance(life.error, CredentialsError)
    untouched(project)


def test_failures_that_were_held_back_are_not_lost_when_something_else_ends_the_run(project):
    project.connections["outgoing"]["out"] = {**ECHO, "concurrency": 1, "budget": {"requests": 3}}
    life = project.send(ThenRefused())

    assert isinstance(life.error, GuardError)
    assert [letter["record"]["id"] for letter in project.dead] == [0, 1, 2]
    assert (project.summary.dead, project.summary.in_doubt) == (3, 0)


@pytest.mark.parametrize("order", ["input", "completion"])
def test_behind_a_failure_not_everything_waits_in_memory(project, monkeypatch, order: str):
    monkeypatch.setattr(publisher_module, "MOST_WAITING", 10)
    dropping = [{"keep_if": "id == `0`"}]
    project.connections["outgoing"]["out"] = {**ECHO, "transformers": dropping, "order": order}
    life = project.send(Wall(refusing(0)), crash=("show", 5))  # before the source is at its end

    assert life.crashed
    project.send(Wall(refusing(0)))
    assert sorted(line["status"] for line in project.lines) == ["error"] + ["skipped"] * 59


def test_what_is_not_sent_waits_for_nothing(project):
    project.connections["outgoing"]["out"] = {**ECHO, "transformers": [{"keep_if": "`false`"}]}

    assert project.send(Wall(), crash=("show", 5)).crashed


def test_results_of_an_earlier_life_do_not_wait_either(project):
    project.send(Wall(), crash=("record", 30))
    project.output = project.folder / "elsewhere.jsonl"
    refused = Wall(refusing(*range(60), status=403))
    life = project.send(refused)

    assert isinstance(life.error, CredentialsError)
    assert project.summary.done >= 28
    assert project.summary.dead == 0
