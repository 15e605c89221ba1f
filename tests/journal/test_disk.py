"""The journal of a run on disk: lives, doubts, adoption, what is shown, and a disk that is full."""

from __future__ import annotations

import os
import shutil
from pathlib import Path
from typing import Any

import pytest
from connected import run
from journaled import hasten

from connectory.errors import StorageError
from connectory.journal import DiskJournal, marks
from connectory.journal.intents import INTENTS, Intents
from connectory.journal.mending import MOST_UNDER_WAY, UNKNOWN_LIVES, repair
from connectory.journal.store import DATABASE, DamagedError
from connectory.record import Delivery, Failure, Intent, Result


def delivery(seq: int, part: int = 0) -> Delivery:
    return Delivery("run-1", str(seq + 1), part, seq)


def ok(seq: int, **more: Any) -> Result:
    return Result(seq, f"id-{seq}", "ok", http_status=200, attempts=1, response={"n": seq}, **more)


def bad(seq: int) -> Result:
    return Result(seq, f"id-{seq}", "error", attempts=1, error=Failure("api", "no"))


def opened(folder: Path, *, power: bool = False) -> DiskJournal:
    folder.mkdir(exist_ok=True)
    journal = DiskJournal(folder, "run-1", power=power)
    journal.open(make=not (folder / DATABASE).exists())
    if not power:
        hasten(journal)
    return journal


@pytest.fixture
def folder(tmp_path):
    return tmp_path / "run"


def live(folder: Path, work: Any = None, *, killed: bool = False, power: bool = False) -> Any:
    """One life of a journal: what `work` does, and then its end, ordinary or by kill -9."""

    async def main():
        journal = opened(folder, power=power)
        copy = folder.with_name("copy")
        given = (await work(journal)) if work is not None else None
        if killed:
            journal._committer._thread.submit(int).result()
            shutil.copytree(folder, copy)
        await journal.aclose()
        if killed:
            shutil.rmtree(folder)
            copy.rename(folder)
        return given

    return run(main)


async def settle(journal: DiskJournal, seq: int, result: Result | None = None, *, shown: bool = True) -> None:
    result = result or ok(seq)
    await journal.intend(delivery(seq), "hash")
    await journal.record(delivery(seq), result)
    if shown:
        journal.show(delivery(seq), result)
        journal.close_item(seq, dead=result.error is not None)


# -- lives


def test_every_opening_is_another_life(folder):
    async def life(journal: DiskJournal) -> int:
        return journal.life

    assert [live(folder, life, killed=number == 1) for number in range(4)] == [1, 2, 3, 4]


def test_a_new_journal_knows_nothing(folder):
    async def work(journal: DiskJournal) -> None:
        assert (journal.durable, journal.start, journal.doubtful, journal.begun) == (True, 0, 0, False)
        assert (journal.is_shown(0), journal.recall(delivery(0)), journal.doubt(delivery(0))) == (
            False,
            None,
            None,
        )
        assert (journal.counts, journal.cursor("x")) == ({}, None)

    live(folder, work)


def test_a_journal_that_is_damaged_does_not_open_and_closes_its_files(folder):
    live(folder)
    (folder / DATABASE).write_bytes(b"no database" * 1000)
    with pytest.raises(DamagedError):
        DiskJournal(folder, "run-1").open(make=False)
    (folder / DATABASE).unlink()
    with pytest.raises(DamagedError, match="not there"):
        DiskJournal(folder, "run-1").open(make=False)


# -- intents and outcomes


def test_an_intent_without_an_outcome_is_in_doubt_in_the_next_life(folder):
    live(folder, lambda journal: journal.intend(delivery(3), "hash"), killed=True)

    async def work(journal: DiskJournal) -> None:
        assert journal.doubtful == 1
        assert journal.doubt(delivery(3)) == Intent(delivery(3).key, 3, 0, "hash", 1)
        assert journal.doubt(delivery(4)) is None
        await journal.intend(delivery(3), "other")

    live(folder, work, killed=True)
    assert live(folder, lambda journal: done(journal.doubt(delivery(3)))) == Intent(
        delivery(3).key, 3, 0, "other", 2
    )


