"""The parts of the Spark engine, without Spark: attempts, their journal, shares of limits, columns, options."""

from __future__ import annotations

import asyncio
import json
import os
import pickle
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal
from pathlib import Path

import pytest

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")

import pyarrow as pa
from pyspark.sql.types import (
    ArrayType,
    BooleanType,
    DateType,
    DoubleType,
    IntegerType,
    LongType,
    MapType,
    StringType,
    StructType,
    TimestampType,
)
from spark_server import CountingServer

from connectory import Catalogue, ConfigError
from connectory.cost.guards import Amount, Standing
from connectory.engines.spark import sending as sending_module
from connectory.engines.spark.columns import columns_of, fitted, json_ready, raw_column, row_of
from connectory.engines.spark.location import Location, WriteRun
from connectory.engines.spark.options import POLL, READ, WRITE, Options, local_path, read_options
from connectory.engines.spark.polling import Poller
from connectory.engines.spark.presence import LostError, Presence, fresh_in
from connectory.engines.spark.reading import BatchReader, schema_of
from connectory.engines.spark.sending import begin
from connectory.engines.spark.sharing import TaskBudget, TaskGate, TaskShare
from connectory.engines.spark.writing import _write
from connectory.errors import JobBusyError, RunStoppedError
from connectory.journal.log import LOG
from connectory.pace.lanes import Limits
from connectory.retry import Policy

CONFIG = """
version: 1
clients:
  api:
    prototype: openai-compatible
    base_uri: {base}
    token: made-up
    limits: {{requests_per_minute: 1000000000, concurrency: 4}}
    retry: {{max_wait: 1, outage: 1}}
incoming:
  files: {{entity: files}}
  shaped: {{entity: files, transformers: [{{set: {{seen: true}}}}]}}
  new-files: {{entity: files, only: new}}
  events: {{entity: fine_tuning.job.events, each: fine_tuning.jobs, pagination: first}}
outgoing:
  moderate:
    entity: moderations
    validate: "off"
    payload: {{model: m, input: "&{{text}}"}}
    result: {{flagged: "&{{response.results[0].flagged}}"}}
  by-batch: {{entity: moderations, delivery: batch, payload: {{input: "&{{text}}"}}}}
  once: {{entity: moderations, only: new, payload: {{input: "&{{text}}"}}}}
"""
RUN = WriteRun("run-1", "write", "moderate", "POST /moderations", 1)


@pytest.fixture
def server():
    with CountingServer() as made:
        yield made


@pytest.fixture
def options(tmp_path, server):
    file = tmp_path / "connectory.yaml"
    file.write_text(CONFIG.format(base=server.base_uri))
    return Options(config=str(file), connection="moderate", folder=str(tmp_path / "results"))


class Company:
    """A number of tasks that share, and what the others have used."""

    def __init__(self, live: int, **used: int) -> None:
        self.live, self.used, self.noted = live, used, {}

    def note(self, **counts: int) -> None:
        self.noted |= counts

    def of_others(self, name: str) -> int:
        return self.used.get(name, 0)


class UpstreamError(Exception):
    """What computes the rows has failed."""


def rows(start: int, end: int, *, fails: bool = False, backwards: bool = False):
    """Give batches of five rows, as Spark would; with `fails` the task dies after them."""
    numbers = list(range(start, end))[:: -1 if backwards else 1]
    for place in range(0, len(numbers), 5):
        texts = [{"number": one, "text": f"text {one}"} for one in numbers[place : place + 5]]
        yield pa.RecordBatch.from_pylist(texts)
    if fails:
        raise UpstreamError


def attempt(options: Options, batches, *, run: WriteRun = RUN, partition: int = 0, everywhere: bool = False):
    return asyncio.run(_write(options, run, partition, batches, everywhere=everywhere))


def lines(done) -> list[dict]:
    return [json.loads(line) for line in (Path(done.folder) / "lines.jsonl").read_text().splitlines()]


