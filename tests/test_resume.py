"""An outgoing run that breaks off anywhere goes on with the same command: nothing is lost, nothing is bought twice."""

from __future__ import annotations

from typing import Any

import httpx
import pytest
from connected import refusal
from journaled import ECHO, Project, Wall, numbered, refusing

from connectory.errors import ConfigError, CredentialsError, StorageError
from connectory.events import Noticed

COUNT = 6
POINTS = [
    *(("request", number) for number in range(1, COUNT + 1)),
    *(("intend", number) for number in range(1, COUNT + 1)),
    *(("record", number) for number in range(1, COUNT + 1)),
    *(("show", number) for number in range(1, COUNT + 1)),
    ("close_item", 1),
    ("close_item", COUNT),
    ("place", 1),
    ("place", 2),
    ("flush", 1),
    ("finish", 1),
]


@pytest.fixture
def project(tmp_path):
    project = Project(tmp_path)
    project.give(numbered(COUNT))
    return project


def judge(project: Project, wall: Wall, *, crashes: int = 1) -> None:
    """Hold everything that is promised against what the server saw and what was written."""
    lines = project.lines
    assert sorted(line["id"] for line in lines) == [str(number) for number in range(COUNT)]
    assert set(wall.times()) == set(range(COUNT))
    twice = {str(one) for one, times in wall.times().items() if times > 1}
    assert len(wall.requests) - COUNT <= crashes * ECHO["concurrency"]
    assert twice <= {line["id"] for line in lines if line["in_doubt"]}
    assert len(set(wall.request_ids)) == len(wall.requests)
    assert len({(key, one) for key, one in zip(wall.keys, wall.ids, strict=True)}) == COUNT
    summary = project.summary
    assert (summary.state, summary.done, summary.dead, summary.pending) == ("finished", COUNT, 0, 0)
    assert not project.output.with_name("out.jsonl.part").exists()


@pytest.mark.fault(
    "X1", "killed at any step of a delivery, the same command sends what is missing, and flags doubts"
)
@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point[0]} {point[1]}")
@pytest.mark.parametrize("order", ["input", "completion"])
def test_a_run_that_is_killed_at_any_moment_goes_on_where_it_was(project, point: Any, order: str):
    project.connections["outgoing"]["out"] = {**ECHO, "order": order}
    wall = Wall()
    first = project.send(wall, crash=point)
    second = project.send(wall)

    assert (first.crashed, second.resumed, second.error) == (True, True, None)
    assert second.run == first.run
    judge(project, wall)


@pytest.mark.fault(
    "X1", "killed again and again, a run still comes to its end with one result for each record"
)
def test_a_run_that_is_killed_in_every_life_comes_to_its_end(project):
    wall, lives = Wall(), 0
    for _ in range(COUNT):
        lives += 1
        if not project.send(wall, crash=("record", 2)).crashed:
            break
    last = project.send(wall) if project.summary.state != "finished" else None

    assert last is None or last.error is None
    judge(project, wall, crashes=lives)
    assert project.summary.lives == lives + (last is not None)


def test_an_answer_that_was_written_down_is_never_bought_again(project):
    wall = Wall()
    project.send(wall, crash=("record", 3))
    bought = list(wall.ids)[:3]
    project.send(wall)

    times = wall.times()
    done_first = [line for line in project.lines if line["id"] in map(str, bought)]
    assert [line["in_doubt"] for line in done_first].count(True) <= 1
    assert sum(times[one] == 1 for one in bought) >= 2


def test_what_was_under_way_is_sent_again_under_its_key_with_another_request_id_and_is_in_doubt(project):
    wall = Wall()
    project.connections["outgoing"]["out"] = {**ECHO, "concurrency": 1}
    project.send(wall, crash=("request", 3))
    resumed = project.send(wall)
    (doubtful,) = [line for line in project.lines if line["in_doubt"]]
    first, second = [place for place, one in enumerate(wall.ids) if one == 2]

    assert (resumed.doubtful, doubtful["id"]) == (1, "2")
    assert wall.keys[first] == wall.keys[second]
    assert wall.request_ids[first] == f"{wall.keys[first]}.1.1"
    assert wall.request_ids[second] == f"{wall.keys[first]}.2.1"


