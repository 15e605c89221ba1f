"""One run in several processes: what comes of it, what stops it, and how it goes on; every process is a real one."""

from __future__ import annotations

import json
import os
import signal
import sqlite3
import sys
import time

import pytest
from command import connectory
from sharing import COUNT, Sharing, children, everything_once, gone
from wall import ThreadedWall, ended

from connectory.journal import read_plan
from connectory.record import Delivery

if sys.platform != "linux":
    pytest.skip("the children of a process are looked up in /proc", allow_module_level=True)


@pytest.fixture
def wall():
    with ThreadedWall() as running:
        yield running


def test_the_lines_the_keys_and_the_words_are_those_of_one_process(tmp_path, wall):
    project = Sharing(tmp_path, wall)
    code, said = project.run("--processes", "3")
    assert (code, said.splitlines()[-1]) == (0, f"outgoing out: {COUNT} ok, 0 failed")
    everything_once(project, wall)
    assert len(read_plan(project.run_folder)) == 3
    several = project.lines
    alone, told = project.run("--processes", "1", output="one.jsonl")
    assert (alone, told.splitlines()[-1]) == (code, said.splitlines()[-1])
    assert [json.loads(line) for line in (tmp_path / "one.jsonl").read_bytes().splitlines()] == several
    assert not (tmp_path / "out.jsonl.part").exists()


@pytest.mark.parametrize(
    ("data", "positions"),
    [
        (b"", []),
        (b'{"id": 1}', ["1"]),
        (b'\r\n{"id": 1}\r\n\r\n{"id": 2}\r\n{"id": 3}', ["2", "4", "5"]),
    ],
    ids=["an empty file", "one line", "blank lines and no end"],
)
def test_lines_keep_their_numbers(tmp_path, wall, data, positions):
    project = Sharing(tmp_path, wall, count=0)
    project.give(data)
    assert project.run("--processes", "4")[0] == 0
    run = project.runs.ids()[-1]
    assert sorted(wall.keys) == sorted(Delivery(run, one, 0).key for one in positions)
    assert [line["index"] for line in project.lines] == list(range(len(positions)))
    assert project.summary.total == len(positions)


def test_rows_with_quotes_over_several_lines_keep_their_numbers(tmp_path, wall):
    project = Sharing(tmp_path, wall)
    rows = [f'{number},"two\nlines, and ""quotes"""' for number in range(10)]
    project.give("\n".join(["id,text", *rows]).encode(), "rows.csv")
    assert project.run("--input", "rows.csv", "--processes", "3")[0] == 0
    run = project.runs.ids()[-1]
    assert [line["response"]["got"]["id"] for line in project.lines] == [str(number) for number in range(10)]
    assert set(wall.keys) == {Delivery(run, str(2 + 2 * number), 0).key for number in range(10)}


@pytest.mark.fault(
    "X1", "one of several processes is killed: the others finish what is under way, and the run goes on"
)
def test_a_killed_process_ends_the_others_and_the_same_command_goes_on(tmp_path, wall):
    project = Sharing(tmp_path, wall)
    wall.delay = 0.1
    process = project.start()
    wall.wait_for(20)
    pids = children(process)
    os.kill(pids[0], signal.SIGKILL)
    code, said = ended(process)
    gone(pids)

    assert code == 5
    assert "of the run was ended by signal 9 before its work was done" in said
    assert (
        "the same command goes on: connectory run outgoing out --input in.jsonl --output out.jsonl --processes 2"
        in said
    )
    summary = project.summary
    assert (summary.state, summary.total) == ("unfinished", COUNT)
    assert summary.done + summary.dead + summary.pending == COUNT
    assert not (tmp_path / "out.jsonl").exists()
    wall.delay = 0
    code, said = project.run()
    assert code == 0
    assert "resuming run" in said
    everything_once(project, wall)
    twice = {one for one, times in wall.times().items() if times > 1}
    assert twice <= {int(line["id"]) for line in project.lines if line["in_doubt"]}
    assert len(twice) <= 4


@pytest.mark.fault(
    "X1",
    "the process that the user started is killed: the others finish what is under way and end; the run goes on",
)
def test_the_others_end_when_the_first_process_is_killed(tmp_path, wall):
    project = Sharing(tmp_path, wall)
    process = project.start()
    wall.wait_for(20)
    wall.open.clear()
    pids = children(process)
    process.kill()
    process.wait(60)
    code, said = project.run()
    assert code == 6
    assert "are still finishing what was under way; try again in a moment" in said
    wall.open.set()
    gone(pids)
    process.communicate()
    assert project.summary.state == "unfinished"
    assert project.summary.in_doubt == 0
    assert project.run()[0] == 0
    everything_once(project, wall)
    assert set(wall.times().values()) == {1}


