"""Runs the program with one bug in it: `python -m kill.mutated NAME run outgoing ...`.

A kill test that does not find these bugs proves nothing. Each is put in from outside; the program itself holds none of
it.
"""

from __future__ import annotations

import asyncio
import os
import secrets
import sys
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from kill import crashing

from connectory import publisher
from connectory.adapters.linesink import LineSink
from connectory.cli import main as program
from connectory.client import Client
from connectory.delivery.delivering import Delivering
from connectory.delivery.packs import PackOption
from connectory.delivery.results import unsent
from connectory.errors import StorageError
from connectory.journal import DiskJournal, committing
from connectory.journal import log as results_log
from connectory.journal.log import ResultsLog
from connectory.publisher import Publisher
from connectory.subscriber import Subscriber
from connectory.text.json import JsonTextError, loads


@dataclass(frozen=True)
class Mutant:
    """A bug, the invariants of which at least one has to fail with it, and how it is put in.

    `dies_at` names the place at which the first process has to be killed, where chance would seldom hit it.
    """

    bug: str
    caught_by: frozenset[int]
    put_in: Callable[[], None]
    needs: str = "kills"
    dies_at: str = ""


MUTANTS: dict[str, Mutant] = {}


def mutant(
    bug: str, *caught_by: int, needs: str = "kills", dies_at: str = ""
) -> Callable[[Callable[[], None]], Callable[[], None]]:
    """Register a bug. `needs` says in which kind of test it shows: kills, power, damage, stops, packs or reading."""

    def register(put_in: Callable[[], None]) -> Callable[[], None]:
        MUTANTS[put_in.__name__] = Mutant(bug, frozenset(caught_by), put_in, needs, dies_at)
        return put_in

    return register


@mutant("none at all: the control")
def none() -> None:
    pass


@mutant("the result is written before the request is sent", 1, 2, 10)
def early() -> None:
    send = Delivering._send

    async def too_early(self: Any, part: Any, *given: Any) -> Any:
        result = replace(unsent(part, None), status="ok", attempts=1)
        await self._journal.record(part.delivery, result)
        return await send(self, part, *given)

    Delivering._send = too_early


@mutant("results go through a buffer of the program", 4, 10)
def buffered() -> None:
    append, write, lines = ResultsLog.append, os.write, bytearray()

    def later(self: Any, *given: Any) -> int:
        def keep(_: int, line: bytes) -> int:
            lines.extend(line)
            if len(lines) > 16384:
                write(self._file, bytes(lines))
                lines.clear()
            return len(line)

        os.write = keep
        try:
            return append(self, *given)
        finally:
            os.write = write

    close = ResultsLog.close

    def closing(self: Any) -> None:
        if lines and self._file >= 0:
            write(self._file, bytes(lines))
            lines.clear()
        close(self)

    ResultsLog.append, ResultsLog.close = later, closing


@mutant("every attempt has a fresh key", 3)
def uuid() -> None:
    attempt = Client._attempt

    async def fresh(self: Any, call: Any, request: Any, *given: Any) -> Any:
        request.headers["Idempotency-Key"] = secrets.token_hex(12)
        return await attempt(self, call, request, *given)

    Client._attempt = fresh


@mutant("what was written after the last commit is not taken over", 2, 17)
def noadopt() -> None:
    DiskJournal._index = lambda *_, **__: 0


@mutant("what was written after the last commit is cut off, and bought again", 7, 17)
def truncate() -> None:
    adopt = DiskJournal._adopt

    def cut(self: Any) -> None:
        self._log.length = min(self._log.length, self.state.log_from)
        os.ftruncate(self._log._file, self._log.length)
        adopt(self)

    DiskJournal._adopt = cut


@mutant("a request leaves before its intent is written", 10)
def unannounced() -> None:
    async def intend(self: Any, delivery: Any, body_hash: str) -> None:
        announced = asyncio.ensure_future(announce(self, delivery, body_hash))
        running.add(announced)
        announced.add_done_callback(running.discard)

    async def announce(self: Any, delivery: Any, body_hash: str) -> None:
        await asyncio.sleep(0.02)
        with suppress(StorageError):  # the run is over, and its files are closed
            await waiting(self, delivery, body_hash)

    running: set[asyncio.Future[None]] = set()
    waiting = DiskJournal.intend
    DiskJournal.intend = intend


@mutant("what was under way is forgotten", 10)
def forgetful() -> None:
    DiskJournal.doubt = lambda *_: None


@mutant("lives of the run are not counted", 5, 16)
def ageless() -> None:
    DiskJournal.life = property(lambda _: 1)


