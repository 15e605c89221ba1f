"""A route: what an incoming reads is handed to outgoings, step by step."""

from __future__ import annotations

import asyncio
from contextlib import suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from connectory.adapters.spool import Spool
from connectory.errors import ConfigError, InputError, RunStoppedError
from connectory.runs.running import go_on, put_in_place, refuse_left, take_up

if TYPE_CHECKING:
    from collections.abc import Sequence

    from connectory.interfaces import Sink, Source
    from connectory.journal import Run
    from connectory.publisher import Publisher
    from connectory.record import Result
    from connectory.subscriber import Subscriber


@dataclass(frozen=True, slots=True)
class Step:
    """An outgoing of a route: its run, with a journal of its own, and where its failures go."""

    run: Run
    publisher: Publisher
    dead_letters: Sink


class Route:
    """Outgoings one after the other, behind an incoming or a source.

    Each ok result is the next step's record: its shaped lines, or `{input, response}`. What passes from one to the next
    goes through a file in the folder of the run, so that a broken route goes on where each of its steps was. A route
    that deletes reads its whole list before the first deletion, so that deleting cannot move the pages under the
    reading.
    """

    def __init__(
        self,
        run: Run,
        steps: Sequence[Step],
        *,
        subscriber: Subscriber | None = None,
        source: Source | None = None,
    ) -> None:
        self.run, self.steps = run, steps
        self._subscriber, self._source = subscriber, source
        for step in steps[:-1]:
            step.publisher.lines = onward
        self._finished = self._refused = False
        self._list: Spool | None = None
        self._spools: list[Spool] = []
        self._reading: asyncio.Task[Any] | None = None

    @property
    def deletes(self) -> bool:
        """Say whether any step deletes."""
        return any(step.publisher.publication.deletes for step in self.steps)

    def open(self) -> None:
        """Open the files between the steps, where an earlier life left them.

        Raises ConfigError when one of them is not what the step behind it has worked on.
        """
        if self._subscriber is not None:
            self._list = self._spool(0, self.run)
            self._check(self._list, self.run, self.steps[0])
        for number, step in enumerate(self.steps[:-1], 1):
            self._spools.append(self._spool(number, step.run))
            self._check(self._spools[-1], step.run, self.steps[number], step.dead_letters)

    async def read(self) -> int | None:
        """Read the whole list, and count it."""
        spool, subscriber = self._list, self._subscriber
        if spool is None or subscriber is None:
            return None
        go_on(self.run, spool.sink)
        spool.reach(spool.sink.position)
        try:
            await subscriber.run(spool.sink)
        except InputError:
            self._refused = True
            raise
        await self.run.journal.flush()
        spool.end()
        return spool.source().count()

    async def send(self, sink: Sink) -> None:
        """Send what the source or the list holds, and will hold, through every step. Raises RunDetachedError."""
        sinks = [*(spool.sink for spool in self._spools), sink]
        await self._together([self._pass(number, sinks[number]) for number in range(len(self.steps))])
        refuse_left(sum(step.publisher.left for step in self.steps))

    async def all(self, sink: Sink) -> None:
        """Read and send at the same time."""
        self._reading = asyncio.ensure_future(self.read())
        await self._together([self._reading, self.send(sink)])

    async def put_in_place(self, sink: Sink) -> None:
        """Put what was written in its place: every step is at its end."""
        last = self.steps[-1]
        await put_in_place(last.run, sink, last.dead_letters)
        for step in self.steps[:-1]:
            await step.dead_letters.close()

    async def finish(self) -> None:
        """Note that every run is at its end."""
        for run in self._runs():
            await run.finish()
        self._finished = True

    async def aclose(self, sink: Sink) -> None:
        """Let go of everything, whatever happened; of a refused input no run stays."""
        spools = [*filter(None, [self._list]), *self._spools]
        for one in (sink, *(step.dead_letters for step in self.steps), *(spool.sink for spool in spools)):
            with suppress(RunStoppedError):
                await one.abandon()
        for spool in spools if self._finished else []:
            spool.path.unlink(missing_ok=True)  # what passed is in the results logs of the steps
        for run in self._runs():
            await run.aclose(refused=self._refused)

    def stop(self, reason: RunStoppedError) -> bool:
        """Take nothing more; what is under way is finished."""
        return bool(sum(step.publisher.stop(reason) for step in self.steps))

    def _runs(self) -> list[Run]:
        """Give the runs, each once, the one that holds the job's lock last."""
        runs = [step.run for step in reversed(self.steps)]
        return [*(run for run in runs if run is not self.run), self.run]

    def _spool(self, number: int, run: Run) -> Spool:
        spool = Spool(self.run.folder / f"spool-{number}.jsonl")
        run.journal.on_commit = spool.reach
        return spool

    def _check(self, spool: Spool, writer: Run, reader: Step, dead_letters: Sink | None = None) -> None:
        """Refuse to make lines again, perhaps others in another order, of which some were worked on."""
        state = writer.journal.state
        if not reader.run.journal.begun or (
            spool.sink.restore(state.output) and (dead_letters is None or dead_letters.restore(state.dead))
        ):
            return
        raise ConfigError(
            f"the unfinished run {self.run.facts.run} cannot go on: its file {str(spool.path)!r} is not what it was; "
            "start anew with --new"
        )

    def _input(self, number: int) -> Source:
        spool = self._spools[number - 1] if number else self._list
        if spool is not None:
            return spool.source()
        if self._source is None:
            raise ConfigError("a route needs an incoming or a source before its first step")
        return self._source

    async def _pass(self, number: int, sink: Sink) -> None:
        step, source = self.steps[number], self._input(number)
        take_up(step.run, sink, step.dead_letters)
        following = self._spools[number] if number < len(self._spools) else None
        if following is not None:
            following.reach(sink.position)
        if step.run.journal.state.mark is not None:
            source.resume(step.run.journal.state.mark, step.run.journal.start)
        await step.publisher.run(source, sink, step.dead_letters)
        await step.run.journal.flush()
        if following is not None:
            following.end()

    async def _together(self, works: Sequence[Any]) -> None:
        """Do things at the same time; when one fails, the others come to a gentle end, and its error is raised."""
        tasks = [asyncio.ensure_future(work) for work in works]
        try:
            await asyncio.wait(tasks, return_when=asyncio.FIRST_EXCEPTION)
            done = (one for one in tasks if one.done() and not one.cancelled())
            failed = next((one for one in done if one.exception() is not None), None)
            if failed is not None:
                self._give_up(failed.exception())
                await asyncio.wait(tasks)
                failed.result()
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)

    def _give_up(self, reason: BaseException | None) -> None:
        self.stop(reason if isinstance(reason, RunStoppedError) else RunStoppedError(str(reason)))
        for spool in filter(None, [self._list, *self._spools]):
            spool.end()
        if self._reading is not None:  # what is not read yet can be read later, from its cursor
            self._reading.cancel()


def onward(result: Result) -> list[Any]:
    """Give what the next step works on: of an ok result its shaped lines, or `{input, response}`."""
    if not result.ok:
        return []
    shaped = result.output
    return [{"input": result.record, "response": result.response}] if shaped is None else shaped
