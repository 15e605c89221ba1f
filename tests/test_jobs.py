"""Jobs in Python: with `job=` there is a journal, and the same call takes up what broke off."""

from __future__ import annotations

import sqlite3
import threading
from contextlib import aclosing, closing
from typing import Any

import httpx
import pytest
from connected import Server, body_of, extend, refusal, run
from journaled import ECHO, Project, Wall, numbered, refusing

from connectory import Connector
from connectory.errors import ConfigError, CredentialsError, JobBusyError
from connectory.journal import Job

COUNT = 40


@pytest.fixture
def project(tmp_path):
    return Project(tmp_path, outgoing={"out": {**ECHO, "concurrency": 3}})


def given(
    project: Project, network: Any, records: Any = None, *, most: int | None = None, job: str = "nightly"
) -> list[Any]:
    """Take results of the job until there are `most`, and then leave."""

    async def main():
        taken: list[Any] = []
        async with (
            project.made(network) as made,
            aclosing(
                made.outgoing("out", numbered(COUNT) if records is None else records, job=job)
            ) as results,
        ):
            async for result in results:
                taken.append(result)
                if len(taken) == most:
                    break
        return taken

    return run(main)


def blocking(project: Project, network: Any) -> Connector:
    config = project.made(network).config
    return Connector(config, transport=httpx.MockTransport(network), listen=lambda _event: None)


def ids(results: list[Any]) -> list[int]:
    return [int(result.id) for result in results]


@pytest.mark.parametrize("most", [1, 2, 3, 10, 39])
def test_leaving_in_the_middle_and_coming_back_gives_the_rest(project, most: int):
    wall = Wall()
    first = given(project, wall, most=most)
    second = given(project, wall)

    assert ids(first) == list(range(most))
    assert ids(second) == list(range(ids(second)[0], COUNT))
    assert ids(second)[0] <= most  # what was given last may come again: nobody said it was dealt with
    assert {int(one) for one, times in wall.times().items() if times > 1} <= {
        int(result.id) for result in second if result.in_doubt
    }
    assert set(wall.times()) == set(range(COUNT))


def test_a_result_carries_its_record_in_every_life(project):
    wall = Wall()
    given(project, wall, most=5)
    second = given(project, wall)

    assert all(result.record == {"id": int(result.id)} for result in second)
    assert all(result.response == {"got": {"id": int(result.id)}} for result in second)


def test_a_job_that_has_ended_begins_anew(project):
    wall = Wall()
    given(project, wall)
    again = given(project, wall)

    assert (ids(again), len(wall.requests), len(set(wall.keys))) == (list(range(COUNT)), 2 * COUNT, 2 * COUNT)


def test_another_job_is_another_run(project):
    wall = Wall()
    given(project, wall, most=5)
    other = given(project, wall, job="other")

    assert ids(other) == list(range(COUNT))


@pytest.mark.fault(
    "X11", "a job that is given other records than it began with is refused, and nothing is sent"
)
def test_other_records_are_refused(project):
    wall = Wall()
    given(project, wall, most=10)
    sent = len(wall.requests)
    with pytest.raises(ConfigError, match="are not those that the unfinished run of this job began with"):
        given(project, wall, numbered(COUNT, other=1))

    assert len(wall.requests) == sent


def test_records_that_come_one_by_one_are_taken_up_too(project):
    async def each():
        for record in numbered(COUNT):
            yield record

    wall = Wall()
    given(project, wall, each(), most=7)
    second = given(project, wall, (record for record in numbered(COUNT)))

    assert ids(second)[-1] == COUNT - 1
    assert set(wall.times()) == set(range(COUNT))


@pytest.mark.fault("X8", "a job that is under way is refused to others, in the same process too")
def test_a_job_under_way_is_busy(project):
    async def main():
        async with project.made(Wall()) as made:
            async with aclosing(made.outgoing("out", numbered(3), job="nightly")) as results:
                await anext(results)
                with pytest.raises(JobBusyError):
                    await anext(made.outgoing("out", numbered(3), job="nightly"))
                other = made.outgoing("out", numbered(3), job="other")
                assert (await anext(other)).ok
                await other.aclose()
            async with aclosing(made.outgoing("out", numbered(3), job="nightly")) as results:
                assert (await anext(results)).ok

    run(main)


def test_a_cause_that_concerns_every_record_leaves_them_to_the_same_call(project):
    refused = [True]
    wall = Wall(
        lambda request: refusal(401) if refused[0] else httpx.Response(200, json={"got": body_of(request)})
    )
    with pytest.raises(CredentialsError):
        given(project, wall)
    refused[0] = False

    assert ids(given(project, wall)) == list(range(COUNT))


def test_failures_are_results_and_count_as_dead(project):
    results = given(project, Wall(refusing(1, 2)))

    assert [result.status for result in results][:4] == ["ok", "error", "error", "ok"]
    assert (project.summary.done, project.summary.dead, project.summary.total) == (COUNT - 2, 2, COUNT)


