"""The journal that lives as long as its process."""

from __future__ import annotations

import re

from connected import run

from connectory.journal import MemoryJournal, new_run_id
from connectory.record import Delivery, Result


def test_run_ids_sort_by_time_and_are_never_the_same():
    ids = {new_run_id() for _ in range(100)}
    assert len(ids) == 100
    assert all(re.fullmatch(r"\d{8}T\d{6}-[0-9a-f]{8}", one) for one in ids)


def test_a_journal_takes_the_id_of_its_run_or_makes_one():
    assert MemoryJournal("run-1").run == "run-1"
    assert MemoryJournal().run != MemoryJournal().run


def test_what_was_intended_is_in_flight_until_its_outcome_is_recorded():
    async def main():
        journal, delivery = MemoryJournal("r"), Delivery("r", "1")
        await journal.intend(delivery, "hash")
        assert (journal.in_flight, journal.intents) == (1, {delivery.key: "hash"})
        await journal.record(delivery, Result(0, "a", "ok"))
        assert (journal.in_flight, journal.counts) == (0, {"ok": 1})

    run(main)


def test_an_outcome_without_an_intent_is_counted():
    async def main():
        journal = MemoryJournal("r")
        await journal.record(Delivery("r", "1"), Result(0, "a", "skipped"))
        assert journal.counts["skipped"] == 1

    run(main)


def test_nothing_was_settled_before_the_process_began():
    async def main():
        journal, delivery = MemoryJournal("r"), Delivery("r", "1")
        await journal.record(delivery, Result(0, "a", "ok"))
        assert not journal.is_shown(0)
        assert not journal.is_shown(0, 0)
        assert (journal.recall(delivery), journal.doubt(delivery), journal.start) == (None, None, 0)

    run(main)


def test_a_refusal_that_does_not_count_leaves_nothing_in_flight_and_is_not_counted():
    async def main():
        journal, delivery = MemoryJournal("r"), Delivery("r", "1")
        await journal.intend(delivery, "hash")
        journal.withdraw(delivery)
        assert (journal.in_flight, journal.counts) == (0, {})

    run(main)


def test_items_are_counted_as_done_or_dead():
    journal = MemoryJournal("r")
    for number in range(5):
        journal.close_item(number, dead=number == 0)
    assert journal.counts == {"done": 4, "dead": 1}


def test_it_is_not_durable_and_every_process_is_its_first():
    journal = MemoryJournal("r")
    assert (journal.durable, journal.life) == (False, 1)


def test_the_last_cursor_of_each_stream_is_kept():
    async def main():
        journal = MemoryJournal("r")
        assert journal.cursor("files/0") is None
        await journal.commit("files/0", {"after": "a"})
        await journal.commit("files/0", {"after": "b"})
        await journal.commit("files/1", None)
        assert (journal.cursor("files/0"), journal.cursor("files/1")) == ({"after": "b"}, None)

    run(main)