@pytest.mark.fault("X2", "several processes finish what is under way, and the exit code is that of one")
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_lets_all_finish_what_is_under_way(tmp_path, wall, number, code):
    project = Sharing(tmp_path, wall)
    wall.delay = 0.1
    process = project.start()
    wall.wait_for(10)
    pids = children(process)
    for pid in [process.pid, *pids]:  # as a terminal does
        os.kill(pid, number)
    ending = ended(process)
    gone(pids)
    summary, sent = project.summary, len(wall.ids)

    assert ending[0] == code
    assert ending[1].count("requests under way are being finished") == 1
    assert f"{COUNT} records = {summary.done} done + 0 dead + {summary.pending} pending" in ending[1]
    assert (summary.in_doubt, summary.done + summary.answered) == (0, sent)
    assert sent < COUNT
    wall.delay = 0
    assert project.run()[0] == 0
    everything_once(project, wall)
    assert set(wall.times().values()) == {1}


def test_a_second_signal_ends_all_at_once(tmp_path, wall):
    project = Sharing(tmp_path, wall)
    process = project.start()
    wall.wait_for(20)
    wall.open.clear()
    pids = children(process)
    process.send_signal(signal.SIGTERM)
    while b"interrupt again" not in process.stderr.readline():
        pass
    process.send_signal(signal.SIGTERM)
    assert ended(process)[0] == 143
    gone(pids)
    assert project.summary.in_doubt <= 4
    wall.open.set()
    assert project.run()[0] == 0
    everything_once(project, wall)


@pytest.mark.fault("X8", "a second process on a job that several share exits with 6")
def test_a_second_command_is_refused(tmp_path, wall):
    project = Sharing(tmp_path, wall)
    wall.open.clear()
    first = project.start()
    wall.wait_for(1)
    assert project.summary.state == "running"
    for words in ((), ("--processes", "1")):
        code, said = project.run(*words)
        assert code == 6
        assert f"another process ({first.pid}) is working on this job" in said
    wall.open.set()
    assert ended(first)[0] == 0
    everything_once(project, wall)


def test_an_unfinished_run_wants_the_number_of_processes_that_it_was_begun_with(tmp_path, wall):
    project = Sharing(tmp_path, wall)
    wall.delay = 0.1
    process = project.start()
    wall.wait_for(10)
    process.send_signal(signal.SIGTERM)
    ended(process)
    sent = len(wall.ids)
    for number in ("1", "3"):
        code, said = project.run("--processes", number)
        assert (code, len(wall.ids)) == (3, sent)
        assert "was begun with --processes 2; give that again to finish it, or start anew with --new" in said
    wall.delay = 0
    assert project.run("--new", "--processes", "3")[0] == 0
    assert [one["index"] for one in project.lines] == list(range(COUNT))


def test_limits_are_those_of_all_processes_together(tmp_path, wall):
    came: list[float] = []
    note = wall.note
    wall.note = lambda *one: (came.append(time.monotonic()), note(*one))
    project = Sharing(tmp_path, wall, limits="requests_per_minute: 600")
    assert project.run("--processes", "3")[0] == 0
    everything_once(project, wall)
    for start, begun in enumerate(came):  # what a server with one second's worth takes
        for end in range(start, COUNT):
            assert end - start + 1 <= 10 + (came[end] - begun) * 10


def test_so_many_requests_as_one_process_has_are_under_way_at_once(tmp_path, wall):
    project = Sharing(tmp_path, wall, concurrency=3)
    wall.open.clear()
    process = project.start()
    wall.wait_for(3)
    time.sleep(0.5)
    assert len(wall.ids) == 3
    wall.open.set()
    assert ended(process)[0] == 0
    everything_once(project, wall)


def test_a_budget_holds_over_all_processes_and_lives(tmp_path, wall):
    project = Sharing(tmp_path, wall, settings="    budget: {requests: 25}\n")
    code, said = project.run()
    assert (code, len(wall.ids)) == (5, 25)
    assert said.count("the budget of 25 requests is used up; the records left stay pending") == 1
    assert project.summary.done == 25
    assert project.run()[0] == 5
    assert len(wall.ids) == 25


@pytest.mark.fault("S13", "processes that share a run share its budget of money, and what they reserve of it")
def test_a_budget_of_money_holds_over_all_processes_and_lives(tmp_path, wall):
    priced = "concurrency: 4}, prices: {currency: XTS, models: {m: {input: 1, output: 1000}}"
    project = Sharing(tmp_path, wall, limits=priced, settings='    budget: {cost: "0.2501"}\n')
    config = tmp_path / "connectory.yaml"
    asks = 'payload: {id: "&{id}", model: m, max_tokens: 10}'
    config.write_text(config.read_text().replace('payload: "&{@}"', asks))
    wall.more = {"usage": {"prompt_tokens": 1, "completion_tokens": 10, "total_tokens": 11}}  # 0.010001 each
    code, said = project.run()
    assert (code, len(wall.ids)) == (5, 25), said
    assert "of 0.2501 XTS left, and the next request may need 0.01000" in said
    assert "outgoing out: m: 25 requests, 25 tokens in, 250 out, 0.250025 XTS" in said
    assert said.strip().splitlines()[-1].endswith("--processes 2")
    config.write_text(config.read_text().replace('"0.2501"', "10"))
    code, said = project.run()
    assert (code, len(wall.ids)) == (0, COUNT), said
    usage = project.runs.summary(project.runs.ids()[-1], usage=True).usage
    assert (usage["m"]["requests"], usage["m"]["total"]) == (COUNT, COUNT * 11)


