"""CSV in: what programs write under that name, read as records, or refused with what to write instead."""

from __future__ import annotations

import csv
import gzip
import io
import json
import os
import random
import threading
from dataclasses import replace
from typing import Any

import pytest
from connected import run
from hypothesis import given
from hypothesis import strategies as st

from connectory.adapters import jsonl
from connectory.adapters.csvsource import CsvSource
from connectory.errors import ConfigError, InputError, RunStoppedError
from connectory.formats import csv as rows
from connectory.formats.csv import Form

POSTS = Form("posts.csv")


def items_of(source: CsvSource) -> list[Any]:
    async def main():
        return [item async for item in source]

    return run(main)


@pytest.fixture
def read(tmp_path):
    """Read the items of a file with this content."""

    def read(content: bytes, form: Form = POSTS, **options: Any) -> list[Any]:
        path = tmp_path / form.written
        path.write_bytes(content)
        return items_of(CsvSource(path, form, **options))

    return read


def records(items):
    return [item.record for item in items]


@pytest.mark.parametrize(
    ("content", "form", "expected"),
    [
        (b"", POSTS, []),
        (b"\n\n", POSTS, []),
        (b"id,text\n", POSTS, []),
        (b"id,text", POSTS, []),
        (b"id,text\n1,hi\n", POSTS, [{"id": "1", "text": "hi"}]),
        (b"id,text\r\n1,hi\r\n\r\n2,\r\n", POSTS, [{"id": "1", "text": "hi"}, {"id": "2", "text": ""}]),
        (b"\xef\xbb\xbfid,text\n1,hi", POSTS, [{"id": "1", "text": "hi"}]),
        (b'id,text\n1,"a\nb\r\nc"\n', POSTS, [{"id": "1", "text": "a\nb\r\nc"}]),
        (b'id,text\n1,"say ""hi"", you"\n', POSTS, [{"id": "1", "text": 'say "hi", you'}]),
        (b'id,text\n1,5" pipe\n2,x\n', POSTS, [{"id": "1", "text": '5" pipe'}, {"id": "2", "text": "x"}]),
        (b'"id","te\nxt"\n1,2\n', POSTS, [{"id": "1", "te\nxt": "2"}]),
        (b" id , text \n 1 , x \n", POSTS, [{"id": " 1 ", "text": " x "}]),
        (b"id,,\n1,2,3\n", POSTS, [{"id": "1", "column_2": "2", "column_3": "3"}]),
        (b"id\n1\n", POSTS, [{"id": "1"}]),
        (b"id\ttext\n1\ta,b\n", Form("posts.tsv"), [{"id": "1", "text": "a,b"}]),
        (b"id\ttext\n\t\n \n1\tx\n", Form("posts.tsv"), [{"id": "", "text": ""}, {"id": "1", "text": "x"}]),
        (b"id;text\n1;a,b\n", replace(POSTS, delimiter=";"), [{"id": "1", "text": "a,b"}]),
        (b"id;text\n1;2\n", replace(POSTS, delimiter=","), [{"id;text": "1;2"}]),
        (b"id,text\n1,'a,b'\n", replace(POSTS, quote="'"), [{"id": "1", "text": "a,b"}]),
        (b'id,text\n1,"a\n', replace(POSTS, quote=""), [{"id": "1", "text": '"a'}]),
        (
            b'id,text\n1,\n"",x\n',
            replace(POSTS, empty="null"),
            [{"id": "1", "text": None}, {"id": None, "text": "x"}],
        ),
        (b"1,hi\n2,ho\n", replace(POSTS, columns=("n", "t")), [{"n": "1", "t": "hi"}, {"n": "2", "t": "ho"}]),
        ("id,text\n1,é\n".encode("cp1252"), replace(POSTS, encoding="cp1252"), [{"id": "1", "text": "é"}]),
        ("id,text\n1,é\n".encode("utf-16"), POSTS, [{"id": "1", "text": "é"}]),
        ("id,text\n1,é\n".encode("utf-32"), POSTS, [{"id": "1", "text": "é"}]),
        (
            "id,text\n1,é\n".encode("utf-16-be"),
            replace(POSTS, encoding="utf-16-be"),
            [{"id": "1", "text": "é"}],
        ),
        (gzip.compress(b"id,text\n1,hi\n", mtime=0), Form("posts.csv.gz"), [{"id": "1", "text": "hi"}]),
        (b"id,text\n1," + b"x" * 300_000 + b"\n", POSTS, [{"id": "1", "text": "x" * 300_000}]),
    ],
)
def test_a_file_is_read_as_it_is_written(read, content, form, expected):
    items = read(content, form)
    assert [str(item.error) for item in items if item.error] == []
    assert records(items) == expected