async def done(value: Any) -> Any:
    return value


def test_an_intent_is_on_the_disk_before_the_request_may_leave(folder):
    async def work(journal: DiskJournal) -> None:
        await journal.intend(delivery(0), "hash")
        assert [intent.key for intent in Intents(folder / INTENTS).peek()] == [delivery(0).key]

    live(folder, work)


def test_an_outcome_is_in_the_log_before_anything_waits(folder):
    async def work(journal: DiskJournal) -> None:
        await journal.intend(delivery(0), "hash")
        recording = journal.record(delivery(0), ok(0))
        with pytest.raises(StopIteration):
            recording.send(None)  # it never waits
        assert [entry.seq for entry in journal._log.scan(0)] == [0]

    live(folder, work)


def test_an_outcome_that_was_not_shown_is_adopted_and_is_in_doubt_no_more(folder):
    live(folder, lambda journal: settle(journal, 2, shown=False), killed=True)

    async def work(journal: DiskJournal) -> None:
        assert (journal.doubtful, journal.doubt(delivery(2))) == (0, None)
        assert journal.recall(delivery(2)) == ok(2)
        assert journal.recall(delivery(2, 1)) is None
        assert not journal.is_shown(2)

    live(folder, work)


def test_of_two_outcomes_of_one_delivery_the_later_one_counts(folder):
    async def work(journal: DiskJournal) -> None:
        await settle(journal, 0, bad(0), shown=False)
        await settle(journal, 0, ok(0), shown=False)

    live(folder, work, killed=True)
    assert live(folder, lambda journal: done(journal.recall(delivery(0)))) == ok(0)


def test_a_refusal_that_does_not_count_leaves_no_doubt(folder):
    async def work(journal: DiskJournal) -> None:
        await journal.intend(delivery(0), "hash")
        journal.withdraw(delivery(0))

    live(folder, work)
    assert live(folder, lambda journal: done(journal.doubtful)) == 0


def test_what_is_under_way_when_a_life_ends_in_order_is_in_doubt_too(folder):
    live(folder, lambda journal: journal.intend(delivery(0), "hash"))
    assert live(folder, lambda journal: done(journal.doubtful)) == 1


# -- what is shown


def test_what_is_shown_is_not_recalled_and_not_read_again(folder):
    async def work(journal: DiskJournal) -> None:
        for seq in range(3):
            journal.read(seq, {"line": seq + 1})
            await settle(journal, seq)

    live(folder, work)

    async def later(journal: DiskJournal) -> None:
        assert (journal.start, journal.state.mark) == (3, {"line": 3})
        assert all(journal.is_shown(seq) for seq in range(3))
        assert (journal.recall(delivery(1)), journal.counts) == (None, {"ok": 3, "done": 3})

    live(folder, later)


def test_the_source_is_read_again_from_the_first_item_that_is_not_shown(folder):
    async def work(journal: DiskJournal) -> None:
        for seq in range(5):
            journal.read(seq, f"mark-{seq}")
        for seq in (0, 1, 3, 4):
            await settle(journal, seq)

    live(folder, work)

    async def later(journal: DiskJournal) -> list[Any]:
        return [journal.start, journal.state.mark, [journal.is_shown(seq) for seq in range(6)]]

    assert live(folder, later) == [2, "mark-1", [True, True, False, True, True, False]]


def test_behind_a_stuck_item_marks_do_not_pile_up_and_none_is_wrong(folder, monkeypatch):
    monkeypatch.setattr(marks, "MANY_MARKS", 10)

    async def work(journal: DiskJournal) -> None:
        for seq in range(1000):
            journal.read(seq, seq)
            if seq:
                journal.close_item(seq, dead=False)
        assert len(journal._marks._marks) < 10 + 1000 // marks.EVERY + 2
        journal.close_item(0, dead=False)

    live(folder, work)

    async def later(journal: DiskJournal) -> None:
        assert journal.state.mark == journal.start - 1
        assert 900 < journal.start <= 1000
        assert all(journal.is_shown(seq) for seq in range(1000))

    live(folder, later)


