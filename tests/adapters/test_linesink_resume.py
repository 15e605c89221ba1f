"""JSON Lines out: a broken run goes on where its lines are known to have come."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import Any

import pytest
from connected import run

from connectory.adapters.linesink import LineSink


def part(path: Path) -> Path:
    """Where lines are until the file is whole."""
    return path.with_name(f"{path.name}.part")


def write(sink: LineSink, *lines: Any) -> None:
    async def main():
        await sink.write(lines)
        await sink.close()

    run(main)


def broken_off(path: Path, *, mode: Any = "replace") -> Any:
    """Write a line whose place is noted, and one that is not; give the note."""

    async def main():
        sink = LineSink(path, mode=mode)
        await sink.write([1])
        await sink.flush()
        position = sink.position
        await sink.write([2])
        await sink.abandon()
        return position

    return run(main)


def test_what_came_after_the_noted_place_is_cut_off(tmp_path):
    path = tmp_path / "out.jsonl"
    position = broken_off(path)
    sink = LineSink(path)
    assert sink.restore(position)
    write(sink, 3)
    assert path.read_bytes() == b"1\n3\n"


def test_a_file_that_is_not_what_it_was_cannot_go_on_and_begins_from_nothing(tmp_path):
    path = tmp_path / "out.jsonl"
    position = broken_off(path)
    assert not LineSink(tmp_path / "elsewhere.jsonl").restore(position)
    part(path).write_bytes(b"1")
    sink = LineSink(path)
    assert not sink.restore(position)
    sink.restart()
    write(sink, 4)
    assert path.read_bytes() == b"4\n"


def test_a_file_whose_lines_were_all_unnoted_begins_from_nothing(tmp_path):
    path = tmp_path / "out.jsonl"
    broken_off(path)
    sink = LineSink(path)
    assert not sink.restore(None)
    sink.restart()
    write(sink, 5)
    assert path.read_bytes() == b"5\n"


@pytest.mark.parametrize("copied", [b"", b"1", b"1\n3\n"])
def test_an_interrupted_appending_is_done_again(tmp_path, copied: bytes):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"0\n")

    async def main():
        sink = LineSink(path, mode="append")
        await sink.write([1, 3])
        await sink.seal()
        position = sink.position
        await sink.abandon()
        path.write_bytes(b"0\n" + copied)  # how far the copying had come
        again = LineSink(path, mode="append")
        assert again.restore(position)
        await again.close()
        assert path.read_bytes() == b"0\n1\n3\n"

    run(main)


def test_lines_that_others_added_after_ours_are_never_cut_off(tmp_path):
    path = tmp_path / "out.jsonl"

    async def main():
        sink = LineSink(path, mode="append")
        await sink.write([1])
        await sink.seal()
        position = sink.position
        await sink.close()
        with path.open("ab") as other:
            other.write(b"2\n")
        again = LineSink(path, mode="append")
        assert not again.restore(position)
        again.restart()
        await again.write([1])
        await again.close()
        assert path.read_bytes() == b"1\n2\n1\n"

    run(main)


def test_a_pipe_goes_on_and_cannot_be_cut(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "w") as file:
        monkeypatch.setattr(sys, "stdout", file)
        sink = LineSink("-")
        assert sink.position is None
        assert sink.restore(None)
        assert not sink.restore({"path": "/out.jsonl", "bytes": 2, "base": None})
        run(sink.close)


def test_a_file_that_the_shell_has_emptied_gets_everything_again(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"

    async def main():
        with path.open("w") as file:
            monkeypatch.setattr(sys, "stdout", file)
            sink = LineSink("-")
            await sink.write([1])
            await sink.close()
            position = sink.position
        with path.open("w") as file:  # `> out.jsonl` once more
            monkeypatch.setattr(sys, "stdout", file)
            assert not LineSink("-").restore(position)
        path.write_bytes(b"1\n")
        with path.open("a") as file:  # `>> out.jsonl`
            monkeypatch.setattr(sys, "stdout", file)
            assert LineSink("-").restore(position)

    run(main)