def test_results_of_an_earlier_life_are_shaped_with_the_records_of_today(project):
    project.connections["outgoing"]["out"] = {
        **ECHO,
        "result": {"was": "&{input.id}", "got": "&{response.got.id}"},
    }
    wall = Wall()
    project.send(wall, crash=("record", 4))
    project.send(wall)

    assert project.lines == [{"was": number, "got": number} for number in range(COUNT)]


def test_a_result_that_can_no_longer_be_shaped_is_dead_with_its_response_and_is_not_sent_again(project):
    wall = Wall()
    project.send(wall, crash=("record", COUNT))
    sent = len(wall.requests)
    project.connections["outgoing"]["out"] = {**ECHO, "result": "&{response.absent}"}
    project.send(wall)

    assert len(wall.requests) == sent
    assert {letter["error"]["class"] for letter in project.dead} == {"result"}
    assert all("response" in letter for letter in project.dead)


def test_dead_letters_are_written_once_however_often_a_run_breaks_off(project):
    wall = Wall(refusing(1, 4))
    project.send(wall, crash=("show", 3))
    project.send(wall, crash=("show", 2))
    project.send(wall)

    assert sorted(letter["record"]["id"] for letter in project.dead) == [1, 4]
    summary = project.summary
    assert (summary.done, summary.dead, summary.pending, summary.total) == (4, 2, 0, COUNT)


def test_a_record_that_becomes_many_goes_on_in_its_middle(project):
    project.give([{"items": [{"id": f"{one}{part}"} for part in "abc"]} for one in range(2)])
    project.connections["outgoing"]["out"] = {**ECHO, "transformers": [{"split": {"field": "items"}}]}
    wall = Wall()
    project.send(wall, crash=("show", 2))
    project.send(wall)

    assert [line["id"] for line in project.lines] == ["1#0", "1#1", "1#2", "2#0", "2#1", "2#2"]
    assert set(wall.times().values()) <= {1, 2}
    assert (project.summary.done, project.summary.total) == (2, 2)


def test_dropped_records_are_not_asked_about_again(project):
    project.connections["outgoing"]["out"] = {**ECHO, "transformers": [{"keep_if": "id < `2`"}]}
    wall = Wall()
    project.send(wall, crash=("show", 4))
    project.send(wall)

    assert [line["status"] for line in project.lines] == ["ok", "ok", *["skipped"] * 4]
    assert wall.ids == [0, 1]


# -- the output


def test_the_output_is_put_in_place_by_the_life_that_ends_the_run(project):
    project.output.write_text("earlier\n")
    wall = Wall()
    project.send(wall, crash=("show", 4))
    assert project.output.read_text() == "earlier\n"
    project.send(wall)

    assert [line["id"] for line in project.lines] == [str(number) for number in range(COUNT)]


@pytest.mark.parametrize("mode", ["replace", "append"])
@pytest.mark.parametrize("point", [("flush", 1), ("finish", 1)])
def test_a_run_that_is_killed_while_its_output_is_put_in_place_puts_it_there_once(
    project, mode: str, point: Any
):
    project.output_mode = mode
    project.output.write_text('{"id": "before"}\n')
    wall = Wall()
    project.send(wall, crash=point)
    project.send(wall)
    expected = [str(number) for number in range(COUNT)]

    assert [line["id"] for line in project.lines] == (["before"] if mode == "append" else []) + expected
    assert len(wall.requests) == COUNT


def test_an_output_elsewhere_gets_every_line_and_nothing_is_sent_for_it(project):
    wall = Wall()
    project.send(wall, crash=("show", 4))
    sent = len(wall.requests)
    project.output = project.folder / "elsewhere.jsonl"
    project.send(wall)

    assert [line["id"] for line in project.lines] == [str(number) for number in range(COUNT)]
    assert len(wall.requests) - sent <= 2 + ECHO["concurrency"]
    assert max(wall.times().values()) <= 2


def test_an_output_that_somebody_has_removed_is_made_again(project):
    wall = Wall()
    project.send(wall, crash=("show", 4))
    project.output.with_name("out.jsonl.part").unlink()
    project.send(wall)

    assert [line["id"] for line in project.lines] == [str(number) for number in range(COUNT)]
    assert set(wall.times()) == set(range(COUNT))


