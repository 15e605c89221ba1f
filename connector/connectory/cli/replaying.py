"""`replay`: send dead letters again, under the keys that they had."""

from __future__ import annotations

import os
from contextlib import contextmanager
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.advising import client_of, in_sandbox, options_of
from connectory.cli.following import typed_again, typed_without
from connectory.cli.outcome import SOME_FAILED, Ended, say
from connectory.cli.progress import Progress
from connectory.cli.saying import ERROR
from connectory.cli.setup import config_options, confirm, connector, run_loop
from connectory.errors import ConfigError, ConnectoryError, RecordError

if TYPE_CHECKING:
    from collections.abc import Generator, Sequence

    from connectory.adapters.deadletters import Selection
    from connectory.connector import AsyncConnector
    from connectory.interfaces import Sink
    from connectory.journal import Facts, Run
    from connectory.record import Record
    from connectory.runs.route import Route

INPUT = "input.jsonl"


@click.command()
@click.argument("what", metavar="RUN|FILE")
@click.option("--results", is_flag=True, help="Send nothing: shape the answers anew that were paid for.")
@click.option(
    "--class",
    "classes",
    multiple=True,
    metavar="CLASS",
    help="Take only this class of failure; repeat for more.",
)
@click.option("--in-doubt", is_flag=True, help="Take those too that may have been done already.")
@click.option(
    "--output", metavar="FILE", help="Where the lines go (default: added to the run's output, else stdout)."
)
@click.option("--yes", is_flag=True, help="Delete without asking.")
@config_options
def replay(what: str, **options: Any) -> None:
    """Send the dead letters of a run again, or those in a file.

    They keep their keys, so that a server that knows the key does nothing twice. Records that failed for good stay dead
    letters; the others leave the file.

    \b
    connectory replay 20261121T093000-1a2b3c4d
    connectory replay mended.jsonl
    connectory replay 20261121T093000-1a2b3c4d --results
    """
    progress = Progress("replay")
    with connector(options["config"], sandbox=options["sandbox"], listen=progress.hear) as made:
        from connectory.adapters.deadletters import Selection

        facts, file = _found(made, what)
        _refuse_elsewhere(facts, sandbox=options["sandbox"])
        selection = Selection(options["results"], frozenset(options["classes"]), options["in_doubt"])
        if options["client"] is None and facts.command:
            options["client"] = client_of(facts)
        with made.runs.held(facts):
            _replay(made, facts, file, selection, options=options, progress=progress)


def _found(made: AsyncConnector, what: str) -> tuple[Facts, Path]:
    """Find the run whose dead letters are meant, and the file that holds them."""
    from connectory.journal import DEAD_LETTERS

    given = Path(what)
    run = _run_in(given) if given.is_file() else what
    facts = made.runs.find(run)
    if facts.parent is not None:
        facts = made.runs.find(facts.parent)
    if facts.kind != "outgoing":
        raise ConfigError(
            f"run {facts.run} has no dead letters of its own: it is of {facts.kind} {facts.connection!r}"
        )
    if made.runs.summary(facts.run).state != "finished":
        command = join(facts.command)
        raise ConfigError(
            f"run {facts.run} is not finished; finish it first, with the same command: {command}",
            command=command,
        )
    return facts, given if given.is_file() else made.runs.path(facts.run) / DEAD_LETTERS


def _refuse_elsewhere(facts: Facts, *, sandbox: bool) -> None:
    """Refuse to send to the API what a sandbox failed to answer, and to have a sandbox answer what the API did not."""
    if not facts.command or in_sandbox(facts) == sandbox:
        return
    made, needed = ("without", "leave it out") if sandbox else ("with", "add it")
    say(f"error: run {facts.run} was made {made} --sandbox, and so is its replay: {needed}; nothing was sent")
    say(typed_without("--sandbox") if sandbox else typed_again("--sandbox"), level=ERROR)
    raise Ended(2)


