from __future__ import annotations

from connectory.delivery.repeats import MOST, Repeats


def test_the_first_id_that_repeats_is_noted_once():
    repeats = Repeats()
    assert [repeats.hear(name, str(n)) for n, name in enumerate("abc", 1)] == [None] * 3
    note = repeats.hear("b", "7")
    assert note is not None
    assert "'b', again at 7: each is sent" in note
    assert repeats.hear("a", "8") is None


def test_a_position_is_no_id():
    repeats = Repeats()
    assert [repeats.hear("1", "1"), repeats.hear("2", "2"), repeats.hear("1", "1")] == [None] * 3


def test_no_more_than_so_many_ids_are_remembered():
    repeats = Repeats()
    assert not any(repeats.hear(f"id-{n}", str(n)) for n in range(MOST + 10))
    assert repeats._heard is not None
    assert len(repeats._heard) == MOST
    assert repeats.hear(f"id-{MOST + 5}", "x") is None
    assert repeats.hear("id-5", "y") is not None


def test_a_long_id_is_cut():
    repeats = Repeats()
    repeats.hear("x" * 1000, "1")
    assert len(repeats.hear("x" * 1000, "2") or "") < 250
