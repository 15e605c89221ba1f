"""Faults of processes: signals, stops, readers that go away, a second process, a loop that stands still."""

from __future__ import annotations

import json
import signal
import time
from typing import Any

import pytest
from connected import run
from journaled import ECHO, Project, Wall, numbered
from wall import Processes, ThreadedWall, ended

from connectory.connector import AsyncConnector
from connectory.interfaces import Sink

COUNT = 60


@pytest.fixture
def wall():
    with ThreadedWall() as running:
        yield running


def everything_once(project: Processes, wall: ThreadedWall, *, count: int = COUNT) -> None:
    assert sorted(int(line["id"]) for line in project.lines) == list(range(count))
    assert set(wall.times()) == set(range(count))
    assert len(set(wall.request_ids)) == len(wall.ids)
    summary = project.summary
    assert (summary.state, summary.done, summary.dead, summary.pending) == ("finished", count, 0, 0)


@pytest.mark.fault(
    "X2", "a signal ends the claiming; what is under way is finished and kept; exit code 130 or 143"
)
@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)], ids=["TERM", "INT"]
)
def test_a_signal_finishes_what_is_under_way_and_the_same_command_sends_the_rest(
    tmp_path, wall, number, code
):
    project = Processes(tmp_path, wall, count=COUNT)
    wall.delay = 0.1
    process = project.start()
    wall.wait_for(10)
    process.send_signal(number)
    ending = ended(process)
    summary, sent = project.summary, len(wall.ids)

    assert ending[0] == code
    assert "requests under way are being finished" in ending[1]
    assert "the same command goes on: connectory run outgoing out" in ending[1]
    assert (summary.state, summary.in_doubt, summary.done + summary.answered) == ("unfinished", 0, sent)
    assert sent < COUNT
    assert not (tmp_path / "out.jsonl").exists()
    wall.delay = 0
    again = project.run()
    assert (again[0], len(wall.ids)) == (0, COUNT)
    assert not any(line["in_doubt"] for line in project.lines)
    everything_once(project, wall)


@pytest.mark.fault(
    "X2", "a second signal ends the run at once; what was under way is in doubt, and nothing is lost"
)
def test_a_second_signal_ends_at_once_and_what_was_under_way_is_in_doubt(tmp_path, wall):
    project = Processes(tmp_path, wall, count=COUNT)
    process = project.start()
    wall.wait_for(20)
    wall.open.clear()  # from here on nothing is answered
    time.sleep(0.2)
    process.send_signal(signal.SIGTERM)
    line = process.stderr.readline().decode()
    while "interrupt again" not in line:
        line = process.stderr.readline().decode()
    process.send_signal(signal.SIGTERM)
    code, _ = ended(process)
    summary = project.summary

    assert code == 143
    assert 1 <= summary.in_doubt <= 4
    wall.open.set()
    assert project.run()[0] == 0
    everything_once(project, wall)
    twice = {one for one, times in wall.times().items() if times > 1}
    assert twice <= {int(line["id"]) for line in project.lines if line["in_doubt"]}


@pytest.mark.fault(
    "X3", "a process that stood still for longer than its timeouts goes on, and sends nothing twice"
)
def test_a_process_that_was_stopped_for_a_while_sends_nothing_again(tmp_path, wall):
    project = Processes(tmp_path, wall, count=COUNT, idle=2)
    wall.delay = 0.2
    process = project.start()
    wall.wait_for(8)
    process.send_signal(signal.SIGSTOP)
    time.sleep(4)
    process.send_signal(signal.SIGCONT)
    code, said = ended(process)

    assert (code, len(wall.ids)) == (0, COUNT)
    assert "retries" not in said
    assert {(line["attempts"], line["in_doubt"]) for line in project.lines} == {(1, False)}
    everything_once(project, wall)


@pytest.mark.fault("X8", "a second process on the same job exits with 6 and names the first one")
def test_a_second_process_on_the_same_job_is_6(tmp_path, wall):
    project = Processes(tmp_path, wall, count=COUNT)
    wall.open.clear()
    first = project.start()
    wall.wait_for(1)
    code, said = project.run()
    wall.open.set()

    assert code == 6
    assert f"another process ({first.pid}) is working on this job" in said
    assert said.strip().splitlines()[-1] == "connectory runs list"
    assert ended(first)[0] == 0
    everything_once(project, wall)