def _run_in(file: Path) -> str:
    runs = {letter["run"] for letter in _letters(file)}
    if len(runs) != 1:
        told = "dead letters of several runs" if runs else "no dead letters"
        raise ConfigError(f"{str(file)!r} holds {told}; a replay takes those of one run")
    return str(runs.pop())


def _letters(file: Path) -> Generator[Record, None, None]:
    from connectory.adapters.deadletters import read_letter
    from connectory.text.json import JsonTextError

    with file.open("rb") as lines:
        for number, line in enumerate(lines, 1):
            try:
                if line.strip():
                    yield read_letter(line, number)
            except (JsonTextError, RecordError) as error:
                raise ConfigError(f"{str(file)!r}: line {number}: {error}") from None


def _replay(
    made: AsyncConnector,
    facts: Facts,
    file: Path,
    selection: Selection,
    *,
    options: dict[str, Any],
    progress: Progress,
) -> None:
    from connectory.cli.journaling import absolute, given, say_resumed
    from connectory.journal import Job, new_facts

    publication = made.assembly.publication(facts.connection, run={})
    if publication.target != facts.target:
        raise ConfigError(
            f"run {facts.run} sent {facts.target}, and the configuration now says {publication.target}"
        )
    chosen, left = _choose(file, facts, selection)
    job = Job("replay", facts.connection, given(options, parent=facts.run, select=repr(selection)))
    pending = made.runs.has_unfinished(job)
    if not chosen and not pending:
        say(f"nothing to send again: {left or 'no dead letters'}")
        return
    if publication.deletes and not options["yes"] and not selection.results:
        confirm(f"delete {len(chosen)} records?", yes=False)
    output = options["output"] or _output_of(facts)
    known = {"target": facts.target, "parent": facts.run, "then": facts.then, "output": absolute(output)}
    run = made.runs.begin(job, new_facts(job, **known))
    say_resumed(run)
    if left:
        say(f"left as they are: {left}")
    route = _route(made, run, facts, chosen, selection=selection, options=options)
    progress.start_at(run.journal.counts, facts.connection)
    progress.meter.total = len(chosen) or None
    progress.follow(made, output)
    _send(made, route, facts, output, progress, options=options)
    still = made.runs.summary(facts.run).dead
    if still:
        say(f"{still} records of run {facts.run} are still dead letters")
    if run.journal.counts.get("dead"):
        raise Ended(SOME_FAILED)


def _choose(file: Path, facts: Facts, selection: Selection) -> tuple[list[Record], str]:
    """Give the dead letters that are taken, and what is said about the others."""
    letters = [letter for letter in _letters(file) if letter["run"] == facts.run] if file.exists() else []
    chosen = [letter for letter in letters if selection.takes(letter)]
    others = [letter for letter in letters if not selection.takes(letter)]
    paid = sum(1 for letter in others if letter.get("response") is not None)
    doubtful = sum(1 for letter in others if letter.get("response") is None and letter.get("in_doubt"))
    parts = [
        f"{paid} whose answer was paid for (--results shapes it anew)" if paid else "",
        f"{doubtful} that may have been done (--in-doubt sends them)" if doubtful else "",
        f"{len(others) - paid - doubtful} others" if len(others) > paid + doubtful else "",
    ]
    return chosen, ", ".join(filter(None, parts))


def _output_of(facts: Facts) -> str:
    """Give the file to which the run's lines went, if there is one."""
    output = facts.output or "-"
    return output if output != "-" and Path(output).is_file() else "-"


