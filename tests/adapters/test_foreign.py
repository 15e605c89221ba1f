"""Input that is no JSON Lines: what is recognised, what is not, and that the suggested commands do what they say."""

from __future__ import annotations

import asyncio
import gzip
import json
import shutil
import subprocess

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.adapters.jsonl import LineSource
from connectory.errors import InputError
from connectory.formats.foreign import LINES, LOOK, Foreign, judge
from connectory.formats.lines import Line, LineSplitter

RECORDS = [{"id": "a", "text": "x, y"}, {"id": "b", "text": "é"}]
LIST = json.dumps(RECORDS, indent=2).encode()
PRETTY = b"\n".join(json.dumps(one, indent=2).encode() for one in RECORDS)
CSV = 'id,text\r\na,"x, y"\r\nb,é\r\n'.encode()
JSON_LINES = "\n".join(json.dumps(one, ensure_ascii=False) for one in RECORDS)

FOREIGN = {
    "UTF-16": JSON_LINES.encode("utf-16"),
    "UTF-16 big end first": b"\xfe\xff" + JSON_LINES.encode("utf-16-be"),
    "UTF-16 without a mark": JSON_LINES.encode("utf-16-le"),
    "UTF-16 big end first without a mark": JSON_LINES.encode("utf-16-be"),
    "UTF-32": JSON_LINES.encode("utf-32"),
    "a list": LIST,
    "a list behind a mark": b"\xef\xbb\xbf" + LIST,
    "a list, one item a line": b'[{"id": "a", "text": "x, y"},\n{"id": "b", "text": "\xc3\xa9"}]\n',
    "a list, one item a line, the bracket alone": b'[\n{"id": "a", "text": "x, y"},\n{"id": "b", "text": "\xc3\xa9"}\n]\n',
    "a list in one line": json.dumps(RECORDS).encode(),
    "a list in one line, behind a mark and blank lines": b"\xef\xbb\xbf\n \n"
    + json.dumps(RECORDS).encode()
    + b"\n\n",
    "objects over several lines": PRETTY,
    "CSV": CSV,
    "CSV from a spreadsheet": b"\xef\xbb\xbf" + CSV,
    "CSV with semicolons": CSV.replace(b",", b";").replace(b"x; y", b"x, y"),
    "columns between tabs": CSV.replace(b",", b"\t").replace(b"x\t y", b"x, y"),
}
NEEDS = {"iconv", "jq", "gzip", "python3"}

NOT_FOREIGN = {
    "nothing": b"",
    "blank lines": b"\n\r\n \n",
    "a record": b'{"a": 1}',
    "a list on each line": b"[1, 2]\n[3, 4]\n",
    "a first record cut off": b'{"a":\n{"b": 2}\n{"c": 3}\n',
    "a first record cut off in a text": b'{"a": "x\n{"b": 2}\n',
    "a first record without its end": b'{"a": 1,\n{"b": 2}\n',
    "a first line that is only broken": b'{"a": 1,}\n',
    "a first line of words, then records": b"id, text\n" + JSON_LINES.encode(),
    "words": b"hello\nworld\n",
    "a sentence": b"well, hello\n",
    "a first line with a NUL": b'{"a": "\0"}\n{"b": 1}\n',
    "a first line that is no UTF-8": b'{"a": "\xff"}\n{"b": 1}\n',
    "a nest": b"[" * LOOK,
}


def split(content: bytes, cut: int, name: str = "-") -> list[Line]:
    splitter = LineSplitter(name=name)
    chunks = [content[start : start + cut] for start in range(0, len(content), cut)]
    return [line for chunk in [*chunks, b""] for line in splitter.numbered(chunk)]


@pytest.mark.parametrize("name", FOREIGN)
def test_the_command_makes_json_lines_of_it(name, tmp_path):
    (tmp_path / "my posts.dat").write_bytes(FOREIGN[name])
    with pytest.raises(InputError) as caught:
        LineSource(tmp_path / "my posts.dat").count()
    command = caught.value.command
    assert "nothing was sent" in str(caught.value)
    assert "my posts.jsonl" in command
    programs = {word for word in NEEDS if f"{word} " in command}
    assert programs
    if any(shutil.which(program) is None for program in programs):
        pytest.skip(f"not installed here: {programs}")

    subprocess.run(command, shell=True, check=True)  # noqa: S602 - the command is what is tested
    made = (tmp_path / "my posts.jsonl").read_bytes()

    assert [json.loads(line) for line in made.splitlines()] == RECORDS
    assert judge(made, ended=True) == "lines"


