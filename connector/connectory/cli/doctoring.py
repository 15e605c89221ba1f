"""`doctor`: what on this machine keeps runs from going well, and what to do about it."""

from __future__ import annotations

import json
import os
import time
from email.utils import parsedate_to_datetime
from typing import TYPE_CHECKING, Any

import click

from connectory.cli.examining import Finding, authorities, clients, journal, machine, proxies, variables
from connectory.cli.following import config_option
from connectory.cli.outcome import CONFIGURATION, UNAVAILABLE, Ended, say
from connectory.cli.setup import (
    CONFIG_NAME,
    CONFIG_VARIABLE,
    config_options,
    config_path,
    connector,
    run_loop,
)
from connectory.text.redaction import blank, visible

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

    from connectory.config import Config

_SKEWED, _WRONG = 30, 300


@click.command()
@click.option(
    "--live", is_flag=True, help="Ask each client's server for the time, too, and compare the clock."
)
@click.option("--json", "as_json", is_flag=True, help="One JSON object a line.")
@config_options
def doctor(*, live: bool, as_json: bool, **options: Any) -> None:
    """Look at what runs need: Python, packages, configuration, variables, proxies, certificates, files, disk, clock.

    The files and folders of the connections are looked for, and the packages that they need; none is opened. Of a
    variable it is told whether it is set, never what it holds. The exit code is that of the worst failure, 0 when there
    are only warnings.

    \b
    connectory doctor
    connectory doctor --live --json
    """
    found: list[Finding] = []
    for one in _findings(options, live=live):
        found.append(one)
        _tell(one, as_json=as_json)
    failed = [one for one in found if one.state == "fail"]
    warned = sum(one.state == "warn" for one in found)
    say(f"{len(found)} things looked at: {len(failed)} failed, {warned} warnings")
    if failed:
        say(next((one.do for one in failed if one.do), f"connectory doctor{config_option()}"))
        raise Ended(max(one.code for one in failed))


def _findings(options: Mapping[str, Any], *, live: bool) -> Iterator[Finding]:
    from connectory.cli.provisions import provisions

    yield from machine()
    path = config_path(options["config"])
    found, config = _configuration(path, given=options["config"])
    yield found
    yield from variables(config, os.environ)
    yield from proxies(os.environ)
    yield authorities(os.environ)
    if config is not None:
        yield from clients(config, os.environ, only=_client(config, options["client"]))
        yield from provisions(config)
    yield from journal(config.state_folder if config is not None else path.absolute().parent / ".connectory")
    if live:
        yield from _clock(options)
    else:
        yield Finding("clock", "ok", f"{_now()}; --live compares it with the servers'")


def _client(config: Config, given: str | None) -> str | None:
    """Give the client that was named, if one was. Raises UnknownNameError."""
    from connectory.errors import UnknownNameError

    if given is not None and given not in config.clients:
        raise UnknownNameError("client", given, config.clients)
    return given


def _configuration(path: Path, *, given: str | None) -> tuple[Finding, Config | None]:
    """Look for the configuration, and whether it is right; of one with mistakes the rest is looked at."""
    from connectory.catalogue import Catalogue
    from connectory.cli.linting import problems_of
    from connectory.config import examine

    by = "--config" if given else CONFIG_VARIABLE if str(path) != CONFIG_NAME else "this folder"
    if not path.exists():
        text = f"there is no {path} (by {by})"
        if given or by == CONFIG_VARIABLE:
            return Finding("configuration", "fail", text, "connectory init", CONFIGURATION), None
        return Finding("configuration", "warn", text, "connectory init"), None
    errors = [one for one in problems_of(path) if one.severity == "error"]
    config = examine(path, Catalogue.load())[1]
    if errors:
        text = f"{path.absolute()} (by {by}) has {len(errors)} errors"
        return Finding("configuration", "fail", text, f"connectory lint {path}", CONFIGURATION), config
    return Finding("configuration", "ok", f"{path.absolute()} (by {by})"), config


def _clock(options: Mapping[str, Any]) -> Iterator[Finding]:
    """Compare the clock with that of each server, whatever it answers otherwise."""
    from connectory.errors import ConfigError, ConnectoryError

    try:
        with connector(options["config"], sandbox=options["sandbox"], optional=True) as made:
            names = [options["client"]] if options["client"] else list(made.config.clients)

            async def main() -> list[Finding]:
                async with made:
                    return [await _difference(made, name) for name in names]

            yield from run_loop(main)
    except ConfigError:
        text = f"{_now()}; not compared: the configuration has errors"
        yield Finding("clock", "warn", text, f"connectory lint{config_option()}")
    except ConnectoryError as error:
        yield Finding(
            "clock", "warn", f"{_now()}; not compared: {error}", f"connectory check{config_option()}"
        )


async def _difference(made: Any, name: str) -> Finding:
    from connectory.errors import ApiError, ConfigError, ConnectoryError

    what, since = f"clock, by client {name}", time.time()
    try:
        headers = (await made.request("GET", "/models", client=name)).headers
    except ApiError as error:
        headers = error.headers
    except ConfigError:
        return Finding(
            what, "warn", "not compared: the client is not complete", f"connectory lint{config_option()}"
        )
    except ConnectoryError as error:
        headers = getattr(error.__cause__, "headers", {})
        if not headers:
            return Finding(
                what, "fail", f"no answer: {error}", f"connectory check {name}{config_option()}", UNAVAILABLE
            )
    here = (since + time.time()) / 2
    try:
        there = parsedate_to_datetime(headers["date"]).timestamp()
    except (KeyError, TypeError, ValueError):
        return Finding(what, "ok", "the server tells no time")
    apart = abs(here - there)
    if apart < _SKEWED:
        return Finding(what, "ok", f"{_now()}, as the server's")
    text = f"{_now()} is {apart:.0f} s {'after' if here > there else 'before'} the server's; set the time"
    if apart < _WRONG:
        return Finding(what, "warn", text)
    return Finding(what, "fail", f"{text}: certificates and signed links fail", code=CONFIGURATION)


def _now() -> str:
    return time.strftime("%Y-%m-%d %H:%M:%S UTC", time.gmtime())


def _tell(one: Finding, *, as_json: bool) -> None:
    if as_json:
        line = {"what": one.what, "state": one.state, "text": one.text, "do": one.do}
        click.echo(blank(json.dumps(line, ensure_ascii=False)))
        return
    click.echo(visible(blank(f"{one.state:<4}  {one.what:<24}  {one.text}")))
    if one.do and one.state != "ok":
        click.echo(visible(blank(f"{'':<32}{one.do}")))
