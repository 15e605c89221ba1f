"""JSON Lines: whatever stands in a file or comes through a pipe, and whatever a destination does."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import threading
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest
from connected import run
from hypothesis import example, given
from hypothesis import strategies as st

from connectory.adapters import jsonl
from connectory.adapters.jsonl import LineSource
from connectory.errors import ConfigError, RecordError, RunStoppedError
from connectory.formats.lines import LineSplitter

if TYPE_CHECKING:
    from connectory.interfaces import Item


def items_of(source: LineSource) -> list[Item]:
    async def main():
        return [item async for item in source]

    return run(main)


@pytest.fixture
def read(tmp_path):
    """Read the items of a file with this content."""

    def read(content: bytes, **options: Any) -> list[Item]:
        path = tmp_path / "records.jsonl"
        path.write_bytes(content)
        return items_of(LineSource(path, **options))

    return read


def summary(items: list[Item]) -> list[tuple[str, Any]]:
    """Position and record of each item; the word `error` for one that could not be read."""
    return [(item.position, "error" if item.error else item.record) for item in items]


# -- reading


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"", []),
        (b"\n\n \t\n\r\n", []),
        (b'{"a":1}\n{"a":2}\n', [("1", {"a": 1}), ("2", {"a": 2})]),
        (b'{"a":1}\n{"a":2}', [("1", {"a": 1}), ("2", {"a": 2})]),
        (b'{"a":1}\r\n{"a":2}\r\n', [("1", {"a": 1}), ("2", {"a": 2})]),
        (b'\n{"a":1}\n\n\r\n{"a":2}\n\n', [("2", {"a": 1}), ("5", {"a": 2})]),
        (b'\xef\xbb\xbf{"a":1}\n', [("1", {"a": 1})]),
        (b"\xef\xbb\xbf\n{}\n", [("2", {})]),
        (b"\xef\xbb\xbf", []),
        ('{"a":"x\u2028y\u0085z"}\n{}\n'.encode(), [("1", {"a": "x\u2028y\u0085z"}), ("2", {})]),
        (b'{"id":12345678901234567890123}\n', [("1", {"id": 12345678901234567890123})]),
        (b'{"a":"\\ud800"}\n', [("1", {"a": "\ud800"})]),
        (b'  {"a":1}  \n', [("1", {"a": 1})]),
    ],
)
def test_lines_are_records(read, content: bytes, expected: Any):
    assert summary(read(content)) == expected


@pytest.mark.parametrize(
    ("line", "message"),
    [
        (b"{", "line 2 (byte 8): not JSON"),
        (b'{"a":1} {"b":2}', "line 2 (byte 8): not JSON"),
        (b'{"a":NaN}', "line 2 (byte 8): not JSON: NaN is not JSON"),
        (b'{"a":1,"a":2}', "line 2 (byte 8): not JSON: an object has the key 'a' twice"),
        (b'{"a":Infinity}', "line 2 (byte 8): not JSON: Infinity is not JSON"),
        (b'{"a":1e999}', "line 2 (byte 8): not JSON: a number is too large"),
        (b'{"a":"\xff"}', "line 2 (byte 8): not JSON: not UTF-8 at byte 6"),
        ('{"a":1}'.encode("utf-16"), "line 2 (byte 8): not JSON"),
        (b'{"a":"\x00"}', "line 2 (byte 8): not JSON"),
        (b"[" * 100_000, "line 2 (byte 8): not JSON: nested too deeply"),
        (b'{"a":' + b"1" * 5000 + b"}", "line 2 (byte 8): not JSON"),
        (b"[1]", "this is an array"),
        (b'"text"', "this is a string"),
        (b"1", "this is a number"),
        (b"1.5", "this is a number"),
        (b"true", "this is a boolean"),
        (b"null", "this is null"),
    ],
    ids=lambda value: repr(value[:12]),
)
def test_a_line_that_is_no_object_is_one_error_and_the_next_line_works(read, line: bytes, message: str):
    before, bad, after = read(b'{"n":1}\n' + line + b'\n{"n":3}\n')
    assert (before.record, after.record, after.position) == ({"n": 1}, {"n": 3}, "3")
    assert isinstance(bad.error, RecordError)
    assert message in str(bad.error)


def test_the_text_of_a_line_that_is_no_json_is_kept(read):
    (item,) = read(b'{"a": \xff\n')
    assert item.record == '{"a": \\xff'


@pytest.mark.parametrize("end", [b'\n{"n":2}\n', b'\n{"n":2}'])
def test_a_line_over_the_limit_is_one_error_and_the_next_line_works(read, monkeypatch, end: bytes):
    monkeypatch.setattr(jsonl, "CHUNK", 10)
    monkeypatch.setattr("connectory.formats.lines.LONGEST_LINE", 25)
    for length in (26, 27, 50, 99, 100, 101):
        long, good = read(b"x" * length + end)
        assert (long.position, long.record) == ("1", "x" * length)
        assert f"line 1 (byte 0): {length} bytes long, and a record has at most 25" in str(long.error)
        assert (good.position, good.record) == ("2", {"n": 2})


def test_a_line_over_the_limit_may_be_the_last_one(read, monkeypatch):
    monkeypatch.setattr(jsonl, "CHUNK", 10)
    monkeypatch.setattr("connectory.formats.lines.LONGEST_LINE", 25)
    assert summary(read(b"{}\n" + b"x" * 60)) == [("1", {}), ("2", "error")]


def test_a_line_as_long_as_the_limit_is_read(read, monkeypatch):
    monkeypatch.setattr(jsonl, "CHUNK", 10)
    monkeypatch.setattr("connectory.formats.lines.LONGEST_LINE", 25)
    line = b'{"a":"' + b"x" * 17 + b'"}'
    assert len(line) == 25
    assert summary(read(line + b"\n{}\n")) == [("1", json.loads(line)), ("2", {})]


def test_a_line_over_the_limit_is_not_held_in_memory(monkeypatch):
    monkeypatch.setattr("connectory.formats.lines.LONGEST_LINE", 1000)
    splitter = LineSplitter()
    for _ in range(100):
        assert list(splitter.numbered(b"x" * 400)) == []
        assert len(splitter._rest) <= 1400
    (line,) = splitter.numbered(b"\n")
    assert (line.number, line.text, line.length, line.whole) == (1, b"x" * 1000, 40_000, False)


@given(
    lines=st.lists(st.binary(max_size=12).map(lambda raw: raw.replace(b"\n", b"")), max_size=8),
    cuts=st.integers(1, 9),
)
@example(lines=[b"\xef\xbb\xbf"], cuts=1)
def test_lines_are_the_same_however_the_stream_is_cut(lines: list[bytes], cuts: int):
    beginning = b"\xef\xbb\xbf{}"
    stream = b"\n".join([beginning, *lines])
    splitter = LineSplitter()
    chunks = [stream[start : start + cuts] for start in range(0, len(stream), cuts)]
    found = [one for chunk in [*chunks, b""] for one in splitter.numbered(chunk)]
    expected = [(number, line) for number, line in enumerate([b"{}", *lines], 1) if line.strip()]
    assert [(line.number, line.text) for line in found] == expected
    for line in found:
        raw = stream[line.start : line.end].rstrip(b"\n")
        assert (raw.removeprefix(b"\xef\xbb\xbf") if line.number == 1 else raw) == line.text
        assert line.whole


@pytest.mark.parametrize(("limit", "expected"), [(None, 3), (1, 1), (2, 2), (9, 3)])
def test_a_limit_counts_records_and_the_count_agrees(tmp_path, limit: int | None, expected: int):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"\xef\xbb\xbf\n{}\n\n{\n{}")
    source = LineSource(path, limit=limit)
    assert source.count() == source.total == expected
    assert len(items_of(source)) == expected


def test_a_file_is_closed_after_reading_and_after_leaving_early(tmp_path):
    path = tmp_path / "records.jsonl"
    path.write_bytes(b"{}\n{}\n")

    async def main():
        source = LineSource(path)
        items = aiter(source)
        await anext(items)
        file = source._file
        await items.aclose()
        with pytest.raises(OSError, match=r".") as caught:
            os.fstat(file)
        assert caught.value.errno == errno.EBADF
        source.close()

    run(main)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent.jsonl", "no such file or directory"),
        (".", "it is a directory"),
        ("file/x", "not a directory"),
    ],
)
def test_an_input_that_cannot_be_opened_is_a_configuration_error(tmp_path, name: str, message: str):
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match=message) as caught:
        LineSource(tmp_path / name)
    assert "cannot read records from" in str(caught.value)


def test_an_input_without_permission_is_a_configuration_error(monkeypatch, tmp_path):
    def refuse(*_arguments: Any) -> int:
        raise PermissionError(errno.EACCES, "Permission denied")

    monkeypatch.setattr(os, "open", refuse)  # the tests may run as root, who may read everything
    with pytest.raises(ConfigError, match="permission denied"):
        LineSource(tmp_path / "secret.jsonl")


# -- pipes


@pytest.fixture
def stdin(monkeypatch):
    """Make a pipe that a source reads in place of standard input; give its writing end."""
    reading, writing = os.pipe()
    source = LineSource("-")
    source._file = reading
    yield source, writing
    with suppress(OSError):  # most tests have closed it
        os.close(writing)
    for thread in threading.enumerate():
        if thread.name == "connectory-pipe":
            thread.join()
    os.close(reading)


def test_standard_input_gives_records_as_they_trickle_in(stdin):
    source, writing = stdin

    async def main():
        items = aiter(source)
        os.write(writing, b'{"n":1}\n{"n"')
        assert (await anext(items)).record == {"n": 1}
        later = asyncio.ensure_future(anext(items))
        await asyncio.sleep(0)
        assert not later.done()
        os.write(writing, b":2}\n")
        assert (await later).record == {"n": 2}
        os.write(writing, b'{"n":3}')
        os.close(writing)
        assert [item.record async for item in items] == [{"n": 3}]

    run(main)


def test_a_silent_pipe_does_not_hold_up_the_event_loop_and_can_be_left(stdin):
    source, writing = stdin

    async def main():
        waiting = asyncio.ensure_future(anext(aiter(source)))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        waiting.cancel()
        with pytest.raises(asyncio.CancelledError):
            await waiting
        os.close(writing)

    run(main)


def test_a_pipe_is_read_only_a_bounded_way_ahead(stdin, monkeypatch):
    monkeypatch.setattr(jsonl, "CHUNK", 3)
    source, writing = stdin

    async def main():
        os.write(writing, b"{}\n" * 1000)
        os.close(writing)
        items = aiter(source)
        await anext(items)
        left = os.dup(source._file)
        await items.aclose()
        try:
            assert len(os.read(left, 10_000)) >= 3 * (1000 - jsonl.CHUNKS_AHEAD - 2)
        finally:
            os.close(left)

    run(main)


def test_a_pipe_that_breaks_stops_the_run(stdin, monkeypatch):
    source, writing = stdin

    def broken(_file: int, _size: int) -> bytes:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "read", broken)

    async def main():
        with pytest.raises(RunStoppedError, match="input/output error"):
            await anext(aiter(source))

    run(main)
    os.close(writing)


def test_standard_input_is_not_counted(stdin):
    source, writing = stdin
    assert source.count() is None
    os.close(writing)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_a_named_pipe_is_read_like_standard_input_and_never_counted(tmp_path):
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=path.write_bytes, args=(b'{"n":1}\n{"n":2}\n',))
    writer.start()
    source = LineSource(path)
    assert source.count() is None
    assert [item.record for item in items_of(source)] == [{"n": 1}, {"n": 2}]
    writer.join()