def test_an_item_of_which_some_parts_are_shown_is_read_again_and_only_the_others_are_due(folder):
    async def work(journal: DiskJournal) -> None:
        journal.read(0, "mark")
        for part in range(2):
            await journal.intend(delivery(0, part), "hash")
            await journal.record(delivery(0, part), bad(0) if part else ok(0))
            journal.show(delivery(0, part), bad(0) if part else ok(0))

    live(folder, work)

    async def later(journal: DiskJournal) -> None:
        assert [journal.is_shown(0, part) for part in (0, 1, 2)] == [True, True, False]
        assert (journal.is_shown(0), journal.start) == (False, 0)
        journal.close_item(0, dead=False)
        assert journal.counts == {"ok": 1, "error": 1, "dead": 1}  # one part was set aside in the life before

    live(folder, later)


def test_an_item_is_closed_once(folder):
    async def work(journal: DiskJournal) -> None:
        journal.close_item(0, dead=True)
        journal.close_item(0, dead=False)
        assert journal.counts == {"dead": 1}

    live(folder, work)


def test_what_was_shown_after_the_last_transaction_is_shown_again(folder):
    async def work(journal: DiskJournal) -> None:
        await settle(journal, 0)
        await journal.flush()
        await settle(journal, 1, shown=False)
        journal.show(delivery(1), ok(1))
        journal.close_item(1, dead=False)

    live(folder, work, killed=True)

    async def later(journal: DiskJournal) -> None:
        assert (journal.is_shown(0), journal.is_shown(1)) == (True, False)
        assert journal.recall(delivery(1)) == ok(1)

    live(folder, later)


def test_the_places_of_the_files_and_the_total_survive(folder):
    async def work(journal: DiskJournal) -> None:
        journal.place({"bytes": 5}, {"bytes": 6})
        journal.set_total(9)

    live(folder, work)

    async def later(journal: DiskJournal) -> Any:
        return journal.state.output, journal.state.dead, journal.state.total

    assert live(folder, later) == ({"bytes": 5}, {"bytes": 6}, 9)


def test_when_the_output_is_lost_all_of_it_is_made_again_and_nothing_is_due(folder):
    async def work(journal: DiskJournal) -> None:
        journal.count("requests", 5)
        journal.set_total(3)
        for seq in range(3):
            journal.read(seq, f"mark-{seq}")
            await settle(journal, seq, bad(seq) if seq == 1 else None)
        journal.place({"bytes": 5}, None)

    live(folder, work)

    async def later(journal: DiskJournal) -> None:
        journal.show_again()
        assert (journal.start, journal.state.mark, journal.state.output) == (0, None, None)
        assert [journal.recall(delivery(seq)) for seq in range(3)] == [ok(0), bad(1), ok(2)]
        assert not journal.is_shown(0)
        assert journal.counts == {"requests": 5}  # what was spent stays spent
        assert (journal.state.total, journal.life) == (3, 2)

    live(folder, later)


def test_the_log_is_read_only_from_where_something_is_missing(folder):
    async def work(journal: DiskJournal) -> int:
        for seq in range(50):
            await settle(journal, seq, shown=seq != 40)
        await journal.flush()
        return next(iter(journal._unshown.values()))

    stuck = live(folder, work)

    async def later(journal: DiskJournal) -> tuple[int, Any]:
        return journal.state.log_from, journal.recall(delivery(40))

    assert live(folder, later) == (stuck, ok(40))


# -- cursors