def test_a_second_attempt_sends_only_what_the_first_one_did_not_finish(options, server):
    with pytest.raises(UpstreamError):
        attempt(options, rows(0, 20, fails=True))

    assert len(server.inputs) == 20

    done = attempt(options, rows(0, 30, backwards=True))

    assert (len(server.inputs), server.repeated) == (30, 0)
    assert done.counts == {"ok": 30}
    assert [*range(30)] == sorted(one["index"] for one in lines(done))
    assert [{"flagged": str(29 - one["index"]).endswith("7")} for one in lines(done)] == [
        one["result"] for one in lines(done)
    ]


def test_equal_rows_are_sent_each(options, server):
    batch = pa.RecordBatch.from_pylist([{"text": "the same"}] * 3)

    done = attempt(options, iter([batch]))

    assert server.inputs["the same"] == 3
    assert len({one["key"] for one in lines(done)}) == 3
    assert attempt(options, iter([batch])).counts == {"ok": 3}
    assert server.inputs["the same"] == 3


def test_what_was_under_way_is_sent_again_with_its_key_and_marked(options, server, monkeypatch):
    killed = TaskJournalKilled(monkeypatch)

    with pytest.raises(RunStoppedError):
        attempt(options, rows(0, 8))

    killed.over()
    done = attempt(options, rows(0, 8))

    assert done.counts == {"ok": 8}
    assert server.repeated == sum(one["in_doubt"] for one in lines(done)) == killed.lost
    assert {1} == {len(keys) for keys in server.keys.values()}
    assert {1} == set(server.ids.values())


class TaskJournalKilled:
    """Lets the answers of a task get lost after the third, as when it is killed."""

    def __init__(self, monkeypatch) -> None:
        self.lost, self._written, self._patch = 0, 0, monkeypatch
        real = sending_module.TaskJournal.record

        async def record(journal, delivery, result):
            self._written += 1
            if self._written > 3:
                self.lost += 1
                raise RunStoppedError("killed")
            await real(journal, delivery, result)

        monkeypatch.setattr(sending_module.TaskJournal, "record", record)

    def over(self) -> None:
        self._patch.undo()


def test_a_torn_line_is_passed_over_and_never_cut(options, server):
    first = attempt(options, rows(0, 3))
    log = Path(first.folder) / LOG
    log.write_bytes(log.read_bytes()[:-10])
    size = log.stat().st_size

    assert attempt(options, rows(0, 3)).counts == {"ok": 3}
    assert (1, size) == (server.repeated, log.stat().st_size)


def test_an_identifier_is_known_in_every_partition(options, server):
    known = replace(options, identifier=("number",))
    attempt(known, rows(0, 10), partition=0)

    moved = attempt(known, rows(5, 15), partition=1, everywhere=True)

    assert (len(server.inputs), server.repeated) == (15, 0)
    assert moved.counts == {"ok": 10}


def test_without_an_identifier_a_partition_knows_only_its_own_rows(options, server):
    attempt(options, rows(0, 3), partition=0)
    attempt(options, rows(0, 3), partition=1)

    assert server.repeated == 3


def test_a_record_that_is_refused_is_a_dead_letter_with_its_key(options, server):
    server.wrong = {"text 1"}

    done = attempt(options, rows(0, 3))

    letter = json.loads((Path(done.folder) / "letters.jsonl").read_text())
    line = next(one for one in lines(done) if one["status"] == "error")
    assert done.counts == {"ok": 2, "error": 1}
    assert (letter["key"], "bad", None) == (line["key"], line["error"]["code"], line["result"])
    assert letter["record"] == {"number": 1, "text": "text 1"}


def test_an_attempt_stops_when_another_one_has_begun(tmp_path):
    location = Location(tmp_path)
    first = Presence(location.claim("run", 0, all_partitions=False))
    first.check()
    (tmp_path / "_connectory" / "run" / "00000" / "owner").write_bytes(b"another")
    first._look()

    with pytest.raises(LostError, match="another attempt"):
        first.check()
    first.close()


