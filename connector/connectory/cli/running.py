"""`run`: move records through a named connection or a route."""

from __future__ import annotations

from contextlib import ExitStack
from shlex import join, quote
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.outcome import SOME_FAILED, Ended, exit_code, say
from connectory.cli.progress import Progress
from connectory.cli.setup import config_options, confirm, connector, parameter_options, run_loop
from connectory.errors import ConnectoryError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Sequence

    from connectory.adapters.jsonl import LineSource
    from connectory.cli.wiring import DeadLetters
    from connectory.connector import AsyncConnector
    from connectory.errors import RecordError, RunInterruptedError
    from connectory.interfaces import Sink
    from connectory.publisher import Publisher

_OUTPUT = "Where the lines go, - for stdout (default: the connection's output, else stdout)."
_limit = click.option("--limit", type=click.IntRange(min=1), help="Stop after this many records.")
_output = click.option("--output", metavar="FILE", help=_OUTPUT)
_yes = click.option("--yes", is_flag=True, help="Delete without asking.")
_dry_run = click.option(
    "--dry-run", is_flag=True, help="Create and delete nothing; show what would happen: `preview`."
)


@click.group()
def run() -> None:
    """Run an incoming, an outgoing or a route of the configuration."""


@run.command()
@click.argument("name")
@_output
@_limit
@_dry_run
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
        with connector(options["config"], sandbox=options["sandbox"]) as made:
            _run_incoming(made, name, options)


@run.command()
@click.argument("name")
@click.option(
    "--input",
    metavar="FILE",
    help="Where the records are, - for stdin (default: the connection's, or stdin).",
)
@_output
@_limit
@_dry_run
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


def _run_incoming(made: AsyncConnector, name: str, options: dict[str, Any]) -> None:
    from connectory.cli.wiring import MOST_SHOWN, opened
    from connectory.parameters import Given

    settings = made.assembly.incoming(name)
    _refuse_disabled(f"incoming {name!r}", disabled=settings.disabled)
    failures: list[RecordError] = []

    def hear(error: RecordError) -> None:
        failures.append(error)
        if len(failures) <= MOST_SHOWN:
            say(f"error: {error}")

    given = Given(options["path"], options["query"])
    subscriber = made.subscriber(
        name, given=given, client=options["client"], limit=options["limit"], on_error=hear
    )

    async def main() -> None:
        async with made, opened(made, options["output"], settings.output) as sink:
            await subscriber.run(sink)

    run_loop(main)
    counts = subscriber.counts
    say(
        f"incoming {name}: {counts.records} records of {counts.items} items on {counts.pages} pages, "
        f"{counts.errors} failed"
    )
    if failures:
        raise Ended(SOME_FAILED if counts.pages else exit_code(failures[0]))


def _run_outgoing(made: AsyncConnector, name: str, options: dict[str, Any], progress: Progress) -> None:
    from connectory.adapters.jsonl import LineSource
    from connectory.cli.wiring import place, refuse_same
    from connectory.parameters import Given

    settings = made.assembly.outgoing(name)
    _refuse_disabled(f"outgoing {name!r}", disabled=settings.disabled)
    given = Given(options["path"], options["query"])
    publisher = made.publisher(name, given=given, client=options["client"])
    path = place(made.config, options["input"], settings.input)
    refuse_same(path, place(made.config, options["output"], settings.output))
    source = LineSource(path, limit=options["limit"])
    if publisher.publication.deletes:
        _confirm_deletion(source, yes=options["yes"])
    if progress.shown:
        progress.total = source.count()
    _finish(
        made,
        lambda out, dead: publisher.run(source, out, dead),
        publishers=[publisher],
        options=options,
        progress=progress,
        unsent=lambda: _unsent(source, publisher.finished),
    )


def _run_route(made: AsyncConnector, name: str, options: dict[str, Any], progress: Progress) -> None:
    names = made.assembly.route(name)
    _refuse_disabled(f"incoming {names[0]!r}", disabled=made.assembly.incoming(names[0]).disabled)
    for step in names[1:]:
        _refuse_disabled(f"outgoing {step!r}", disabled=made.assembly.outgoing(step).disabled)
    failures: list[RecordError] = []
    parts = made.route(name, client=options["client"], limit=options["limit"], on_error=failures.append)

    async def main(out: Sink, dead: Sink) -> None:
        if not parts.deletes:
            await parts.run(out, dead)
            return
        with ExitStack() as stack:
            source = await parts.spooled(stack)
            _confirm_deletion(source, yes=options["yes"])
            await parts.send(source, out, dead)

    _finish(made, main, publishers=parts.publishers, options=options, progress=progress, failures=failures)


def _finish(
    made: AsyncConnector,
    main: Callable[[Sink, Sink], Awaitable[object]],
    *,
    publishers: Sequence[Publisher],
    options: dict[str, Any],
    progress: Progress,
    failures: Sequence[RecordError] = (),
    unsent: Callable[[], str] = lambda: "what was not sent yet was not read",
) -> None:
    """Run to the end, say what became of the records, and end with the exit code."""
    from connectory.cli.wiring import DeadLetters, opened

    last = publishers[-1]
    settings = made.assembly.outgoing(last.publication.name)
    dead = DeadLetters(made.config, settings.dead_letters, last.journal.run)

    async def everything() -> None:
        async with made, opened(made, options["output"], settings.output) as out:
            try:
                await main(out, dead)
            finally:
                await dead.close()

    def stop(reason: RunInterruptedError) -> bool:
        return bool(sum(publisher.stop(reason) for publisher in publishers))

    try:
        with progress:
            run_loop(everything, stop=stop)
    except ConnectoryError:
        _summarise(progress, dead, failures)
        say(unsent())
        raise
    _summarise(progress, dead, failures)
    if dead.again:
        say(_again(dead, last.publication.name, options))
    if dead.reasons or failures:
        raise Ended(SOME_FAILED)


def _summarise(progress: Progress, dead: DeadLetters, failures: Sequence[RecordError]) -> None:
    progress.summary()
    for line in dead.summary():
        say(line)
    for failure in failures:
        say(f"error: {failure}")
    if dead.reasons:
        say(f"failed records, each with its reason: {dead.path}")


def _again(dead: DeadLetters, name: str, options: dict[str, Any]) -> str:
    """Give the command that sends the failed records again, without those that may have been done."""
    words = ["connectory", "run", "outgoing", name, "--input", "-"]
    for option in ("config", "client"):
        words += [f"--{option}", options[option]] if options[option] else []
    words += ["--sandbox"] if options["sandbox"] else []
    return f"jq -c 'select((.in_doubt or .response) | not) | .record' {quote(dead.path)} | {join(words)}"


def _unsent(source: LineSource, finished: int) -> str:
    total = source.count()
    if total is None:
        return f"not sent: the rest of the input, after {finished} records"
    return f"not sent: {total - finished} of {total} records"


def _confirm_deletion(source: LineSource, *, yes: bool) -> None:
    if not yes:
        count = source.count()
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
