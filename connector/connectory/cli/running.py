"""`run`: move records through a named connection or a route."""

from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.costing import say_used
from connectory.cli.journaling import go_on_with
from connectory.cli.outcome import SOME_FAILED, Ended, exit_code, say
from connectory.cli.progress import Progress
from connectory.cli.saying import INFO, WARNING
from connectory.cli.setup import config_options, confirm, connector, parameter_options, run_loop
from connectory.errors import ConnectoryError, RunDetachedError, RunInterruptedError, RunStoppedError

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from connectory.assembly import Input
    from connectory.cli.wiring import DeadLetters
    from connectory.connector import AsyncConnector
    from connectory.interfaces import NamedSource
    from connectory.journal import Facts, Run

_OUTPUT = "Where the lines go, - for stdout (default: the connection's output, else stdout)."
_limit = click.option("--limit", type=click.IntRange(min=1), help="Stop after this many records.")
_output = click.option("--output", metavar="FILE", help=_OUTPUT)
_parents = click.option(
    "--input",
    metavar="FILE",
    help="Where the records are that it is read for, - for stdin (default: the connection's).",
)
_yes = click.option("--yes", is_flag=True, help="Delete without asking.")
_new = click.option(
    "--new", is_flag=True, help="Begin a new run, also where an unfinished one could be resumed."
)
_detach = click.option(
    "--detach",
    is_flag=True,
    help="Create everything and end; the same command looks later what is at its end (with `until` or batches).",
)
_processes = click.option(
    "--processes",
    type=click.IntRange(1, 64),
    default=1,
    show_default=True,
    metavar="N",
    help="Share the records of a file among so many processes of this machine.",
)
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Create and delete nothing; show what would happen: `preview`."
)


@click.group()
def run() -> None:
    """Run an incoming, an outgoing or a route of the configuration."""


@run.command()
@click.argument("name")
@_parents
@_output
@_limit
@_dry_run
@_new
@parameter_options
@config_options
@click.pass_context
def incoming(context: click.Context, /, name: str, **options: Any) -> None:
    """Read an entity: every page, one JSON object a line.

    \b
    connectory run incoming files --query purpose=batch > files.jsonl
    """
    if options["dry_run"]:
        _preview(context, "incoming", name, options)
    else:
        progress = Progress(f"incoming {name}")
        with connector(options["config"], sandbox=options["sandbox"], listen=progress.hear) as made:
            _run_incoming(made, name, options, progress)


@run.command()
@click.argument("name")
@click.option(
    "--input",
    metavar="FILE",
    help="Where the records are, - for stdin, or another form of `input` (default: the connection's, or stdin).",
)
@_output
@_limit
@_dry_run
@_new
@_detach
@_processes
@_yes
@parameter_options
@config_options
@click.pass_context
def outgoing(context: click.Context, /, name: str, **options: Any) -> None:
    """Create or delete an entity: one request a record, one result line each.

    \b
    connectory run outgoing moderate --input posts.jsonl --output results.jsonl
    """
    if options["dry_run"]:
        _preview(context, "outgoing", name, options)
        return
    progress = Progress(f"outgoing {name}")
    with connector(options["config"], sandbox=options["sandbox"], listen=progress.hear) as made:
        _run_outgoing(made, name, options, progress)


@run.command()
@click.argument("name")
@_output
@_limit
@_new
@_detach
@_yes
@config_options
def route(name: str, **options: Any) -> None:
    """Read with an incoming and hand its records to the outgoings that follow.

    \b
    connectory run route purge-old-files --yes
    """
    progress = Progress(f"route {name}")
    with connector(options["config"], sandbox=options["sandbox"], listen=progress.hear) as made:
        _run_route(made, name, options, progress)


