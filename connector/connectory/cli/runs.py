"""`runs`: what was run, what became of it, and how to go on."""

from __future__ import annotations

import time
from collections import Counter
from dataclasses import asdict
from datetime import datetime
from pathlib import Path
from shlex import join
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.advising import client_of, options_of, replay_of
from connectory.cli.costing import as_json_of, joined, told
from connectory.cli.outcome import say
from connectory.cli.setup import config_path
from connectory.errors import ConfigError
from connectory.text.redaction import blank, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from connectory.config import Config
    from connectory.cost.prices import Prices
    from connectory.cost.usage import Counts
    from connectory.journal import Facts, Runs, Summary

_config = click.option(
    "-c", "--config", metavar="FILE", help="Configuration file (default: ./connectory.yaml)."
)
_json = click.option("--json", "as_json", is_flag=True, help="One JSON object a run.")


@click.group()
def runs() -> None:
    """See what was run, and what became of it."""


@runs.command("list")
@_json
@_config
def list_runs(config: str | None, *, as_json: bool) -> None:
    """List the runs of this configuration, oldest first.

    A record is done, dead (set aside) or pending; an unfinished run goes on with the same command.

    \b
    connectory runs list
    connectory runs list --json
    """
    found = _runs(config)
    for run in found.ids():
        facts = found.find(run)
        try:
            summary = found.summary(run)
        except ConfigError as error:
            say(str(error))
            continue
        if as_json:
            _print_json(facts, summary)
        else:
            click.echo(f"{run}  {facts.kind} {facts.connection}  {summary.state}  {_counts(facts, summary)}")


@runs.command()
@click.argument("run")
@_json
@_config
def show(run: str, config: str | None, *, as_json: bool) -> None:
    """Show one run: its counts, where its files are, and the command that goes on with it.

    \b
    connectory runs show 20260302T070000-1f0c2a9d
    """
    found = _runs(config)
    facts = found.find(run)
    summary = counted(facts, found.summary(facts.run, usage=True))
    used = _used(found, facts, summary, config)
    if as_json:
        _print_json(facts, summary, as_json_of(used))
        return
    started = datetime.fromtimestamp(facts.started_at).astimezone().isoformat(sep=" ")
    rows = {
        "run": facts.run,
        "what": f"{facts.kind} {facts.connection}: {facts.target}",
        "state": summary.state + (f" by process {summary.pid}" if summary.pid else ""),
        "started": started,
        "lives": str(summary.lives),
        "input": facts.input or "",
        "output": facts.output or "",
        "records": _counts(facts, summary),
        "answered": f"{summary.answered} of the pending ones have their answer already"
        if summary.answered
        else "",
        "begun": f"{summary.begun} of the pending ones are created and not at their end"
        if summary.begun
        else "",
        "batches": _batches(summary),
        "in doubt": f"{summary.in_doubt} requests were under way" if summary.in_doubt else "",
        "deliveries": ", ".join(f"{count} {status}" for status, count in summary.deliveries.items() if count),
        "folder": str(found.path(facts.run)),
        "replays": facts.parent or "",
        "step of": facts.route or "",
    }
    for name, value in rows.items():
        if value:
            _echo(f"{name:<10}  {value}")
    for models, prices in used:
        for line in told(models, prices, doubtful=summary.in_doubt):
            _echo(f"{'used':<10}  {line}")
    if summary.state == "unfinished" and facts.command:
        _echo(f"goes on     {join(facts.command)}")
    if summary.dead and summary.state == "finished" and facts.parent is None:
        _echo(f"dead        {replay_of(facts.run, options_of(facts, config))}")


@runs.command()
@click.argument("run")
@_config
def repair(run: str, config: str | None) -> None:
    """Make the journal of a run again from its results log, after its file was damaged.

    What was under way then is not known any more: it is sent again, and marked in_doubt.

    \b
    connectory runs repair 20260302T070000-1f0c2a9d
    """
    found = _runs(config)
    facts = found.find(run)
    found.repair(facts.run)
    say(f"the journal of run {facts.run} was made again; the same command goes on: {join(facts.command)}")


@runs.command()
@click.argument("run")
@_config
def cancel(run: str, config: str | None) -> None:
    """Cancel the batches of a run at the server; nothing more of it is sent.

    The same command then takes what is done. Records without an answer become dead letters, which `replay` sends.

    \b
    connectory runs cancel 20260302T070000-1f0c2a9d
    """
    from connectory.cli.setup import connector, run_loop
    from connectory.delivery.batches import cancel as cancel_batches
    from connectory.delivery.batches import note_cancelled

    with connector(config, sandbox=False) as made:
        facts = made.runs.find(run)
        parent = None if facts.parent is None else made.runs.find(facts.parent)
        client = client_of(facts) or made.assembly.outgoing(facts.connection).client
        option = made.assembly.publication(facts.connection, run={}).batch
        if option is None:
            raise ConfigError(
                f"outgoing {facts.connection!r} has no `delivery: batch`: nothing is to be cancelled"
            )
        with made.runs.held(facts):
            batches = note_cancelled(made.runs.path(facts.run))

        async def main() -> list[str]:
            async with made:
                return await cancel_batches(option, made.client(client), batches)

        for problem in run_loop(main):
            say(f"not cancelled: {problem}")
    say(f"run {facts.run}: {len(batches)} batches are being cancelled; the same command takes what is done:")
    say(join(facts.command) if parent is None else replay_of(parent.run, options_of(parent, config)))


