"""Runs with a journal: begun or taken up again, and ended so that nothing is lost."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

from connectory.errors import InputError, RunDetachedError

if TYPE_CHECKING:
    from collections.abc import AsyncGenerator

    from connectory.interfaces import Sink, Source
    from connectory.journal import Run
    from connectory.publisher import Publisher
    from connectory.subscriber import Subscriber


async def run_outgoing(
    run: Run, publisher: Publisher, source: Source, sink: Sink, dead_letters: Sink
) -> None:
    """Send what is not done yet; results and dead letters go on where the last life of the run ended.

    Raises RunDetachedError when everything was sent and something of it was not waited for.
    """
    async with ending(run, sink, dead_letters):
        take_up(run, sink, dead_letters)
        if run.journal.state.mark is not None:
            source.resume(run.journal.state.mark, run.journal.start)
        await publisher.run(source, sink, dead_letters)
        refuse_left(publisher.left)


def refuse_left(left: int) -> None:
    """Raise RunDetachedError where something was created and not waited for: the run is not at its end."""
    if left:
        raise RunDetachedError(f"{left} records wait for what was created to come to its end")


async def run_incoming(run: Run, subscriber: Subscriber, sink: Sink) -> None:
    """Read what is not in the sink yet."""
    async with ending(run, sink):
        go_on(run, sink)
        await subscriber.run(sink)


@asynccontextmanager
async def closing_run(run: Run) -> AsyncGenerator[None, None]:
    """Write down what is left and let go of the run, whatever happened; of a refused input no run stays."""
    refused = False
    try:
        yield
    except InputError:
        refused = True
        raise
    finally:
        await run.aclose(refused=refused)


@asynccontextmanager
async def ending(run: Run, sink: Sink, dead_letters: Sink | None = None) -> AsyncGenerator[None, None]:
    """Close everything in the order in which nothing can be lost."""
    async with closing_run(run):
        try:
            yield
        except BaseException:
            await sink.abandon()
            if dead_letters is not None:
                await dead_letters.abandon()
            raise
        await put_in_place(run, sink, dead_letters)
        await run.finish()


async def put_in_place(run: Run, sink: Sink, dead_letters: Sink | None = None) -> None:
    """Put what a run has written in its place. It can be interrupted anywhere: the next life does it again."""
    if dead_letters is not None:
        await dead_letters.seal()
    await sink.seal()
    run.journal.place(sink.position, dead_letters and dead_letters.position)
    await run.journal.flush()
    await sink.close()
    if dead_letters is not None:
        await dead_letters.close()


def take_up(run: Run, sink: Sink, dead_letters: Sink) -> None:
    """Let the output go on where it ended; if it cannot, all of it is made again from the results log."""
    for one in (sink, dead_letters):
        run.journal.guard(one.sync)
    if _restored(run, sink) and (not run.resumed or dead_letters.restore(run.journal.state.dead)):
        return
    sink.restart()
    dead_letters.restart()
    run.journal.show_again()


def go_on(run: Run, sink: Sink) -> None:
    """Let an incoming's items go on where they ended; if they cannot, all is read again."""
    run.journal.guard(sink.sync)
    if not _restored(run, sink):
        run.journal.forget_cursors()
        sink.restart()


def _restored(run: Run, sink: Sink) -> bool:
    return not run.resumed or sink.restore(run.journal.state.output)