def _run_incoming(made: AsyncConnector, name: str, options: dict[str, Any], progress: Progress) -> None:
    from connectory.assembly import input_above
    from connectory.cli.advising import preview_of
    from connectory.cli.failing import Failures
    from connectory.cli.journaling import command, given, reading_of, retype, say_resumed
    from connectory.cli.wiring import destination, place, refuse_same
    from connectory.journal import Job, new_facts
    from connectory.requests.parameters import Given
    from connectory.runs.remembered import open_seen
    from connectory.runs.running import run_incoming

    settings = made.assembly.incoming(name)
    _refuse_disabled(f"incoming {name!r}", disabled=settings.disabled)
    read = input_above(made.assembly, name, options["input"])
    output = place(made.config, options["output"], settings.output)
    refuse_same(None if read is None else read.file, output)
    source = None if read is None else read.open()
    failures = Failures()

    parameters = Given(options["path"], options["query"])
    target = made.assembly.subscription(name, run={}, given=parameters).target
    path = None if read is None else read.name
    job = Job("incoming", name, given(options) if path is None else given(options, input=path))
    made.runs.refuse_busy(job)
    sink = destination(made, options["output"], settings.output, mode=settings.output_mode)
    facts = new_facts(
        job,
        target=target,
        command=command("incoming", name, options),
        input=path,
        fingerprint=None if source is None else source.fingerprint(),
        output=output,
    )
    run = made.runs.begin(job, facts, new=options["new"])
    retype(run, facts)
    say_resumed(run)
    with run.preparing():
        if source is not None:
            source.keep_in(run.folder)
        subscriber = made.subscriber(
            name,
            given=parameters,
            client=options["client"],
            limit=options["limit"],
            journal=run.journal,
            on_error=failures.hear,
            source=source,
            seen=open_seen(made.assembly, made.runs, run, reading_of(options)),
        )

    async def main() -> None:
        async with made:
            await run_incoming(run, subscriber, sink)

    progress.follow(made, output)
    with progress:
        run_loop(main)
    counts = subscriber.counts
    told = f"{counts.records} records of {counts.items} items on {counts.pages} pages, {counts.errors} failed"
    fields: dict[str, Any] = {name: one for name, one in counts.as_dict().items() if name != "errors"}
    seconds = round(progress.meter.seconds, 3)
    level = WARNING if counts.errors else INFO
    say(
        f"incoming {name}: {told}",
        event="summary",
        level=level,
        failed=counts.errors,
        seconds=seconds,
        **fields,
    )
    if counts.errors:  # also of an earlier life of the run
        failures.say_all(preview_of("incoming", name, options), alone=not counts.pages)
        raise Ended(SOME_FAILED if counts.pages or failures.first is None else exit_code(failures.first))


def _run_outgoing(made: AsyncConnector, name: str, options: dict[str, Any], progress: Progress) -> None:
    from connectory.assembly import input_of
    from connectory.cli.journaling import (
        absolute,
        command,
        given,
        refuse_detaching,
        retype,
        say_end,
        say_resumed,
    )
    from connectory.cli.sharing import deal_out, refuse_sharing, run_shared
    from connectory.cli.wiring import (
        copy_of_letters,
        dead_letters,
        destination,
        place,
        refuse_same,
        suit,
    )
    from connectory.journal import Job, new_facts
    from connectory.requests.parameters import Given
    from connectory.runs.remembered import open_known
    from connectory.runs.running import run_outgoing

    settings = made.assembly.outgoing(name)
    _refuse_disabled(f"outgoing {name!r}", disabled=settings.disabled)
    parameters = Given(options["path"], options["query"])
    publication = made.assembly.publication(name, run={}, given=parameters, client=options["client"])
    refuse_detaching([publication], options)
    read = input_of(made.config, name, options["input"])
    output = place(made.config, options["output"], settings.output)
    refuse_same(read.file, output, [copy_of_letters(made, name)])
    job = Job("outgoing", name, given(options, input=read.name))
    if options["processes"] > 1:
        refuse_sharing(made, name, read, options)
    made.runs.refuse_busy(job)
    source = _opened(read, options["limit"])
    if publication.deletes and not options["yes"]:
        _confirm_deletion(source.count(), yes=False)
    sink = destination(made, options["output"], settings.output, mode=settings.output_mode)
    facts = new_facts(
        job,
        target=publication.target,
        command=command("outgoing", name, options),
        input=read.name,
        fingerprint=source.fingerprint(),
        output=absolute(output),
        processes=options["processes"],
    )
    shards = deal_out(made.runs, job, source, options) if options["processes"] > 1 else None
    run = made.runs.begin(job, facts, new=options["new"], power=settings.durability == "power")
    retype(run, facts)
    if options["processes"] > 1:
        run_shared(made, run, sink, options, source=source, shards=shards, progress=progress)
        _end(run, options)
        return
    say_resumed(run)
    with run.preparing():
        source.keep_in(run.folder)
        progress.follow(made, output)
        progress.count(source)
        progress.start_at(run.journal.counts, name)
        known = open_known(made.assembly, made.runs, name, run, client=options["client"])
        publisher = made.publisher(
            name, given=parameters, client=options["client"], journal=run.journal, known=known
        )
        publisher.detached = options["detach"]
        suit(publisher, sink)
        dead = dead_letters(made, run.facts, options)

    async def main() -> None:
        async with made:
            await run_outgoing(run, publisher, source, sink, dead)

    def end() -> str:
        return "" if run.given_up else say_end(run.journal, run.facts, source.count())

    used = partial(say_used, made, run.facts, options["client"])
    run_shown(main, publisher.stop, progress, dead, end=end, used=used, facts=run.facts)
    _end(run, options)


