"""The journal's database: transactions that are whole or nothing, and files that are not what they should be."""

from __future__ import annotations

import sqlite3
from dataclasses import fields
from pathlib import Path

import pytest

from connectory.errors import StorageError
from connectory.journal.store import FORMAT, Change, DamagedError, State, Store


@pytest.fixture
def path(tmp_path):
    return tmp_path / "journal.db"


def made(path: Path) -> Store:
    store = Store(path)
    store.open(make=True)
    return store


def loaded(path: Path):
    store = Store(path)
    store.open(make=False)
    try:
        return store.load()
    finally:
        store.close()


def test_a_new_database_knows_nothing(path):
    made(path).close()

    assert loaded(path) == (State(), {})


def test_everything_of_a_state_is_read_again(path):
    state = State(
        life=3,
        shown=b"\1\2",
        parts={"4": {"0": True}},
        log_from=10,
        log_end=20,
        output={"path": "/o", "bytes": 3, "base": None},
        dead={"path": "/d", "bytes": 4, "base": None},
        seq=7,
        mark={"line": 7, "offset": 99},
        counts={"done": 2},
        total=9,
        finished=True,
        doubt_below=12,
    )
    store = made(path)
    store.commit(Change({one.name: getattr(state, one.name) for one in fields(State)}))
    store.close()

    assert loaded(path)[0] == state


def test_cursors_stay_until_they_move_or_go(path):
    store = made(path)
    store.commit(Change({}, [("a", {"n": 1}), ("b", {"n": 9})]))
    store.commit(Change({}, [("a", {"n": 2}), ("b", None)]))
    store.close()

    assert loaded(path)[1] == {"a": {"n": 2}}


def test_of_a_transaction_that_fails_nothing_is_written(path):
    store = made(path)
    store.commit(Change({"seq": 1}))
    wrong = (b"key", 2**70)  # no number of SQLite
    with pytest.raises(OverflowError):
        store.commit(Change({"seq": 2}, [("a", 1)], seen=[wrong]))
    store.commit(Change({"total": 5}))
    store.close()

    assert loaded(path) == (State(seq=1, total=5), {})


def test_a_process_that_dies_between_transactions_leaves_the_last_one(path, tmp_path):
    store = made(path)
    store.commit(Change({"seq": 1}, [("a", 1)]))
    copies = tmp_path / "after"
    copies.mkdir()
    for name in ("journal.db", "journal.db-wal"):
        (copies / name).write_bytes(path.with_name(name).read_bytes())
    store.close()

    assert loaded(copies / "journal.db") == (State(seq=1), {"a": 1})


@pytest.mark.fault(
    "X4", "when the journal cannot grow any more, nothing of the transaction is written and the run stops"
)
def test_a_full_disk_is_told_and_leaves_the_last_transaction(path):
    store = made(path)
    store.commit(Change({"seq": 1}))
    (pages,) = store._connection.execute("PRAGMA page_count").fetchone()
    store._connection.execute(f"PRAGMA max_page_count = {pages}")
    many = [(f"stream-{number}" * 20, number) for number in range(500)]
    with pytest.raises(StorageError, match="full"):
        store.commit(Change({"seq": 2}, many))
    assert store.load() == (State(seq=1), {})
    store.close()


@pytest.mark.fault("X14", "a journal of a newer version is refused, and says what to do")
def test_a_journal_of_a_newer_version_is_refused_and_not_touched(path):
    made(path).close()
    with sqlite3.connect(path) as database:
        database.execute(f"PRAGMA user_version = {FORMAT + 1}")
    database.close()
    before = path.read_bytes()
    with pytest.raises(StorageError, match="newer version of connectory; finish the run with that version"):
        loaded(path)

    assert path.read_bytes() == before


@pytest.mark.fault("X5", "a journal whose header or pages are damaged is refused")
@pytest.mark.parametrize(
    "damage",
    [
        lambda data: b"no database at all" + data[18:],
        lambda data: data[:100] + bytes(4000) + data[4100:],
        lambda data: data[: len(data) // 2],
        lambda _data: b"",
        lambda data: data[:4096] + b"\xff" * 4096 + data[8192:],
    ],
    ids=["header", "first page", "half of it", "empty", "a later page"],
)
def test_a_damaged_database_is_told_from_a_whole_one(path, damage):
    store = made(path)
    store.commit(Change({"seq": 1}, [(f"stream-{number}" * 9, number) for number in range(200)]))
    store.close()
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(DamagedError):
        loaded(path)


@pytest.mark.fault("X7", "a journal that is not there is damage, and no new beginning")
def test_a_database_that_is_not_there_is_damage(path):
    with pytest.raises(DamagedError, match="not there"):
        loaded(path)
    assert not path.exists()


@pytest.mark.parametrize(
    "name", ["SQLITE_FULL", "SQLITE_IOERR", "SQLITE_BUSY", "SQLITE_READONLY", "SQLITE_CANTOPEN"]
)
def test_a_disk_that_refuses_is_no_damage(path, monkeypatch, name: str):
    made(path).close()

    def refuse(*_arguments: object, **_options: object) -> None:
        error = sqlite3.OperationalError("no")
        error.sqlite_errorcode = getattr(sqlite3, name)
        raise error

    monkeypatch.setattr(sqlite3, "connect", refuse)
    with pytest.raises(StorageError, match="cannot open the journal"):
        loaded(path)


def test_a_folder_in_its_place_cannot_be_opened(path):
    path.mkdir()
    with pytest.raises(StorageError, match="cannot open the journal"):
        loaded(path)


def test_reading_alone_changes_nothing(path):
    made(path).close()
    store = Store(path)
    store.open(make=False, only_read=True)
    with pytest.raises(StorageError, match="readonly"):
        store.commit(Change({"seq": 2}))
    store.close()

    assert loaded(path)[0] == State()


def test_a_closed_journal_says_so(path):
    store = made(path)
    store.close()
    store.close()
    with pytest.raises(StorageError, match="is closed"):
        store.load()
