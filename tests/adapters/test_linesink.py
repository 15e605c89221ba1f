"""JSON Lines out: files that are whole or not there, standard output, pipes, and whatever a destination does."""

from __future__ import annotations

import asyncio
import errno
import json
import os
import sys
import threading
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from connected import run

from connectory.adapters import linesink
from connectory.adapters.linesink import LineSink
from connectory.errors import ConfigError, StorageError


def part(path: Path) -> Path:
    """Where lines are until the file is whole."""
    return path.with_name(f"{path.name}.part")


def write(sink: LineSink, *lines: Any) -> None:
    async def main():
        await sink.write(lines)
        await sink.close()

    run(main)


def test_a_line_is_compact_json(tmp_path):
    path = tmp_path / "out.jsonl"
    write(
        LineSink(path), {"a": 1, "b": [True, None]}, "ü\u2028", 1, {"id": 12345678901234567890123}, "\ud800"
    )
    assert path.read_bytes() == (
        '{"a":1,"b":[true,null]}\n"ü\u2028"\n1\n{"id":12345678901234567890123}\n"\\ud800"\n'.encode()
    )


def test_what_json_says_is_written_again_the_same(tmp_path):
    lines = b'{"a":1.10,"b":"x\\u0000y"}\n{"b":1,"a":{"c":[]}}\n'
    write(LineSink(tmp_path / "out"), *[json.loads(line) for line in lines.splitlines()])
    again = [json.loads(line) for line in (tmp_path / "out").read_bytes().splitlines()]
    assert again == [json.loads(line) for line in lines.splitlines()]


def test_a_lazy_sink_makes_its_file_and_folder_with_the_first_line(tmp_path):
    path = tmp_path / "runs" / "1" / "dead.jsonl"

    async def main():
        sink = LineSink(path, lazy=True)
        await sink.write([])
        await sink.flush()
        await sink.close()
        assert (sink.opened, path.parent.exists()) == (False, False)
        sink = LineSink(path, lazy=True)
        await sink.write([{}])
        assert not sink.opened
        await sink.flush()
        assert sink.opened
        await sink.close()
        assert path.read_bytes() == b"{}\n"

    run(main)


def test_lines_leave_at_flush_or_when_many_have_gathered(tmp_path, monkeypatch):
    monkeypatch.setattr(linesink, "BUFFERED", 10)
    path = tmp_path / "out.jsonl"

    async def main():
        sink = LineSink(path)
        await sink.write([1, 2])
        assert part(path).read_bytes() == b""
        await sink.flush()
        assert part(path).read_bytes() == b"1\n2\n"
        await sink.write(["0123456789"])
        assert part(path).read_bytes() == b'1\n2\n"0123456789"\n'
        await sink.close()
        await sink.close()
        assert path.read_bytes() == b'1\n2\n"0123456789"\n'

    run(main)


def test_a_destination_that_takes_little_at_a_time_gets_everything(tmp_path, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, bytes(data[:3])))
    path = tmp_path / "out.jsonl"
    write(LineSink(path), {"text": "x" * 100})
    assert path.read_bytes() == b'{"text":"' + b"x" * 100 + b'"}\n'


def test_a_destination_that_was_made_non_blocking_gets_everything(monkeypatch):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    text = "x" * 300_000  # more than a pipe holds

    async def main():
        sink = LineSink("/dev/null")
        os.close(sink._file)
        sink._file, sink.path = writing, "-"
        got = bytearray()

        def read() -> None:
            while chunk := os.read(reading, 65536):
                got.extend(chunk)

        reader = threading.Thread(target=read)
        await sink.write([text])
        writes = asyncio.ensure_future(sink.flush())
        await asyncio.sleep(0)
        reader.start()
        await writes
        os.close(writing)
        reader.join()
        assert json.loads(bytes(got)) == text

    run(main)
    os.close(reading)


