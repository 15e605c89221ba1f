"""`run route`: an incoming and the outgoings that follow it, each with a journal."""

from __future__ import annotations

from shlex import join
from typing import TYPE_CHECKING, Any

from connectory.assembly import input_above
from connectory.cli.advising import preview_of
from connectory.cli.costing import say_used
from connectory.cli.failing import Failures
from connectory.cli.journaling import (
    absolute,
    command,
    given,
    go_on_with,
    reading_of,
    refuse_detaching,
    retype,
    say_replay,
    say_resumed,
)
from connectory.cli.outcome import DONE, SOME_FAILED, Ended, say
from connectory.cli.saying import WARNING
from connectory.cli.setup import run_loop
from connectory.cli.wiring import (
    DeadLetters,
    copy_of_letters,
    dead_letters,
    destination,
    place,
    refuse_same,
    suit,
)
from connectory.errors import ConnectoryError, RunDetachedError, RunInterruptedError
from connectory.journal import Job, new_facts
from connectory.runs.remembered import open_known, open_seen
from connectory.runs.route import Route, Step

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from connectory.cli.progress import Progress
    from connectory.connector import AsyncConnector
    from connectory.interfaces import Sink
    from connectory.journal import Run
    from connectory.subscriber import Subscriber


def run_route(
    made: AsyncConnector,
    name: str,
    options: dict[str, Any],
    progress: Progress,
    *,
    confirm: Callable[[int | None], None],
) -> None:
    """Run a route of the configuration; `confirm` asks before the first deletion."""
    first, *others = made.assembly.route(name)
    settings = made.assembly.outgoing(others[-1])
    power = any(made.assembly.outgoing(one).durability == "power" for one in others)
    publications = [made.assembly.publication(one, run={}) for one in others]
    refuse_detaching(publications, options)
    job = Job("route", name, given(options))
    made.runs.refuse_busy(job)
    read = input_above(made.assembly, first)
    output = place(made.config, options["output"], settings.output)
    refuse_same(None if read is None else read.file, output, [copy_of_letters(made, one) for one in others])
    source = None if read is None else read.open()
    sink = destination(made, options["output"], settings.output, mode=settings.output_mode)
    facts = new_facts(
        job,
        input=None if read is None else read.name,
        fingerprint=None if source is None else source.fingerprint(),
        target=", ".join(
            [made.assembly.subscription(first, run={}).target, *(one.target for one in publications)]
        ),
        command=command("route", name, options),
        output=absolute(output),
    )
    run = made.runs.begin(job, facts, new=options["new"], power=power)
    retype(run, facts)
    say_resumed(run)
    if source is not None:
        source.keep_in(run.folder)
    failures = Failures()

    subscriber = made.subscriber(
        first,
        client=options["client"],
        limit=options["limit"],
        journal=run.journal,
        on_error=failures.hear,
        source=source,
        seen=open_seen(made.assembly, made.runs, run, reading_of(options), name=first),
    )
    steps = following(made, run, others, options, power=power)
    suit(steps[-1].publisher, sink)
    route = Route(run, steps, subscriber=subscriber)
    progress.follow(made, output)
    for step in steps:
        progress.start_at(step.run.journal.counts, step.run.facts.connection)
        step.publisher.detached = options["detach"]

    async def main() -> None:
        async with made:
            await _run(route, sink, confirm)

    try:
        with progress:
            run_loop(main, stop=route.stop)
    except RunDetachedError as error:
        summarise(made, progress, steps, options, subscriber=subscriber)
        say(f"detached: {error}")
        say(f"the same command goes on: {join(run.facts.command)}")
        raise Ended(SOME_FAILED if _failed(steps, subscriber) else DONE) from None
    except ConnectoryError as error:
        summarise(made, progress, steps, options, subscriber=subscriber)
        go_on_with(error, run.facts)
        if isinstance(error, RunInterruptedError):
            error.command = join(run.facts.command)
        raise
    summarise(made, progress, steps, options, subscriber=subscriber)
    if subscriber.counts.errors:
        failures.say_all(preview_of("incoming", first, options), alone=False)
    _end(steps, subscriber, options)


def _end(steps: Sequence[Step], subscriber: Subscriber, options: Mapping[str, Any]) -> None:
    """Tell how to send dead letters again, and whether anything failed, in this life of the run or an earlier one."""
    for step in steps:
        if step.run.journal.counts.get("dead"):
            say_replay(step.run.facts.run, options)
    if _failed(steps, subscriber):
        raise Ended(SOME_FAILED)


def _failed(steps: Sequence[Step], subscriber: Subscriber) -> bool:
    return bool(subscriber.counts.errors) or any(step.run.journal.counts.get("dead") for step in steps)


async def _run(route: Route, sink: Sink, confirm: Callable[[int | None], None]) -> None:
    try:
        route.open()
        if route.deletes:
            confirm(await route.read())
            await route.send(sink)
        else:
            await route.all(sink)
        await route.put_in_place(sink)
        await route.finish()
    finally:
        await route.aclose(sink)


def following(
    made: AsyncConnector, run: Run, names: Sequence[str], options: Mapping[str, Any], *, power: bool
) -> list[Step]:
    """Take up, or begin, the steps of a route behind a run."""
    return [
        _step(made, run, number, name, then=tuple(names[number:]), options=options, power=power)
        for number, name in enumerate(names, 1)
    ]


def _step(
    made: AsyncConnector,
    route: Run,
    number: int,
    name: str,
    *,
    then: tuple[str, ...],
    options: Mapping[str, Any],
    power: bool,
) -> Step:
    target = made.assembly.publication(name, run={}).target
    run = made.runs.step(route, number, name, power=power, target=target, then=then)
    known = open_known(made.assembly, made.runs, name, run, client=options["client"])
    publisher = made.publisher(name, client=options["client"], journal=run.journal, known=known)
    return Step(run, publisher, dead_letters(made, run.facts, options))


def summarise(
    made: AsyncConnector,
    progress: Progress,
    steps: Sequence[Step],
    options: Mapping[str, Any],
    *,
    subscriber: Subscriber | None = None,
) -> None:
    """Say what became of the records of every step, what each used, and what could not be read for the first one."""
    progress.summary()
    for step in steps:
        if isinstance(step.dead_letters, DeadLetters):
            step.dead_letters.say_causes()
    if subscriber is not None and subscriber.counts.errors:
        failed = subscriber.counts.errors
        say(f"incoming {subscriber.subscription.name}: {failed} failed", level=WARNING, failed=failed)
    for step in steps:
        say_used(made, step.run.facts, options["client"])