def test_an_output_that_takes_no_more_stops_the_run_and_what_was_under_way_is_kept(project):
    class Full:
        position = None

        def restore(self, position: Any) -> bool:
            return True

        def restart(self) -> None: ...

        def sync(self) -> None: ...

        async def write(self, lines: Any) -> None:
            list(lines)

        async def flush(self) -> None:
            raise StorageError("cannot write: no space left")

        async def seal(self) -> None: ...

        async def close(self) -> None: ...

        async def abandon(self) -> None: ...

    wall = Wall()
    first = project.send(wall, sink=Full())
    sent = len(wall.requests)
    assert isinstance(first.error, StorageError)
    assert sent < COUNT
    assert project.summary.answered == sent
    project.send(wall)

    assert [line["id"] for line in project.lines] == [str(number) for number in range(COUNT)]
    assert len(wall.requests) == COUNT


# -- what may change between two lives


@pytest.mark.fault("X11", "an input that was edited since the run broke off is refused, and nothing is sent")
def test_another_input_is_refused_and_a_new_run_takes_it(project):
    wall = Wall()
    project.send(wall, crash=("show", 2))
    sent = len(wall.requests)
    project.give(numbered(COUNT, changed=True))
    with pytest.raises(
        ConfigError, match=r"is not the file that the unfinished run .* began with; put it back"
    ):
        project.send(wall)
    assert len(wall.requests) == sent
    fresh = project.send(wall, new=True)

    assert (fresh.resumed, fresh.error) == (False, None)
    assert all(line["response"]["got"]["changed"] for line in project.lines)


@pytest.mark.fault("X11", "a configuration that now sends elsewhere is refused, and nothing is sent")
def test_another_target_is_refused(project):
    wall = Wall()
    project.send(wall, crash=("show", 2))
    sent = len(wall.requests)
    project.connections["outgoing"]["out"] = {**ECHO, "request": {"method": "DELETE", "path": "/others"}}
    with pytest.raises(
        ConfigError, match="sends POST /things, and the configuration now says DELETE /others"
    ):
        project.send(wall)

    assert len(wall.requests) == sent


@pytest.mark.fault(
    "X11", "a payload that was edited since is sent as it is now, and the changed resend is noticed"
)
def test_another_payload_is_sent_and_noticed_where_the_record_was_under_way(project):
    wall = Wall()
    project.connections["outgoing"]["out"] = {**ECHO, "concurrency": 1}
    project.send(wall, crash=("intend", 1))
    project.connections["outgoing"]["out"] = {**ECHO, "payload": {"id": "&{id}", "more": 1}}
    second = project.send(wall)
    notices = [event.message for event in second.events if isinstance(event, Noticed)]

    assert notices == ["record '0' was under way when the run broke off, and is sent changed"]
    assert len(wall.requests) == COUNT


def test_a_run_that_has_ended_is_not_resumed(project):
    wall = Wall()
    project.send(wall)
    second = project.send(wall)

    assert (second.resumed, len(wall.requests)) == (False, 2 * COUNT)
    assert len(set(wall.keys)) == 2 * COUNT
    assert len(project.runs.ids()) == 2


def test_a_limit_counts_over_all_lives(project):
    wall = Wall()
    project.send(wall, crash=("show", 2), limit=4)
    project.send(wall, limit=4)

    assert [line["id"] for line in project.lines] == ["0", "1", "2", "3"]


# -- causes that concern the run


def test_records_that_a_stopped_run_left_pending_are_sent_by_the_same_command(project):
    refused = [True]

    def answer(request: httpx.Request) -> httpx.Response:
        return refusal(401) if refused[0] else httpx.Response(200, json={"got": 1})

    wall = Wall(answer)
    first = project.send(wall)
    assert isinstance(first.error, CredentialsError)
    assert (project.summary.in_doubt, project.summary.answered, project.lines) == (0, 0, [])
    refused[0] = False
    second = project.send(wall)

    assert (second.resumed, second.error, second.doubtful) == (True, None, 0)
    assert not any(line["in_doubt"] for line in project.lines)
    assert len(project.lines) == COUNT
