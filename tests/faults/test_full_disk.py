"""A disk that is full at any moment: no half line, nothing lost, nothing bought twice once there is room."""

from __future__ import annotations

import resource
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import httpx
import pytest
from connected import body_of
from journaled import ECHO, Project, Wall, lines_of, numbered, refusing
from wall import Processes, ThreadedWall

from connectory.errors import StorageError
from connectory.journal.log import LOG, decode

COUNT = 24
ALL = [str(number) for number in range(COUNT)]
TEXT = "x" * 40_000
SIZES = [0, 300, 5_000, 20_000, 33_000, *range(40_000, 1_100_000, 45_000), 3_000_000]
"""From what no file of a run fits into, over what its journal, its log and its output do not, to what all of them do."""


@contextmanager
def room_for(size: int) -> Any:
    """Let no file of this process grow beyond so many bytes."""
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, before[1]))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)


def large(request: httpx.Request) -> httpx.Response:
    record = body_of(request)
    if record["id"] % 5 == 1:
        return refusing(record["id"])(request)
    return httpx.Response(200, json={"got": record, "text": TEXT})


def whole(path: Path) -> None:
    """Hold every line against being whole."""
    text = path.read_bytes() if path.exists() else b""
    assert text.endswith(b"\n") or not text
    lines_of(path)


def runs_of(project: Any) -> list[Path]:
    return sorted((project.state if isinstance(project, Project) else project.runs.folder).glob("runs/*"))


@pytest.mark.fault(
    "X4", "a disk that fills up at any byte stops the run, leaves no half line, and nothing is bought twice"
)
@pytest.mark.parametrize("order", ["input", "completion"])
def test_wherever_the_disk_fills_up_the_run_stops_and_goes_on_when_there_is_room(tmp_path, order: str):
    stopped = 0
    for size in SIZES:
        (tmp_path / str(size)).mkdir()
        project = Project(tmp_path / str(size), outgoing={"out": {**ECHO, "order": order}})
        project.give(numbered(COUNT))
        wall = Wall(large)
        error: BaseException | None = None
        with room_for(size):
            try:
                error = project.send(wall).error
            except StorageError as refused:  # the run could not even begin
                error = refused
        assert error is None or isinstance(error, StorageError), (size, error)
        stopped += error is not None
        for run in runs_of(project):
            whole(run / "dead_letters.jsonl")
            assert all(decode(line) for line in (run / LOG).read_bytes().splitlines(keepends=True)), size
        whole(project.output.with_name("out.jsonl.part"))
        sent = dict(wall.times())
        last = project.send(wall) if error is not None else None

        assert last is None or last.error is None, (size, last)
        assert sorted(line["id"] for line in project.lines) == sorted(ALL), size
        assert len(wall.requests) - COUNT <= ECHO["concurrency"], (size, sent)
        twice = {str(one) for one, times in wall.times().items() if times > 1}
        assert twice <= {line["id"] for line in project.lines if line["in_doubt"]}, size
        assert sorted(letter["record"]["id"] for letter in project.dead) == list(range(1, COUNT, 5)), size
    assert 20 < stopped < len(SIZES)


@pytest.mark.fault("X4", "the command line says 5, and the same command goes on when there is room")
def test_the_command_line_ends_with_5_until_there_is_room(tmp_path):
    with ThreadedWall() as wall:
        wall.padding = TEXT
        project = Processes(tmp_path, wall, count=COUNT)
        codes = []
        for size in (20_000, 250_000, 600_000):
            limit = (size, resource.getrlimit(resource.RLIMIT_FSIZE)[1])
            code, said = project.run(
                prepare=lambda limit=limit: resource.setrlimit(resource.RLIMIT_FSIZE, limit)
            )
            codes.append(code)
            assert said.strip().splitlines()[-1] == "connectory runs list"
            assert "error: cannot " in said
        assert codes == [5, 5, 5]
        assert 0 < len(wall.ids) < COUNT
        assert project.run()[0] == 0

        assert sorted(line["id"] for line in project.lines) == sorted(ALL)
        assert len(wall.ids) <= COUNT + 3 * 4
        twice = {one for one, times in wall.times().items() if times > 1}
        assert twice <= {int(line["id"]) for line in project.lines if line["in_doubt"]}


@pytest.mark.fault(
    "X4", "an incoming whose disk fills up keeps the pages before, and reads on when there is room"
)
def test_an_incoming_stops_at_a_full_disk_and_reads_on(tmp_path):
    def page(request: httpx.Request) -> httpx.Response:
        first = int(request.url.params.get("after", -1)) + 1
        data = [{"id": str(number), "text": TEXT} for number in range(first, first + 3)]
        return httpx.Response(200, json={"data": data, "has_more": first < 27})

    stopped = 0
    for size in (*range(0, 1_300_000, 90_000), 3_000_000):
        (tmp_path / str(size)).mkdir()
        project = Project(tmp_path / str(size), incoming={"in": {"request": {"path": "/things"}}})
        error: BaseException | None = None
        with room_for(size):
            try:
                error = project.read(page).error
            except StorageError as refused:
                error = refused
        assert error is None or isinstance(error, StorageError), (size, error)
        stopped += error is not None
        whole(project.output.with_name("out.jsonl.part"))
        if error is not None:
            assert project.read(page).error is None
        assert [line["id"] for line in project.lines] == [str(number) for number in range(30)], size
    assert 10 < stopped < 16