def test_a_cause_that_concerns_every_record_stops_all_processes(tmp_path, wall):
    project = Sharing(tmp_path, wall, settings="    max_dead: 5\n")
    project.give(b"".join(b'{"id": %d}\nnonsense\n' % number for number in range(COUNT)))
    wall.delay = 0.05
    code, said = project.run()
    assert code == 5
    assert said.count("records were set aside, and max_dead is 5") == 1
    assert project.summary.dead > 5
    assert project.summary.pending > 0


def test_what_is_set_aside_is_one_file_that_can_be_replayed(tmp_path, wall):
    project = Sharing(
        tmp_path, wall, settings='    dead_letters: dead.jsonl\n    payload: {id: "&{number(id)}"}\n'
    )
    config = tmp_path / "connectory.yaml"
    config.write_text(config.read_text().replace('    payload: "&{@}"\n', "").replace("number(id)", "id"))
    project.give(
        b"".join(b'{"%s": %d}\n' % (b"id" if number % 10 else b"name", number) for number in range(COUNT))
    )
    code, said = project.run()
    assert code == 1
    assert f"outgoing out: {COUNT - 6} ok, 6 failed" in said
    assert "failed records, each with its reason: dead.jsonl" in said
    run = project.runs.ids()[-1]
    assert said.strip().splitlines()[-1] == f"connectory replay {run}"
    letters = [json.loads(line) for line in (tmp_path / "dead.jsonl").read_bytes().splitlines()]
    assert [letter["position"] for letter in letters] == [str(number + 1) for number in range(0, COUNT, 10)]
    assert {letter["run"] for letter in letters} == {run}
    assert (project.summary.done, project.summary.dead) == (COUNT - 6, 6)

    config.write_text(config.read_text().replace("&{id}", "&{id || name}"))
    done = connectory("replay", run, folder=tmp_path)
    assert done.code == 0, done.said
    assert (project.runs.summary(run).done, project.runs.summary(run).dead) == (COUNT, 0)
    assert len(project.lines) == COUNT + 6  # a replay adds its lines


def test_lines_go_to_standard_output_and_to_the_end_of_a_file(tmp_path, wall):
    project = Sharing(tmp_path, wall, settings="    output: all.jsonl\n    output_mode: append\n")
    process = project.start(output="-")
    out, said = process.communicate(timeout=100)
    assert process.returncode == 0, said
    lines = [json.loads(line) for line in out.splitlines()]
    assert [line["index"] for line in lines] == list(range(COUNT))

    (tmp_path / "all.jsonl").write_text('{"before": true}\n')
    done = connectory(
        "run", "outgoing", "out", "--input", "in.jsonl", "--processes", "2", "--new", folder=tmp_path
    )
    assert done.code == 0, done.said
    before, *added = [json.loads(line) for line in (tmp_path / "all.jsonl").read_bytes().splitlines()]
    assert before == {"before": True}
    assert [line["index"] for line in added] == list(range(COUNT))


def test_lines_go_to_a_table(tmp_path, wall):
    output = '{sql: "INSERT INTO done VALUES (:index)", database: done.db}'
    Sharing(tmp_path, wall, settings=f"    output: {output}\n")
    database = sqlite3.connect(tmp_path / "done.db")
    database.execute("CREATE TABLE done (number)")
    done = connectory("run", "outgoing", "out", "--input", "in.jsonl", "--processes", "2", folder=tmp_path)
    assert done.code == 0, done.said
    assert [row[0] for row in database.execute("SELECT number FROM done")] == list(range(COUNT))
    database.close()


def test_the_sandbox_is_one_for_all(tmp_path, wall):
    project = Sharing(tmp_path, wall, limits="requests_per_minute: 60000", count=8)
    config = (tmp_path / "connectory.yaml").read_text()
    request = 'request: {method: POST, path: /things}\n    payload: "&{@}"'
    assert request in config
    own = 'entity: moderations\n    payload: {model: omni-moderation-latest, input: "&{id}"}'
    config = config.replace(request, own).replace("&{id}", "number &{id}")
    (tmp_path / "connectory.yaml").write_text(config)
    done = connectory(
        "run", "outgoing", "out", "--input", "in.jsonl", "--processes", "2", "--sandbox", "--limit", "5",
        folder=tmp_path,
    )  # fmt: skip
    assert done.code == 0, done.said
    assert [line["index"] for line in done.lines] == list(range(5))
    assert wall.ids == []
    assert project.summary.total == 5