@pytest.mark.parametrize(
    ("content", "form", "told"),
    [
        (
            b"id;text\n1;2\n",
            POSTS,
            "has no ',' in its first row, but ';'; nothing was sent. Most likely it is right to write input: {csv: posts.csv, delimiter: \";\"}",
        ),
        (b"id\ttext\n", POSTS, 'input: {csv: posts.csv, delimiter: "\\t"}'),
        (b"id,text\n", Form("posts.tsv"), 'input: {csv: posts.tsv, delimiter: ","}'),
        (
            "id,text\n1,é\n".encode("cp1252"),
            POSTS,
            "is not UTF-8: the byte 0xe9 in line 2; nothing was sent. Most likely it is right to write input: {csv: posts.csv, encoding: cp1252}",
        ),
        (
            "id,text\n1,é\n".encode("cp1252"),
            replace(POSTS, delimiter=",", empty="null"),
            'input: {csv: posts.csv, delimiter: ",", empty: null, encoding: cp1252}',
        ),
        (
            "id,text\n1,é\n".encode(),
            replace(POSTS, encoding="ascii"),
            "is not ASCII: the byte 0xc3 in line 2",
        ),
        ("id,text\n".encode("utf-16-le"), POSTS, "input: {csv: posts.csv, encoding: utf-16-le}"),
        (
            "id,text\n".encode("utf-16"),
            replace(POSTS, encoding="utf-8"),
            "begins as UTF-16; nothing was sent. Most likely it is right to write input: {csv: posts.csv, encoding: utf-16}",
        ),
        (b"PK\x03\x04rest", POSTS, "is no CSV: it looks like a zip file, or a spreadsheet"),
        (b"id,id\n1,2\n", POSTS, "has two columns 'id'"),
        (
            b"id,text\r1,2\r",
            POSTS,
            "cannot be read: a carriage return stands in it, which is no end of a line",
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_sent(tmp_path, content, form, told):
    path = tmp_path / form.written
    path.write_bytes(content)
    with pytest.raises(InputError) as caught:
        CsvSource(path, form)
    assert told in str(caught.value)


@pytest.mark.parametrize(
    ("row", "told"),
    [
        (b"1", "line 3 (byte 13): 1 values, and there are 2 columns"),
        (b"1,2,3", "line 3 (byte 13): 3 values, and there are 2 columns"),
        (b'1,"2"x', "line 3 (byte 13): ',' expected after '\"'"),
        (
            b"1,2\r3",
            "line 3 (byte 13): a carriage return stands in it, which is no end of a line; a line ends with a line feed",
        ),
        (
            b"1,\xff",
            "line 3 (byte 13): not UTF-8: the byte 0xff; if all of it is in another encoding, write input: {csv: posts.csv, encoding: cp1252}",
        ),
    ],
)
def test_a_bad_row_is_an_error_of_its_line_and_the_others_go_on(read, row, told, monkeypatch):
    monkeypatch.setattr(rows, "LOOK", 1)
    monkeypatch.setattr(jsonl, "CHUNK", 8)  # what is looked at before the run is the header alone
    monkeypatch.setattr("connectory.adapters.csvsource.CHUNK", 8)
    first, bad, last = read(b"id,text\n0,ok\n" + row + b"\n4,ok\n")
    assert (first.record["id"], last.record["id"], last.position) == ("0", "4", "4")
    assert str(bad.error) == told
    assert bad.position == "3"
    assert bad.record == row.decode("utf-8", "backslashreplace")


def test_a_quote_that_is_never_closed_takes_bounded_memory_and_is_said(read, monkeypatch):
    monkeypatch.setattr(rows, "LONGEST_LINE", 100)
    content = b'id,text\n1,ok\n2,"open\n' + b"3,x\n" * 100
    first, bad = read(content)
    assert first.record == {"id": "1", "text": "ok"}
    assert "is a quote in it never closed?" in str(bad.error)
    assert bad.position == "3"
    assert len(bad.record) <= 1000


def test_a_quote_that_is_never_closed_is_said_where_the_file_ends(read):
    good, bad = read(b'id,text\n1,ok\n2,"open\n' + b"3,x\n" * 10)
    assert good.record == {"id": "1", "text": "ok"}
    assert "a quote in it is never closed, so that all lines from here to the end" in str(bad.error)


def test_a_line_that_is_too_long_is_skipped(read, monkeypatch):
    monkeypatch.setattr(rows, "LONGEST_LINE", 5000)
    monkeypatch.setattr(jsonl, "CHUNK", 512)
    bad, good = read(b"id,text\n1," + b"x" * 9000 + b"\n2,y\n")
    assert "a row of 9002 bytes" in str(bad.error)
    assert (good.position, good.record) == ("3", {"id": "2", "text": "y"})


def test_positions_are_the_lines_where_rows_begin(read):
    items = read(b'id,text\n1,"a\nb"\n\n2,c\n')
    assert [item.position for item in items] == ["2", "5"]
    assert [item.mark["line"] for item in items] == [3, 5]


@pytest.mark.parametrize("packed", [False, True])
@pytest.mark.parametrize("encoding", [None, "utf-16"])
def test_reading_goes_on_after_any_row_with_the_same_positions(tmp_path, packed, encoding):
    text = 'id,text\n1,"a\nb"\n\n2,é\n3,"x ""y"""\n4,\n'
    content = text.encode(encoding or "utf-8")
    path = tmp_path / "posts.csv"
    path.write_bytes(gzip.compress(content) if packed else content)
    form = Form("posts.csv", encoding=encoding)
    whole = items_of(CsvSource(path, form))
    assert [item.record["id"] for item in whole] == ["1", "2", "3", "4"]
    for count, item in enumerate(whole, 1):
        again = CsvSource(path, form)
        again.resume(json.loads(json.dumps(item.mark)), count)
        assert items_of(again) == whole[count:]


def test_another_file_packed_in_its_place_is_told(tmp_path):
    path = tmp_path / "posts.csv.gz"
    path.write_bytes(gzip.compress(b"id\n1\n2\n"))
    mark = items_of(CsvSource(path, Form("posts.csv.gz")))[0].mark
    path.write_bytes(gzip.compress(b"id\n7\n2\n"))
    again = CsvSource(path, Form("posts.csv.gz"))
    again.resume(mark, 1)
    with pytest.raises(ConfigError, match="are not those that the unfinished run began with"):
        items_of(again)


def test_the_fingerprint_tells_another_file_and_another_way_to_read_it(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_bytes(b"id,text\n1,a\n")
    first = CsvSource(path, POSTS).fingerprint()
    assert json.loads(json.dumps(first)) == first == CsvSource(path, POSTS).fingerprint()
    assert CsvSource(path, replace(POSTS, delimiter=",")).fingerprint() != first
    path.write_bytes(b"id,text\n1,b\n")
    assert CsvSource(path, POSTS).fingerprint() != first


def test_rows_are_counted_without_the_header(tmp_path):
    path = tmp_path / "posts.csv"
    path.write_bytes(b'id,text\n1,"a\nb"\n2,c\n')
    assert (CsvSource(path, POSTS).count(), CsvSource(path, POSTS, limit=1).count()) == (2, 1)
    assert len(items_of(CsvSource(path, POSTS, limit=1))) == 1


def piped(content: bytes, form: Form = POSTS, mark: Any = None) -> list[Any]:
    reading, writing = os.pipe()

    def feed() -> None:
        with os.fdopen(writing, "wb") as file:
            file.write(content)

    thread = threading.Thread(target=feed)
    thread.start()
    source = CsvSource(f"/dev/fd/{reading}", form)
    os.close(reading)
    if mark is not None:
        source.resume(mark, 1)
    try:
        return items_of(source)
    finally:
        thread.join()


def test_a_pipe_is_read_and_held_against_what_it_was():
    content = b'id,text\n1,"a\nb"\n2,c\n'
    items = piped(content)
    assert records(items) == [{"id": "1", "text": "a\nb"}, {"id": "2", "text": "c"}]
    assert piped(content, mark=items[0].mark) == items[1:]
    with pytest.raises(ConfigError, match="are not those"):
        piped(content.replace(b"a", b"x"), mark=items[0].mark)
    with pytest.raises(InputError, match="delimiter"):
        piped(b"id;text\n1;2\n")


def test_text_that_breaks_off_in_its_encoding_stops_the_run(read, monkeypatch):
    content = "id,text\n1,é\n".encode("utf-16") + b"\x00\xd8\x00\x00"
    with pytest.raises(InputError, match=r"is not UTF-16: the byte 0x00 in line 3; nothing was sent$"):
        read(content)
    monkeypatch.setattr(jsonl, "CHUNK", 20)
    monkeypatch.setattr("connectory.adapters.csvsource.CHUNK", 20)
    with pytest.raises(RunStoppedError, match="is not UTF-16 behind line"):
        read(content)


@given(
    table=st.lists(
        st.lists(st.text(st.characters(codec="utf-8", exclude_characters="\0")), min_size=2, max_size=2),
        max_size=8,
    ),
    size=st.integers(1, 40),
)
def test_what_pythons_writer_writes_is_read_whatever_the_pieces(table, size):
    file = io.StringIO()
    csv.writer(file).writerows([["a", "b"], *table])
    content = file.getvalue().encode()
    splitter = rows.RowSplitter(POSTS, name="posts.csv")
    found = []
    for start in range(0, len(content) + size, size):
        found += [splitter.item(line) for line in splitter.numbered(content[start : start + size])]
    found += [splitter.item(line) for line in splitter.numbered(b"")] if len(content) % size == 0 else []
    # the csv module refuses a bare CR outside quotes and quotes it itself; blank lines cannot come of two columns
    assert [item.record for item in found] == [{"a": a, "b": b} for a, b in table]


def test_a_row_ends_where_pythons_reader_ends_it():
    """Quotes that stand inside values, and delimiters, in random order: both cut the same rows."""
    dice = random.Random(7)  # noqa: S311 - it makes texts
    for _ in range(2000):
        text = "a,b\n" + "".join(dice.choice(['"', ",", "x", "\n"]) for _ in range(12))
        try:
            expected = [row for row in csv.reader(io.StringIO(text), strict=True) if row][1:]
        except csv.Error:
            continue
        splitter = rows.RowSplitter(POSTS, name="posts.csv")
        lines = [*splitter.numbered(text.encode()), *splitter.numbered(b"")]
        assert [splitter._values(line.text.decode()) for line in lines] == expected, text