def test_what_the_iterable_raises_comes_back_and_the_job_goes_on(project):
    def breaking():
        yield from numbered(5)
        raise ValueError("no more")

    wall = Wall()
    taken: list[Any] = []

    async def main():
        async with project.made(wall) as made:
            await extend(taken, made.outgoing("out", breaking(), job="nightly"))

    with pytest.raises(ValueError, match="no more"):
        run(main)
    assert ids(taken) == list(range(5))
    second = given(project, wall)
    assert ids(second)[-1] == COUNT - 1
    assert wall.times() == dict.fromkeys(range(COUNT), 1)


def test_without_a_job_nothing_is_kept(project):
    async def main():
        async with project.made(Wall()) as made:
            return [result async for result in made.outgoing("out", numbered(3))]

    assert len(run(main)) == 3
    assert not project.state.exists()


def test_a_job_with_only_skips_what_earlier_runs_had_answered(project):
    project.connections["outgoing"]["out"] = {**ECHO, "only": "new"}
    wall = Wall()
    given(project, wall)
    again = given(project, wall, job="other")

    assert len(wall.requests) == COUNT
    assert {result.status for result in again} == {"skipped"}


# -- the blocking door


@pytest.mark.parametrize("most", [1, 5, 39])
def test_the_blocking_door_takes_up_what_broke_off(project, most: int):
    wall = Wall()
    with blocking(project, wall) as connector:
        taken = []
        for result in connector.outgoing("out", iter(numbered(COUNT)), job="nightly"):
            taken.append(result)
            if len(taken) == most:
                break
    with blocking(project, wall) as connector:
        second = list(connector.outgoing("out", iter(numbered(COUNT)), job="nightly"))

    assert ids(taken) == list(range(most))
    assert ids(second) == list(range(ids(second)[0], COUNT))
    assert ids(second)[0] <= most
    doubtful = {int(result.id) for result in second if result.in_doubt}
    assert {one for one, times in wall.times().items() if times > 1} <= doubtful


def test_the_blocking_door_gives_everything_of_a_job_and_leaves_it_finished(project):
    wall = Wall()
    with blocking(project, wall) as connector:
        results = list(connector.outgoing("out", numbered(500), job="nightly"))

    assert ids(results) == list(range(500))
    assert (project.summary.state, project.summary.done, project.summary.pending) == ("finished", 500, 0)


def test_the_blocking_door_refuses_other_records_and_a_busy_job(project):
    wall = Wall()
    with blocking(project, wall) as connector:
        results = connector.outgoing("out", numbered(COUNT), job="nightly")
        next(results)
        with pytest.raises(JobBusyError):
            list(connector.outgoing("out", numbered(COUNT), job="nightly"))
        for _ in range(9):
            next(results)
        results.close()
        with pytest.raises(ConfigError, match="are not those"):
            list(connector.outgoing("out", numbered(COUNT, other=1), job="nightly"))
        assert ids(list(connector.outgoing("out", numbered(COUNT), job="nightly")))[-1] == COUNT - 1


def test_closing_the_connector_lets_go_of_a_job(project):
    wall = Wall()
    connector = blocking(project, wall)
    results = connector.outgoing("out", numbered(COUNT), job="nightly")
    next(results)
    connector.close()

    project.runs.refuse_busy(Job("outgoing", "out", {"job": "nightly"}))
    assert ids(given(project, wall))[-1] == COUNT - 1


def test_a_slow_caller_is_not_taken_for_one_who_has_dealt_with_a_result(project):
    wall, gate = Wall(), threading.Event()
    seen: list[Any] = []
    with blocking(project, wall) as connector:
        for result in connector.outgoing("out", numbered(COUNT), job="nightly"):
            seen.append(result)
            gate.wait(0.2)  # long enough for everything else to be answered
            summary = project.summary
            assert summary.done <= len(seen) - 1
            break


# Readings


ITEMS = 25


class Pages(Server):
    """A list of items in pages of five; newer items come first."""

    def __init__(self) -> None:
        super().__init__()
        self.items = [{"id": str(number)} for number in reversed(range(ITEMS))]

    async def answer(self, request: httpx.Request) -> httpx.Response:
        after = request.url.params.get("after")
        start = next((n + 1 for n, one in enumerate(self.items) if one["id"] == after), 0)
        page = self.items[start : start + 5]
        return httpx.Response(200, json={"data": page, "has_more": start + 5 < len(self.items)})


@pytest.fixture
def reading(tmp_path):
    return Project(
        tmp_path,
        incoming={"in": {"entity": "files"}, "fresh": {"entity": "files", "only": "new"}},
    )