@mutant("a pack that was under way is put together anew, with others", 3, needs="packs")
def regrouped() -> None:
    doubt = DiskJournal.doubt

    def unknown(self: Any, delivery: Any) -> Any:
        intent = doubt(self, delivery)
        return intent and replace(intent, pack="", body="")

    DiskJournal.doubt = unknown


@mutant("only the first record of a pack is noted before it leaves", 3, 10, needs="packs")
def first_alone() -> None:
    intend = DiskJournal.intend_pack

    async def noted(self: Any, deliveries: Any, *given: Any) -> None:
        await intend(self, deliveries[:1], *given)

    DiskJournal.intend_pack = noted


@mutant("the records of a pack get each other's answers", 9, needs="packs")
def swapped() -> None:
    divide = PackOption.divide

    def reversed_answers(self: Any, *given: Any) -> Any:
        return divide(self, *given)[::-1]

    PackOption.divide = reversed_answers


@mutant("lines count as shown before they are in the output", 11)
def boastful() -> None:
    write, show = Publisher._write, Publisher._show

    async def shown_first(self: Any, settled: Any, sink: Any, dead_letters: Any) -> None:
        show(self, settled, sink, dead_letters)
        await self.journal.flush()
        await write(self, settled, sink, dead_letters)

    def placed(self: Any, settled: Any, sink: Any = None, dead_letters: Any = None) -> None:
        if sink is not None:
            self.journal.place(sink.position, dead_letters.position)

    Publisher._write, Publisher._show = shown_first, placed


def uncut(wanted: Callable[[str], bool]) -> None:
    """Leave in a file what was written after the last commit, and go on behind it."""
    restore = LineSink.restore

    def behind(self: Any, position: Any) -> bool:
        if position is not None and self._target.exists() and wanted(self._target.name):
            position = {**position, "bytes": self._target.stat().st_size}
        return restore(self, position)

    LineSink.restore = behind


@mutant("the output is not cut back before its lines are made again", 11)
def stutter() -> None:
    uncut(lambda name: name.startswith("output"))


@mutant("the dead letters are not cut back before their lines are made again", 19, dies_at="after_dead:2")
def gravedigger() -> None:
    uncut(lambda name: name.startswith("dead_letters"))


@mutant("a run goes on one record too late", 1, 2)
def offbyone() -> None:
    load = DiskJournal.open

    def opened(self: Any, **given: Any) -> None:
        load(self, **given)
        if self.state.mark is not None:
            with Path("input.jsonl").open("rb") as records:
                records.seek(self.state.mark["offset"])
                records.readline()
                self.state.mark = {**self.state.mark, "offset": records.tell()}

    DiskJournal.open = opened


@mutant("the unfinished output already lies in its place", 13)
def hasty() -> None:
    init = LineSink.__init__

    def in_place(self: Any, path: Any, **given: Any) -> None:
        init(self, path, **{**given, "staged": False})

    LineSink.__init__ = in_place


@mutant("a signal breaks off what is under way", 20, needs="stops")
def abrupt() -> None:
    Publisher.stop = lambda *_: False


@mutant("a commit does not wait for the results log to be on the disk", 2, needs="power")
def unsynced() -> None:
    ResultsLog.sync = lambda *_: None


@mutant("a commit does not wait for the output to be on the disk", 11, 19, needs="power")
def unsynced_output() -> None:
    LineSink.sync = lambda *_: None


@mutant("checksums are not looked at", 2, 9, 10, 11, needs="damage")
def gullible() -> None:
    def decode(line: bytes) -> Any:
        try:
            return loads(line)
        except JsonTextError:
            return None

    results_log.decode = decode


@mutant("the cursor is committed before the page is in the output", 0, needs="reading")
def hurried() -> None:
    async def run(self: Any, sink: Any) -> Any:
        async for page in self.pages():
            await self.journal.commit(page.stream, page.cursor, drop=page.drop, seen=page.seen)
            await sink.write(page.records)
            await sink.flush()
        return self.counts

    Subscriber.run = run


def main() -> None:
    """Put the bug in and run; a word before its name says where to die."""
    word = sys.argv.pop(1)
    if word not in MUTANTS:
        crashing.die_at(word)
        word = sys.argv.pop(1)
    MUTANTS[word].put_in()
    committing.LAZY, publisher.GATHER = 0.01, 0  # so small a run would end before its first commit
    if "KILL_SYNCED" in os.environ:
        from kill import synced  # noqa: PLC0415 - not every bug needs a power cut

        synced.main()
    else:
        program(prog_name="connectory")


if __name__ == "__main__":
    main()
