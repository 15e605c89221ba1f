"""`lint`: is the configuration right."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from shlex import quote
from typing import TYPE_CHECKING

import click

from connectory.cli.editing import REFRESH, SCHEMA, is_stale
from connectory.cli.following import after_problems
from connectory.cli.outcome import CONFIGURATION, Ended, say
from connectory.cli.setup import CONFIG_NAME, config_path

if TYPE_CHECKING:
    from connectory.errors import Problem


@click.command()
@click.argument("file", required=False)
@click.option("-c", "--config", metavar="FILE", help="The same as FILE, as the other commands take it.")
def lint(file: str | None, config: str | None) -> None:
    """Check a configuration without a network: every problem at once, with its place.

    \b
    connectory lint
    connectory lint other.yaml
    connectory lint --config other.yaml
    """
    if file is not None and config is not None and file != config:
        raise click.UsageError("FILE and --config name two files; give one of them")
    path = config_path(file or config)
    problems = problems_of(path)
    for problem in problems:
        label = "" if problem.severity == "error" else "warning: "
        say(str(problem).replace(": ", f": {label}", 1) if label else str(problem), lines=True)
    errors = sum(problem.severity == "error" for problem in problems)
    if not errors and is_stale(path):
        which = "" if path == Path(CONFIG_NAME) else f" --config {quote(str(path))}"
        say(
            f"note: {path.parent / SCHEMA} is older than what is there now; for your editor: {REFRESH}{which}"
        )
    say(f"{path}: {errors} errors, {len(problems) - errors} warnings")
    if errors:
        say(after_problems([one for one in problems if one.severity == "error"]))
        raise Ended(CONFIGURATION)


def problems_of(path: Path, text: str | None = None) -> list[Problem]:
    """Give what is wrong with a configuration; `text` is what its file will say, where that is not yet written."""
    from connectory.assembly import problems
    from connectory.catalogue import Catalogue
    from connectory.config import examine

    found, config, catalogue = examine(path, Catalogue.load(), text=text)
    errors = [one for one in found if one.severity == "error"]
    if config is not None and not errors:
        found += [replace(one.problem, severity="warning") for one in config.unset]
    # what is wrong elsewhere, as with a client, would look like a mistake in each connection
    if config is not None and catalogue is not None and all(_is_of_connection(one) for one in errors):
        found += problems(config, catalogue, beside=errors)
    return sorted(found, key=lambda problem: (problem.line, problem.column))


def _is_of_connection(problem: Problem) -> bool:
    return problem.path.startswith(("incoming.", "outgoing.", "routes."))
