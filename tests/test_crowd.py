"""How many requests are under way at once, against servers of several kinds, in virtual time."""

from __future__ import annotations

import asyncio
import random

import pytest
import virtual
from virtual_client import Network, ok, refused

from connectory.pace.lanes import Limits


def serial(seconds):
    """A server that works on one request at a time."""
    lock = asyncio.Lock()

    async def answer(_request):
        async with lock:
            await asyncio.sleep(seconds)
        return ok()

    return answer


def test_a_server_that_works_on_one_at_a_time_gets_few_and_never_idles():
    network = Network(serial(0.1))
    outcomes, took = virtual.run(network.work([{"model": "m"}] * 600))
    assert len(outcomes) == 600
    assert network.most <= 8
    assert took <= 1.02 * 60
    assert network.client._gate.crowd.limit <= 4


def test_a_fast_server_reaches_its_full_speed():
    async def answer(_request):
        await asyncio.sleep(0.5)
        return ok()

    network = Network(answer)
    _, took = virtual.run(network.work([{"model": "m"}] * 3200))
    assert network.most == 32
    assert took <= 1.2 * 3200 / 32 * 0.5


@pytest.mark.parametrize("best", [1, 5, 12, 32, 200])
def test_the_number_under_way_finds_what_the_server_can_do(best):
    generator = random.Random(best)  # noqa: S311 - the same each time
    busy = 0

    async def answer(_request):
        nonlocal busy
        busy += 1
        try:
            await asyncio.sleep(generator.uniform(0.8, 1.2) * max(1.0, busy / best))
        finally:
            busy -= 1
        return ok()

    network = Network(answer)
    _, took = virtual.run(network.work([{"model": "m"}] * 2000))
    assert took <= 1.35 * 2000 / min(best, 32)
    assert network.client._gate.crowd.limit <= max(4, 2 * best)


def test_a_number_is_used_at_once_and_never_exceeded():
    async def answer(_request):
        await asyncio.sleep(1)
        return ok()

    network = Network(answer, limits=Limits(requests_per_minute=1_000_000, concurrency=20))
    _, took = virtual.run(network.work([{"model": "m"}] * 100, workers=50))
    assert (network.most, took) == (20, 5)


def test_an_overloaded_server_gets_fewer_and_then_more_again():
    async def answer(_request):
        await asyncio.sleep(0.2)
        return refused(503, "server_is_overloaded") if network.busy > 10 else ok()

    network = Network(answer, limits=Limits(requests_per_minute=1_000_000, concurrency=32))
    outcomes, _ = virtual.run(network.work([{"model": "m"}] * 2000))
    assert sum(one.answer is None for one in outcomes) == 0
    assert 1 < network.client._gate.crowd.limit < 20