def test_a_new_attempt_waits_until_the_earlier_one_is_over(tmp_path):
    location = Location(tmp_path)
    first = Presence(location.claim("run", 0, all_partitions=False))

    with ThreadPoolExecutor() as threads:
        claiming = threads.submit(location.claim, "run", 0, all_partitions=False)
        while not first._lost:
            time.sleep(0.01)
        waited = not claiming.done()
        first.close()
        second = claiming.result(60)

    assert waited
    assert [one.name[:4] for one in (*second.earlier, second.folder)] == ["0001", "0002"]


def test_an_attempt_whose_process_is_gone_is_not_waited_for(tmp_path):
    location = Location(tmp_path)
    first = location.claim("run", 0, all_partitions=False)
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "getpid", lambda: dead.pid)
        Presence(first)._over.set()

    assert set() == fresh_in(first.tasks)


def test_a_write_that_failed_is_taken_up_and_another_one_is_refused(tmp_path):
    location = Location(tmp_path)
    begun = location.begin("write", "moderate", "POST /moderations", new=False)

    again = location.begin("write", "moderate", "POST /moderations", new=False)

    assert (begun.run, 2) == (again.run, again.lives)
    with pytest.raises(ConfigError, match="holds the unfinished write of outgoing 'moderate'"):
        location.begin("write", "purge", "DELETE /files", new=False)
    assert begun.run != location.begin("write", "purge", "DELETE /files", new=True).run
    location.finish()
    assert location.unfinished() is None


def test_a_damaged_location_is_told_and_new_begins_anew(tmp_path):
    location = Location(tmp_path)
    location.begin("write", "moderate", "POST /moderations", new=False)
    (tmp_path / "_connectory" / "run.json").write_text("{")

    with pytest.raises(ConfigError, match="begins anew"):
        location.begin("write", "moderate", "POST /moderations", new=False)
    assert location.begin("write", "moderate", "POST /moderations", new=True).lives == 1


def test_lines_are_put_in_place_and_an_interrupted_commit_is_done_again(tmp_path):
    location = Location(tmp_path)
    for run in ("run-1", "run-2"):
        parts = [
            (tmp_path / f"{run}-{number}", f"results/part-0000{number}-{run}.jsonl") for number in range(2)
        ]
        for source, _ in parts:
            source.write_text(run)
        location.publish(run, parts[:1], overwrite=False)
        location.publish(run, parts, overwrite=run == "run-2")

    assert sorted(one.name for one in (tmp_path / "results").iterdir()) == [
        "part-00000-run-2.jsonl",
        "part-00001-run-2.jsonl",
    ]


def test_two_drivers_do_not_share_a_location(tmp_path, monkeypatch):
    monkeypatch.setattr("connectory.engines.spark.location.PATIENCE", 0)
    location = Location(tmp_path)
    run = location.begin("write", "moderate", "POST /moderations", new=False).run
    working = Presence(location.claim(run, 0, all_partitions=False))

    with pytest.raises(JobBusyError, match="another job writes to"):
        location.begin("write", "moderate", "POST /moderations", new=False)
    working.close()


def test_limits_are_divided_over_the_tasks():
    company = Company(live=3)
    gate = TaskGate(Policy(), Limits(60_000, 30_000, 9), company=company, most=9, listen=lambda _event: None)
    lane = gate._lane("m")

    lane.pace.wait(0.0, 1)
    assert (lane.pace.requests.per_minute, lane.pace.tokens.per_minute) == (20_000, 10_000)
    gate.crowd.busy = 3
    assert gate.crowd.full

    company.live = 1
    lane.pace.wait(0.0, 1)
    assert lane.pace.requests.per_minute == 60_000
    assert not gate.crowd.full


