"""`singer`: the configuration as a Singer tap and a Singer target, for Meltano and other hosts."""

from __future__ import annotations

import json
import sys
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.outcome import SOME_FAILED, Ended, say
from connectory.cli.setup import config_path, connector, run_loop, tell

if TYPE_CHECKING:
    from collections.abc import Callable

    from connectory.connector import AsyncConnector
    from connectory.singer import TapSettings, TargetSettings
    from connectory.singer.lane import Lane

_settings = click.option(
    "-c",
    "--config",
    metavar="FILE",
    help="Settings as JSON, or a Connectory configuration in YAML (default: ./connectory.yaml).",
)
_sandbox = click.option(
    "--sandbox", is_flag=True, help="Point every client to an embedded sandbox; no key is needed."
)
_about = click.option(
    "--about", is_flag=True, help="Print the name, the capabilities and the settings as JSON."
)


@click.group()
def singer() -> None:
    """Be a Singer tap or target: incomings are streams, and records of streams go to outgoings."""


@singer.command()
@_settings
@click.option(
    "--discover", is_flag=True, help="Print the catalogue of streams; nothing is asked of a server."
)
@click.option("--catalog", metavar="FILE", help="The streams and fields that are selected (default: all).")
@click.option("--properties", metavar="FILE", help="The older name of --catalog.")
@click.option("--state", metavar="FILE", help="The last state of an earlier run: go on from there.")
@_about
@_sandbox
def tap(config: str | None, **options: Any) -> None:
    """Write what the incomings read as Singer messages: SCHEMA, RECORD, STATE.

    \b
    connectory singer tap --config connectory.yaml --discover > catalog.json
    connectory singer tap --config settings.json --catalog catalog.json --state state.json
    """
    from connectory.singer import TapSettings, about
    from connectory.singer.settings import read_settings

    if options["about"]:
        _print(about(TapSettings, "tap-connectory", ("about", "catalog", "discover", "properties", "state")))
        return
    settings = read_settings(TapSettings, config)
    if options["discover"]:
        _discover(settings)
        return
    with connector(settings.config, sandbox=settings.sandbox or options["sandbox"]) as made:
        _tap(made, settings, options)


@singer.command()
@_settings
@click.option("--new", is_flag=True, help="Begin new runs, also where unfinished ones could be resumed.")
@_about
@_sandbox
def target(config: str | None, **options: Any) -> None:
    """Read Singer messages on stdin and hand their records to outgoings; a STATE comes back when all before it is done.

    \b
    tap-github --config github.json | connectory singer target --config settings.json
    """
    from connectory.singer import TargetSettings, about
    from connectory.singer.settings import read_settings

    if options["about"]:
        _print(about(TargetSettings, "target-connectory", ("about",)))
        return
    settings = read_settings(TargetSettings, config)
    sandbox = settings.sandbox or options["sandbox"]
    with connector(settings.config, sandbox=sandbox) as made:
        _target(made, settings, {**options, "config": config, "sandbox": sandbox})


def tap_connectory() -> None:
    """Run the tap: the program `tap-connectory`."""
    _as_program("tap")


def target_connectory() -> None:
    """Run the target: the program `target-connectory`."""
    _as_program("target")


def _as_program(name: str) -> None:
    from connectory.cli import main

    main(["singer", name, *sys.argv[1:]], prog_name=f"{name}-connectory")


def _discover(settings: TapSettings) -> None:
    from connectory.singer import streams
    from connectory.singer.catalog import catalog_of

    with connector(settings.config, sandbox=False, signed=False) as made:
        found = streams(made.assembly, made.catalogue, settings.incoming)
        for one in found:
            if one.refused:
                say(f"note: incoming {one.name!r} cannot be a stream: {one.refused}")
        _print(catalog_of(found))


def _tap(made: AsyncConnector, settings: TapSettings, options: dict[str, Any]) -> None:
    from connectory.adapters.linesink import LineSink
    from connectory.cli.failing import Failures
    from connectory.singer import Tap, TapState, read_catalog, read_state, selected, streams

    failures = Failures()
    chosen = selected(
        streams(made.assembly, made.catalogue, settings.incoming),
        read_catalog(options["catalog"] or options["properties"]),
    )
    if not chosen:
        say("note: no stream is selected")
    state = TapState(read_state(options["state"]))
    if state.resumed:
        say("resuming the sync that broke off, where its last STATE says")
    tap = Tap(made, chosen, state, LineSink("-"), client=settings.client, listen=tell, fail=failures.hear)

    async def main() -> None:
        async with made:
            await tap.run()

    run_loop(main)
    for name, count in tap.counts.items():
        say(f"stream {name}: {count} records")
    if tap.errors:
        say(f"{tap.errors} failed")
        raise Ended(SOME_FAILED)