def test_a_cursor_survives_when_its_commit_has_returned(folder):
    live(folder, lambda journal: journal.commit("files/0", {"after": "b"}), killed=True)
    live(folder, lambda journal: journal.commit("files/1", None), killed=True)

    async def later(journal: DiskJournal) -> Any:
        return journal.cursor("files/0"), journal.cursor("files/1"), journal.cursor("files/2")

    assert live(folder, later) == ({"after": "b"}, None, None)


def test_forgotten_cursors_stay_forgotten(folder):
    async def work(journal: DiskJournal) -> None:
        await journal.commit("files/0", {"after": "b"})
        journal.count("records", 4)
        journal.place({"bytes": 9}, None)
        journal.forget_cursors()
        assert (journal.cursor("files/0"), journal.counts, journal.state.output) == (None, {}, None)

    live(folder, work)
    assert live(folder, lambda journal: done(journal.cursor("files/0"))) is None


# -- repair, and what was lost


@pytest.mark.fault("X5", "a damaged journal is made again from the results log: the same records are done")
def test_a_repaired_journal_has_the_same_outcomes_and_doubts_the_rest(folder):
    async def work(journal: DiskJournal) -> None:
        for seq in (0, 1, 3):
            await settle(journal, seq, ok(seq, usage={"total_tokens": 7}))
        await journal.intend(delivery(2), "hash")

    live(folder, work, killed=True)
    (folder / DATABASE).write_bytes(b"no database" * 1000)
    repair(folder)

    async def later(journal: DiskJournal) -> None:
        journal.show_again()  # what a run does whose output cannot go on
        assert [journal.recall(delivery(seq)) is not None for seq in range(5)] == [
            True,
            True,
            False,
            True,
            False,
        ]
        assert journal.doubt(delivery(2)) == Intent(delivery(2).key, 2, 0, "hash", 1)
        assert journal.doubt(delivery(4 + MOST_UNDER_WAY - 1)) is not None
        assert journal.doubt(delivery(4 + MOST_UNDER_WAY)) is None
        assert journal.life == 1 + UNKNOWN_LIVES + 1  # no life's number comes twice
        assert (journal.counts, journal.account().tokens) == ({"requests": 3}, 21)

    live(folder, later)
    assert (folder / f"{DATABASE}.damaged").exists()
    assert live(folder, lambda journal: done(journal.doubt(delivery(2)) is not None))


@pytest.mark.fault("X7", "results that vanish behind the journal's back are sent again, and marked in doubt")
@pytest.mark.parametrize("left", [0, 100])
def test_outcomes_that_vanish_from_the_log_are_in_doubt(folder, left: int):
    async def work(journal: DiskJournal) -> None:
        for seq in range(3):
            await settle(journal, seq, shown=False)

    live(folder, work)
    os.truncate(folder / "results.jsonl", left)

    async def later(journal: DiskJournal) -> Any:
        return [journal.recall(delivery(seq)) for seq in range(3)], [
            journal.doubt(delivery(seq)) is not None for seq in range(3)
        ]

    assert live(folder, later) == ([None] * 3, [True] * 3)
    assert live(folder, later) == ([None] * 3, [True] * 3)


def test_a_log_that_is_whole_leaves_nothing_in_doubt(folder):
    live(folder, lambda journal: settle(journal, 0, shown=False), killed=True)
    assert live(folder, lambda journal: done(journal.doubt(delivery(1)))) is None


def test_what_an_adopted_outcome_used_is_counted_once(folder):
    async def work(journal: DiskJournal) -> None:
        journal.count("requests")
        await journal.intend(delivery(0), "hash")
        await journal.flush()
        result = ok(0, usage={"total_tokens": 7})
        result.attempts = 3
        await journal.record(delivery(0), result)  # killed before the next transaction counts it

    live(folder, work, killed=True)
    for _ in range(2):
        counts = live(
            folder, lambda journal: done((journal.counts["requests"], journal.account().tokens)), killed=True
        )
        assert counts == (3, 7)


# -- a full disk


