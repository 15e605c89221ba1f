"""What several processes cannot do as one does is refused before anything happens."""

from __future__ import annotations

import gzip

import pytest
from command import connectory
from sharing import Sharing
from wall import ThreadedWall


@pytest.fixture
def wall():
    with ThreadedWall() as running:
        yield running


REFUSED = {
    "standard input can only be read by one": ("", ("--input", "-")),
    "'only' has to see every record": ("    only: new\n", ()),
    "'sequence' sends records in an order": ("    sequence: id\n", ()),
    "a transformer that remembers records": ("    transformers: [deduplicate]\n", ()),
    "packed, a pipe, or not in UTF-8": ("", ("--input", "in.jsonl.gz")),
    "only 4 requests may be under way at once": ("", ("--processes", "5")),
    "it needs one file of JSON Lines or CSV": ("    input: {files: '*.jsonl'}\n", None),
}


@pytest.mark.parametrize(("settings", "words"), REFUSED.values(), ids=REFUSED)
def test_what_several_processes_cannot_do_is_refused(tmp_path, wall, settings, words, request):
    Sharing(tmp_path, wall, settings=settings)
    (tmp_path / "in.jsonl.gz").write_bytes(gzip.compress(b'{"id": 1}\n'))
    given = () if words is None else ("--input", "in.jsonl", *words)
    shared = () if "--processes" in given else ("--processes", "2")
    done = connectory("run", "outgoing", "out", *given, *shared, folder=tmp_path)
    assert done.code == 2, done.said
    assert request.node.callspec.id in done.said
    assert wall.ids == []
    assert not list((tmp_path / ".connectory").glob("runs/*"))


def test_a_dry_run_starts_no_process(tmp_path, wall):
    Sharing(tmp_path, wall)
    done = connectory(
        "run", "outgoing", "out", "--input", "in.jsonl", "--processes", "2", "--dry-run", folder=tmp_path
    )
    assert done.code == 0, done.said
    assert wall.ids == []
