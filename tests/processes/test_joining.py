"""The lines of shards, put together: broken off anywhere, it is gone on with."""

from __future__ import annotations

import json

import pytest
from connected import Kept, run

from connectory.adapters.linesink import LineSink
from connectory.errors import CredentialsError, RunInterruptedError, StorageError
from connectory.events import Held, Noticed, PageRead, RequestRetried
from connectory.journal import Job, Runs, Shard, new_facts, write_plan
from connectory.runs.processes import LETTERS, LINES, gather, join
from connectory.runs.processes.messages import error_as, error_of, event_as, event_of
from connectory.runs.running import ending

SHARDS = (Shard(1, 0, 3), Shard(2, 3, 2), Shard(3, 5, 4))
COUNT = 9


class Breaks(LineSink):
    """A file that breaks after so many pieces."""

    left = 0

    async def add(self, written):
        if not self.left:
            raise StorageError("no room")
        self.left -= 1
        await super().add(written)


@pytest.fixture
def runs(tmp_path):
    return Runs(tmp_path / ".connectory")


def begun(runs):
    """A run whose shards are at their end, taken up or begun."""
    job = Job("outgoing", "out")
    taken = runs.begin(job, new_facts(job, target="POST /things", processes=3))
    write_plan(taken.folder, SHARDS)
    for shard in SHARDS:
        folder = shard.folder(taken.folder)
        folder.mkdir(exist_ok=True)
        lines = (json.dumps({"index": index}) + "\n" for index in range(shard.start, shard.end))
        (folder / LINES).write_text("".join(lines))
    return taken


def joined(runs, sink):
    async def main():
        taken = begun(runs)
        async with ending(taken, sink):
            await join(taken, SHARDS, sink)

    run(main)


@pytest.mark.parametrize("mode", ["replace", "append"])
@pytest.mark.parametrize("pieces", range(3))
def test_it_goes_on_where_it_broke_off(tmp_path, runs, pieces, mode):
    path = tmp_path / "out.jsonl"
    path.write_text('{"index": "before"}\n')
    sink = Breaks(path, mode=mode)
    sink.left = pieces
    with pytest.raises(StorageError):
        joined(runs, sink)
    assert path.read_text() == '{"index": "before"}\n'
    joined(runs, LineSink(path, mode=mode))
    indexes = [json.loads(line)["index"] for line in path.read_text().splitlines()]
    assert indexes == [*(["before"] if mode == "append" else []), *range(COUNT)]


def test_a_file_that_is_not_what_it_was_is_written_from_the_start(tmp_path, runs):
    sink = Breaks(tmp_path / "out.jsonl")
    sink.left = 2
    with pytest.raises(StorageError):
        joined(runs, sink)
    (tmp_path / "out.jsonl.part").unlink()
    joined(runs, LineSink(tmp_path / "out.jsonl"))
    lines = (tmp_path / "out.jsonl").read_text().splitlines()
    assert [json.loads(line)["index"] for line in lines] == list(range(COUNT))


def test_a_sink_that_is_no_file_gets_the_values(runs):
    sink = Kept()
    joined(runs, sink)
    assert [line["index"] for line in sink.lines] == list(range(COUNT))


def test_what_was_set_aside_is_gathered_again_and_again(tmp_path):
    write_plan(tmp_path, SHARDS)
    gather(tmp_path, SHARDS)
    assert not (tmp_path / LETTERS).exists()
    for shard in (SHARDS[0], SHARDS[2]):
        shard.folder(tmp_path).mkdir()
        (shard.folder(tmp_path) / LETTERS).write_text(f"{shard.number}\n")
    for _ in range(2):
        gather(tmp_path, SHARDS)
        assert (tmp_path / LETTERS).read_text() == "1\n3\n"


def test_events_and_errors_come_through_a_pipe_as_they_were():
    for event in (Noticed("so"), Held(1.5, "slow"), RequestRetried("GET /x", 2, 0.5, "why", held=True)):
        data = event_as(event)
        assert data is not None
        assert event_of(data) == event
    assert event_as(PageRead("in", 1, 1)) is None
    error = RunInterruptedError("interrupted")
    error.code = 143
    made = error_of(error_as(error, "interrupted"))
    assert (type(made), made.code, str(made)) == (RunInterruptedError, 143, "interrupted")
    assert type(error_of(error_as(CredentialsError("no"), "no"))) is CredentialsError
    assert "Traceback" in str(error_of(error_as(ValueError("x"), "Traceback of it")))
