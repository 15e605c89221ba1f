"""Walks that are merged: bounded, none ahead of what was dealt with, ended together."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing

import pytest
from connected import run

from connectory.concurrency.fanout import merged


class Walks:
    """Walks that count how many of them are open, and note what they have begun to make."""

    def __init__(self) -> None:
        self.open = self.most = 0
        self.made: list[str] = []

    async def walk(self, name: str, length: int, *, fails: bool = False) -> AsyncGenerator[str, None]:
        self.open += 1
        self.most = max(self.most, self.open)
        try:
            for number in range(length):
                await asyncio.sleep(0)
                self.made.append(f"{name}{number}")
                yield f"{name}{number}"
            if fails:
                raise ValueError(name)
        finally:
            self.open -= 1


@pytest.mark.parametrize("most", [0, 1, 2, 5, 50])
def test_everything_is_given_once_and_each_walk_in_its_order(most: int):
    async def main():
        walks = Walks()
        given = [one async for one in merged((walks.walk(name, 3) for name in "abcdefg"), most)]
        assert sorted(given) == sorted(f"{name}{n}" for name in "abcdefg" for n in range(3))
        assert all(given.index(f"{name}0") < given.index(f"{name}2") for name in "abcdefg")
        assert walks.most <= max(1, most)
        assert walks.open == 0

    run(main)


def test_no_walk_goes_on_before_its_own_was_dealt_with():
    async def main():
        walks = Walks()
        async with aclosing(merged((walks.walk(name, 9) for name in "abc"), 3)) as given:
            async for one in given:
                await asyncio.sleep(0)
                await asyncio.sleep(0)
                name, number = one[0], int(one[1:])
                assert f"{name}{number + 1}" not in walks.made

    run(main)


def test_an_error_ends_all_walks_and_is_raised():
    async def main():
        walks = Walks()
        made = [walks.walk("a", 1, fails=True), walks.walk("b", 100), walks.walk("c", 100)]
        with pytest.raises(ValueError, match="a"):
            async for _ in merged(made, 3):
                pass
        assert walks.open == 0

    run(main)


def test_who_leaves_early_leaves_no_walk_open():
    async def main():
        walks = Walks()
        async with aclosing(merged((walks.walk(name, 9) for name in "abc"), 2)) as given:
            async for _ in given:
                break
        assert walks.open == 0

    run(main)