@contextmanager
def stdout(monkeypatch):
    """Let a pipe stand for standard output; give a function that closes it and tells what was written."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as file, os.fdopen(reading, "rb") as other:

        def written() -> bytes:
            file.close()
            return other.read()

        with monkeypatch.context() as patched:
            patched.setattr(sys, "stdout", file)
            yield written


def test_standard_output_stays_open_for_others(monkeypatch):
    with stdout(monkeypatch) as written:
        write(LineSink("-"), {"a": 1})
        write(LineSink("-"), {"a": 2})
        assert written() == b'{"a":1}\n{"a":2}\n'


def test_two_steps_that_share_standard_output_never_mix_their_lines(monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, bytes(data[:7])))
    monkeypatch.setattr(linesink, "BUFFERED", 50)

    async def main():
        sink = LineSink("-")

        async def many(letter: str) -> None:
            for _ in range(20):
                await sink.write([letter * 30, letter * 30])

        await asyncio.gather(many("a"), many("b"))
        await sink.close()

    with stdout(monkeypatch) as written:
        run(main)
        lines = [json.loads(line) for line in written().splitlines()]
    assert sorted(lines) == ["a" * 30] * 40 + ["b" * 30] * 40


def test_a_reader_that_has_enough_is_told_as_a_broken_pipe(monkeypatch):
    reading, writing = os.pipe()
    os.close(reading)

    async def main():
        with os.fdopen(writing, "w") as file:
            monkeypatch.setattr(sys, "stdout", file)
            sink = LineSink("-")
            await sink.write([{}])
            with pytest.raises(BrokenPipeError):
                await sink.close()
            await sink.abandon()

    run(main)


# -- a file is whole or not there


def test_a_file_appears_when_it_is_whole_and_only_its_owner_may_read_it(tmp_path):
    path = tmp_path / "out.jsonl"
    previous = os.umask(0)
    try:
        sink = LineSink(path)
        assert (sink.opened, path.exists()) == (True, False)
        assert part(path).stat().st_mode & 0o777 == 0o600
        write(sink, {})
    finally:
        os.umask(previous)
    assert (path.read_bytes(), part(path).exists()) == (b"{}\n", False)
    assert path.stat().st_mode & 0o777 == 0o600


def test_what_was_there_stays_until_the_new_file_is_whole(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"a longer content than before\n")

    async def main():
        sink = LineSink(path)
        await sink.write([{}])
        await sink.flush()
        assert path.read_bytes() == b"a longer content than before\n"
        await sink.close()
        assert path.read_bytes() == b"{}\n"

    run(main)


def test_a_run_without_a_line_leaves_an_empty_file(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"before\n")
    write(LineSink(path))
    assert (path.read_bytes(), part(path).exists()) == (b"", False)


def test_a_file_keeps_its_mode(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"")
    path.chmod(0o640)
    write(LineSink(path), {})
    assert path.stat().st_mode & 0o777 == 0o640


def test_a_symbolic_link_stays_one_and_what_it_points_to_is_replaced(tmp_path):
    (tmp_path / "there").mkdir()
    (tmp_path / "there" / "real.jsonl").write_bytes(b"before\n")
    link = tmp_path / "out.jsonl"
    link.symlink_to(tmp_path / "there" / "real.jsonl")
    write(LineSink(link), {})
    assert link.is_symlink()
    assert (tmp_path / "there" / "real.jsonl").read_bytes() == b"{}\n"


@pytest.mark.parametrize("reason", [errno.EBUSY, errno.EXDEV, errno.EACCES, errno.EPERM])
def test_a_file_that_cannot_be_replaced_is_written_over(tmp_path, monkeypatch, reason: int):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b"a longer content than before\n")
    inode = path.stat().st_ino

    def refuse(*_arguments: Any) -> None:
        raise OSError(reason, "no")

    monkeypatch.setattr(os, "replace", refuse)  # as for a single file that is mounted into a container
    write(LineSink(path), {})
    assert (path.read_bytes(), path.stat().st_ino, part(path).exists()) == (b"{}\n", inode, False)


def test_a_file_that_cannot_be_put_in_its_place_says_where_the_lines_are(tmp_path, monkeypatch):
    path = tmp_path / "out.jsonl"

    def refuse(*_arguments: Any) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "replace", refuse)
    with pytest.raises(StorageError, match=r"they are in .*out\.jsonl\.part"):
        write(LineSink(path), {"n": 1})
    assert part(path).read_bytes() == b'{"n":1}\n'


def test_appended_lines_come_after_the_earlier_ones_all_at_once(tmp_path):
    path = tmp_path / "out.jsonl"
    path.write_bytes(b'{"n":1}\n')

    async def main():
        sink = LineSink(path, mode="append")
        await sink.write([{"n": 2}])
        await sink.flush()
        assert path.read_bytes() == b'{"n":1}\n'
        await sink.close()
        assert path.read_bytes() == b'{"n":1}\n{"n":2}\n'
        assert not part(path).exists()

    run(main)


def test_an_abandoned_file_stays_beside_its_place_and_an_empty_one_does_not(tmp_path):
    path = tmp_path / "out.jsonl"

    async def main():
        sink = LineSink(path)
        await sink.write([{}])
        await sink.abandon()
        assert (path.exists(), part(path).read_bytes()) == (False, b"{}\n")
        sink = LineSink(tmp_path / "other.jsonl")
        await sink.abandon()
        assert not part(tmp_path / "other.jsonl").exists()

    run(main)


def test_two_processes_do_not_write_to_one_file(tmp_path):
    sink = LineSink(tmp_path / "out.jsonl")
    with pytest.raises(ConfigError, match="another process is writing to it"):
        LineSink(tmp_path / "out.jsonl")
    run(sink.abandon)
    write(LineSink(tmp_path / "out.jsonl"), {})


@pytest.mark.parametrize(("number", "kind"), [(errno.ENOSPC, StorageError), (errno.EACCES, ConfigError)])
def test_a_full_disk_is_no_wrong_configuration(tmp_path, monkeypatch, number: int, kind: type):
    def refuse(*_arguments: Any) -> int:
        raise OSError(number, os.strerror(number))

    monkeypatch.setattr(os, "open", refuse)
    with pytest.raises(kind, match="cannot write to"):
        LineSink(tmp_path / "out.jsonl")


def test_a_write_that_fails_in_the_middle_leaves_no_half_line(tmp_path, monkeypatch):
    path, whole = tmp_path / "out.jsonl", os.write
    room = [12]

    def little(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = whole(file, bytes(data[: room[0]]))
        room[0] -= written
        return written

    async def main():
        sink = LineSink(path)
        monkeypatch.setattr(os, "write", little)
        await sink.write([{"n": 1}])
        await sink.flush()
        await sink.write([{"n": 2}])
        with pytest.raises(StorageError, match="no space left"):
            await sink.flush()
        assert part(path).read_bytes() == b'{"n":1}\n'
        room[0] = 1000
        await sink.write([{"n": 3}])
        await sink.close()
        assert path.read_bytes() == b'{"n":1}\n{"n":3}\n'

    run(main)
