"""Runs from a Parquet file into another one, into CSV and into a packed file; killed in the middle too."""

from __future__ import annotations

import gzip
import json
import threading

import pytest
from command import connectory
from test_sources import Moderating, configure, go, killed, run_shown

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra 'arrow' brings it")
pq = pytest.importorskip("pyarrow.parquet")


@pytest.fixture
def server():
    with Moderating() as running:
        thread = threading.Thread(target=running.serve_forever, args=(0.01,))
        thread.start()
        yield running
        running.shutdown()
        thread.join()


def rows(path, count):
    numbers = range(1, count + 1)
    table = pa.table({"id": numbers, "text": [f"post {number}" for number in numbers]})
    pq.write_table(table, path, row_group_size=16)


@pytest.mark.fault(
    "X1", "a run from a Parquet file into another one is killed: it goes on at its row, the file is whole"
)
def test_a_run_from_parquet_to_parquet_that_is_killed_goes_on(tmp_path, server):
    rows(tmp_path / "posts.parquet", 100)
    configure(tmp_path, server, input="posts.parquet", output="flags.parquet")
    server.pause = 0.01
    killed(tmp_path, after=lambda: sum(server.seen.values()) >= 40)
    assert not (tmp_path / "flags.parquet").exists()

    done = go(tmp_path)

    assert done.code == 0, done.said
    assert "resuming run" in done.said
    expected = [{"id": number, "flagged": number % 2 == 1} for number in range(1, 101)]
    assert pq.read_table(tmp_path / "flags.parquet").to_pylist() == expected
    assert sum(server.seen.values()) <= 100 + 8
    assert (run_shown(tmp_path)["done"], run_shown(tmp_path)["total"]) == (100, 100)


def test_columns_are_chosen_and_a_replay_writes_a_file_beside(tmp_path, server):
    rows(tmp_path / "posts.parquet", 30)
    configure(
        tmp_path, server, input={"parquet": "posts.parquet", "columns": ["text"]}, result={"sent": "&{input}"}
    )
    server.refused = {"post 7"}
    first = go(tmp_path, "--output", "flags.csv")
    assert first.code == 1
    lines = (tmp_path / "flags.csv").read_text().splitlines()
    assert lines[0].startswith("sent,index,id,status")
    assert lines[1].startswith('"{""text"":""post 1""}"')
    server.refused = set()
    again = connectory("replay", run_shown(tmp_path)["run"], folder=tmp_path)
    assert again.code == 0, again.said
    (beside,) = tmp_path.glob("flags-*.csv")
    assert beside.read_text().splitlines() == ["sent", '"{""text"":""post 7""}"']
    assert (tmp_path / "flags.csv").read_text().splitlines() == lines
    packed = go(tmp_path, "--output", "flags.jsonl.gz", "--limit", "2")
    assert packed.code == 0, packed.said
    assert [
        json.loads(line) for line in gzip.decompress((tmp_path / "flags.jsonl.gz").read_bytes()).splitlines()
    ] == [
        {"sent": {"text": "post 1"}},
        {"sent": {"text": "post 2"}},
    ]


def test_a_parquet_file_that_was_changed_is_refused(tmp_path, server):
    rows(tmp_path / "posts.parquet", 30)
    configure(tmp_path, server, input="posts.parquet")
    server.pause = 0.01
    killed(tmp_path, after=lambda: sum(server.seen.values()) >= 10)
    rows(tmp_path / "posts.parquet", 31)
    refused = go(tmp_path)
    assert refused.code == 3
    assert "posts.parquet" in refused.said