class Full:
    """Let the database's transactions fail, until room is made or for ever."""

    def __init__(self, journal: DiskJournal, *, for_ever: bool = False) -> None:
        self.journal, self.for_ever, self.failing, self.asked = journal, for_ever, False, 0
        self._commit = journal._store.commit
        journal._store.commit = self.commit  # type: ignore[method-assign]  # this one only
        journal.make_room = self.make_room

    def commit(self, change: Any) -> None:
        if self.failing:
            raise StorageError("cannot write the journal: database or disk is full")
        self._commit(change)

    def make_room(self) -> None:
        self.asked += 1
        self.failing = self.for_ever


@pytest.mark.fault("X4", "a full disk gets the ballast for what is under way, and nothing more is begun")
def test_a_full_disk_gets_room_for_what_is_under_way_and_nothing_more_begins(folder):
    async def work(journal: DiskJournal) -> None:
        full = Full(journal)
        await journal.intend(delivery(0), "hash")
        full.failing = True
        await journal.record(delivery(0), ok(0))
        await journal.flush()
        assert full.asked == 1
        with pytest.raises(StorageError, match="full"):
            await journal.intend(delivery(1), "hash")

    live(folder, work)

    async def later(journal: DiskJournal) -> None:
        assert (journal.doubtful, journal.recall(delivery(0))) == (0, ok(0))

    live(folder, later)


def test_a_log_that_is_full_gets_room_for_the_answer(folder, monkeypatch):
    async def work(journal: DiskJournal) -> None:
        await journal.intend(delivery(0), "hash")
        append, asked = journal._log.append, list[int]()

        def full(*arguments: Any) -> int:
            if not asked:
                raise StorageError("no space left")
            return append(*arguments)

        monkeypatch.setattr(journal._log, "append", full)
        journal.make_room = lambda: asked.append(1)
        await journal.record(delivery(0), ok(0))
        with pytest.raises(StorageError, match="no space left"):
            await journal.intend(delivery(1), "hash")

    live(folder, work)
    assert live(folder, lambda journal: done(journal.recall(delivery(0)))) == ok(0)


def test_what_a_failed_transaction_held_is_in_the_next_one(folder):
    async def work(journal: DiskJournal) -> None:
        await journal.intend(delivery(0), "hash")
        full = Full(journal, for_ever=True)
        full.failing = True
        await journal.record(delivery(0), ok(0))
        journal.place({"bytes": 9}, None)
        with pytest.raises(StorageError):
            await journal.commit("files/0", {"after": "b"})
        with pytest.raises(StorageError):
            await journal.intend(delivery(1), "hash")
        full.for_ever = full.failing = False
        await journal.flush()

    live(folder, work)

    async def later(journal: DiskJournal) -> None:
        assert journal.doubtful == 0  # the settled intent is gone, and the refused one was never written
        assert (journal.cursor("files/0"), journal.state.output) == ({"after": "b"}, {"bytes": 9})

    live(folder, later)


# -- power


def test_with_power_every_group_waits_for_the_disk_in_the_right_order(folder, monkeypatch):
    story: list[str] = []

    async def work(journal: DiskJournal) -> None:
        commit = journal._store.commit
        monkeypatch.setattr(journal._log, "sync", lambda: story.append("log"))
        monkeypatch.setattr(journal._store, "commit", lambda change: (story.append("commit"), commit(change)))
        journal.guard(lambda: story.append("output"))
        await journal.flush()
        (synchronous,) = journal._store._connection.execute("PRAGMA synchronous").fetchone()
        assert synchronous == 2  # FULL

    live(folder, work, power=True)
    assert story[:3] == ["log", "output", "commit"]


def test_without_power_nothing_waits_for_the_disk(folder, monkeypatch):
    async def work(journal: DiskJournal) -> None:
        monkeypatch.setattr(journal._log, "sync", lambda: pytest.fail("synced"))
        journal.guard(lambda: pytest.fail("synced"))
        await journal.flush()

    live(folder, work)
