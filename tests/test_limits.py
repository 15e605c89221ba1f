"""The rate of a client: turns that come evenly, in order, and never more often than they may."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import httpx
import pytest
from connected import CLIENT, connected, run
from hypothesis import given
from hypothesis import strategies as st

from connectory.connector import AsyncConnector
from connectory.limits import Throttle


class Clock:
    """A clock that only sleeping moves."""

    def __init__(self) -> None:
        self.now = 0.0
        self.waits: list[float] = []

    def __call__(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.waits.append(seconds)
        self.now += seconds


def test_the_first_turn_comes_at_once_and_the_next_ones_evenly():
    throttle = Throttle(60)
    assert [throttle.take(0.0) for _ in range(4)] == [0, 1, 2, 3]


def test_a_high_rate_lets_one_seconds_worth_leave_at_once():
    throttle = Throttle(600)
    waits = [throttle.take(0.0) for _ in range(12)]
    assert waits[:10] == [0] * 10
    assert waits[10:] == pytest.approx([0.1, 0.2])


def test_a_low_rate_lets_one_leave_at_once():
    throttle = Throttle(1)
    assert [throttle.take(0.0), throttle.take(0.0)] == [0, 60]


def test_a_pause_saves_up_no_more_than_a_second():
    throttle = Throttle(120)
    throttle.take(0.0)
    assert [throttle.take(1000.0) for _ in range(3)] == [0, 0, 0.5]


def test_a_clock_that_goes_back_gives_nothing_away():
    throttle = Throttle(60)
    throttle.take(10.0)
    assert throttle.take(5.0) == 1


@given(
    st.integers(min_value=1, max_value=10_000),
    st.lists(st.floats(min_value=0, max_value=100), min_size=1, max_size=50),
)
def test_in_no_time_do_more_leave_than_the_rate_and_one_burst(per_minute: int, pauses: list[float]):
    throttle, now = Throttle(per_minute), 0.0
    leaving: list[float] = []
    for pause in pauses:
        now += pause
        leaving.append(now + throttle.take(now))
    assert all(later >= earlier - 1e-6 for earlier, later in pairwise(leaving))
    for first, start in enumerate(leaving):
        for count, end in enumerate(leaving[first:], 1):
            assert count <= throttle.burst + (end - start) * throttle.rate + 1e-6


def test_all_connections_of_a_client_share_its_rate_and_retries_take_a_turn_too():
    clock, statuses = Clock(), [503, 200, 200]

    async def answer(_request: httpx.Request) -> httpx.Response:
        return httpx.Response(statuses.pop(0), json={"id": "x"}, headers={"retry-after": "0"})

    async def main() -> Any:
        clients = {"api": {**CLIENT, "limits": {"requests_per_minute": 60}}}
        post = {"request": {"method": "POST", "path": "/things"}, "concurrency": 1}
        config = {"version": 1, "clients": clients, "outgoing": {"one": post, "two": post}}
        network = httpx.MockTransport(answer)
        async with AsyncConnector.from_dict(config, transport=network, listen=lambda _event: None) as made:
            client = made.client()
            client._clock, client._sleep = clock, clock.sleep
            return [
                result.status
                for name in ("one", "two")
                async for result in made.outgoing(name, [{"payload": {}}])
            ]

    assert run(main) == ["ok", "ok"]
    assert sum(clock.waits) == pytest.approx(2)


def test_waiting_for_a_turn_is_no_part_of_a_requests_own_time():
    clock = Clock()

    async def main() -> Any:
        limited = {**CLIENT, "limits": {"requests_per_minute": 1}, "timeout": {"total": 1}}
        config = {
            "version": 1,
            "clients": {"api": limited},
            "outgoing": {"one": {"request": {"method": "POST", "path": "/things"}, "concurrency": 1}},
        }
        network = httpx.MockTransport(lambda _request: httpx.Response(200, json={}))
        async with AsyncConnector.from_dict(config, transport=network) as made:
            client = made.client()
            client._clock, client._sleep = clock, clock.sleep
            return [result.status async for result in made.outgoing("one", [{"payload": {}}] * 3)]

    assert run(main) == ["ok"] * 3
    assert clock.waits == pytest.approx([60, 60])


def test_without_a_limit_nothing_waits():
    made = connected(lambda _request: httpx.Response(200, json={}))
    assert made.client()._throttle is None
