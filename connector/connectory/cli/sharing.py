"""`run outgoing --processes N`: the records of a file dealt out to several processes, and one run for the user."""

from __future__ import annotations

import os
import sys
from dataclasses import asdict
from functools import partial
from typing import TYPE_CHECKING, Any, NoReturn, cast

import click

from connectory.adapters.jsonl import LineSource
from connectory.cli.costing import say_used
from connectory.cli.journaling import say_end, say_resumed
from connectory.cli.observing import carried_on
from connectory.cli.progress import stand_of
from connectory.cli.saying import voice
from connectory.cli.setup import config_path
from connectory.cli.wiring import dead_letters
from connectory.cost.prices import billionths
from connectory.cost.usage import Tally
from connectory.journal import SHARDS, cut, is_begun, read_plan, summarise, write_plan
from connectory.listeners.logs import log_event
from connectory.runs.processes import COMMONS, LETTERS, LINES, Crew, gather, join
from connectory.runs.running import ending

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from connectory.assembly import Input
    from connectory.cli.progress import Progress
    from connectory.connector import AsyncConnector
    from connectory.events import Event
    from connectory.interfaces import NamedSource, Sink
    from connectory.journal import Job, Run, Runs, Shard


def refuse_sharing(made: AsyncConnector, name: str, read: Input, options: Mapping[str, Any]) -> None:
    """Refuse what several processes cannot do as one does. Raises click.UsageError."""
    settings, processes = made.assembly.outgoing(name), options["processes"]
    if read.file == "-":
        _refuse("standard input can only be read by one; write the records to a file")
    if read.file is None:
        _refuse("it needs one file of JSON Lines or CSV as its input")
    for key, why_not in (
        ("only", "'only' has to see every record"),
        ("sequence", "'sequence' sends records in an order, also where they lie far from each other"),
    ):
        if getattr(settings, key) is not None:
            _refuse(why_not)
    if settings.delivery == "batch":
        _refuse("'delivery: batch' sends files, which one process does")
    if options["detach"]:
        _refuse("--detach works with one process")
    publication = made.assembly.publication(name, run={}, client=options["client"])
    if publication.chain.remembers:
        _refuse("a transformer that remembers records, such as `deduplicate`, has to see every one")
    client = made.assembly.clients.options(made.assembly.clients.name(options["client"] or settings.client))
    most = min(publication.concurrency, client.limits.most_at_once)
    if most < processes:
        _refuse(f"only {most} requests may be under way at once (`concurrency`)")
    if not sys.executable:
        _refuse("this Python does not know its own program, and cannot start others")


def deal_out(
    runs: Runs, job: Job, source: NamedSource, options: Mapping[str, Any]
) -> tuple[Shard, ...] | None:
    """Cut the input, before anything else happens; None where an unfinished run has done so."""
    if not isinstance(source, LineSource) or not source.seekable:
        _refuse("its input cannot be read from the middle: it is packed, a pipe, or not in UTF-8")
    if not options["new"] and runs.has_unfinished(job):
        return None
    return cut(source.lines(), options["processes"])


def run_shared(
    made: AsyncConnector,
    run: Run,
    sink: Sink,
    options: Mapping[str, Any],
    *,
    source: NamedSource,
    shards: Sequence[Shard] | None,
    progress: Progress,
) -> None:
    """Run it, and tell what came of it as if one process had done all."""
    from connectory.cli.running import run_shown

    known: Sequence[Shard] | None = read_plan(run.folder)
    if known is None:
        if shards is None:  # the run ended before it was written, and has sent nothing
            shards = cut(cast("LineSource", source).lines(), options["processes"])
        known = shards
        write_plan(run.folder, known)
    shared = _Sharing(made, run, known, sink, options)
    say_resumed(run, shared.doubtful)
    progress.meter.total = shared.total
    progress.start_at(run.journal.counts, run.facts.connection)
    progress.follow(made, run.facts.output)
    shared.crew.listener = _Hearing(progress)
    progress.meter.standing = lambda: stand_of(shared.crew.standings)

    async def main() -> None:
        async with made:
            await shared.work()

    def end() -> str:
        return say_end(run.journal, run.facts, shared.total)

    used = partial(say_used, made, run.facts, options["client"])
    run_shown(main, shared.crew.stop, progress, shared.letters, end=end, used=used, facts=run.facts)


