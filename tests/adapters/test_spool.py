"""The file between two steps of a route: what is certain can be read, and nothing else."""

from __future__ import annotations

import asyncio
from typing import Any

from connected import run

from connectory.adapters.spool import Spool


async def written(spool: Spool, *lines: Any, certain: bool = True) -> None:
    await spool.sink.write(lines)
    await spool.sink.flush()
    if certain:
        spool.reach(spool.sink.position)


def test_lines_are_read_when_they_are_certain_and_not_before(tmp_path):
    async def main():
        spool = Spool(tmp_path / "spool.jsonl")
        items = aiter(spool.source())
        await written(spool, {"n": 1})
        await written(spool, {"n": 2}, certain=False)
        assert (await anext(items)).record == {"n": 1}
        waiting = asyncio.ensure_future(anext(items))
        for _ in range(10):
            await asyncio.sleep(0)
        assert not waiting.done()
        spool.reach(spool.sink.position)
        assert (await waiting).record == {"n": 2}
        await written(spool, {"n": 3})
        spool.end()
        assert [item.record async for item in items] == [{"n": 3}]
        await spool.sink.abandon()

    run(main)


def test_an_end_without_lines_ends_the_reading(tmp_path):
    async def main():
        spool = Spool(tmp_path / "spool.jsonl")
        waiting = asyncio.ensure_future(anext(aiter(spool.source()), None))
        await asyncio.sleep(0)
        spool.end()
        assert await waiting is None
        await spool.sink.abandon()

    run(main)


def test_a_step_back_takes_nothing_back(tmp_path):
    spool = Spool(tmp_path / "spool.jsonl")
    spool.reach({"bytes": 10})
    spool.reach({"bytes": 5})
    spool.reach(None)

    assert spool.certain == 10


def test_reading_goes_on_behind_a_line(tmp_path):
    async def main():
        spool = Spool(tmp_path / "spool.jsonl")
        await written(spool, *({"n": number} for number in range(4)))
        spool.end()
        items = [item async for item in spool.source()]
        source = spool.source()
        source.resume(items[1].mark, 2)
        assert [item.record async for item in source] == [{"n": 2}, {"n": 3}]
        assert spool.source().count() == 4
        await spool.sink.abandon()

    run(main)
