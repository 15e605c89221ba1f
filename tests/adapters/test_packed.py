"""gzip input: read as it comes, in bounded memory, and never half of it as if it were all."""

from __future__ import annotations

import gzip
import tracemalloc
import zlib

import pytest
from connected import run
from hypothesis import given
from hypothesis import strategies as st

from connectory.adapters.jsonl import LineSource
from connectory.errors import RunStoppedError
from connectory.formats.gzip import PIECE, Unpacker
from connectory.formats.lines import LineSplitter

LINES = b'{"a":1}\n{"a":2}\n{"a":3}\n'


def unpack(content: bytes, cut: int) -> bytes:
    unpacker = Unpacker("x.gz")
    chunks = [content[start : start + cut] for start in range(0, len(content), cut)]
    pieces = [piece for chunk in [*chunks, b""] for piece in unpacker.pieces(chunk)]
    assert pieces[-1] == b""
    assert all(pieces[:-1])
    return b"".join(pieces)


@pytest.mark.parametrize("name", ["records.jsonl.gz", "records.jsonl"])
def test_a_gzip_file_is_read_whatever_its_name_is(tmp_path, name):
    (tmp_path / name).write_bytes(gzip.compress(LINES))
    source = LineSource(tmp_path / name)

    async def main():
        return [(item.position, item.record) async for item in source]

    assert source.count() == 3
    assert run(main) == [("1", {"a": 1}), ("2", {"a": 2}), ("3", {"a": 3})]


@given(
    content=st.binary(max_size=200),
    cut=st.integers(1, 50),
    parts=st.integers(1, 3),
    padding=st.integers(0, 9),
)
def test_a_stream_is_undone_however_it_is_cut(content, cut, parts, padding):
    packed = gzip.compress(content) * parts + b"\0" * padding
    assert unpack(packed, cut) == content * parts


@given(content=st.binary(max_size=50), cut=st.integers(1, 50))
def test_what_is_no_gzip_stays_as_it_is(content, cut):
    if content[:2] != b"\x1f\x8b":
        assert unpack(content, cut) == content


PACKED = gzip.compress(LINES)
DAMAGED = {
    "a byte is missing": (PACKED[:-1], "it ends in the middle"),
    "the check is missing": (PACKED[:-9], "it ends in the middle"),
    "nearly all is missing": (PACKED[:12], "it ends in the middle"),
    "another check": (PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], "incorrect data check"),
    "another length": (PACKED[:-4] + b"\1\2\3\4", "incorrect length check"),
    "something behind it": (PACKED + b"more", "incorrect header check"),
    "no blocks in it": (PACKED[:10] + b"\xff" * 20, "invalid block type"),
}


@pytest.mark.parametrize(("damaged", "says"), DAMAGED.values(), ids=DAMAGED)
def test_a_damaged_stream_ends_the_run_after_what_was_whole(damaged, says):
    splitter, given_lines = LineSplitter(name="x.gz"), []
    with pytest.raises(RunStoppedError, match=f"the gzip stream of 'x.gz' is damaged: {says}"):  # noqa: PT012 - what came before the error counts
        for chunk in (damaged, b""):
            for line in splitter.numbered(chunk):
                given_lines.append(line.text)  # noqa: PERF401 - a comprehension would lose them
    assert given_lines == [b'{"a":1}', b'{"a":2}', b'{"a":3}'][: len(given_lines)]


def test_a_bomb_is_undone_in_bounded_memory():
    pack = zlib.compressobj(wbits=31)
    bomb = b"".join(pack.compress(b" " * 1_000_000) for _ in range(300)) + pack.flush()
    assert len(bomb) < 500_000
    unpacker, total = Unpacker("x.gz"), 0
    tracemalloc.start()
    for chunk in (bomb, b""):
        for piece in unpacker.pieces(chunk):
            assert len(piece) <= PIECE
            total += len(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert total == 300_000_000
    assert peak < 8 * PIECE


def test_a_bomb_of_one_line_is_one_bad_record_and_what_follows_is_read(monkeypatch):
    monkeypatch.setattr("connectory.formats.lines.LONGEST_LINE", 1_000_000)
    bomb = gzip.compress(b'{"a":1}\n' + b"x" * 50_000_000 + b'\n{"a":2}\n')
    splitter = LineSplitter()
    lines = [line for chunk in (bomb, b"") for line in splitter.numbered(chunk)]
    assert [(line.number, line.length, line.whole) for line in lines] == [
        (1, 7, True),
        (2, 50_000_000, False),
        (3, 7, True),
    ]
    assert splitter.packed