def test_a_limit_that_answers_tell_is_divided_too():
    gate = TaskGate(Policy(), Limits(), company=Company(live=4), most=32, listen=lambda _event: None)
    pace = gate._lane("m").pace
    taken = pace.take(0.0, 0)

    pace.learn({"x-ratelimit-limit-requests": "400", "x-ratelimit-remaining-requests": "399"}, taken, 0.0)

    assert pace.requests.per_minute == 100


def test_tasks_that_follow_each_other_do_not_begin_with_a_burst_each():
    gate = TaskGate(
        Policy(), Limits(60, None, None), company=Company(live=1), most=1, listen=lambda _event: None
    )

    assert gate._lane("m").pace.wait(0.0, 0) > 0.9


def test_a_budget_counts_what_the_others_have_used():
    company = Company(live=2, requests=90)
    budget = TaskBudget(100, company=company)

    assert budget.decide(Standing(Amount(8), Amount(1)), Amount(1)) is None
    assert company.noted == {"requests": 9, "tokens": 0, "cost": 0}
    assert "budget of 100 requests is used up" in budget.decide(Standing(Amount(10)), Amount(1))


def test_a_connection_without_bounds_needs_no_guards(options):
    publication = sending_module.AsyncConnector(options.load()).assembly.publication("moderate", run={})

    guarded = TaskShare(Company(1), 8).guard(publication)

    assert guarded.budget is guarded.max_dead is None


@pytest.mark.parametrize(("name", "reason"), [("by-batch", "Batch API"), ("once", "same results location")])
def test_what_needs_one_process_is_refused_before_anything_is_sent(options, name, reason):
    with pytest.raises(ConfigError, match=reason):
        begin(replace(options, connection=name), "write")
    assert not Path(options.folder).exists()


def test_columns_are_those_of_the_catalogue():
    catalogue = Catalogue.load()

    files = columns_of(catalogue, catalogue["files"])
    batch = columns_of(catalogue, catalogue["batch"])

    assert "struct<id:string,bytes:bigint,created_at:bigint,expires_at:bigint," in files.simpleString()
    assert files.names[-1] == "raw"
    assert "struct<" in batch["request_counts"].dataType.simpleString()
    assert batch["metadata"].dataType.simpleString() == "map<string,string>"


def test_every_list_has_columns():
    catalogue = Catalogue.load()
    reads = [one for one in catalogue.values() if "read" in one.actions]

    made = {one.name: columns_of(catalogue, one) for one in reads}

    lone = [name for name, columns in made.items() if columns.names == ["raw"]]
    assert len(made) > 100
    assert len(lone) < len(made) / 4, lone


def test_a_chain_makes_other_columns_than_the_catalogue_has(options):
    assert schema_of(replace(options, connection="shaped")).names == ["raw"]
    assert schema_of(replace(options, connection="files", raw=True)).names == ["raw"]
    assert "bytes" in schema_of(replace(options, connection="files")).names


def test_values_that_do_not_fit_are_null_and_raw_has_them():
    schema = StructType()
    for name, kind in {
        "id": StringType(), "size": LongType(), "share": DoubleType(), "ok": BooleanType(), "at": TimestampType(),
        "day": DateType(), "tags": ArrayType(StringType()), "more": StructType().add("a", IntegerType()),
        "left": MapType(StringType(), IntegerType()), "raw": StringType(),
    }.items():  # fmt: skip
        schema.add(name, kind)
    item = {"id": 5, "size": "many", "share": 1, "ok": 1, "at": 0, "day": "2026-01-02", "tags": ["a", 1], "more": {"a": 1}, "left": {"b": 2}}  # fmt: skip

    row = row_of(item, schema)

    assert (
        "5",
        None,
        1.0,
        None,
        datetime(1970, 1, 1, tzinfo=UTC),
        date(2026, 1, 2),
        ["a", "1"],
        (1,),
        {"b": 2},
    ) == row[:-1]
    assert item == json.loads(row[-1])
    assert fitted(2**63, schema["size"].dataType) is None


