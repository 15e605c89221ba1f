"""Parquet, Arrow, CSV and gzip: rows by their number, taken up again; files that are whole or not there."""

from __future__ import annotations

import csv
import datetime as dt
import gzip
import json
from decimal import Decimal

import pytest
from connected import run

from connectory.adapters import arrowsource
from connectory.adapters.arrowsource import ArrowSource
from connectory.adapters.linesink import LineSink
from connectory.errors import ConfigError, InputError, RecordError, StorageError
from connectory.formats import pouring
from connectory.formats.arrow import Shape
from connectory.formats.pouring import pouring_of

pa = pytest.importorskip("pyarrow", reason="pyarrow is not installed: the extra 'arrow' brings it")
pq = pytest.importorskip("pyarrow.parquet")


def rows(count):
    return pa.table({"id": range(1, count + 1), "text": [f"text {number}" for number in range(1, count + 1)]})


def parquet(path, table, *, size=4):
    pq.write_table(table, path, row_group_size=size)


def arrow(path, table, *, size=4):
    with pa.ipc.new_file(path, table.schema) as writer:
        writer.write_table(table, max_chunksize=size)


def items_of(source, most=None):
    async def main():
        found = []
        items = aiter(source)
        async for item in items:
            found.append(item)
            if len(found) == most:
                break
        await items.aclose()
        return found

    return run(main)


# -- in


@pytest.mark.parametrize("write", [parquet, arrow])
@pytest.mark.parametrize("batch", [1, 3, 1000])
def test_rows_have_their_numbers_and_are_taken_up_anywhere(tmp_path, monkeypatch, write, batch):
    monkeypatch.setattr(arrowsource, "ROWS", batch)
    path = tmp_path / "rows.parquet"
    write(path, rows(10))
    source = ArrowSource(path)
    assert source.count() == 10
    items = items_of(source)
    assert [(item.position, item.record["id"]) for item in items] == [(str(n), n) for n in range(1, 11)]
    for given in (1, 4, 5, 9, 10):
        again = ArrowSource(path)
        assert again.fingerprint() == source.fingerprint()
        again.resume(json.loads(json.dumps(items[given - 1].mark)), given)
        assert [item.record for item in items_of(again)] == [item.record for item in items[given:]]
    limited = ArrowSource(path, ["text"], limit=5)
    limited.resume({"row": 4}, 4)
    assert limited.count() == 5
    assert [item.record for item in items_of(limited)] == [{"text": "text 5"}]
    assert limited.fingerprint() != source.fingerprint()


def test_values_of_every_type_become_json(tmp_path):
    moment = dt.datetime(2026, 1, 2, 3, 4, 5, tzinfo=dt.UTC)
    table = pa.table(
        {
            "at": pa.array([moment]),
            "fine": pa.array([1_700_000_000_123_456_789], pa.timestamp("ns")),
            "day": pa.array([moment.date()]),
            "price": pa.array([Decimal("1.10")]),
            "long": pa.array([Decimal("12345678901234567890.5")], pa.decimal128(30, 1)),
            "raw": pa.array([b"\x00\xff"]),
            "deep": pa.array([{"a": [{"at": moment}], "b": None}]),
            "pairs": pa.array([[("k", 1)]], pa.map_(pa.string(), pa.int64())),
            "big": pa.array([2**64 - 1], pa.uint64()),
            "word": pa.array(["x"]).dictionary_encode(),
            "no": pa.array([float("nan")]),
        }
    )
    parquet(tmp_path / "x.parquet", table.drop_columns("no"))
    (item,) = items_of(ArrowSource(tmp_path / "x.parquet"))
    assert item.record == {
        "at": "2026-01-02T03:04:05+00:00",
        "fine": "2023-11-14 22:13:20.123456789",
        "day": "2026-01-02",
        "price": 1.1,
        "long": "12345678901234567890.5",
        "raw": {"base64": "AP8="},
        "deep": {"a": [{"at": "2026-01-02T03:04:05+00:00"}], "b": None},
        "pairs": [["k", 1]],
        "big": 2**64 - 1,
        "word": "x",
    }
    parquet(tmp_path / "y.parquet", table.select(["no"]))
    (item,) = items_of(ArrowSource(tmp_path / "y.parquet"))
    assert str(item.error).startswith("row 1: ")