class _Hearing:
    """Takes in what the processes tell: for the user, and for the log; they send their telemetry themselves."""

    def __init__(self, progress: Progress) -> None:
        self._progress = progress

    def hear(self, event: Event) -> None:
        """Take in what happened."""
        self._progress.hear(event)
        if voice.json:
            log_event(event)

    def add(self, counts: Mapping[str, int]) -> None:
        """Take in how many records are finished."""
        self._progress.add(counts)


class _Sharing:
    """One run whose records several processes share."""

    def __init__(
        self,
        made: AsyncConnector,
        run: Run,
        shards: Sequence[Shard],
        sink: Sink,
        options: Mapping[str, Any],
    ) -> None:
        self._made, self._run, self._shards, self._sink = made, run, shards, sink
        self.letters = dead_letters(made, run.facts, options)
        self.total = sum(shard.count for shard in shards)
        self.doubtful = self._take_stock()
        self._publication = made.assembly.publication(run.facts.connection, run={}, client=options["client"])
        states = [(shard, *self._state(shard)) for shard in shards]
        for shard, finished, _ in states:
            if finished:  # in an earlier life; the others tell of themselves
                self.letters.learn(shard.folder(run.folder) / LETTERS)
        orders = [self._order(shard, options) for shard, finished, _ in states if not finished]
        before = {shard.number: counts for shard, _, counts in states}
        self.crew = Crew(orders, run.folder / SHARDS / COMMONS, before)

    async def work(self) -> None:
        """Let the processes work, and put together what they have made; also of a run that breaks off."""
        async with ending(self._run, self._sink):
            try:
                await self.crew.work()
            finally:
                self.letters.causes.merge(self.crew.causes)
                self._take_stock()
                gather(self._run.folder, self._shards)
                self.letters.give_copy()
            await join(self._run, self._shards, self._sink)
        self._tidy()

    def _take_stock(self) -> int:
        """Count in the run's own journal what its shards have done; give how many requests are in doubt."""
        found, journal = self._made.runs.summary(self._run.facts.run), self._run.journal
        journal.counts.clear()
        journal.counts.update(found.counts)
        journal.set_total(self.total)
        return found.in_doubt

    def _state(self, shard: Shard) -> tuple[bool, dict[str, int]]:
        """Say whether a shard is at its end, and what it has counted."""
        folder = shard.folder(self._run.folder)
        if not is_begun(folder):
            return False, {}
        found = summarise(folder, pid=None, usage=self._publication.counted)
        prices, cost = self._publication.prices, 0
        if prices is not None:
            bill = prices.bill(found.usage)
            cost = billionths(bill.total + bill.reserved)
        return found.state == "finished", {**found.counts, "tokens": Tally(found.usage).tokens, "cost": cost}

    def _order(self, shard: Shard, options: Mapping[str, Any]) -> dict[str, Any]:
        made, facts = self._made, self._run.facts
        endpoint, name = made.assembly.clients.endpoint, facts.connection
        settings = made.assembly.outgoing(name)
        return {
            "number": shard.number,
            "shard": asdict(shard),
            "folder": str(self._run.folder),
            "facts": asdict(facts),
            "config": os.path.realpath(config_path(options["config"])),
            "endpoint": None if endpoint is None else [endpoint.token, endpoint.origin],
            "name": name,
            "client": options["client"],
            "path": options["path"],
            "query": options["query"],
            "input": options["input"],
            "most": self._publication.concurrency,
            "only_ok": not self._sink.failures,
            "power": settings.durability == "power",
            "telemetry": carried_on(),
        }

    def _tidy(self) -> None:
        """Take away what is in the output by now; the results logs stay."""
        for shard in self._shards:
            (shard.folder(self._run.folder) / LINES).unlink(missing_ok=True)


def _refuse(why_not: str) -> NoReturn:
    raise click.UsageError(f"--processes: {why_not}")
