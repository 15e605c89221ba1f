"""How a file is dealt out: every record in one range, with the number and the place that one process gives it."""

from __future__ import annotations

import json
import random

import pytest
from connected import run

from connectory.adapters.csvsource import CsvSource
from connectory.adapters.jsonl import LineSource
from connectory.errors import ConfigError
from connectory.formats.csv import Form
from connectory.formats.lines import Line
from connectory.journal import Shard, ShardJournal, cut, is_begun, read_plan, write_plan
from connectory.journal.plan import MOST_KEPT


def items(source, start=0):
    """Everything that a source gives, with its number in the whole input."""

    async def read():
        return [(number, item.position, item.record) async for number, item in numbered(source)]

    async def numbered(source):
        number = start
        async for item in source:
            yield number, item
            number += 1

    return run(read)


def as_dealt_out(make, processes):
    """What the shards of a file give, one after the other."""
    shards = cut(make(None).lines(), processes)
    assert len(shards) <= processes
    assert [one.number for one in shards] == list(range(1, len(shards) + 1))
    seen = []
    for shard in shards:
        source = make(shard.end)
        if shard.mark is not None:
            source.resume(shard.mark, shard.start)
        found = items(source, shard.start)
        assert len(found) == shard.count
        seen += found
    return seen


LINES = {
    "empty": b"",
    "only blank lines": b"\n\r\n  \n",
    "one line": b'{"id": 1}\n',
    "one line without its end": b'{"id": 1}',
    "fewer lines than processes": b'{"id": 1}\n{"id": 2}\n',
    "no final newline": b'{"id": 1}\n{"id": 2}\n{"id": 3}\n{"id": 4}',
    "carriage returns": b'{"id": 1}\r\n\r\n{"id": 2}\r\n{"id": 3}\r\n',
    "blank lines": b'\n\n{"id": 1}\n\n\n{"id": 2}\n\n{"id": 3}\n\n',
    "a byte order mark": b'\xef\xbb\xbf{"id": 1}\n{"id": 2}\n{"id": 3}\n',
    "lines that are no records": b'{"id": 1}\nnonsense\n[1]\n{"id": 4}\n',
}


@pytest.mark.parametrize("processes", [2, 3, 7])
@pytest.mark.parametrize("data", LINES.values(), ids=LINES)
def test_shards_give_what_the_file_gives(tmp_path, data, processes):
    path = tmp_path / "in.jsonl"
    path.write_bytes(data)
    make = lambda limit: LineSource(path, limit=limit)  # noqa: E731 - the shortest way to open it again
    assert as_dealt_out(make, processes) == items(make(None))


@pytest.mark.parametrize("seed", range(20))
def test_shards_of_any_file_give_what_the_file_gives(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 - the same files each time
    path = tmp_path / "in.jsonl"
    parts = []
    for number in range(chance.randrange(200)):
        parts.append(json.dumps({"id": number, "text": "é" * chance.randrange(30)}).encode())
        parts.append(chance.choice([b"\n", b"\r\n", b"\n\n", b"\n  \r\n"]))
    path.write_bytes(b"".join(parts[: -1 if seed % 2 else None]))
    make = lambda limit: LineSource(path, limit=limit)  # noqa: E731 - the shortest way to open it again
    assert as_dealt_out(make, chance.randrange(2, 9)) == items(make(None))


@pytest.mark.parametrize("seed", range(20))
def test_shards_of_rows_end_where_rows_end_and_not_within_quotes(tmp_path, seed):
    chance = random.Random(seed)  # noqa: S311 - the same files each time
    path = tmp_path / "in.csv"
    rows = ["id,text"]
    for number in range(chance.randrange(120)):
        text = chance.choice(["plain", '"two\nlines"', '"a ""quote"", and\r\n\nmore"', '""', "é"])
        rows.append(f"{number},{text}")
        rows += [""] * chance.randrange(2)
    path.write_bytes(chance.choice(["\n", "\r\n"]).join(rows).encode())
    make = lambda limit: CsvSource(path, Form(str(path)), limit=limit)  # noqa: E731 - the shortest way
    assert as_dealt_out(make, chance.randrange(2, 6)) == items(make(None))


def test_a_limit_is_dealt_out(tmp_path):
    path = tmp_path / "in.jsonl"
    path.write_bytes(b"".join(b'{"id": %d}\n' % number for number in range(100)))
    shards = cut(LineSource(path, limit=10).lines(), 4)
    assert sum(one.count for one in shards) == 10
    assert {one.count for one in shards} == {2, 3}


def test_a_long_file_is_cut_evenly_with_bounded_memory():
    count = 50 * MOST_KEPT
    lines = (Line(number, b"{}", 0, number * 3, 2) for number in range(1, count + 1))
    shards = cut(lines, 3)
    assert sum(one.count for one in shards) == count
    assert max(one.count for one in shards) - min(one.count for one in shards) < count / 1000
    assert shards[1].mark == {"line": shards[1].start, "offset": shards[1].start * 3}


def test_a_plan_is_read_as_it_was_written(tmp_path):
    assert read_plan(tmp_path) is None
    shards = (Shard(1, 0, 3), Shard(2, 3, 2, {"line": 5, "offset": 40}))
    write_plan(tmp_path, shards)
    assert read_plan(tmp_path) == shards
    (tmp_path / "shards" / "plan.json").write_text("[{]")
    with pytest.raises(ConfigError, match="start anew with --new"):
        read_plan(tmp_path)


def test_the_journal_of_a_shard_counts_from_the_start_of_the_input(tmp_path):
    shard = Shard(2, 40, 10, {"line": 41, "offset": 900})
    folder = tmp_path / "2"
    folder.mkdir()
    assert not is_begun(folder)
    journal = ShardJournal(folder, "run", shard)
    journal.open(make=True)
    assert (journal.start, journal.state.mark) == (40, {"line": 41, "offset": 900})
    assert journal.is_shown(39)
    assert not journal.is_shown(40)
    journal.read(40, {"line": 42, "offset": 950})
    journal.close_item(40, dead=False)
    assert (journal.start, journal.counts) == (41, {"done": 1})
    run(journal.flush)
    journal.close()

    assert is_begun(folder)
    journal = ShardJournal(folder, "run", shard)
    journal.open(make=False)
    assert (journal.start, journal.state.mark) == (41, {"line": 42, "offset": 950})
    journal.show_again()
    assert (journal.start, journal.state.mark, journal.is_shown(39)) == (40, shard.mark, True)
    journal.close()