@runs.command()
@click.argument("run", nargs=-1)
@click.option("--older-than", metavar="TIME", help="All runs that began longer ago, such as 30d or 12h.")
@_config
def remove(run: tuple[str, ...], older_than: str | None, config: str | None) -> None:
    """Delete what is kept of runs: journals, results logs and dead letters.

    By their age only those go that came to their end and have no dead letters.

    \b
    connectory runs remove 20260302T070000-1f0c2a9d
    connectory runs remove --older-than 30d
    """
    if not run and older_than is None:
        raise click.UsageError("give the id of a run, or --older-than TIME")
    found = _runs(config)
    old = [] if older_than is None else list(_ended(found, time.time() - _age(older_than), config))
    for name in (*run, *old):
        facts = found.find(name)
        found.remove(facts.run)
        say(f"removed run {facts.run}")
    if not (run or old):
        say("no run is that old, at its end and without dead letters")


def _age(text: str) -> int:
    from connectory.expressions.functions import seconds
    from connectory.expressions.refusals import RefusedError

    try:
        return seconds(text)
    except RefusedError:
        hint = f"{text!r} is no length of time: a number and one of s, m, h, d, w, such as 30d"
        raise click.BadParameter(hint, param_hint="--older-than") from None


def _ended(runs: Runs, before: float, config: str | None) -> Iterator[str]:
    """Give the runs that began before a moment and of which nothing is left to do."""
    for name in runs.ids():
        facts = runs.find(name)
        if facts.route is not None or facts.started_at >= before:
            continue
        try:
            summary = runs.summary(name)
        except ConfigError as error:  # damaged: what it says is what to do
            say(str(error))
            continue
        if summary.state == "finished" and summary.dead:
            again = replay_of(name, options_of(facts, config))
            say(f"kept run {name}: it has dead letters ({summary.dead}), which this sends again: {again}")
        elif summary.state == "finished":
            yield name


def counted(facts: Facts, summary: Summary) -> Summary:
    """Count the input of an unfinished run whose end was not read yet, where it is still the same file."""
    from dataclasses import replace

    from connectory.assembly import known_source

    if summary.total is not None or facts.fingerprint is None or not Path(facts.input or "").is_file():
        return summary
    source = known_source(facts.input or "", facts.fingerprint)
    try:
        total = source.count() if source.fingerprint() == facts.fingerprint else None
    finally:
        source.close()
    pending = None if total is None else total - summary.done - summary.dead
    return replace(summary, total=total, pending=pending)


def _load(config: str | None) -> Config:
    from connectory.config import load_config

    return load_config(config_path(config))


def _runs(config: str | None) -> Runs:
    from connectory.journal import Runs

    return Runs(_load(config).state_folder)


def _counts(facts: Facts, summary: Summary) -> str:
    if facts.kind in {"incoming", "route"}:
        counts = summary.counts
        return f"{counts.get('records', 0)} records on {counts.get('pages', 0)} pages"
    total = "?" if summary.total is None else str(summary.total)
    pending = "?" if summary.pending is None else str(summary.pending)
    return f"{total} = {summary.done} done + {summary.dead} dead + {pending} pending"


def _batches(summary: Summary) -> str:
    """Count the parts of a run that goes through batches, by what became of them."""
    known: dict[str, Any] = summary.cursors.get("batch") or {}
    states = Counter(
        {"created": "under way", "closed": "done"}.get(one["state"], "not begun")
        for one in known.get("lots", ())
    )
    told = ", ".join(f"{count} {state}" for state, count in states.items())
    return f"{told} (cancelled)" if told and known["cancelled"] else told


def _echo(line: str) -> None:
    """Write a line to stdout without secrets that stood on a command line, and without control characters."""
    click.echo(visible(blank(line)))


def _used(
    found: Runs, facts: Facts, summary: Summary, config: str | None
) -> list[tuple[dict[str, Counts], Prices | None]]:
    """Give what a run has used, with the prices that the configuration has now; of a route what its steps have."""
    summaries = [(facts, summary)]
    if facts.kind == "route":
        steps = (found.find(one) for one in found.ids() if one.startswith(f"{facts.run}."))
        summaries = [(one, found.summary(one.run, usage=True)) for one in steps]
    loaded = _load(config)
    return joined([(one, _prices(loaded, step)) for step, one in summaries])


def _prices(config: Config, facts: Facts) -> Prices | None:
    """Give the prices by which a run is counted, as far as the configuration still has its connection."""
    from connectory.assembly import prices_of

    settings = config.outgoing.get(facts.connection)
    if settings is None:
        return None
    name = client_of(facts) or settings.client
    names = [name] if name is not None else [*config.clients] if len(config.clients) == 1 else ["default"]
    return (
        prices_of(config, names[0], batch=settings.delivery == "batch")
        if names[0] in config.clients
        else None
    )


def _print_json(facts: Facts, summary: Summary, more: Mapping[str, Any] | None = None) -> None:
    from connectory.text.json import dumps

    line: dict[str, Any] = {**asdict(facts), **asdict(summary)}
    line.pop("usage")
    line |= more or {}
    click.echo(blank(dumps(line).decode()))