def _target(made: AsyncConnector, settings: TargetSettings, options: dict[str, Any]) -> None:
    from connectory.adapters.jsonl import LineSource
    from connectory.adapters.linesink import LineSink
    from connectory.cli.journaling import say_replay
    from connectory.singer import Target
    from connectory.singer.lane import UnacknowledgedError

    outgoings = [name for name, one in made.config.outgoing.items() if not one.disabled]
    opened = partial(_lane, made, settings, options)
    target = Target(opened, outgoings, settings.streams, LineSink("-"), listen=tell)
    replay = _replayed(settings, options)

    async def main() -> None:
        async with made:
            await target.run(LineSource("-"))

    code = 0
    try:
        run_loop(main, stop=target.stop)
    except UnacknowledgedError as error:
        say(f"note: {error}")
        code = SOME_FAILED
    finally:
        for lane in target.lanes.values():
            _say_counts(lane)
    for lane in target.lanes.values():
        if lane.run.journal.counts.get("dead"):
            code = SOME_FAILED
            say_replay(lane.run.facts.run, replay)
    if code:
        raise Ended(code)


def _replayed(settings: TargetSettings, options: dict[str, Any]) -> dict[str, Any]:
    """Give the options with which dead letters are sent again: `--config` of these commands is another file."""
    return {
        "config": str(config_path(settings.config)),
        "client": settings.client,
        "sandbox": settings.sandbox or options["sandbox"],
    }


def _say_counts(lane: Lane) -> None:
    from connectory.cli.wiring import DeadLetters

    if isinstance(lane.dead_letters, DeadLetters):
        lane.dead_letters.say_causes()
    done, dead = (lane.run.journal.counts.get(name, 0) for name in ("done", "dead"))
    say(
        f"outgoing {lane.name}: {lane.given} records = {done} done + {dead} dead + {lane.given - done - dead} pending"
    )


def _lane(
    made: AsyncConnector,
    settings: TargetSettings,
    options: dict[str, Any],
    name: str,
    changed: Callable[[], None],
) -> Lane:
    """Take up, or begin, the run of an outgoing."""
    from connectory.cli.journaling import say_resumed
    from connectory.cli.wiring import dead_letters, destination, suit
    from connectory.errors import ConfigError
    from connectory.journal import Job, new_facts
    from connectory.runs.remembered import open_known
    from connectory.singer.lane import Lane, Nowhere

    written = made.assembly.outgoing(name)
    publication = made.assembly.publication(name, run={})
    if publication.deletes and not settings.yes:
        raise ConfigError(f'outgoing {name!r} deletes; say {{"yes": true}} in the settings to let it')
    sandbox = settings.sandbox or options["sandbox"]
    job = Job("outgoing", name, {"singer": settings.job or "", "client": settings.client, "sandbox": sandbox})
    given = None if written.output == "-" else written.output
    sink = Nowhere() if given is None else destination(made, None, given, mode=written.output_mode)
    words = [
        "connectory",
        "singer",
        "target",
        *(["--config", options["config"]] if options["config"] else []),
        *(["--sandbox"] if sandbox else []),
    ]
    facts = new_facts(
        job,
        target=publication.target,
        command=tuple(words),
        input="Singer messages",
        output=str(made.config.file(given)) if isinstance(given, str) else None,
    )
    run = made.runs.begin(job, facts, new=options["new"], power=written.durability == "power")
    say_resumed(run)
    with run.preparing():
        known = open_known(made.assembly, made.runs, name, run, client=settings.client)
        publisher = made.publisher(name, client=settings.client, journal=run.journal, known=known)
        suit(publisher, sink)
        sinks = (sink, dead_letters(made, run.facts, _replayed(settings, options)))
        return Lane(name, run, publisher, sinks=sinks, changed=changed, power=written.durability == "power")


def _print(value: Any) -> None:
    click.echo(json.dumps(value, indent=2, ensure_ascii=False))