def test_a_file_that_is_none_or_damaged_or_lacks_a_column_is_told(tmp_path):
    path = tmp_path / "rows.parquet"
    for content in (b"", b"PAR1 and nothing else", b"{}\n" * 10):
        path.write_bytes(content)
        with pytest.raises(ConfigError, match="no Parquet or Arrow file"):
            ArrowSource(path)
    with pytest.raises(ConfigError, match="no such file"):
        ArrowSource(tmp_path / "none.parquet")
    parquet(path, rows(10))
    with pytest.raises(ConfigError, match="no column 'txt', which 'columns' names; did you mean 'text'"):
        ArrowSource(path, ["txt"])
    parquet(path, rows(5000), size=1000)
    whole = bytearray(path.read_bytes())
    whole[9000:9600] = bytes(600)
    path.write_bytes(whole)
    with pytest.raises(InputError, match="cannot be read any further"):
        items_of(ArrowSource(path))


# -- out

LINES = [
    {"id": 1, "text": 'a "b", c', "deep": {"x": [1], "y": None}, "mixed": 1},
    {"id": 2, "text": None, "deep": {"x": [], "z": True}, "mixed": "one", "late": 1.5},
    {"id": 3, "text": "d\ne \ud83d", "deep": None, "mixed": [2**70], "late": 2, "free": {}},
]
ALIKE = [
    {
        "id": 1,
        "text": 'a "b", c',
        "deep": {"x": [1], "y": None, "z": None},
        "mixed": "1",
        "late": None,
        "free": None,
    },
    {
        "id": 2,
        "text": None,
        "deep": {"x": [], "y": None, "z": True},
        "mixed": '"one"',
        "late": 1.5,
        "free": None,
    },
    {"id": 3, "text": "d\ne \ufffd", "deep": None, "mixed": f"[{2**70}]", "late": 2.0, "free": "{}"},
]


def written(path, *groups, mode="replace"):
    async def main():
        sink = LineSink(path, mode=mode, pouring=pouring_of(str(path)))
        for group in groups:
            await sink.write(group)
            await sink.flush()
        await sink.close()

    run(main)


@pytest.mark.parametrize("name", ["out.parquet", "out.arrow", "out.feather"])
def test_columns_get_the_types_of_their_values_and_what_differs_becomes_json_text(
    tmp_path, monkeypatch, name
):
    monkeypatch.setattr(pouring, "ROWS", 1)  # what is learned of one group holds for the others
    path = tmp_path / name
    written(path, LINES[:1], LINES[1:])
    table = pq.read_table(path) if name.endswith("parquet") else pa.ipc.open_file(path).read_all()
    assert table.to_pylist() == ALIKE
    assert table.schema.field("id").type == pa.int64()
    assert table.schema.field("late").type == pa.float64()
    assert [item.record["id"] for item in items_of(ArrowSource(path))] == [1, 2, 3]
    assert list(tmp_path.iterdir()) == [path]


def test_dictionaries_and_lines_that_are_no_objects_become_text(tmp_path):
    path = tmp_path / "out.parquet"
    written(path, [{"map": {f"k{number}": 1 for number in range(200)}}])
    assert json.loads(pq.read_table(path)["map"][0].as_py())["k7"] == 1
    written(path, ["a", "b"])
    assert pq.read_table(path).to_pylist() == [{"value": "a"}, {"value": "b"}]
    written(path)
    assert pq.read_table(path).num_rows == 0


