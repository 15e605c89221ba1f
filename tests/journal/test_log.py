"""The results log: whole lines survive, what is not whole is seen, and a full disk leaves no half line."""

from __future__ import annotations

import errno
import json
import os
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from connectory.errors import StorageError
from connectory.journal import log as log_module
from connectory.journal.log import ResultsLog, decode, encode
from connectory.record import Delivery, Failure, Result


def delivery(seq: int, part: int = 0) -> Delivery:
    return Delivery("run-1", str(seq + 1), part, seq)


def ok(seq: int, response: Any = None) -> Result:
    return Result(seq, f"id-{seq}", "ok", http_status=200, attempts=1, response=response or {"n": seq})


@pytest.fixture
def log(tmp_path):
    log = ResultsLog(tmp_path / "results.jsonl")
    log.open()
    yield log
    log.close()


def filled(log: ResultsLog, count: int = 5) -> list[int]:
    """Write some outcomes; give the offsets of their lines."""
    return [log.append(delivery(seq), 1, ok(seq)) for seq in range(count)]


def again(log: ResultsLog) -> ResultsLog:
    """Open the file as the next process does."""
    log.close()
    log.open()
    return log


def seqs(log: ResultsLog, start: int = 0) -> list[int]:
    return [entry.seq for entry in log.scan(start)]


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text() | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@given(JSON, st.none() | st.lists(st.dictionaries(st.text(), JSON, max_size=2), max_size=3))
def test_whatever_was_answered_is_read_again_the_same(response: Any, events: Any):
    result = Result(
        3,
        "id",
        "ok",
        200,
        "req-1",
        2,
        in_doubt=True,
        usage={"total_tokens": 5},
        response=response,
        events=events,
    )
    result.headers = {"x-request-id": "req-1"}
    line = decode(encode(delivery(3, 1), 7, result))
    assert line is not None
    entry = log_module.Entry(line, 0)

    assert entry.result() == result
    assert (entry.seq, entry.part, entry.key, entry.life) == (3, 1, delivery(3, 1).key, 7)


def test_a_response_is_written_as_it_came_where_its_text_is_at_hand():
    result = ok(0, {"big": 1.0, "n": [1]})
    result.raw = (result.response, b'{"big": 1.00, "n": [1]}')
    line = encode(delivery(0), 1, result)
    assert b'"usage":null,"response":{"big": 1.00, "n": [1]}' in line
    assert (decode(line) or {})["response"] == result.response
    assert result.text is not None
    assert json.loads(result.text[1]) == result.as_dict()
    assert result.raw is None  # it is written: nobody holds it any longer


@pytest.mark.parametrize("change", ["response", "error"])
def test_the_text_of_another_response_is_not_written(change: str):
    result = ok(0, {"n": 0})
    result.raw = (result.response, b'{"n":0}')
    if change == "response":
        result.response = {"n": 0, "state": "done"}
    else:
        result.status, result.error = "error", Failure("accept", "no")
    line = decode(encode(delivery(0), 1, result)) or {}
    assert line["response"] == result.response
    assert (line["status"], "error" in line) == (result.status, change == "error")


def test_an_error_is_read_again_with_its_class_code_and_message():
    result = Result(0, "a", "error", 400, attempts=3, error=Failure("api", "no", "bad_value", retryable=True))
    line = decode(encode(delivery(0), 1, result))
    assert line is not None

    assert log_module.Entry(line, 0).result() == result


def test_cookies_are_not_kept():
    result = ok(0)
    result.headers = {"Set-Cookie": "session=secret", "x-request-id": "req-1"}
    line = encode(delivery(0), 1, result)

    assert b"secret" not in line
    assert json.loads(line)["headers"] == "x-request-id: req-1"


def test_a_line_is_json_and_ends_with_its_checksum():
    line = encode(delivery(0), 1, ok(0))

    assert list(json.loads(line))[:4] == ["seq", "part", "key", "life"]
    assert list(json.loads(line))[-1] == "crc"


@given(st.integers(0, 10_000), st.integers(1, 255))
def test_a_line_with_one_byte_changed_is_not_whole(place: int, change: int):
    line = bytearray(encode(delivery(0), 1, ok(0)))
    line[place % len(line)] ^= change

    assert decode(bytes(line)) is None


@given(st.integers(0, 10_000))
def test_a_line_that_is_cut_anywhere_is_not_whole(length: int):
    line = encode(delivery(0), 1, ok(0))

    assert decode(line[: length % len(line)]) is None


def test_a_line_is_one_write(log, monkeypatch):
    writes: list[int] = []
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: writes.append(len(data)) or whole(file, data))
    filled(log, 3)

    assert len(writes) == 3
    assert sum(writes) == log.length


@pytest.mark.fault(
    "X6", "a torn, zeroed or damaged end of the results log is cut off; the whole lines before it count"
)
@pytest.mark.parametrize(
    "tail",
    [
        encode(delivery(9), 1, ok(9))[:-1],
        encode(delivery(9), 1, ok(9))[:40],
        bytes(500),
        bytes(70) + b"\n" + bytes(70),
        b"\xff\xfe garbage \n more of it",
        b'{"seq": 9}\n',
        b"\n\n",
    ],
    ids=["no line feed", "half", "zeros", "zeros and a line feed", "garbage", "no checksum", "blank lines"],
)
def test_what_comes_after_the_last_whole_line_is_cut_off(log, tail: bytes):
    filled(log)
    whole = log.path.read_bytes()
    log.path.write_bytes(whole + tail)

    assert seqs(again(log)) == [0, 1, 2, 3, 4]
    assert (log.path.read_bytes(), log.length) == (whole, len(whole))
    log.append(delivery(5), 2, ok(5))
    assert seqs(again(log)) == [0, 1, 2, 3, 4, 5]


