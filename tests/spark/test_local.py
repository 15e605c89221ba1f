"""A program that reads, writes and publishes: one session on `local[2]`, in a process of its own."""

from __future__ import annotations

import pytest

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")

from spark_runs import refuse_without_java, told_by_program
from spark_server import CountingServer

ROWS = 60
DEATHS = (7, 33)
STEPS = ("read", "write", "write-parquet", "go-on", "publish")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the program found, and the server that it asked."""
    refuse_without_java()
    with told_by_program(tmp_path_factory.mktemp("spark"), *STEPS, rows=ROWS, deaths=DEATHS) as told:
        yield told


def inputs(server: CountingServer, start: str) -> dict[str, int]:
    return {text: count for text, count in server.inputs.items() if text.startswith(start)}


def test_a_list_is_a_dataframe_with_the_columns_of_the_catalogue(told):
    found = told[0]["read"]

    assert {"id", "bytes", "created_at", "raw"} <= set(found["columns"])
    assert ([f"file-{one}" for one in range(5)], 10) == (found["ids"], found["bytes"])
    assert found["moment"] == 1_699_999_999 + 1


def test_parents_are_dealt_out_to_partitions(told):
    found = told[0]["read"]

    assert [f"event-{one}{number}" for one in "abc" for number in range(3)] == found["events"]
    assert found["partitions"] == [1, 2]


def test_a_task_that_is_killed_sends_nothing_again_that_was_answered(told):
    found, server = told[0]["write"], told[1]
    sent = inputs(server, "text ")

    assert (found["rows"], found["distinct"], found["partitions"]) == (ROWS, ROWS, 4)
    assert found["state"] == []
    assert sum(sent.values()) - ROWS <= found["in_doubt"] <= 8 * len(DEATHS)
    assert len(sent) == ROWS
    assert {1} == {len(server.keys[text]) for text in sent}
    assert {1} == set(server.ids.values())


def test_parquet_has_the_same_fields_and_letters_the_records(told):
    assert told[0]["write-parquet"] == {"rows": 12, "flagged": 1, "errors": ["bad"], "letters": ["text 3"]}


def test_a_write_that_failed_for_good_goes_on_with_other_partitions(told):
    found, server = told[0]["go-on"], told[1]
    sent = inputs(server, "again ")

    assert found["ended"].split()[0] != "done"
    assert (found["ended"].split()[-1], found["rows"], found["distinct"]) == ("done", ROWS, ROWS)
    assert len(sent) == ROWS
    assert sum(sent.values()) - ROWS <= 8 * 4


def test_rows_that_are_asked_for_twice_are_sent_once(told):
    found, server = told[0]["publish"], told[1]

    assert found == {"rows": 30, "right": 30, "flagged": [7, 17, 27]}
    assert {1} == {count for text, count in inputs(server, "plain text 2").items() if text != "plain text 2"}
