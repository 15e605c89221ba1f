"""Records and results as a stream of Arrow: taken as they are by pyarrow, polars, pandas and DuckDB."""

from __future__ import annotations

import json
import logging
from itertools import count, islice

import httpx
import pytest

from connectory import Catalogue, Connector
from connectory.formats.tabular import BATCH, Rows, columns_of

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra 'arrow' brings it")

CONFIG = {
    "version": 1,
    "clients": {
        "local": {"prototype": "openai-compatible", "base_uri": "http://127.0.0.1:1", "token": "made-up"}
    },
    "incoming": {
        "files": {"entity": "files"},
        "short": {"entity": "files", "transformers": [{"build": {"n": "&{bytes}"}}]},
    },
    "outgoing": {
        "moderate": {
            "entity": "moderations",
            "payload": {"input": "&{text}"},
            "result": {"text": "&{input.text}", "flagged": "&{response.results[0].flagged}"},
        }
    },
}
PAGES = 30
SIZE = 100


@pytest.fixture
def connector():
    asked: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(request.url.path)
        if request.method == "POST":
            return httpx.Response(200, json={"id": "m", "model": "x", "results": [{"flagged": False}]})
        after = int(request.url.params.get("after", "file-0").removeprefix("file-"))
        data = [
            {"id": f"file-{number}", "bytes": number, "purpose": "batch", "extra": {"n": number}}
            for number in range(after + 1, after + SIZE + 1)
        ]
        if after >= (PAGES - 1) * SIZE:
            data[-1]["later"] = 1
        more = after < (PAGES - 1) * SIZE
        return httpx.Response(
            200, json={"object": "list", "data": data, "has_more": more, "last_id": data[-1]["id"]}
        )

    with Connector.from_dict(CONFIG, transport=httpx.MockTransport(answer)) as made:
        made.asked = asked
        yield made


def test_pages_become_batches_as_they_are_asked_for(connector, caplog):
    reader = pa.RecordBatchReader.from_stream(connector.incoming("files"))
    assert len(connector.asked) <= BATCH // SIZE + 1
    assert reader.schema.field("bytes").type == pa.int64()
    assert (
        reader.schema.field("expires_at").type == pa.int64()
    )  # which no file here has: the catalogue knows it
    assert reader.schema.field("extra").type == pa.struct([("n", pa.int64())])
    first = reader.read_next_batch()
    assert first.num_rows == BATCH
    assert len(connector.asked) <= 2 * BATCH // SIZE + 1
    with caplog.at_level(logging.WARNING, "connectory"):
        rest = reader.read_all()
    assert first["id"].to_pylist() + rest["id"].to_pylist() == [
        f"file-{n}" for n in range(1, PAGES * SIZE + 1)
    ]
    told = [record.getMessage() for record in caplog.records if record.levelno >= logging.WARNING]
    assert told == ["the stream of Arrow has no column for the field later"]


def test_a_shape_of_ones_own_is_found_out_and_one_that_is_asked_for_is_kept(connector):
    assert pa.table(connector.incoming("short")).schema == pa.schema([("n", pa.int64())])
    wanted = pa.schema([("bytes", pa.float64()), ("extra", pa.string()), ("no", pa.int8())])
    table = pa.table(connector.incoming("files"), schema=wanted)
    assert table.schema == wanted
    assert table.slice(2, 1).to_pylist() == [{"bytes": 3.0, "extra": '{"n":3}', "no": None}]
    with pytest.raises(Exception, match="a value of 'purpose' does not fit its type 'int64'"):
        pa.table(connector.incoming("files"), schema=pa.schema([("purpose", pa.int64())]))


def test_results_are_a_stream_in_bounded_memory_and_a_stream_that_is_left_ends_the_run(connector):
    taken = count()
    endless = ({"text": f"text {number}"} for number in taken)
    reader = pa.RecordBatchReader.from_stream(connector.outgoing("moderate", endless))
    assert reader.read_next_batch().to_pylist()[7] == {"text": "text 7", "flagged": False}
    assert next(taken) < 5 * BATCH
    del reader
    results = connector.outgoing("moderate", ({"text": str(number)} for number in range(5)))
    assert [result.index for result in islice(results, 2)] == [0, 1]
    results.close()


def test_polars_pandas_and_duckdb_take_it_as_it_is(connector):
    polars, duckdb = pytest.importorskip("polars"), pytest.importorskip("duckdb")
    frame = polars.DataFrame(connector.incoming("files"))
    assert frame.shape[0] == PAGES * SIZE
    assert frame["bytes"].sum() == sum(range(1, PAGES * SIZE + 1))
    files = connector.incoming("files")
    found = duckdb.sql("SELECT count(*), count(DISTINCT id), sum(bytes), max(extra.n) FROM files").fetchall()
    assert found == [(PAGES * SIZE, PAGES * SIZE, sum(range(1, PAGES * SIZE + 1)), PAGES * SIZE)]
    assert files is not None
    pandas = pytest.importorskip("pandas")
    table = pa.table(connector.outgoing("moderate", [{"text": "a"}, {"text": "b"}]))
    assert isinstance(table.to_pandas(), pandas.DataFrame)


def test_errors_come_through_a_stream(connector):
    def breaking():
        yield {"text": "a"}
        raise LookupError("no more texts")

    with pytest.raises(Exception, match="no more texts"):
        pa.table(connector.outgoing("moderate", breaking()))


def test_nothing_is_a_table_without_rows():
    rows = Rows((one for one in ()), lines=lambda one: [one], types=dict)
    assert pa.table(rows).num_rows == 0


def test_every_list_of_the_catalogue_has_columns():
    catalogue = Catalogue.load()
    lists = [one.actions["read"] for one in catalogue.values() if "read" in one.actions]
    known = [action for action in lists if action.response.items is not None and action.response.schema]
    without = [action for action in known if not columns_of(catalogue, action)]
    assert len(known) > 60
    assert len(without) < len(known) / 10, [json.dumps(action.response.schema) for action in without]
    columns = columns_of(catalogue, catalogue.find("fine_tuning.jobs", "read").actions["read"])
    assert columns["trained_tokens"] == pa.int64()
    assert columns["metadata"] is None
    assert columns["result_files"] == pa.list_(pa.string())
