"""A program that reads and writes streams, and does what the how-to page shows: one session on `local[2]`."""

from __future__ import annotations

import pytest

pytest.importorskip("pyspark", reason="the extra `spark` is not installed")

from spark_runs import refuse_without_java, told_by_program
from spark_server import CountingServer

ROWS = 60
DEATHS = ()
STEPS = ("stream-write", "stream-read", "document")


@pytest.fixture(scope="module")
def told(tmp_path_factory):
    """What the program found, and the server that it asked."""
    refuse_without_java()
    with told_by_program(tmp_path_factory.mktemp("spark"), *STEPS, rows=ROWS, deaths=DEATHS) as told:
        yield told


def inputs(server: CountingServer, start: str) -> dict[str, int]:
    return {text: count for text, count in server.inputs.items() if text.startswith(start)}


def test_a_stream_writes_each_row_once_and_forgets_what_is_committed(told):
    found, server = told[0]["stream-write"], told[1]

    assert found["rows"] == [10, 20]
    assert found["left"] == ["000001"]
    assert list(inputs(server, "plain stream").values()) == ([1] * 20)


def test_a_stream_reads_what_is_new(told):
    found = told[0]["stream-read"]
    first = [f"file-{one}" for one in range(5)]

    assert [first, [*first, "file-9"]] == found["seen"]
    assert found["kept"] <= 1  # Spark says that it is done with a file when it begins with the next


def test_the_programs_of_the_how_to_page_run(told):
    found = told[0]["document"]

    assert found == {"rows": 2, "names": 6, "columns": ["number", "text", "answer"]}