def _opened(read: Input, limit: int | None) -> NamedSource:
    if read.file == "-" and sys.stdin.isatty():
        say("reading records from standard input; --input FILE reads a file")
    return read.open(limit=limit)


def run_shown(
    main: Callable[[], Coroutine[Any, Any, None]],
    stop: Callable[[RunStoppedError], bool],
    progress: Progress,
    dead: DeadLetters,
    *,
    end: Callable[[], str],
    used: Callable[[], None],
    facts: Facts,
) -> None:
    """Run an outgoing and tell what came of it, and what it `used`.

    `end` tells what is left of one that did not come to its end, and gives the command that goes on with it.
    """
    try:
        with progress:
            run_loop(main, stop=stop)
    except BrokenPipeError:
        raise
    except RunDetachedError as error:
        _summarise(progress, dead)
        used()
        say(f"detached: {error}")
        end()
    except ConnectoryError as error:
        _summarise(progress, dead)
        used()
        if (command := end()) and isinstance(error, RunInterruptedError):
            error.command = command
        if (
            type(error) is RunStoppedError and dead.causes.preview
        ):  # all failed alike: none is a dead letter yet
            error.command = error.command or f"{dead.causes.preview} --steps"
        go_on_with(error, facts)
        raise
    else:
        _summarise(progress, dead)
        used()


def _end(run: Run, options: dict[str, Any]) -> None:
    """Tell how to send the dead letters again, where there are any."""
    from connectory.cli.journaling import say_replay

    if run.journal.counts.get("dead"):
        if run.journal.state.finished:
            say_replay(run.facts.run, options)
        raise Ended(SOME_FAILED)


def _summarise(progress: Progress, dead: DeadLetters) -> None:
    progress.summary()
    dead.say_causes()


def _run_route(made: AsyncConnector, name: str, options: dict[str, Any], progress: Progress) -> None:
    from connectory.cli.routing import run_route

    names = made.assembly.route(name)
    _refuse_disabled(f"incoming {names[0]!r}", disabled=made.assembly.incoming(names[0]).disabled)
    for step in names[1:]:
        _refuse_disabled(f"outgoing {step!r}", disabled=made.assembly.outgoing(step).disabled)

    def confirm_it(count: int | None) -> None:
        with progress.hidden():
            _confirm_deletion(count, yes=options["yes"])

    run_route(made, name, options, progress, confirm=confirm_it)


def _confirm_deletion(count: int | None, *, yes: bool) -> None:
    if count == 0:
        say("nothing is to be deleted")
    elif not yes:
        confirm(f"delete {count if count is not None else 'an unknown number of'} records?", yes=yes)


def _refuse_disabled(what: str, *, disabled: bool) -> None:
    if disabled:
        say(f"error: {what} is disabled; remove `disabled: true` to run it")
        raise Ended(3)


def _preview(context: click.Context, kind: str, name: str, options: dict[str, Any]) -> None:
    from connectory.cli import previewing

    command = getattr(previewing, kind)
    wanted = {parameter.name for parameter in command.params}
    context.invoke(command, name=name, **{key: value for key, value in options.items() if key in wanted})