def test_rows_are_records_of_json():
    row = {"at": datetime(2026, 1, 2, tzinfo=UTC), "price": Decimal("1.50"), "count": Decimal(3), "blob": b"a", "in": {"list": (1, None)}}  # fmt: skip

    assert json_ready(row) == {
        "at": "2026-01-02T00:00:00+00:00",
        "price": 1.5,
        "count": 3,
        "blob": "YQ==",
        "in": {"list": [1, None]},
    }


@pytest.mark.parametrize(
    ("given", "kind", "names", "message"),
    [
        ({}, "incoming", READ, r"needs \.option\('config'"),
        ({"config": "c"}, "outgoing", WRITE, r"needs \.option\('outgoing'"),
        ({"config": "c", "outgoing": "o"}, "outgoing", WRITE, "save\\("),
        ({"config": "c", "incoming": "i"}, "incoming", POLL, "state"),
        ({"config": "c", "incoming": "i", "partition": "3"}, "incoming", READ, "did you mean 'partitions'"),
        ({"config": "c", "incoming": "i", "partitions": "x"}, "incoming", READ, "a number of 1 or more"),
        (
            {"config": "c", "outgoing": "o", "path": "/r", "layout": "csv"},
            "outgoing",
            WRITE,
            "json or parquet",
        ),
        ({"config": "c", "outgoing": "o", "path": "s3://b/r"}, "outgoing", WRITE, "mounted on all machines"),
        ({"config": "c", "outgoing": "o", "path": "r"}, "outgoing", WRITE, "is relative"),
    ],
)
def test_options_that_cannot_be_are_refused(given, kind, names, message):
    with pytest.raises(ConfigError, match=message):
        read_options(given, kind, names)


def test_options_name_request_parameters_and_uris():
    made = read_options(
        {"config": "c", "incoming": "i", "query.purpose": "batch", "path.id": "x"}, "incoming", READ
    )

    assert (made.query, made.path) == ({"purpose": "batch"}, {"id": "x"})
    assert Path("/a b") == local_path("file:///a%20b")


def test_parents_are_read_in_portions(options, server):
    server.lists["/fine_tuning/jobs"] = [{"id": f"job-{one}", "object": "fine_tuning.job"} for one in "abc"]
    for one in "abc":
        server.lists[f"/fine_tuning/jobs/job-{one}/events"] = [{"id": f"event-{one}"}]
    reader = BatchReader(replace(options, connection="events", partitions=2), raw_column())

    shares = [pickle.loads(pickle.dumps(one)) for one in reader.partitions()]  # noqa: S301 - as Spark sends them
    read = [sorted(json.loads(raw)["id"] for (raw,) in reader.read(one)) for one in shares]

    assert read == [["event-a", "event-c"], ["event-b"]]  # of a share, several parents are read at once


def test_what_remembers_is_read_as_a_stream(options):
    with pytest.raises(ConfigError, match=r"spark\.readStream"):
        BatchReader(replace(options, connection="new-files"), raw_column()).partitions()


@pytest.mark.parametrize("name", ["files", "new-files"])
def test_a_stream_gives_each_item_once_and_the_same_again_until_it_is_committed(options, server, name):
    server.lists["/files"] = [{"id": "file-1", "object": "file"}]
    known = replace(options, connection=name, every=0)
    begin_at = Poller(known, raw_column()).initialOffset()

    first = Poller(known, raw_column()).latestOffset(begin_at)
    server.lists["/files"].insert(0, {"id": "file-2", "object": "file"})
    poller = Poller(known, raw_column())  # another life of the query
    second = poller.latestOffset(first)

    def between(start, end):
        return [json.loads(raw)["id"] for one in poller.partitions(start, end) for (raw,) in poller.read(one)]

    assert (between(begin_at, first), between(first, second)) == (["file-1"], ["file-2"])
    assert poller.latestOffset(second) == second
    poller.commit(second)
    assert poller.partitions(begin_at, second) == []