def test_csv_has_all_columns_and_can_be_read_again(tmp_path):
    path = tmp_path / "out.csv"
    written(path, LINES)
    with path.open(newline="", encoding="utf-8") as file:
        found = list(csv.DictReader(file))
    assert found[0] == {
        "id": "1",
        "text": 'a "b", c',
        "deep": '{"x":[1],"y":null}',
        "mixed": "1",
        "late": "",
        "free": "",
    }
    assert [row["late"] for row in found] == ["", "1.5", "2"]
    assert found[2]["text"] == "d\ne ?"
    written(tmp_path / "out.tsv.gz", LINES[:1])
    assert gzip.decompress((tmp_path / "out.tsv.gz").read_bytes()).startswith(b"id\ttext\t")


def test_lines_are_packed_and_added_to_those_that_are_there(tmp_path):
    path = tmp_path / "out.jsonl.gz"
    written(path, LINES[:1])
    written(path, LINES[1:], mode="append")
    assert [json.loads(line)["id"] for line in gzip.decompress(path.read_bytes()).splitlines()] == [1, 2, 3]
    with pytest.raises(ConfigError, match="is written whole: nothing can be added to its end"):
        written(tmp_path / "out.csv", mode="append")


@pytest.mark.parametrize("name", ["out.parquet", "out.csv", "out.jsonl.gz"])
def test_a_file_is_whole_or_as_it_was_and_a_broken_run_goes_on(tmp_path, name):
    path = tmp_path / name
    path.write_bytes(b"as it was")

    async def first():
        sink = LineSink(path, pouring=pouring_of(name))
        await sink.write(LINES[:1])
        await sink.flush()
        position = sink.position
        await sink.write(LINES[1:])
        await sink.abandon()
        return position

    position = run(first)
    assert path.read_bytes() == b"as it was"

    async def second():
        sink = LineSink(path, pouring=pouring_of(name))
        assert sink.restore(position)
        await sink.write(LINES[1:2])
        await sink.close()

    run(second)
    if name.endswith("parquet"):
        assert pq.read_table(path)["id"].to_pylist() == [1, 2]
    elif name.endswith("csv"):
        assert [line.split(",")[0] for line in path.read_text().splitlines()] == ["id", "1", "2"]
    else:
        assert len(gzip.decompress(path.read_bytes()).splitlines()) == 2


def test_an_adding_that_was_interrupted_is_made_good(tmp_path):
    path = tmp_path / "out.jsonl.gz"
    written(path, [{"id": 1}])

    async def torn():
        sink = LineSink(path, mode="append", pouring=pouring_of(str(path)))
        await sink.write([{"id": 2}])
        await sink.seal()
        position = sink.position
        await sink.abandon()
        return position

    position = run(torn)
    with path.open("ab") as file:
        file.write(gzip.compress(b'{"id": 2}\n')[:20])  # the machine stopped in the middle

    async def again():
        sink = LineSink(path, mode="append", pouring=pouring_of(str(path)))
        assert sink.restore(position)
        await sink.close()

    run(again)
    assert gzip.decompress(path.read_bytes()) == b'{"id":1}\n{"id":2}\n'


def test_what_cannot_be_poured_leaves_the_lines(tmp_path, monkeypatch):
    def refuse(*_):
        raise RecordError("no such luck")

    monkeypatch.setattr(Shape, "batch", refuse)
    with pytest.raises(StorageError, match=r"no such luck; they are in '.*out\.parquet\.part'"):
        written(tmp_path / "out.parquet", LINES)
    assert len((tmp_path / "out.parquet.part").read_bytes().splitlines()) == 3


def test_without_pyarrow_the_extra_is_named(monkeypatch):
    def missing(name):
        raise ModuleNotFoundError(name=name)

    monkeypatch.setattr("connectory.formats.arrow.import_module", missing)
    with pytest.raises(ConfigError, match=r"pip install 'connectory\[arrow\]'"):
        pouring_of("x.parquet")
