"""A long run with faults and cancellations (row N15): what it holds does not grow."""

from __future__ import annotations

import asyncio
import gc
import os
import random
import sys
from contextlib import suppress
from pathlib import Path

import pytest
from fault_runs import CLIENT, TOKEN, listed, serving

from connectory.connector import AsyncConnector
from connectory.errors import ConnectoryError

CONCURRENCY = 16
PAGE = os.sysconf("SC_PAGE_SIZE") if sys.platform == "linux" else 0
ANSWER = listed("a")
CHANCE = random.Random(7)  # noqa: S311 - not a secret


async def unreliable(peer):
    """Answer most requests; cut, reset or delay the others."""
    while True:
        await peer.request()
        peer.received.clear()  # the server lives in this process too
        luck = CHANCE.random()
        if luck < 0.03:
            peer.reset()
            return
        if luck < 0.06:
            await peer.send(ANSWER[:-5])
            peer.close()
            return
        if luck < 0.1:
            await asyncio.sleep(0.005)
        await peer.send(ANSWER)


def held():
    """Give open files and resident memory of this process."""
    gc.collect()
    pages = int(Path("/proc/self/statm").read_text().split()[1])
    return len(list(Path("/proc/self/fd").iterdir())), pages * PAGE


async def worker(connector, todo, luck, done):
    while todo:
        todo.pop()
        task = asyncio.ensure_future(read(connector))
        if luck.random() < 0.1:
            await asyncio.sleep(luck.random() * 0.005)
            task.cancel()
        with suppress(asyncio.CancelledError, ConnectoryError):
            done.append(await task)


async def read(connector):
    return len([item async for item in connector.read("files")])


def long_run(count):
    """Make requests in two halves; give what was held after the first, after the second, and how many went through."""

    async def main(base_uri):
        client = {**CLIENT, "base_uri": base_uri, "token": TOKEN, "limits": {"concurrency": CONCURRENCY}}
        luck, seen = random.Random(1), []  # noqa: S311 - not a secret
        async with AsyncConnector.from_dict({"version": 1, "clients": {"api": client}}) as connector:
            for _ in range(2):
                todo, done = list(range(count // 2)), []
                async with asyncio.timeout(240):
                    await asyncio.gather(*[worker(connector, todo, luck, done) for _ in range(CONCURRENCY)])
                assert await read(connector) == 1
                await asyncio.sleep(0.05)
                pool = connector.client().transport._pool
                seen.append((*held(), len(done)))
                assert len(pool.connections) <= CONCURRENCY
        return seen

    with serving(unreliable) as server:
        return asyncio.run(main(server.url("/v1")))


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what a process holds")
@pytest.mark.fault(
    "N15", "A tenth of the requests cancelled and a tenth failing, open files and memory stay as they were."
)
@pytest.mark.parametrize("count", [3000, pytest.param(60_000, marks=pytest.mark.full)])
def test_what_a_long_run_holds_does_not_grow(count):
    (files, memory, first), (later_files, later_memory, second) = long_run(count)
    assert min(first, second) > count / 2 * 0.8
    assert later_files - files <= 2 * CONCURRENCY
    assert later_memory < memory * 1.1 + 8 * 1024 * 1024
