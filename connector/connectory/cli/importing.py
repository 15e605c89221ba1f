"""`import`: the configuration of another product as one of ours."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import TYPE_CHECKING, NoReturn

import click

from connectory.cli.outcome import CONFIGURATION, SOME_FAILED, Ended, say
from connectory.cli.setup import catalogue_option, load_catalogue

if TYPE_CHECKING:
    from connectory.errors import ConfigError
    from connectory.importing.report import Fate

_SHOWN = 3
"""Lines of a file that is no export whose problems are shown."""


@click.group("import")
def import_() -> None:
    """Make a configuration of what another product exports, with a report of what was mapped and what was not."""


@import_.command()
@click.argument("file")
@click.option(
    "--output", metavar="FILE", default="-", help="Where the configuration goes (default: -, stdout)."
)
@click.option(
    "--report", metavar="FILE", help="Write the report too, one JSON object for each object of the export."
)
@click.option("--force", is_flag=True, help="Replace the output where it exists.")
@catalogue_option
def alumio(file: str, *, output: str, report: str | None, force: bool, config: str | None) -> None:
    """Read an Alumio export (NDJSON); what does not fit is told, and never left out in silence.

    A connection of which something is missing is disabled. Secrets are not copied. The exit code is 1 when anything was
    not mapped, or in part.

    \b
    connectory import alumio flow.ndjson --output connectory.yaml
    """
    from connectory.config.writing import to_yaml
    from connectory.errors import ConfigError
    from connectory.importing.alumio import import_alumio

    if output != "-" and Path(output).exists() and not force:
        raise click.BadParameter(f"{output!r} exists; add --force to replace it", param_hint="--output")
    try:
        text = Path(file).read_bytes()
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise click.BadParameter(f"cannot read {file!r}: {reason}", param_hint="FILE") from None
    try:
        data, fates = import_alumio(text, load_catalogue(config), file=file)
    except ConfigError as error:
        _refuse(file, error)
    heading = f"Made of {Path(file).name}; 'connectory lint' checks it."
    _write(output, to_yaml(data, heading=heading), "--output")
    if report is not None:
        lines = (json.dumps(one.as_dict(), ensure_ascii=False) + "\n" for one in fates)
        _write(report, "".join(lines), "--report")
    _tell(fates)
    if output != "-":
        say(f"connectory lint {output}")
    if any(one.outcome != "mapped" for one in fates):
        raise Ended(SOME_FAILED)


def _refuse(file: str, error: ConfigError) -> NoReturn:
    """Say what an export looks like, and what is wrong with the first lines of this file."""
    for problem in error.problems[:_SHOWN]:
        say(str(problem), lines=True)
    if (more := len(error.problems) - _SHOWN) > 0:
        say(f"and {more} lines more")
    say(
        f"error: {file} is no export of Alumio's: that is NDJSON, one object a line, each with 'type', "
        "'identifier' and 'object', as the dashboard gives it under Export"
    )
    say("connectory import alumio --help")
    raise Ended(CONFIGURATION)


def _tell(fates: list[Fate]) -> None:
    for fate in fates:
        for line in fate.lines():
            say(line)
    counts = [sum(one.outcome == kind for one in fates) for kind in ("mapped", "in part", "not mapped")]
    say(f"{len(fates)} objects: {counts[0]} mapped, {counts[1]} in part, {counts[2]} not")


def _write(path: str, text: str, option: str) -> None:
    if path == "-":
        sys.stdout.buffer.write(text.encode())
        sys.stdout.buffer.flush()
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        reason = (error.strerror or "").lower()
        raise click.BadParameter(f"cannot write {path!r}: {reason}", param_hint=option) from None