def _route(
    made: AsyncConnector,
    run: Run,
    facts: Facts,
    chosen: Sequence[Record],
    *,
    selection: Selection,
    options: dict[str, Any],
) -> Route:
    from connectory.adapters.deadletters import DeadLetterSource
    from connectory.cli.routing import following
    from connectory.cli.wiring import DeadLetters, lines_of_ok
    from connectory.journal import DEAD_LETTERS
    from connectory.runs.remembered import open_known
    from connectory.runs.route import Route, Step

    path = run.folder / INPUT
    if not path.exists():
        write_letters(path, chosen)
    source = DeadLetterSource(path)
    source.results = selection.results
    known = open_known(made.assembly, made.runs, facts.connection, run, client=options["client"])
    publisher = made.publisher(facts.connection, client=options["client"], journal=run.journal, known=known)
    publisher.lines = lines_of_ok  # the lines of those that failed before are in the output
    letters = DeadLetters(run.folder / DEAD_LETTERS)
    letters.name(facts, {**options_of(facts), **options})
    first = Step(run, publisher, letters)
    steps = following(made, run, facts.then, options, power=False)
    return Route(run, [first, *steps], source=source)


def _sink(made: AsyncConnector, facts: Facts, output: str, run: str, *, given: bool) -> Sink:
    """Open what the run's lines went to: its database or webhook, or the file to whose end they are added.

    A file that is written whole gets another one beside it, with the replay's name in its own.
    """
    from connectory.adapters.linesink import LineSink
    from connectory.formats.pouring import pouring_of

    configured = made.assembly.outgoing((facts.connection, *facts.then)[-1]).output
    if (
        configured is not None
        and not isinstance(configured, str)
        and not given
        and "--output" not in facts.command
    ):
        return made.sink(configured)
    pouring = pouring_of(output)
    if pouring is None or pouring.appends:
        return LineSink(output, mode="append", pouring=pouring)
    path = Path(output)
    name, _, rest = path.name.partition(".")
    return LineSink(path if given else path.with_name(f"{name}-{run}.{rest}"), pouring=pouring)


def _send(
    made: AsyncConnector,
    route: Route,
    facts: Facts,
    output: str,
    progress: Progress,
    *,
    options: dict[str, Any],
) -> None:
    from connectory.cli.routing import summarise
    from connectory.cli.wiring import suit

    given = options["output"] is not None
    sink = _sink(made, facts, output, route.run.facts.run, given=given)
    suit(route.steps[-1].publisher, sink)

    async def main() -> None:
        async with made:
            try:
                route.open()
                await route.send(sink)
                await route.put_in_place(sink)
                bring_home(made, route.run, facts)
                await route.finish()
            finally:
                await route.aclose(sink)

    try:
        with progress:
            run_loop(main, stop=route.stop)
    except ConnectoryError:
        summarise(made, progress, route.steps, options)
        raise
    summarise(made, progress, route.steps, options)


def bring_home(made: AsyncConnector, run: Run, facts: Facts) -> None:
    """Take the letters out of the run's dead letters that a replay settled; those that failed again stay, as they are.

    Doing it twice changes nothing, so that a replay that breaks off here can do it again.
    """
    from connectory.journal import DEAD_LETTERS

    file, failed = made.runs.path(facts.run) / DEAD_LETTERS, run.folder / DEAD_LETTERS
    taken = {_place(letter) for letter in _letters(run.folder / INPUT)}
    before = list(_letters(file)) if file.exists() else []
    after = [letter for letter in before if _place(letter) not in taken]
    after += list(_letters(failed)) if failed.exists() else []
    write_letters(file, after)
    made.runs.recount(
        facts.run, len({one["position"] for one in before}) - len({one["position"] for one in after})
    )


def _place(letter: Record) -> tuple[str, int | None]:
    return str(letter["position"]), letter["part"]


def write_letters(path: Path, letters: Sequence[Record]) -> None:
    """Write a file of dead letters whole or not at all."""
    from connectory.text.json import dumps

    with (
        _draft(path) as draft,
        os.fdopen(os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600), "wb") as file,
    ):
        file.writelines(dumps(letter) + b"\n" for letter in letters)


@contextmanager
def _draft(path: Path) -> Generator[Path, None, None]:
    draft = path.with_name(f"{path.name}.draft")
    yield draft
    draft.replace(path)
