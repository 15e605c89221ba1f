"""The requests of the outcomes in a results log are counted once, wherever a life ended."""

from __future__ import annotations

from collections import Counter

import pytest

from connectory.journal.log import Entry
from connectory.journal.using import Use


def entry(
    status: str, seq: int = 0, *, attempts: int = 2, tokens: int = 0, requests: int | None = None
) -> Entry:
    line = {"seq": seq, "part": 0, "key": f"k{seq}", "life": 1, "status": status, "index": seq, "id": None}
    line |= {"http_status": 200, "request_id": None, "attempts": attempts, "in_doubt": False}
    return Entry({**line, "usage": {"total_tokens": tokens}, "requests": requests}, 0)


LOG = [entry("begun"), entry("ok", 1, tokens=5), entry("ok", tokens=7), entry("error", 2, attempts=1)]


@pytest.mark.parametrize("counted", range(len(LOG) + 1))
def test_every_outcome_counts_once_wherever_the_counting_broke_off(counted):
    counts = Counter[str]()

    def count(name: str, amount: int = 1) -> None:
        counts[name] += amount

    first = Use(count)
    for one in LOG[:counted]:
        first.add(one)
    second = Use(count)
    for one in LOG[:counted]:
        second.pass_over(one)
    for one in LOG[counted:]:
        second.add(one)
    assert counts == {"requests": 5}


def test_a_delivery_that_was_begun_anew_counts_again():
    counts = Counter[str]()
    use = Use(lambda name, amount: counts.update({name: amount}))
    for one in (entry("begun"), entry("ok", tokens=1), entry("begun"), entry("error", tokens=1)):
        use.add(one)
    assert counts["requests"] == 4


@pytest.mark.parametrize(("intended", "expected"), [(0, 3), (1, 2)])
def test_the_requests_of_a_pack_count_with_its_first_record(intended: int, expected: int):
    counts = Counter[str]()
    use = Use(lambda name, amount: counts.update({name: amount}), intended=intended)
    for seq in range(4):
        use.add(entry("ok", seq, attempts=5, tokens=2, requests=0 if seq else 3))
    assert counts == {"requests": expected}