@pytest.mark.parametrize(
    ("content", "what"),
    [
        (b"PK\x03\x04\x14\0", "zip file"),
        (b"\x28\xb5\x2f\xfd\0", "zstd -dc"),
        (b"BZh91AY", "bzip2 -dc"),
        (b"\xfd7zXZ\0\0", "xz -dc"),
        (b"PAR1\x15", "Parquet"),
        (b"SQLite format 3\0\x10", "SQLite"),
        (b"%PDF-1.7\n", "PDF"),
        (b"<!DOCTYPE html>\n<html>\n", "web page"),
        (b'<?xml version="1.0"?>\n<a/>\n', "XML"),
    ],
)
def test_other_files_are_named(content, what):
    found = judge(content, ended=True)
    assert isinstance(found, Foreign)
    error = found.error("posts.jsonl", packed=False)
    assert what in f"{error} {error.command}"


@pytest.mark.parametrize("name", NOT_FOREIGN)
def test_what_may_be_lines_is_read_line_by_line(name):
    assert judge(NOT_FOREIGN[name][:LOOK], ended=len(NOT_FOREIGN[name]) < LOOK) == "lines"


def test_a_list_that_is_larger_than_what_is_looked_at_is_recognised():
    large = json.dumps([{"id": n, "text": "x" * 100} for n in range(2000)], indent=1).encode()
    spread = b'[{"id": 0},\n' + b",\n".join(b'{"id": %d}' % n for n in range(1, 90000)) + b"]"
    for content in (large, spread):
        with pytest.raises(InputError, match="one JSON list"):
            split(content, 4096)


def test_a_list_in_one_line_that_is_larger_than_what_is_looked_at_is_recognised():
    large = json.dumps([{"id": n, "text": "x" * 100} for n in range(2000)]).encode()
    for cut in (1000, len(large)):
        with pytest.raises(InputError, match="looks like one JSON list; nothing was sent"):
            split(large, cut)


@pytest.mark.parametrize("content", [b'[1]\n{"a": 1}\n', b'{"a": 1}\n[1]\n', b'[{"a": 1}\n', b"[1]\n\n[2]"])
def test_a_list_is_one_bad_line_where_it_stands_among_others_or_is_broken(content):
    assert [line.text for line in split(content, 3)] == content.replace(b"\n\n", b"\n").splitlines()


def test_the_command_undoes_gzip_too():
    with pytest.raises(InputError) as caught:
        split(gzip.compress(CSV), 1000, name="posts.csv.gz")
    assert caught.value.command.startswith("gzip -dc posts.csv.gz | python3 -c")
    assert caught.value.command.endswith("> posts.jsonl")


def test_the_command_never_writes_over_the_input():
    found = judge(LIST, ended=True)
    assert isinstance(found, Foreign)
    assert found.error("a.jsonl", packed=False).command.endswith("< a.jsonl > a.lines.jsonl")
    assert found.error("-", packed=False).command.endswith("< FILE > FILE.jsonl")


@given(content=st.sampled_from([*FOREIGN.values(), *NOT_FOREIGN.values()]), cut=st.integers(1, 40))
def test_the_verdict_is_the_same_however_the_stream_is_cut(content, cut):
    def verdict(size: int) -> object:
        try:
            return split(content, size)
        except InputError as error:
            return str(error)

    assert verdict(cut) == verdict(len(content) + 1)


@given(
    lines=st.lists(
        st.sampled_from([b"[", b"{", b"}", b"]", b'{"a":1}', b'"a":1,', b"a,b", b"1", b"", b'{"a":', b"<a>"]),
        max_size=LINES + 5,
    ),
    cut=st.integers(1, 40),
)
def test_the_verdict_on_any_lines_is_the_same_however_they_are_cut(lines, cut):
    content = b"\n".join(lines)

    def verdict(size: int) -> object:
        try:
            return split(content, size)
        except InputError as error:
            return str(error)

    assert verdict(cut) == verdict(len(content) + 1)


def test_a_record_is_given_as_soon_as_its_line_is_there():
    splitter = LineSplitter()
    assert [line.text for line in splitter.numbered(b'{"a":1}\n')] == [b'{"a":1}']
    assert [line.text for line in splitter.numbered(b'{"a":2}\n{"a"')] == [b'{"a":2}']


def test_other_work_goes_on_while_a_file_without_records_is_read(tmp_path):
    (tmp_path / "blank").write_bytes(b" \n" * 20_000_000)
    turns = 0

    async def main():
        nonlocal turns
        reading = asyncio.ensure_future(_all(LineSource(tmp_path / "blank")))
        while not reading.done():
            turns += 1
            await asyncio.sleep(0)
        return reading.result()

    assert asyncio.run(main()) == []
    assert turns > 20


async def _all(source: LineSource) -> list[object]:
    return [item async for item in source]
