"""Group commit: who waits hears of it, who does not is written before long, and nothing is lost on the way."""

from __future__ import annotations

import asyncio
import threading
from typing import Any

import pytest
from connected import run

from connectory.errors import StorageError
from connectory.journal import committing
from connectory.journal.committing import Committer


class Book:
    """Notes that are written down in groups; the writing can be held up, and can fail."""

    def __init__(self) -> None:
        self.noted: list[Any] = []
        self.groups: list[list[Any]] = []
        self.written: list[list[Any]] = []
        self.failed: list[list[Any]] = []
        self.go = threading.Event()
        self.go.set()
        self.error: Exception | None = None
        self.committer = Committer(
            self.take, self.write, self._end(self.written.append), self._end(self.failed.append)
        )
        self.end = asyncio.Event()

    def _end(self, keep: Any) -> Any:
        def end(group: list[Any]) -> None:
            keep(group)
            self.end.set()

        return end

    async def ended(self) -> None:
        """Wait until the next group is written, or is not."""
        self.end.clear()
        await self.end.wait()

    def take(self) -> list[Any]:
        taken, self.noted = self.noted, []
        return taken

    def write(self, group: list[Any]) -> None:
        self.go.wait(20)
        error, self.error = self.error, None
        if error is not None:
            raise error
        self.groups.append(group)

    async def note(self, one: Any) -> None:
        self.noted.append(one)
        await self.committer.commit()


def test_what_is_noted_in_one_turn_of_the_loop_is_one_group():
    async def main():
        book = Book()
        await asyncio.gather(*(book.note(number) for number in range(10)))
        await book.committer.aclose()
        assert book.groups == [list(range(10)), []]

    run(main)


def test_what_gathers_during_a_transaction_is_the_next_one():
    async def main():
        book = Book()
        book.go.clear()
        first = asyncio.ensure_future(book.note("first"))
        await asyncio.sleep(0.01)
        others = [asyncio.ensure_future(book.note(number)) for number in range(5)]
        await asyncio.sleep(0.01)
        assert not first.done()
        book.go.set()
        await asyncio.gather(first, *others)
        assert book.groups == [["first"], list(range(5))]
        assert book.written == book.groups
        await book.committer.aclose()

    run(main)


def test_an_error_reaches_everybody_who_waits_for_that_group_and_nobody_else():
    async def main():
        book = Book()
        book.error = StorageError("full")
        ends = await asyncio.gather(book.note(1), book.note(2), return_exceptions=True)
        assert [str(end) for end in ends] == ["full", "full"]
        assert (book.failed, book.groups) == ([[1, 2]], [])
        await book.note(3)
        assert book.groups == [[3]]
        await book.committer.aclose()

    run(main)


def test_an_error_of_a_lazy_group_that_nobody_waits_for_is_quiet_and_the_notes_are_given_back(monkeypatch):
    monkeypatch.setattr(committing, "LAZY", 0)

    async def main():
        book = Book()
        book.error = StorageError("full")
        book.noted.append(1)
        book.committer.touch()
        await book.ended()
        assert book.failed == [[1]]
        await book.committer.aclose()

    run(main)


def test_what_nobody_waits_for_is_written_before_long():
    async def main():
        book = Book()
        book.noted.append(1)
        book.committer.touch()
        book.committer.touch()
        assert book.groups == []
        await book.ended()
        assert book.groups == [[1]]
        await book.committer.aclose()

    run(main)


def test_what_is_noted_while_a_slow_transaction_runs_is_written_after_it_without_another_call(monkeypatch):
    monkeypatch.setattr(committing, "LAZY", 0.01)

    async def main():
        book = Book()
        book.go.clear()
        slow = asyncio.ensure_future(book.note("slow"))
        await asyncio.sleep(0.01)
        book.noted.append("meanwhile")
        book.committer.touch()
        await asyncio.sleep(0.1)  # the time is up, and the transaction still runs
        book.go.set()
        await slow
        while len(book.groups) < 2:
            await book.ended()
        assert book.groups == [["slow"], ["meanwhile"]]
        await book.committer.aclose()

    run(main)


def test_a_commit_that_is_waited_for_takes_the_lazy_notes_with_it():
    async def main():
        book = Book()
        book.noted.append("lazy")
        book.committer.touch()
        await book.note("waits")
        assert book.groups == [["lazy", "waits"]]
        await asyncio.sleep(committing.LAZY * 1.5)
        assert len(book.groups) == 1
        await book.committer.aclose()

    run(main)


def test_who_gives_up_waiting_does_not_disturb_the_group():
    async def main():
        book = Book()
        book.go.clear()
        leaves, stays = (asyncio.ensure_future(book.note(number)) for number in range(2))
        await asyncio.sleep(0.01)
        leaves.cancel()
        book.go.set()
        await stays
        assert book.groups == [[0, 1]]
        await book.committer.aclose()

    run(main)


def test_closing_writes_what_is_left_and_ends_the_thread():
    async def main():
        book = Book()
        book.noted.append(1)
        book.committer.touch()
        await book.committer.aclose()
        assert book.groups == [[1]]
        assert not [one for one in threading.enumerate() if one.name.startswith("connectory-journal")]

    run(main)


def test_closing_tells_when_the_rest_cannot_be_written():
    async def main():
        book = Book()
        book.error = StorageError("full")
        with pytest.raises(StorageError, match="full"):
            await book.committer.aclose()
        assert not [one for one in threading.enumerate() if one.name.startswith("connectory-journal")]

    run(main)


def test_closing_that_is_interrupted_ends_the_thread_and_begins_nothing_more():
    async def main():
        book = Book()
        book.go.clear()
        first = asyncio.ensure_future(book.note(1))
        await asyncio.sleep(0.01)
        closing = asyncio.ensure_future(book.committer.aclose())
        await asyncio.sleep(0.01)
        threading.Timer(0.05, book.go.set).start()
        closing.cancel()
        with pytest.raises(asyncio.CancelledError):
            await closing
        await asyncio.wait({first}, timeout=30)
        await asyncio.sleep(0.01)
        assert book.groups == [[1]]
        assert not [one for one in threading.enumerate() if one.name.startswith("connectory-journal")]

    problems: list[Any] = []

    async def watched():
        asyncio.get_running_loop().set_exception_handler(lambda _loop, context: problems.append(context))
        await main()

    run(watched)
    assert problems == []