@pytest.mark.fault("X12", "a reader that has enough ends the run quietly; the same command gives the rest")
def test_a_reader_that_goes_away_leaves_the_rest_to_the_same_command(tmp_path, wall):
    project = Processes(tmp_path, wall, count=COUNT)
    wall.delay, wall.padding = 0.02, "x" * 20_000  # more than a pipe holds
    process = project.start(output="-")
    first = json.loads(process.stdout.readline())
    process.stdout.close()
    said = process.stderr.read().decode()
    process.stderr.close()
    process.wait(60)
    summary = project.summary

    assert (process.returncode, "Traceback" in said) == (0, False)
    assert first["id"] == "0"
    assert summary.in_doubt == 0
    assert summary.done + summary.answered == len(wall.ids) < COUNT
    again = project.start(output="-")
    rest = [json.loads(line) for line in again.communicate(timeout=60)[0].splitlines()]
    assert again.returncode == 0
    assert [int(line["id"]) for line in rest] == list(range(summary.done, COUNT))
    assert wall.times() == dict.fromkeys(range(COUNT), 1)


class Pipe(Sink):
    """Takes so many flushes, and then breaks, as a pipe does whose reader has gone."""

    def __init__(self, flushes: int) -> None:
        self.lines: list[Any] = []
        self._left, self._pending = flushes, list[Any]()

    async def write(self, lines: Any) -> None:
        self._pending += lines

    async def flush(self) -> None:
        if not self._pending:
            return
        if not self._left:
            raise BrokenPipeError
        self._left -= 1
        self.lines += self._pending
        self._pending = []

    async def close(self) -> None:
        await self.flush()

    async def abandon(self) -> None: ...


@pytest.mark.fault("X12", "lines that a broken pipe did not take are given again, and no others")
@pytest.mark.parametrize("flushes", [0, 1, 2, 5])
def test_what_a_broken_pipe_did_not_take_comes_again_and_nothing_else(tmp_path, flushes: int):
    project = Project(tmp_path, outgoing={"out": {**ECHO, "concurrency": 1}})
    project.give(numbered(10))
    wall, first, second = Wall(), Pipe(flushes), Pipe(1000)
    life = project.send(wall, sink=first)

    assert isinstance(life.error, BrokenPipeError)
    assert (project.summary.done, project.summary.dead) == (len(first.lines), 0)
    project.send(wall, sink=second)
    assert [int(line["id"]) for line in first.lines + second.lines] == list(range(10))
    assert wall.times() == dict.fromkeys(range(10), 1)


def test_a_file_that_the_shell_emptied_gets_everything_again_and_nothing_is_sent_for_it(tmp_path, wall):
    project = Processes(tmp_path, wall, count=COUNT)
    wall.delay = 0.05
    path = tmp_path / "redirected.jsonl"

    with path.open("wb") as file:  # `> redirected.jsonl`
        first = project.start(output="-", stdout=file)
    wall.wait_for(20)
    first.send_signal(signal.SIGTERM)
    assert ended(first)[0] == 143
    assert project.summary.done > 0
    with path.open("wb") as file:
        second = project.start(output="-", stdout=file)
    assert ended(second)[0] == 0

    assert [int(json.loads(line)["id"]) for line in path.read_bytes().splitlines()] == list(range(COUNT))
    assert wall.times() == dict.fromkeys(range(COUNT), 1)


@pytest.mark.fault(
    "X15", "a transformer that holds up everything for longer than the timeouts makes no answer late"
)
@pytest.mark.timeout(120)
def test_a_loop_that_stands_still_takes_no_answer_for_late(tmp_path, wall):
    (tmp_path / "slow.py").write_text(
        "import time\n\n\ndef slow(record: dict) -> dict:\n"
        "    time.sleep(4 if record['id'] == 4 else 0)\n    return record\n"
    )
    Processes(tmp_path, wall, count=12, idle=2)
    text = (tmp_path / "connectory.yaml").read_text()
    text = text.replace('    payload: "&{@}"', '    transformers: [{use: "slow:slow"}]\n    payload: "&{@}"')
    (tmp_path / "connectory.yaml").write_text(text)
    wall.delay = 0.3

    async def main():
        async with AsyncConnector.from_file(tmp_path / "connectory.yaml", listen=lambda _event: None) as made:
            return [result async for result in made.outgoing("out", numbered(12))]

    results = run(main)
    assert {(result.status, result.attempts, result.in_doubt) for result in results} == {("ok", 1, False)}
    assert len(wall.ids) == 12
