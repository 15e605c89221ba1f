"""The file of what is under way: slots that are written over, half written, full, and read by another process."""

from __future__ import annotations

import errno
import os
from pathlib import Path

import pytest

from connectory.errors import StorageError
from connectory.journal.intents import _MORE, _SIZE, Intents, decode, encode
from connectory.record import Intent


@pytest.fixture
def path(tmp_path):
    return tmp_path / "intents"


def intent(number: int, *, body: str = "b" * 64, lives: int = 1) -> Intent:
    return Intent(f"{number}".ljust(24, "k"), number, number % 3, body, lives)


def opened(path: Path) -> tuple[Intents, list[Intent]]:
    intents = Intents(path)
    return intents, list(intents.open())


def test_what_is_noted_is_read_by_the_next_life_and_by_who_only_looks(path):
    intents, before = opened(path)
    for number in (1, 2):
        intents.note(intent(number))
    assert (before, {one.key for one in intents.peek()}) == ([], {intent(1).key, intent(2).key})
    intents.close()

    again, found = opened(path)
    again.close()
    assert sorted(found, key=lambda one: one.seq) == [intent(1), intent(2)]


@pytest.mark.parametrize("body", ["", "b" * 64])
def test_a_slot_says_all_of_an_intent(body):
    one = Intent("k" * 24, 10**15, 10**6, body, 10**6)

    assert len(encode(one)) == _SIZE
    assert decode(encode(one)) == one


def test_a_delivery_has_one_slot_in_all_its_lives(path):
    intents, _ = opened(path)
    intents.note(intent(1))
    intents.note(intent(1, lives=2))
    intents.close()

    again, found = opened(path)
    again.note(intent(1, lives=3))
    again.close()
    assert found == [intent(1, lives=2)]
    assert Intents(path).peek() == [intent(1, lives=3)]


def test_the_file_is_as_large_as_what_was_under_way_at_once(path):
    intents, _ = opened(path)
    for number in range(10 * _MORE):
        intents.note(intent(number))
        intents.forget(intent(number).key)
    assert path.stat().st_size == _MORE * _SIZE
    for number in range(_MORE + 1):
        intents.note(intent(number))
    intents.close()

    assert path.stat().st_size == 2 * _MORE * _SIZE
    assert len(Intents(path).peek()) == _MORE + 1


def test_what_is_forgotten_stays_until_it_is_written_over_and_what_is_withdrawn_does_not(path):
    intents, _ = opened(path)
    for number in (1, 2):
        intents.note(intent(number))
    intents.forget(intent(1).key)
    intents.withdraw(intent(2).key)
    intents.forget("never noted")
    intents.withdraw("never noted")
    intents.close()

    assert Intents(path).peek() == [intent(1)]


@pytest.mark.fault("X4", "an intent that a dying process left half written is none: its request has not left")
@pytest.mark.parametrize("length", [0, 1, 24, 60, 90])
def test_a_slot_that_is_half_written_says_nothing(path, length: int):
    intents, _ = opened(path)
    intents.note(intent(1))
    intents.close()
    data = path.read_bytes()
    path.write_bytes(encode(intent(2))[:length] + data[length:])

    again, found = opened(path)
    again.close()
    assert found == ([] if length else [intent(1)])


def test_a_file_that_is_not_there_says_nothing_to_who_only_looks(path):
    assert Intents(path).peek() == []
    assert not path.exists()


def test_a_full_disk_is_told(path, monkeypatch):
    intents, _ = opened(path)

    def full(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "pwrite", full)
    with pytest.raises(StorageError, match=r"cannot write to the journal .*: no space left on device"):
        intents.note(intent(1))
    intents.close()


def test_a_disk_that_takes_half_is_asked_again(path, monkeypatch):
    intents, _ = opened(path)
    pwrite = os.pwrite
    monkeypatch.setattr(
        os, "pwrite", lambda file, text, place: pwrite(file, text[: len(text) // 2 + 1], place)
    )
    intents.note(intent(1))
    monkeypatch.undo()
    intents.close()

    assert Intents(path).peek() == [intent(1)]


def test_without_a_write_to_a_place_the_place_is_sought(path, monkeypatch):
    monkeypatch.delattr(os, "pwrite")
    intents, _ = opened(path)
    intents.note(intent(1))
    intents.note(intent(2))
    intents.close()

    assert {one.key for one in Intents(path).peek()} == {intent(1).key, intent(2).key}
