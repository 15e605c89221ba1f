"""JSON Lines in: reading goes on behind a line, and other lines than those of then are refused."""

from __future__ import annotations

import os
import threading
from contextlib import suppress
from typing import Any

import pytest
from connected import run
from hypothesis import given
from hypothesis import strategies as st

from connectory.adapters import jsonl
from connectory.adapters.jsonl import LineSource
from connectory.errors import ConfigError
from connectory.files.storage import SAMPLE
from connectory.interfaces import Item

LINES = b'\xef\xbb\xbf{"n":1}\n\n{"n":2}\r\n   \n{bad\n{"n":4}\n{"n":5}'


def items_of(source: LineSource) -> list[Item]:
    async def main():
        return [item async for item in source]

    return run(main)


def told(items: list[Item]) -> list[Any]:
    return [(item.position, item.record, item.mark) for item in items]


@pytest.fixture
def path(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(LINES)
    return path


@pytest.fixture
def piped(monkeypatch):
    """Make a source that reads these bytes from a pipe in place of standard input."""
    files: list[int] = []

    def make(data: bytes, **options: Any) -> LineSource:
        reading, writing = os.pipe()
        os.write(writing, data)
        os.close(writing)
        files.append(reading)
        source = LineSource("-", **options)
        source._file = reading
        return source

    yield make
    for thread in threading.enumerate():
        if thread.name == "connectory-pipe":
            thread.join()
    for file in files:
        with suppress(OSError):
            os.close(file)


# -- files


@pytest.mark.parametrize("place", range(5))
@pytest.mark.parametrize("chunk", [1, 7, 1000])
def test_a_file_goes_on_behind_each_of_its_lines(path, monkeypatch, place: int, chunk: int):
    monkeypatch.setattr(jsonl, "CHUNK", chunk)
    items = items_of(LineSource(path))
    source = LineSource(path)
    source.resume(items[place].mark, place + 1)

    assert told(items_of(source)) == told(items[place + 1 :])


@given(
    st.lists(st.sampled_from([b"", b" ", b"{}", b'{"a":1}', b"x", b"\r"]), min_size=1, max_size=12), st.data()
)
def test_going_on_gives_what_reading_on_would_have_given(lines: list[bytes], data: st.DataObject):
    path = os.memfd_create("lines")
    try:
        os.write(path, b"\n".join(lines))
        name = f"/proc/self/fd/{path}"
        items = items_of(LineSource(name))
        if items:
            place = data.draw(st.integers(0, len(items) - 1))
            source = LineSource(name)
            source.resume(items[place].mark, place + 1)
            assert told(items_of(source)) == told(items[place + 1 :])
    finally:
        os.close(path)


def test_a_limit_counts_what_was_given_before(path):
    items = items_of(LineSource(path))
    source = LineSource(path, limit=3)
    source.resume(items[1].mark, 2)

    assert [item.position for item in items_of(source)] == [items[2].position]


def test_a_limit_that_is_reached_already_gives_nothing(path):
    items = items_of(LineSource(path))
    source = LineSource(path, limit=2)
    source.resume(items[1].mark, 2)

    assert items_of(source) == []


def test_a_file_is_known_again_by_its_size_and_its_ends(path):
    fingerprint = LineSource(path).fingerprint()
    assert LineSource(path).fingerprint() == fingerprint
    data = bytearray(b"x" * (3 * SAMPLE))
    seen = []
    for place in (None, 0, SAMPLE - 1, 2 * SAMPLE, 3 * SAMPLE - 1):
        changed = bytearray(data)
        if place is not None:
            changed[place] = 0
        path.write_bytes(changed)
        seen.append(LineSource(path).fingerprint()["hash"])
    path.write_bytes(data + b"y")
    seen.append(LineSource(path).fingerprint()["hash"])

    assert len(set(seen)) == len(seen)


# -- pipes


@pytest.mark.parametrize("place", range(5))
def test_a_pipe_is_read_again_and_goes_on_behind_each_of_its_lines(piped, place: int):
    items = items_of(piped(LINES))
    source = piped(LINES)
    source.resume(items[place].mark, place + 1)

    assert told(items_of(source)) == told(items[place + 1 :])
    assert source.fingerprint() is None


@pytest.mark.fault("X11", "other records on stdin than a run began with are refused, and nothing is sent")
@pytest.mark.fault("X12", "a stdin that ends before the place where the run broke off is refused")
@pytest.mark.parametrize(
    "data",
    [
        LINES.replace(b'"n":1', b'"n":9'),
        LINES.replace(b'"n":2', b'"n":9'),
        LINES[:12],
        b"",
        b"\n" + LINES,
        b"{}\n" * 2 + b"\n" * 20 + b"{}\n",
    ],
    ids=["first line", "the line itself", "too short", "nothing", "moved", "blank there"],
)
def test_a_pipe_with_other_lines_is_refused_before_it_gives_any(piped, data: bytes):
    items = items_of(piped(LINES))
    source = piped(data)
    source.resume(items[1].mark, 2)
    with pytest.raises(
        ConfigError, match=r"are not those that the unfinished run began with: .* nothing was sent"
    ):
        items_of(source)


def test_a_pipe_may_have_more_lines_than_then(piped):
    items = items_of(piped(LINES))
    source = piped(LINES + b'\n{"n":6}\n')
    source.resume(items[-1].mark, len(items))

    assert [item.record for item in items_of(source)] == [{"n": 6}]


def test_a_line_that_is_too_long_to_keep_counts_like_every_other(piped, monkeypatch):
    monkeypatch.setattr("connectory.formats.lines.LONGEST_LINE", 30)
    data = b"{}\n" + b"x" * 100 + b"\n{}\n{}\n"
    items = items_of(piped(data))
    source = piped(data)
    source.resume(items[2].mark, 3)

    assert [item.position for item in items_of(source)] == ["4"]
