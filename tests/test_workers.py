"""Workers: several at a time, results in order, memory bounded, nothing lost and nothing left behind."""

from __future__ import annotations

import asyncio
from contextlib import aclosing
from typing import Any

import pytest
from connected import OWN_TASKS, run
from hypothesis import given
from hypothesis import strategies as st

from connectory.concurrency.workers import WINDOW, Workers


class Counting:
    """A source of numbers that knows how far it was read and whether it was closed."""

    def __init__(self, end: int | None = None, failure: Exception | None = None) -> None:
        self.taken, self.closed = 0, False
        self._end, self._failure = end, failure

    async def numbers(self):
        try:
            while self.taken != self._end:
                self.taken += 1
                yield self.taken - 1
            if self._failure is not None:
                raise self._failure
        finally:
            self.closed = True


class Gates:
    """Work that is finished number by number, when the test says so."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.ended: list[int] = []
        self.cancelled: list[int] = []
        self._gates: dict[int, asyncio.Event] = {}
        self._all = False

    def open(self, *numbers: int) -> None:
        for number in numbers:
            self._gates.setdefault(number, asyncio.Event()).set()

    def open_all(self) -> None:
        self._all = True
        for gate in self._gates.values():
            gate.set()

    async def __call__(self, number: int) -> int:
        self.begun.append(number)
        gate = self._gates.setdefault(number, asyncio.Event())
        if self._all:
            gate.set()
        try:
            await gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(number)
            raise
        self.ended.append(number)
        return number


async def _at_once(number: int) -> int:
    return number


async def settle() -> None:
    """Let everything run that can run."""
    for _ in range(200):
        await asyncio.sleep(0)


async def collect(workers: Workers[Any, Any]) -> tuple[list[Any], BaseException | None]:
    results: list[Any] = []
    try:
        async for group in workers:
            results += group
    except BaseException as error:  # noqa: BLE001 - the tests look at it
        return results, error
    return results, None


@pytest.mark.parametrize("ordered", [True, False])
def test_results_come_in_the_order_of_the_source_or_as_they_get_ready(ordered: bool):
    async def main():
        gates = Gates()
        workers = Workers(Counting(3).numbers(), gates, limit=3, ordered=ordered)
        collecting = asyncio.ensure_future(collect(workers))
        for number in (2, 0, 1):
            await settle()
            gates.open(number)
        results, error = await collecting
        assert error is None
        assert gates.ended == [2, 0, 1]
        assert results == ([0, 1, 2] if ordered else [2, 0, 1])

    run(main)


@pytest.mark.parametrize("ordered", [True, False])
def test_results_gather_for_a_moment_and_the_work_goes_on_meanwhile(ordered: bool):
    async def slowly(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def groups(gather: float) -> list[list[int]]:
        workers = Workers(Counting(60).numbers(), slowly, limit=4, ordered=ordered, gather=gather)
        return [group async for group in workers]

    async def main():
        one_by_one, gathered = await groups(0), await groups(0.05)
        for groups_given in (one_by_one, gathered):
            assert sorted(number for group in groups_given for number in group) == list(range(60))
        assert len(gathered) < len(one_by_one)
        assert len(gathered[0]) == 4 * WINDOW - 4  # no more than may wait

    run(main)


def test_workers_that_once_waited_together_do_not_queue_ever_after(monkeypatch):
    waits = []
    wait = Workers._wait_for_turn

    async def counted(self):
        waits.append(1)
        await wait(self)

    async def slow_to_begin():
        await asyncio.sleep(0.01)
        for number in range(1000):
            yield number

    async def slowly(number: int) -> int:
        await asyncio.sleep(0)
        return number

    async def main():
        monkeypatch.setattr(Workers, "_wait_for_turn", counted)
        assert await collect(Workers(slow_to_begin(), slowly, limit=8)) == (list(range(1000)), None)
        assert 7 <= len(waits) < 100  # each but the first at the beginning, and hardly any later

    run(main)


def test_what_gathers_is_given_when_nothing_more_comes():
    async def main():
        workers = Workers(Counting(3).numbers(), _at_once, limit=4, gather=30)  # bounded by the test's time
        assert await collect(workers) == ([0, 1, 2], None)

    run(main)


def test_ready_results_come_while_later_ones_are_under_way():
    async def main():
        gates = Gates()
        workers = Workers(Counting(2).numbers(), gates, limit=2)
        async with aclosing(aiter(workers)) as groups:
            gates.open(0)
            assert await anext(groups) == [0]
            gates.open(1)
            assert await anext(groups) == [1]

    run(main)


@pytest.mark.parametrize("limit", [1, 2, 5])
def test_no_more_than_the_limit_is_under_way(limit: int):
    async def main():
        gates = Gates()
        collecting = asyncio.ensure_future(collect(Workers(Counting(50).numbers(), gates, limit=limit)))
        await settle()
        assert len(gates.begun) == limit
        gates.open_all()
        assert await collecting == (list(range(50)), None)

    run(main)


def test_a_stuck_item_does_not_let_the_source_run_away():
    async def main():
        gates, source = Gates(), Counting()
        gates.open(*range(1, 1000))
        workers = Workers(source.numbers(), gates, limit=2)
        async with aclosing(aiter(workers)) as groups:
            first = asyncio.ensure_future(anext(groups))
            await settle()
            assert source.taken == 2 * WINDOW
            gates.open(0)
            assert (await first)[0] == 0

    run(main)


def test_results_that_nobody_reads_do_not_let_the_source_run_away():
    async def main():
        gates, source = Gates(), Counting()
        gates.open_all()
        async with aclosing(aiter(Workers(source.numbers(), gates, limit=2, ordered=False))) as groups:
            await anext(groups)
            taken = source.taken
            await settle()
            assert source.taken <= taken + 2 * WINDOW + 2

    run(main)


@pytest.mark.parametrize("ordered", [True, False])
def test_an_error_stops_the_taking_and_is_raised_after_the_results_of_what_was_under_way(ordered: bool):
    async def main():
        gates, source = Gates(), Counting()

        async def work(number: int) -> int:
            await gates(number)
            if number == 1:
                raise ValueError("one")
            return number

        workers = Workers(source.numbers(), work, limit=3, ordered=ordered)
        collecting = asyncio.ensure_future(collect(workers))
        await settle()
        gates.open(1)
        await settle()
        assert source.taken == 3
        gates.open_all()
        results, error = await collecting
        assert sorted(results) == [0, 2]
        assert isinstance(error, ValueError)
        assert source.taken == 3
        assert source.closed

    run(main)


def test_the_first_of_several_errors_is_raised():
    async def main():
        async def work(number: int) -> int:
            await asyncio.sleep(0)
            raise ValueError(number)

        results, error = await collect(Workers(Counting(9).numbers(), work, limit=3))
        assert results == []
        assert isinstance(error, ValueError)
        assert error.args == (0,)

    run(main)


def test_a_source_that_raises_gives_the_results_of_what_came_before():
    async def main():
        gates = Gates()
        workers = Workers(Counting(3, OSError("gone")).numbers(), gates, limit=2)
        collecting = asyncio.ensure_future(collect(workers))
        await settle()
        gates.open_all()
        results, error = await collecting
        assert results == [0, 1, 2]
        assert isinstance(error, OSError)

    run(main)


def test_an_empty_source_gives_nothing():
    assert run(lambda: collect(Workers(Counting(0).numbers(), Gates(), limit=3))) == ([], None)


def test_leaving_early_cancels_what_is_under_way_and_closes_the_source():
    async def main():
        gates, source = Gates(), Counting()
        async with aclosing(aiter(Workers(source.numbers(), gates, limit=3))) as groups:
            gates.open(0)
            await anext(groups)
            await settle()
        assert sorted(gates.cancelled) == [1, 2, 3]
        assert source.closed
        assert len(asyncio.all_tasks()) == OWN_TASKS

    run(main)


def test_cancelling_the_reader_cancels_what_is_under_way():
    async def main():
        gates, source = Gates(), Counting()
        reader = asyncio.ensure_future(collect(Workers(source.numbers(), gates, limit=2)))
        await settle()
        reader.cancel()
        results, error = await reader
        assert results == []
        assert isinstance(error, asyncio.CancelledError)
        assert sorted(gates.cancelled) == [0, 1]
        assert source.closed

    run(main)


def test_stop_takes_nothing_more_finishes_what_is_under_way_and_raises_the_reason():
    async def main():
        gates, source = Gates(), Counting()
        workers = Workers(source.numbers(), gates, limit=2)
        reader = asyncio.ensure_future(collect(workers))
        await settle()
        workers.stop(KeyError("enough"))
        await settle()
        gates.open_all()
        results, error = await reader
        assert results == [0, 1]
        assert isinstance(error, KeyError)
        assert source.taken == 2

    run(main)


def test_stop_does_not_wait_for_the_next_item_of_a_slow_source():
    async def main():
        closed: list[bool] = []

        async def trickle():
            try:
                yield 1
                await asyncio.Event().wait()
                yield 2
            finally:
                closed.append(True)

        gates = Gates()
        workers = Workers(trickle(), gates, limit=2)
        reader = asyncio.ensure_future(collect(workers))
        await settle()
        workers.stop(KeyError("enough"))
        await settle()
        gates.open_all()
        results, error = await reader
        assert results == [1]
        assert isinstance(error, KeyError)
        assert closed == [True]

    run(main)


def test_an_item_that_arrives_while_the_source_itself_stops_the_run_is_not_begun():
    async def main():
        async def source():
            yield 1
            workers.stop(KeyError("enough"))
            yield 2

        gates = Gates()
        gates.open_all()
        workers = Workers(source(), gates, limit=1)
        results, error = await collect(workers)
        assert results == [1]
        assert isinstance(error, KeyError)
        assert gates.begun == [1]

    run(main)


def test_work_that_is_cancelled_from_elsewhere_is_not_lost_silently():
    async def main():
        async def work(number: int) -> int:
            if number == 1:
                raise asyncio.CancelledError
            return number

        results, error = await collect(Workers(Counting(3).numbers(), work, limit=1))
        assert results == [0]
        assert isinstance(error, asyncio.CancelledError)

    run(main)


def test_a_source_that_cannot_be_closed_is_left_alone():
    class Plain:
        def __init__(self) -> None:
            self._numbers = iter(range(2))

        def __aiter__(self):
            return self

        async def __anext__(self) -> int:
            for number in self._numbers:
                return number
            raise StopAsyncIteration

    gates = Gates()
    gates.open_all()
    assert run(lambda: collect(Workers(Plain(), gates, limit=2))) == ([0, 1], None)


@given(delays=st.lists(st.integers(0, 5), max_size=40), limit=st.integers(1, 7), ordered=st.booleans())
def test_every_item_has_one_result_whatever_the_timing(delays: list[int], limit: int, ordered: bool):
    async def main():
        async def numbers():
            for number in range(len(delays)):
                yield number

        async def work(number: int) -> int:
            for _ in range(delays[number]):
                await asyncio.sleep(0)
            return number

        results, error = await collect(Workers(numbers(), work, limit=limit, ordered=ordered))
        assert error is None
        assert (results if ordered else sorted(results)) == list(range(len(delays)))

    run(main)