@pytest.mark.fault(
    "X6", "a damaged line in the middle of the results log counts as not done; the others count"
)
def test_a_damaged_line_between_whole_ones_is_passed_over_and_stays(log):
    starts = filled(log)
    with log.path.open("r+b") as file:
        file.seek(starts[2] + 20)
        file.write(b"\0\0\0")
    damaged = log.path.read_bytes()

    assert seqs(again(log)) == [0, 1, 3, 4]
    assert log.path.read_bytes() == damaged


def test_scanning_begins_where_it_is_told(log):
    starts = filled(log)

    assert seqs(log, starts[3]) == [3, 4]
    assert seqs(log, log.length) == []
    assert seqs(log, log.length + 1000) == []


@pytest.mark.parametrize("size", [1, 100_000])
def test_one_line_is_found_by_its_offset(log, size: int):
    log.append(delivery(0), 1, ok(0))
    start = log.append(delivery(1), 1, ok(1, {"text": "x" * size}))
    log.append(delivery(2), 1, ok(2))

    assert log.entry(start).result() == ok(1, {"text": "x" * size})


def test_lines_longer_than_a_read_are_found(log, monkeypatch):
    monkeypatch.setattr(log_module, "_CHUNK", 64)
    filled(log)

    assert seqs(log) == [0, 1, 2, 3, 4]


def test_peeking_cuts_nothing_off_and_needs_no_file(log, tmp_path):
    filled(log)
    log.path.write_bytes(log.path.read_bytes() + b"half a line")
    before = log.path.read_bytes()

    assert [entry.seq for entry in log.peek(0)] == [0, 1, 2, 3, 4]
    assert log.path.read_bytes() == before
    assert list(ResultsLog(tmp_path / "absent").peek(0)) == []


@pytest.mark.fault(
    "X4", "a line that no longer fits on the disk is taken back whole; the line before it is untouched"
)
@pytest.mark.parametrize("fits", [0, 1, 50])
def test_a_line_that_does_not_fit_leaves_no_half_line(log, monkeypatch, fits: int):
    filled(log, 2)
    whole, before = os.write, log.path.read_bytes()
    room = [fits]

    def little(file: int, data: bytes) -> int:
        if not room[0]:
            raise OSError(errno.ENOSPC, "No space left on device")
        written = whole(file, bytes(data[: room[0]]))
        room[0] -= written
        return written

    monkeypatch.setattr(os, "write", little)
    with pytest.raises(StorageError, match="no space left on device"):
        log.append(delivery(2), 1, ok(2))
    assert (log.path.read_bytes(), log.length) == (before, len(before))
    room[0] = 10_000
    log.append(delivery(2), 1, ok(2))
    assert seqs(log) == [0, 1, 2]


def test_a_write_that_takes_little_at_a_time_is_carried_on(log, monkeypatch):
    whole = os.write
    monkeypatch.setattr(os, "write", lambda file, data: whole(file, bytes(data[:7])))
    filled(log, 2)

    assert seqs(again(log)) == [0, 1]


@pytest.mark.fault("X9", "a symbolic link in the place of the results log is refused")
@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="this system follows links")
def test_a_symbolic_link_is_not_followed(tmp_path):
    (tmp_path / "elsewhere").write_bytes(b"")
    (tmp_path / "results.jsonl").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(OSError, match="symbolic"):
        ResultsLog(tmp_path / "results.jsonl").open()


def test_only_its_owner_may_read_it(tmp_path):
    previous = os.umask(0)
    try:
        log = ResultsLog(tmp_path / "results.jsonl")
        log.open()
        log.close()
    finally:
        os.umask(previous)

    assert log.path.stat().st_mode & 0o777 == 0o600


def test_a_pack_is_one_write_and_its_lines_are_read_one_by_one(log, monkeypatch):
    filled(log, 2)
    sizes: list[int] = []
    write = os.write

    def counted(file: int, text: bytes) -> int:
        sizes.append(len(text))
        return write(file, text)

    monkeypatch.setattr(os, "write", counted)
    starts = log.extend([(delivery(seq), ok(seq)) for seq in range(2, 6)], 1)
    monkeypatch.undo()
    assert len(sizes) == 1
    assert [log.entry(start).seq for start in starts] == [2, 3, 4, 5]
    assert seqs(again(log)) == list(range(6))
    assert log.append(delivery(6), 1, ok(6)) == starts[-1] + sizes[0] - (starts[-1] - starts[0])


def test_a_pack_that_was_half_written_keeps_its_whole_lines(log):
    starts = log.extend([(delivery(seq), ok(seq)) for seq in range(4)], 1)
    log.close()
    os.truncate(log.path, starts[2] + 5)
    assert seqs(again(log)) == [0, 1]
    assert log.length == starts[2]


def test_a_line_says_how_many_requests_count_with_it(log):
    first, other = replace(ok(0), requests=3), replace(ok(1), requests=0)
    starts = log.extend([(delivery(0), first), (delivery(1), other)], 1)
    assert [log.entry(start).result().requests for start in starts] == [3, 0]
    assert log.entry(log.append(delivery(2), 1, ok(2))).result().requests is None