def take(
    project: Project, network: Any, name: str = "in", *, most: int | None = None, job: str = "nightly"
) -> list[int]:
    async def main():
        taken: list[int] = []
        async with project.made(network) as made, aclosing(made.incoming(name, job=job)) as records:
            async for record in records:
                taken.append(int(record["id"]))
                if len(taken) == most:
                    break
        return taken

    return run(main)


@pytest.mark.parametrize("most", [1, 5, 6, 13, 24])
def test_a_reading_that_broke_off_goes_on_at_the_page_that_was_not_given_whole(reading, most: int):
    server = Pages()
    first = take(reading, server, most=most)
    asked = len(server.requests)
    second = take(reading, server)

    newest = ITEMS - 1
    page = (most - 1) // 5
    assert first == list(range(newest, newest - most, -1))
    assert second == list(range(newest - 5 * page, -1, -1))
    assert len(server.requests) - asked == ITEMS // 5 - page


def test_a_reading_that_has_ended_begins_anew_and_other_jobs_know_nothing_of_it(reading):
    server = Pages()
    assert take(reading, server, most=8)
    assert take(reading, server, job="other") == list(reversed(range(ITEMS)))
    assert len(take(reading, server)) == ITEMS - 5
    assert len(take(reading, server)) == ITEMS


def test_a_job_remembers_what_its_earlier_readings_gave(reading):
    server = Pages()
    assert len(take(reading, server, "fresh")) == ITEMS
    server.items.insert(0, {"id": "100"})
    assert take(reading, server, "fresh") == [100]
    assert take(reading, server, "fresh") == []
    assert len(take(reading, server, "fresh", job="other")) == ITEMS + 1


def test_the_blocking_door_reads_a_job_on(reading):
    server = Pages()
    with blocking(reading, server) as made:
        records = made.incoming("in", job="nightly")
        assert [int(next(records)["id"]) for _ in range(7)] == list(range(24, 17, -1))
        records.close()
        assert [int(one["id"]) for one in made.incoming("in", job="nightly")] == list(range(19, -1, -1))


def test_a_reading_under_way_is_busy(reading):
    with blocking(reading, Pages()) as made, blocking(reading, Pages()) as other:
        records = made.incoming("in", job="nightly")
        next(records)
        with pytest.raises(JobBusyError, match="nothing was done"):
            next(other.incoming("in", job="nightly"))
        records.close()
        assert len(list(other.incoming("in", job="nightly"))) == ITEMS


@pytest.mark.parametrize("form", ["rows", "files", "lines"])
def test_a_reading_for_records_goes_on_behind_those_that_were_read_for(tmp_path, monkeypatch, form: str):
    monkeypatch.chdir(tmp_path)
    count = 130
    names = [f"n{number:03}" for number in range(count)]
    with closing(sqlite3.connect(tmp_path / "t.db")) as database:
        database.execute("CREATE TABLE wanted (name TEXT PRIMARY KEY)")
        database.executemany("INSERT INTO wanted VALUES (?)", [(name,) for name in names])
        database.commit()
    for name in names:
        (tmp_path / f"{name}.wanted").touch()
    (tmp_path / "names.jsonl").write_text("".join(f'{{"name": "{name}"}}\n' for name in names))
    written: dict[str, Any] = {
        "rows": {"sql": "SELECT name FROM wanted", "database": "t.db", "key": "name"},
        "files": {"files": "*.wanted"},
        "lines": "names.jsonl",
    }
    name = "&{file.stem}" if form == "files" else "&{name}"
    one = {
        "request": {"path": "/things"},
        "input": written[form],
        "request_parameters": {"query": {"name": name}},
    }
    project = Project(tmp_path, incoming={"in": one})

    def network(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": request.url.params["name"][1:]})

    first = take(project, network, most=115)
    if form == "rows":
        with closing(sqlite3.connect(tmp_path / "t.db")) as database:
            database.execute("DELETE FROM wanted WHERE name < 'n110'")
            database.commit()
    second = take(project, network)
    assert sorted({*first, *second}) == list(range(count))
    assert len(first) + len(second) == count + 1


def test_a_reading_for_a_file_that_was_changed_is_not_taken_up(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "names.jsonl").write_text('{"name": "1"}\n{"name": "2"}\n')
    one = {
        "request": {"path": "/{name}"},
        "input": "names.jsonl",
        "request_parameters": {"path": {"name": "&{name}"}},
    }
    project = Project(tmp_path, incoming={"in": one})

    def network(request: httpx.Request) -> httpx.Response:
        return httpx.Response(200, json={"id": request.url.path.rpartition("/")[2]})

    assert len(take(project, network, most=2)) == 2  # who asks for the second has dealt with the first
    (tmp_path / "names.jsonl").write_text('{"name": "3"}\n{"name": "2"}\n')
    with pytest.raises(ConfigError, match="is not the file that the unfinished run"):
        take(project, network)
